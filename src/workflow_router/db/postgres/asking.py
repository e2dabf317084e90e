"""Owns questions in SQL to the views of a PostgreSQL store. Refuses all else, in a transaction that can only read.

PostgreSQL itself says what a question is about: as a view, which is never run and is undone at once, its rule
names each relation and each function.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, cast

import asyncpg

from workflow_router.core.errors import InvalidInput, StoreUnavailable
from workflow_router.db.asked import REFUSED_REMEDY, VIEWS, Answer
from workflow_router.db.named_queries import load_queries


class _Attribute(NamedTuple):
    name: str


class _Record(Protocol):
    def values(self) -> Sequence[object]: ...


class _Transaction(AbstractAsyncContextManager[None], Protocol):
    async def start(self) -> None: ...
    async def rollback(self) -> None: ...


class _Cursor(Protocol):
    async def fetch(self, count: int, /) -> Sequence[_Record]: ...


class _Statement(Protocol):
    async def fetch(self) -> object: ...
    def get_attributes(self) -> Sequence[_Attribute]: ...
    def cursor(self) -> Awaitable[_Cursor]: ...


class _Connection(Protocol):
    """What is used of `asyncpg.Connection`, which has no types."""

    async def execute(self, statement: str, /) -> object: ...
    async def prepare(self, statement: str, /) -> _Statement: ...
    async def fetch(self, statement: str, /) -> Sequence[tuple[str, bool]]: ...
    def transaction(self, *, readonly: bool = False) -> _Transaction: ...
    async def close(self) -> None: ...


_dial = cast("Callable[[str], Awaitable[_Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]  no types


async def ask_postgres(url: str, question: str, *, limit: int, timeout_s: float) -> Answer:
    """The first rows of the answer. Raises InvalidInput, StoreUnavailable."""
    try:
        connection = await _dial(url)
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreUnavailable("The store cannot be reached.", remedy="Check its URL.") from error
    try:
        await connection.execute(f"SET statement_timeout = {round(timeout_s * 1_000)}")
        queries = load_queries("postgres")
        whole = question.strip().removesuffix(";")
        checking = connection.transaction()
        await checking.start()
        try:
            # Prepared, so that it is one statement.
            await (await connection.prepare(f"CREATE TEMP VIEW wr_question AS {whole}")).fetch()
            for name, ours in await connection.fetch(queries["asked_relations"]):
                if name not in VIEWS or not ours:
                    raise InvalidInput(f"Access to {name} is prohibited.", remedy=REFUSED_REMEDY)
            for name, *_ in await connection.fetch(queries["asked_functions"]):
                raise InvalidInput(f"The function {name} is prohibited.", remedy=REFUSED_REMEDY)
        finally:
            await checking.rollback()
        async with connection.transaction(readonly=True):
            statement = await connection.prepare(whole)
            names = [attribute.name for attribute in statement.get_attributes()]
            cursor = await statement.cursor()
            rows = [tuple(row.values()) for row in await cursor.fetch(limit + 1)]
            return Answer(names, rows[:limit], cut=len(rows) > limit)
    except asyncpg.QueryCanceledError as error:
        raise InvalidInput(
            f"It took longer than {timeout_s:g} s.", remedy="Ask for less, or give --timeout."
        ) from error
    except asyncpg.PostgresError as error:
        raise InvalidInput(f"The store refused it: {error}.", remedy=REFUSED_REMEDY) from error
    finally:
        await connection.close()
