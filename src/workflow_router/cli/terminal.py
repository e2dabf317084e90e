"""Owns what commands print: tables and sentences for people, JSON for programs. Refuses to fetch anything."""

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import click

from workflow_router.utils.codec import to_json


class Printer:
    """Prints a command's result, as JSON or for people."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def data(self, value: object) -> None:
        """One JSON value, on one line."""
        click.echo(to_json(value).decode())

    def say(self, sentence: str, value: object) -> None:
        """A sentence, or the value it tells of."""
        self.data(value) if self.as_json else click.echo(sentence)

    def table(self, rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, empty: str, value: object) -> None:
        """Rows as a table of some of their fields, or the value they come from."""
        if self.as_json:
            self.data(value)
            return
        found = list(rows)
        if not found:
            click.echo(empty)
            return
        from rich.console import Console  # noqa: PLC0415  its import takes longer than most commands
        from rich.table import Table  # noqa: PLC0415  as above

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            table.add_column(name.removesuffix("_ms").replace("_", " "), overflow="fold")
        for row in found:
            table.add_row(*(as_text(name, row.get(name)) for name in columns))
        Console().print(table)


class Bar:
    """How far long work has come; see `progress`."""

    def __init__(self, update: Callable[[int], None]) -> None:
        self.update = update


@contextlib.contextmanager
def progress(total: int | None, title: str, *, hidden: bool = False) -> Generator[Bar, None, None]:
    """A progress bar on stderr, where that is a terminal; `update(n)` says that n more are done.

    Args:
        total: how much there is to do, where that is known.
    """
    if hidden or not sys.stderr.isatty():
        yield Bar(lambda _: None)
        return
    from rich.console import Console  # noqa: PLC0415  its import takes longer than most commands
    from rich.progress import Progress  # noqa: PLC0415  as above

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total)
        yield Bar(lambda done: shown.advance(task, done))


def as_text(name: str, value: object) -> str:
    """A field's value for people. Names that end in `_ms` are moments, milliseconds since the epoch."""
    if value is None:
        return ""
    if name.endswith("_ms") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return ", ".join(str(item) for item in cast("list[object]", value))
    return value if isinstance(value, str) else to_json(value).decode()


def rows_of(answer: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The list of objects in an answer."""
    return cast("list[dict[str, object]]", answer.get(name) or [])
