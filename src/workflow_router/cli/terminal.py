"""Owns what commands print: tables and sentences for people, JSON for programs. Refuses to fetch anything."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import click

from workflow_router.utils.codec import to_json

UNBOUNDED = 100_000
# Columns whose values are copied from the screen: half an id is none.
WHOLE = frozenset({"id", "run", "event", "position", "status", "token"})
# Columns that a narrow terminal can do without, those first that are missed least.
SPARE = ("updated_ms", "version", "run", "actor", "source", "due_ms")
GAP = 2  # between columns
TOWER = 4  # lines that a folded value may take
LEAST = 10  # columns that a folded value needs at least to be read

# Control characters, and those that turn the direction of what follows: in a terminal they are commands, and what came
# from outside gives none (Unicode UAX 9; ECMA-48).
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Printer:
    """Prints a command's result, as JSON or for people."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def data(self, value: object) -> None:
        """One JSON value, on one line."""
        click.echo(to_json(value).decode())

    def say(self, sentence: str, value: object) -> None:
        """A sentence, or the value it tells of."""
        self.data(value) if self.as_json else click.echo(inert(sentence))

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
        from rich.text import Text  # noqa: PLC0415  as above

        console = Console()
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = UNBOUNDED  # what reads a pipe wants one row a line
        shown = _fitting(found, columns, console.width)
        if shown is None:
            self._cards(found, columns)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, wide in shown.items():
            table.add_column(_title(name), overflow="fold", width=wide)
        for row in found:
            table.add_row(*(Text(as_text(name, row.get(name))) for name in shown))
        console.print(table)
        if len(shown) < len(columns):
            left = ", ".join(_title(name) for name in columns if name not in shown)
            click.echo(f"(too narrow for: {left}; --json has everything)", err=True)

    def _cards(self, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Rows as blocks of a line for each field, for what is too wide for this terminal."""
        wide = max(len(_title(name)) for name in columns)
        for number, row in enumerate(rows):
            if number:
                click.echo()
            for name in columns:
                text = as_text(name, row.get(name))
                if text:
                    click.echo(f"{click.style(_title(name).ljust(wide), bold=True)}  {text}")


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


def inert(text: str) -> str:
    """A text that does nothing to the terminal it is printed on; `\\n` and `\\t` stay."""
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


# By status, or the last word of a kind of transition.
COLOURS = {
    **dict.fromkeys(("completed", "acknowledged", "succeeded", "approved", "ok", "resumed", "released"), "green"),
    **dict.fromkeys(("faulted", "failed", "dead", "rejected", "expired", "refused", "cancelled", "denied"), "red"),
    **dict.fromkeys(("started", "running", "waiting", "pending", "asked", "intended", "returned"), "yellow"),
    **dict.fromkeys(("suspended", "held", "stuck", "open"), "magenta"),
}


def colour(status: str, text: str | None = None) -> str:
    """A text in its status's colour, where standard output is a terminal that shows colours."""
    shown = inert(status if text is None else text)
    plain = "NO_COLOR" in os.environ or status not in COLOURS or not sys.stdout.isatty()
    return shown if plain else click.style(shown, fg=COLOURS[status])


def as_text(name: str, value: object) -> str:
    """A field's value for people. Names that end in `_ms` are moments, milliseconds since the epoch."""
    if value is None:
        return ""
    if name.endswith("_ms") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return inert(", ".join(str(item) for item in cast("list[object]", value)))
    return inert(value if isinstance(value, str) else to_json(value).decode())


def _title(name: str) -> str:
    return name.removesuffix("_ms").replace("_", " ")


def _is_whole(name: str) -> bool:
    return name in WHOLE or name.endswith(("_id", "_ms"))


def _width(rows: Sequence[Mapping[str, object]], name: str) -> int:
    return max(len(_title(name)), *(len(as_text(name, row.get(name))) for row in rows))


def _fitting(rows: Sequence[Mapping[str, object]], columns: Sequence[str], width: int) -> dict[str, int] | None:
    """How wide each column is, of those that there is room for; None where it would make towers of what is folded."""
    natural = {name: _width(rows, name) for name in columns}
    least = {name: wide if _is_whole(name) else min(wide, LEAST) for name, wide in natural.items()}
    shown = list(columns)
    for spare in ("", *SPARE):
        shown = [name for name in shown if name != spare]
        if sum(least[name] + GAP for name in shown) - GAP <= width:
            break
    else:
        return None
    given = {name: natural[name] for name in shown}
    while sum(given.values()) + GAP * (len(given) - 1) > width:
        widest = max((name for name in given if given[name] > least[name]), key=given.__getitem__)
        given[widest] -= 1
    return given if all(natural[name] <= TOWER * wide for name, wide in given.items()) else None


def rows_of(answer: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The list of objects in an answer."""
    return cast("list[dict[str, object]]", answer.get(name) or [])
