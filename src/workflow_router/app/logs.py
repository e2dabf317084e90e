"""Owns how a process logs: as text for people, or as one JSON object a line for machines; never with secrets.

Secrets are taken out of the finished line, with the traceback in it, so that it does not matter how they came there.
Refuses to touch the logging of a program that embeds routers.
"""

import contextlib
import logging
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Literal, TextIO

from workflow_router.core.orchestration.live import current
from workflow_router.core.orchestration.streams import writing
from workflow_router.core.scrub import Scrubber
from workflow_router.utils.codec import to_json

LogFormat = Literal["text", "json"]
LINE_MAX = 65_536  # characters of a message, and of a traceback

SCRUBBER = Scrubber()  # there is one log of a process, so there is one of these


def where() -> dict[str, str]:
    """The run and step that this code runs in, and the OpenTelemetry span, as far as there are any."""
    found: dict[str, str] = {}
    step, branch = writing(), current()
    if step is not None:
        found["run"], found["step"] = step.step
    elif branch is not None:
        found["run"] = branch.live.run.id
    tracing = sys.modules.get("opentelemetry.trace")  # whoever traces has imported it
    if tracing is not None:
        context = tracing.get_current_span().get_span_context()
        if context.is_valid:
            found["trace_id"] = f"{context.trace_id:032x}"
            found["span_id"] = f"{context.span_id:016x}"
    return found


class JsonLines(logging.Formatter):
    """One JSON object a line (RFC 8259): time (RFC 3339, UTC), level, logger, message; run, step, ids of the trace."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, str] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": _clean(record.name),
            "message": _clean(record.getMessage()),
            **where(),
        }
        if record.exc_info:
            line["exception"] = _clean(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = _clean(record.stack_info)
        return to_json(line).decode()


class People(logging.Formatter):
    """Text, with the traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The text."""
        return _clean(super().format(record))


def _clean(text: str) -> str:
    clean = SCRUBBER.clean(text).encode("utf-8", "backslashreplace").decode()  # halves of pairs have no UTF-8
    return clean if len(clean) <= LINE_MAX else f"{clean[:LINE_MAX]}… ({len(clean)} characters)"


@contextlib.contextmanager
def logging_as(form: LogFormat, stream: TextIO | None = None) -> Generator[None, None, None]:
    """Log to standard error, or to `stream`, until the block ends."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else People())
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
