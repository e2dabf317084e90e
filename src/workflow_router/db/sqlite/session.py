"""Owns named queries on one SQLite connection, and the domain's words for its errors. Refuses to begin or end anything.

What `execute` puts off is sent row after row through one prepared statement, which costs half of a statement each time;
what only inserts rows, many rows a statement, since APSW looks each statement up anew among those it has prepared.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import Protocol

import apsw

from workflow_router.core.errors import Conflict, StoreUnavailable
from workflow_router.db.database import Row, Value
from workflow_router.db.named_queries import Group, Query, load_queries

ROWS = 16  # that one statement inserts; with more of them a row costs as much


class SqliteQuery(Query):
    """A named query; `many` is the one that inserts `ROWS` rows, where there is one."""

    __slots__ = ("many",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.many = self.wide(ROWS)


class _Cursor(Protocol):
    def fetchall(self) -> list[Row]: ...


class Connection(Protocol):
    """What is used of `apsw.Connection`, whose stubs leave the type of blobs unknown."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, statements: str, bindings: Sequence[Value] = ()) -> _Cursor: ...
    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Value]]) -> _Cursor: ...
    def changes(self) -> int: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def serialize(self, name: str) -> bytes: ...
    def deserialize(self, name: str, contents: bytes) -> None: ...
    def close(self) -> None: ...


def translated(error: apsw.Error) -> Exception:
    """The error a caller of the store meets for one of SQLite's; a mistake in a query stays what it is."""
    if isinstance(error, apsw.ConstraintError):
        return Conflict(f"The store refused a change: {error}.")
    if isinstance(error, (apsw.SQLError, apsw.MismatchError, apsw.TooBigError)):
        return error
    remedy = "Free some disk space or check the disk, then try again."
    return StoreUnavailable(f"The store failed: {error}.", remedy=remedy)


@cache  # they cannot change while the code runs, and a test opens many stores
def load() -> Mapping[str, SqliteQuery]:
    """The queries by name; values have numbers, since the text of a statement is what APSW finds it by, each time."""
    queries = {name: SqliteQuery(text) for name, text in load_queries("sqlite").items()}
    for query in queries.values():
        query.text = query.named({name: f"?{number}" for number, name in enumerate(query.names, 1)})
    return MappingProxyType(queries)


class SqliteSession:
    """A `Session` within a transaction that somebody else begins and ends."""

    __slots__ = ("_connection", "_put_off", "_queries")

    def __init__(self, connection: Connection, queries: Mapping[str, SqliteQuery]) -> None:
        self._connection = connection
        self._queries = queries
        self._put_off: dict[str, list[Group]] = {}

    async def fetch(self, query: str, /, **values: Value) -> Sequence[Row]:
        named = self._queries[query]
        try:
            if self._put_off:
                self._send()
            return self._connection.execute(named.text, named.bind(values)).fetchall()
        except apsw.Error as error:
            raise translated(error) from error

    async def change(self, query: str, /, **values: Value) -> bool:
        named = self._queries[query]
        try:
            if named.alone or named.table in self._put_off:
                self._send()
            self._connection.execute(named.text, named.bind(values))
        except apsw.Error as error:
            raise translated(error) from error
        return self._connection.changes() > 0  # which costs less than a row that would say so

    def execute(self, query: str, /, **values: Value) -> None:
        self._put(query, [self._queries[query].bind(values)])

    def execute_many(self, query: str, /, rows: Sequence[tuple[Value, ...]]) -> None:
        self._put(query, rows)

    def _put(self, query: str, rows: Sequence[tuple[Value, ...]]) -> None:
        named = self._queries[query]
        if named.alone:
            try:
                self._send()
                self._connection.executemany(named.text, rows).fetchall()
            except apsw.Error as error:
                raise translated(error) from error
            return
        groups = self._put_off.setdefault(named.table, [])
        if groups and groups[-1].query == query:
            groups[-1].rows.extend(rows)
        else:
            groups.append(Group(query, list(rows)))

    async def flush(self) -> None:
        try:
            self._send()
        except apsw.Error as error:
            raise translated(error) from error

    async def savepoint(self) -> None:
        self.execute("savepoint")

    async def end_savepoint(self, *, undo: bool) -> None:
        if undo:
            self._put_off.clear()
            self.execute("rollback_to_savepoint")
        self.execute("release_savepoint")

    def _send(self) -> None:
        put_off, self._put_off = self._put_off, {}
        for groups in put_off.values():
            for group in groups:
                query, rows, end = self._queries[group.query], group.rows, 0
                if query.many is not None:
                    end = len(rows) - len(rows) % ROWS
                    for at in range(0, end, ROWS):
                        self._connection.execute(query.many, tuple(chain.from_iterable(rows[at : at + ROWS])))
                # Fetched, for a query that returns rows stops at the first until somebody asks for the next.
                self._connection.executemany(query.text, rows[end:] if end else rows).fetchall()
