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

_RELATIONS = """
SELECT DISTINCT c.relname, c.relkind = 'v' AND n.nspname = current_schema() FROM pg_rewrite AS r,
       regexp_matches(r.ev_action::text, ':relid ([0-9]+)', 'g') AS f
  JOIN pg_class AS c ON c.oid = f[1]::oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE r.ev_class = 'pg_temp.wr_question'::regclass AND c.oid <> 'pg_temp.wr_question'::regclass
"""
# Those that read other things than their arguments are stable or volatile; of these only some are known to be harmless.
_FUNCTIONS = """
SELECT p.proname FROM pg_rewrite AS r,
       regexp_matches(r.ev_action::text, ':(?:funcid|aggfnoid|winfnoid|opfuncid) ([0-9]+)', 'g') AS f
  JOIN pg_proc AS p ON p.oid = f[1]::oid
 WHERE r.ev_class = 'pg_temp.wr_question'::regclass AND p.provolatile <> 'i'
   AND p.proname NOT IN ('now', 'to_char', 'to_timestamp', 'date_trunc', 'date_part', 'extract', 'timezone', 'concat',
                         'concat_ws', 'format', 'json_agg', 'jsonb_agg', 'json_object_agg', 'jsonb_object_agg',
                         'to_json', 'to_jsonb', 'array_to_string', 'string_agg')
"""


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
        whole = question.strip().removesuffix(";")
        checking = connection.transaction()
        await checking.start()
        try:
            # Prepared, so that it is one statement.
            await (await connection.prepare(f"CREATE TEMP VIEW wr_question AS {whole}")).fetch()
            for name, ours in await connection.fetch(_RELATIONS):
                if name not in VIEWS or not ours:
                    raise InvalidInput(f"Access to {name} is prohibited.", remedy=REFUSED_REMEDY)
            for name, *_ in await connection.fetch(_FUNCTIONS):
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
