"""Owns the pages of docs/reference: each is made from the code it describes. `make docs` runs it."""

from pathlib import Path

from workflow_router.core import errors
from workflow_router.core.states import RUN_ENDED, RUN_TRANSITIONS

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `make docs`; change the code instead. -->\n\n"


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


PAGES = {"errors.md": errors_page, "run-status.md": run_status_page}


def pages() -> dict[str, str]:
    """Text of each page by file name."""
    return {name: NOTE + page() for name, page in PAGES.items()}


def _error_kinds() -> list[type[errors.RouterError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in kinds if issubclass(kind, errors.RouterError)]


def _first_line(kind: type[errors.RouterError]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
