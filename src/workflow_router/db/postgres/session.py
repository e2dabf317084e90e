"""Owns named queries on one PostgreSQL connection: values by position, errors in the domain's words, few round trips.

What `execute` puts off is kept by table: equal queries become one whose values are arrays, and those of different
tables the parts of one statement, so that a commit takes few round trips and the server binds and executes once for all
of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import asyncpg

from workflow_router.core.errors import Conflict, InvalidInput, StoreUnavailable
from workflow_router.db import named_queries
from workflow_router.db.database import AssumedError, Row, UndoneError, Value
from workflow_router.db.named_queries import Group, load_queries

# How queries are told apart that may run over many rows.
_INSERT = re.compile(r"((?:INSERT INTO) \w+ \([^()]*\)\s)VALUES \(((?:[^()]|\([^()]*\))*)\)(.*)", re.DOTALL)
_CHANGE = re.compile(r"((?:UPDATE|DELETE FROM) \w+.*?)(\sWHERE\s.*)", re.DOTALL)

# How many statements of several parts a connection keeps; a dozen are common.
TOGETHER_MAX = 100


def _for_many(query: named_queries.Query) -> str | None:
    """The query over rows of values, which it calls `given`; None for one that has to run row by row.

    Rows that change the same row of a table must take turns, so an update takes part only if it tells what it changed:
    fewer rows than were given are noticed.
    """
    if not query.names or query.alone or "DO UPDATE" in query.text:
        return None
    bound = query.named({name: f"given.v{number}" for number, name in enumerate(query.names, 1)})
    inserted = _INSERT.fullmatch(bound)
    if inserted:
        return "".join((inserted[1], "SELECT ", inserted[2], " FROM {given}", inserted[3]))
    changed = _CHANGE.fullmatch(bound)
    if changed is None or " FROM " in changed[1].replace("DELETE FROM", ""):
        return None
    if query.text.startswith("DELETE"):
        return f"{changed[1]} USING {{given}}{changed[2]}"
    return f"{changed[1]} FROM {{given}}{changed[2]}" if "RETURNING" in query.text else None


class Query(named_queries.Query):
    """A named query with its values in order: `:name` became `$1`, `$2` …

    Attributes:
        many: the query for many rows at once, to be completed by `over`; None where there is none.
    """

    __slots__ = ("columnar", "many", "sql")

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.sql = self.one()
        # Takes all rows at once, as one list for each column, which costs the server a fraction of row after row.
        self.columnar = "unnest(" in text
        self.many = _for_many(self)

    def one(self, first: int = 1) -> str:
        """The query for one row, whose values have numbers from `first` on."""
        return self.named({name: f"${number}" for number, name in enumerate(self.names, first)})

    def over(self, types: Sequence[str], first: int = 1) -> str:
        """The same for many rows, given the types of its values: each value is an array."""
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, first))
        columns = ", ".join(f"v{number}" for number in range(1, len(types) + 1))
        return (self.many or "").format(given=f"unnest({arrays}) AS given ({columns})")


def load() -> dict[str, Query]:
    """The queries by name."""
    return {name: Query(text) for name, text in load_queries("postgres").items()}


class _Type(Protocol):
    """What is used of `asyncpg.Type`."""

    @property
    def name(self) -> str: ...


class Statement(Protocol):
    """What is used of `asyncpg.prepared_stmt.PreparedStatement`, which has no types of its own."""

    async def fetch(self, *values: Value | Sequence[Value]) -> list[Row]: ...
    async def fetchmany(self, args: Iterable[Sequence[Value]]) -> list[Row]: ...
    async def executemany(self, args: Iterable[Sequence[Value]]) -> None: ...
    def get_parameters(self) -> Sequence["_Type"]: ...


class Connection(Protocol):
    """What is used of `asyncpg.Connection`, which has no types of its own."""

    async def execute(self, query: str) -> str: ...
    async def prepare(self, query: str) -> Statement: ...
    def is_closed(self) -> bool: ...
    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109  asyncpg named it
    def terminate(self) -> None: ...


# What asyncpg raises: the server's errors, its own, and those of the socket and of time.
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


def translated(error: BaseException) -> Exception:
    """The error a caller of the store meets for one of PostgreSQL's, by the class of its SQLSTATE."""
    kind = str(getattr(error, "sqlstate", None) or "")[:2]
    if kind == "23":
        return Conflict(f"The store refused a change: {error}.")
    if kind in {"22", "54"} or isinstance(error, ValueError):  # asyncpg's own errors of encoding are ValueErrors
        return InvalidInput(
            f"The store cannot keep a value: {error}.", remedy="Make it shorter, without NUL characters."
        )
    if kind == "40":
        return UndoneError(str(error))
    return StoreUnavailable(
        f"PostgreSQL failed: {str(error) or type(error).__name__}.", remedy="See its log; then send it again."
    )


class Link:
    """A connection and what was prepared on it."""

    def __init__(self, connection: Connection, queries: Mapping[str, Query]) -> None:
        self.connection = connection
        self.queries = queries
        self._statements: dict[str, Statement] = {}
        self._many: dict[str, Statement] = {}
        self._together: dict[tuple[tuple[str, bool], ...], Statement] = {}

    async def many(self, query: str) -> Statement | None:
        """The query for many rows, prepared at its first use; None where it has to run row by row."""
        found = self._many.get(query)
        if found is None and self.queries[query].many is not None:
            sql = self.queries[query].over(await self._types(query))
            found = self._many[query] = await self.connection.prepare(sql)
        return found

    async def together(self, parts: tuple[tuple[str, bool], ...]) -> Statement:
        """One statement of several queries, each for one row or for many; it tells how many rows each returned."""
        found = self._together.get(parts)
        if found is None:
            first, queries = 1, list[str]()
            for name, many in parts:
                query = self.queries[name]
                queries.append(query.over(await self._types(name), first) if many else query.one(first))
                first += len(query.names)
            named = ", ".join(f"p{number} AS ({sql})" for number, sql in enumerate(queries))
            counts = ", ".join(
                f"(SELECT count(*) FROM p{number})" if "RETURNING" in sql else "0"  # noqa: S608  named queries alone
                for number, sql in enumerate(queries)
            )
            found = await self.connection.prepare(f"WITH {named} SELECT {counts}")
            if len(self._together) >= TOGETHER_MAX:
                self._together.pop(next(iter(self._together)))
            self._together[parts] = found
        return found

    async def _types(self, query: str) -> list[str]:
        """Of the values of a query, as the server tells."""
        return [kind.name for kind in (await self.statement(query)).get_parameters()]

    async def statement(self, query: str) -> Statement:
        """The query, prepared at its first use."""
        found = self._statements.get(query)
        if found is None:
            found = self._statements[query] = await self.connection.prepare(self.queries[query].sql)
        return found


class PostgresSession:
    """A `Session` within a transaction that somebody else begins and ends."""

    __slots__ = ("_assume", "_link", "_put_off")

    def __init__(self, link: Link, *, assume: bool = False) -> None:
        self._link = link
        self._assume = assume
        self._put_off: dict[str, list[Group]] = {}

    async def fetch(self, query: str, /, **values: Value) -> Sequence[Row]:
        try:
            if self._put_off:
                await self._send()
            statement = await self._link.statement(query)
            return await statement.fetch(*self._link.queries[query].bind(values))
        except FAILURES as error:
            raise translated(error) from error

    async def change(self, query: str, /, **values: Value) -> bool:
        if not self._assume:
            return bool(await self.fetch(query, **values))
        self._put(query, [self._link.queries[query].bind(values)], assumed=True)
        return True

    def execute(self, query: str, /, **values: Value) -> None:
        self._put(query, [self._link.queries[query].bind(values)])

    def execute_many(self, query: str, /, rows: Sequence[tuple[Value, ...]]) -> None:
        self._put(query, rows)

    async def flush(self) -> None:
        try:
            await self._send()
        except FAILURES as error:
            raise translated(error) from error

    async def savepoint(self) -> None:
        await self.flush()
        await self.run("savepoint")

    async def end_savepoint(self, *, undo: bool) -> None:
        if undo:
            self._put_off.clear()
            await self.run("rollback_to_savepoint")
        else:
            await self.flush()
        await self.run("release_savepoint")

    async def run(self, query: str) -> None:
        """Run a query without values, which may be several statements."""
        await self.run_text(self._link.queries[query].sql)

    async def run_text(self, sql: str) -> None:
        """The same for a migration."""
        try:
            await self._link.connection.execute(sql)
        except FAILURES as error:
            raise translated(error) from error

    def _put(self, query: str, rows: Sequence[tuple[Value, ...]], *, assumed: bool = False) -> None:
        groups = self._put_off.setdefault(self._link.queries[query].table, [])
        if groups and groups[-1].query == query:
            groups[-1].rows.extend(rows)
        else:
            groups.append(Group(query, list(rows), assumed))

    async def _send(self) -> None:
        put_off, self._put_off = self._put_off, {}
        together: dict[str, Group] = {}  # by table: no part of a statement sees what another has written
        for table, groups in put_off.items():
            for group in groups:
                query = self._link.queries[group.query]
                alone = query.alone or (len(group.rows) > 1 and query.many is None)
                if alone or table in together:
                    await self._send_together(list(together.values()))
                    together = {}
                if alone:
                    await self._send_group(*group)
                else:
                    together[table] = group
        await self._send_together(list(together.values()))

    async def _send_together(self, groups: list[Group]) -> None:
        if len(groups) < 2:
            for group in groups:
                await self._send_group(*group)
            return
        parts = tuple([(query, len(rows) > 1) for query, rows, _ in groups])
        values = [value for _, rows, _ in groups for value in (zip(*rows, strict=True) if len(rows) > 1 else rows[0])]
        (landed,) = await (await self._link.together(parts)).fetch(*values)
        for (query, rows, assumed), count in zip(groups, landed, strict=True):
            if assumed and count < len(rows):
                raise AssumedError(query)

    async def _send_group(self, query: str, rows: list[tuple[Value, ...]], assumed: bool) -> None:
        if self._link.queries[query].columnar:
            await (await self._link.statement(query)).fetch(*map(list, zip(*rows, strict=True)))
            return
        many = await self._link.many(query) if len(rows) > 1 else None
        if many is not None:
            landed = len(await many.fetch(*zip(*rows, strict=True)))
        else:
            statement = await self._link.statement(query)
            if not assumed:
                await statement.executemany(rows)
                return
            landed = len(await statement.fetchmany(rows))
        if assumed and landed < len(rows):
            raise AssumedError(query)
