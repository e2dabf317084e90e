"""Owns loading of `.sql` files: `-- name: insert_event` starts a query, the comment below it says what it is for.

`db/queries` has what both databases are asked alike, `db/sqlite/queries` and `db/postgres/queries` what they are not.

What a session puts off, it keeps by table: a query put off touches one table and reads no other, so those of different
tables may change places; on each table they keep their order.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple, cast

from workflow_router.db.database import Value

_MARK = "-- name:"
_VALUE = re.compile(r"(?<!:):([a-z]\w*)")
_TABLE = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_ROW = re.compile(r"(INSERT INTO \w+ \([^()]*\)\s+VALUES )(\([^()]*\))")


class Query:
    """A named query.

    Attributes:
        names: of its values, in the order in which it first names them.
        table: that it changes; empty where it changes none.
        alone: it reads, so that it cannot be put off.
    """

    __slots__ = ("_values", "alone", "names", "table", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = tuple(dict.fromkeys(_VALUE.findall(text)))
        self._values = itemgetter(*self.names) if len(self.names) > 1 else None
        written = _TABLE.match(text)
        self.table = written[1] if written else ""
        self.alone = not written or re.search(r"\b(SELECT|USING|JOIN)\b", text) is not None

    def bind(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        """The values in the order of their names. Raises KeyError where one is missing."""
        if self._values is not None:
            return cast("tuple[Value, ...]", self._values(values))
        return tuple([values[name] for name in self.names])

    def wide(self, rows: int) -> str | None:
        """For SQLite, the query that inserts so many rows, their values one after the other; None for another one.

        `OR FAIL`, since a statement that could undo by itself what it has inserted would keep a journal of that; here
        what has failed is undone with its transaction or savepoint.
        """
        found = _ROW.fullmatch(self.text)
        if found is None or len(_VALUE.findall(self.text)) > len(self.names):
            return None
        start, row = found.groups()
        return start.replace("INSERT", "INSERT OR FAIL", 1) + ", ".join([_VALUE.sub("?", row)] * rows)

    def named(self, columns: Mapping[str, str]) -> str:
        """The query with something else in the place of each value."""
        return _VALUE.sub(lambda found: columns[found[1]], self.text)


class Group(NamedTuple):
    """One query with the values of each time it is to run; `assumed` to change a row each time."""

    query: str
    rows: list[tuple[Value, ...]]
    assumed: bool = False


@cache  # they cannot change while the code runs, and a test opens many stores
def load_queries(dialect: str) -> Mapping[str, str]:
    """The queries for a database by name. Raises ValueError where a name stands twice."""
    found: dict[str, str] = {}
    here = files("workflow_router.db")
    for source in [*(here / "queries").iterdir(), *(here / dialect / "queries").iterdir()]:
        if not source.name.endswith(".sql"):
            continue
        for part in source.read_text(encoding="utf-8").split(_MARK)[1:]:
            name, _, body = part.partition("\n")
            name = name.strip()
            if name in found:
                raise ValueError(f"The query {name} stands twice in db/queries and db/{dialect}/queries.")
            lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("--")]
            found[name] = "\n".join(lines).rstrip().removesuffix(";")
    return MappingProxyType(found)
