"""Owns the pages of docs/reference: each is made from the code it describes. `make docs` runs it."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path

import click

from workflow_router.api.endpoint import Endpoint
from workflow_router.api.table import ENDPOINTS
from workflow_router.cli.main import command
from workflow_router.core import errors
from workflow_router.core.runtime_state.kinds import KINDS, OPERATIONS
from workflow_router.core.states import RUN_ENDED, RUN_TRANSITIONS
from workflow_router.settings.schema import router_schema

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `make docs`; change the code instead. -->\n\n"
WIDTH = 100


def errors_page() -> str:
    """Every error that a user can meet, with its problem type and HTTP status."""
    rows = [f"| `{kind.type}` | {kind.status} | {_first_line(kind)} |" for kind in _error_kinds()]
    return "\n".join(["# Errors", "", "| type | status | meaning |", "|---|---|---|", *sorted(rows), ""])


def run_status_page() -> str:
    """The statuses of a run and the transitions between them."""
    lines = ["# Run status", "", "```mermaid", "stateDiagram-v2"]
    lines += [f"    {before} --> {after}" for before, ends in RUN_TRANSITIONS.items() for after in sorted(ends)]
    lines += [f"    {status} --> [*]" for status in sorted(RUN_ENDED)]
    return "\n".join([*lines, "```", ""])


def cli_page() -> str:
    """The help of every command."""
    lines = [
        "# Command line",
        "",
        "What these do together, and what their exit codes mean, is told in",
        "[the command line](../howto/command-line.md).",
        "",
    ]
    for name, text in _helps(click.Context(command, info_name="wr", **command.context_settings)):
        lines += [f"## {name}", "", "```text", text, "```", ""]
    return "\n".join(lines)


def endpoints_page() -> str:
    """Every operation of the HTTP API."""
    lines = [
        "# Endpoints",
        "",
        "Bodies and answers are described, for programs, at `/openapi.json` of a running router. Every error is a",
        "problem document (RFC 9457); its types are in [errors](errors.md). Beside these, the",
        "[gateway](../howto/routes.md#the-gateway) passes calls on.",
        "",
        "`scope` is what a caller must be [allowed to](../howto/access.md); `any` is whoever is known, and",
        "what is open is for everybody. What has a `*` is not for callers of one tenant: it belongs to none.",
    ]
    for tag in dict.fromkeys(one.tag for one in ENDPOINTS):
        lines += ["", f"## {tag}", "", "| | | scope | query | answers |", "|---|---|---|---|---|"]
        lines += [_endpoint_row(one) for one in ENDPOINTS if one.tag == tag]
    return "\n".join([*lines, ""])


def transitions_page() -> str:
    """Every kind of transition that the audit log tells of and observers see."""
    lines = [
        "# Transitions",
        "",
        "Each is an entry of the audit log, committed with the change that it tells of, and to observers a CloudEvent",
        "of type `dev.workflow-router.KIND`. Its `cause` is what led to it, its `correlation` the root of all.",
    ]
    for thing, kinds in KINDS.items():
        lines += ["", f"## {thing}", "", "| kind | says |", "|---|---|"]
        lines += [f"| `{kind}` | {meaning} |" for kind, meaning in kinds.items()]
    return "\n".join([*lines, "", OPERATIONS, ""])


PAGES = {
    "cli.md": cli_page,
    "endpoints.md": endpoints_page,
    "errors.md": errors_page,
    "run-status.md": run_status_page,
    "transitions.md": transitions_page,
    "router.schema.json": lambda: router_schema().decode(),
}


def pages() -> dict[str, str]:
    """Text of each page by file name."""
    return {name: (NOTE if name.endswith(".md") else "") + page() for name, page in PAGES.items()}


def _helps(context: click.Context) -> Iterator[tuple[str, str]]:
    """Name and help of a command and of those below it, each as wide as a page."""
    context.terminal_width = WIDTH
    group = context.command
    yield context.command_path, group.get_help(context).rstrip()
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            inner = group.get_command(context, name)
            if inner is not None:
                yield from _helps(click.Context(inner, parent=context, info_name=name))


def _endpoint_row(one: Endpoint) -> str:
    summary = " ".join(one.documentation.partition("\n\n")[0].split())
    query = ", ".join(f"`{name}`" for name in one.query.__struct_fields__)
    good = f"{one.status} {HTTPStatus(one.status).phrase}"
    refused = ", ".join(str(status) for status in _statuses(one.errors))
    scope = "open" if one.scope is None else f"`{one.scope}`{'*' if one.tenants == 'refused' else ''}"
    return f"| `{one.method} {one.path}` | {summary} | {scope} | {query} | {good}{f'; {refused}' if refused else ''} |"


def _statuses(kinds: Iterable[type[errors.RouterError]]) -> list[int]:
    return sorted({kind.status for kind in kinds})


def _error_kinds() -> list[type[errors.RouterError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in kinds if issubclass(kind, errors.RouterError)]


def _first_line(kind: type[errors.RouterError]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
