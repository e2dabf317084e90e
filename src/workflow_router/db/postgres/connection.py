"""Owns a PostgreSQL database: one writing connection, a few reading ones, and what a lost connection means.

Refuses to guess: a connection that breaks during COMMIT raises CommitUnknown; at any other time nothing was written.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

import asyncpg

from workflow_router.core.errors import CommitUnknown, StoreUnavailable
from workflow_router.db.migrate import Applied, Migration
from workflow_router.db.postgres.session import FAILURES, Connection, Link, PostgresSession, load, translated

READERS_MAX = 4
CONNECT_TIMEOUT_S = 10
# A statement without an answer for so long will not get one: its connection is given up.
STATEMENT_TIMEOUT_S = 30.0
# A process that was stopped within a transaction holds locks on its shards. The server ends it well within a lease.
IDLE_TIMEOUT_MS = 5_000
# What is committed so outlives this process; a crash of the server may undo the last half second of it.
_BEGIN_UNSYNCED = "BEGIN; SET LOCAL synchronous_commit TO off"
# What is written is found by its key. A plan that was made while a table was small must not read all of it later.
BY_KEY = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

_connect = cast("Callable[..., Awaitable[Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]  it has no types


class PostgresDatabase:
    """A `Database` that any number of processes share.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's parameters.
        owner: id of this process, by which others see that it is there.
    """

    def __init__(self, url: str, owner: str = "") -> None:
        self._url = url
        self._name = f"workflow-router {owner}".rstrip()
        self._queries = load()
        self._closed = False
        self._writer: Link | None = None
        self._idle: list[Link] = []
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def applied(self) -> dict[int, Applied]:
        session = await self.begin()
        try:
            await session.run("create_migrations")
            rows = await session.fetch("applied_migrations")
        except BaseException:
            await self.rollback()
            raise
        await self.commit()
        return {number: Applied(checksum, name) for number, checksum, name in rows}

    async def apply(self, migration: Migration) -> bool:
        session = await self.begin()
        try:
            await session.run("create_migrations")
            if migration.number in {number for number, *_ in await session.fetch("applied_migrations")}:
                await self.rollback()
                return False
            await session.run_text(migration.sql)
            session.execute("note_migration", number=migration.number, name=migration.name, checksum=migration.checksum)
            await session.flush()
        except BaseException:
            await self.rollback()
            raise
        await self.commit()
        return True

    async def begin(self, *, assume: bool = False, synced: bool = True) -> PostgresSession:
        self._writer = await self._begin(self._writer, "BEGIN" if synced else _BEGIN_UNSYNCED)
        return PostgresSession(self._writer, assume=assume)

    async def commit(self) -> None:
        link = self._writer
        if link is None:
            raise RuntimeError("There is nothing to commit; await begin() first.")
        try:
            ended = await link.connection.execute("COMMIT")
        except FAILURES as error:
            meant = translated(error)
            if not isinstance(meant, StoreUnavailable):  # a constraint or a conflict: the server says it did not land
                raise meant from error
            link.connection.terminate()
            raise CommitUnknown(
                f"PostgreSQL was lost during a commit: {str(error) or type(error).__name__}.",
                remedy="Look whether the change is there before it is sent again.",
            ) from error
        if ended != "COMMIT":
            raise StoreUnavailable("PostgreSQL rolled the transaction back.", remedy="Send it again.")

    async def rollback(self) -> None:
        link = self._writer
        if link is None or link.connection.is_closed():
            return
        try:
            await link.connection.execute("ROLLBACK")
        except FAILURES:  # without its connection, the server rolls back by itself
            link.connection.terminate()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[PostgresSession]:
        async with self._readers:
            link = await self._begin(
                self._idle.pop() if self._idle else None, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            )
            try:
                yield PostgresSession(link)
            finally:
                try:
                    await link.connection.execute("ROLLBACK")
                    if self._closed:  # meanwhile; nobody would ever close this one
                        link.connection.terminate()
                    else:
                        self._idle.append(link)
                except FAILURES:
                    link.connection.terminate()
                except asyncio.CancelledError:
                    link.connection.terminate()
                    raise

    async def close(self) -> None:
        self._closed = True
        links = [*self._idle, *([self._writer] if self._writer else [])]
        self._writer, self._idle = None, []
        for link in links:
            try:
                await link.connection.close(timeout=5.0)
            except FAILURES:
                link.connection.terminate()

    async def _begin(self, link: Link | None, begin: str) -> Link:
        """Begin on this connection, or on a new one where there is none or it was lost since it was last used."""
        if link is not None and not link.connection.is_closed():
            try:
                await link.connection.execute(begin)
                return link
            except FAILURES:
                link.connection.terminate()
            except asyncio.CancelledError:  # nobody has it any more
                link.connection.terminate()
                raise
        link = await self._connect(writer=begin in {"BEGIN", _BEGIN_UNSYNCED})
        try:
            await link.connection.execute(begin)
        except FAILURES as error:
            link.connection.terminate()
            raise translated(error) from error
        except asyncio.CancelledError:
            link.connection.terminate()
            raise
        return link

    async def _connect(self, *, writer: bool) -> Link:
        try:
            connection = await _to_the_end(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                statement_cache_size=0,  # `Link` keeps what it prepares for as long as the connection lives
                server_settings={
                    "application_name": self._name,
                    "jit": "off",
                    "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
                    **(BY_KEY if writer else {}),
                },
            )
            try:
                # A server that is set up not to wait for its disk would break the promise that an answer means durable.
                await connection.execute(
                    "SELECT set_config('synchronous_commit', 'on', false)"
                    " WHERE current_setting('synchronous_commit') = 'off'"
                )
            except (*FAILURES, asyncio.CancelledError):  # nobody else has it yet
                connection.terminate()
                raise
        except (*FAILURES, ValueError) as error:
            raise StoreUnavailable(
                f"PostgreSQL cannot be reached: {str(error) or type(error).__name__}.",
                remedy="Check the store's URL and that the server runs.",
            ) from error
        return Link(connection, self._queries)


async def _to_the_end(url: str, **settings: object) -> Connection:
    """Connect; whoever is cancelled meanwhile leaves no connection behind."""
    connecting = asyncio.ensure_future(_connect(url, **settings))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with contextlib.suppress(*FAILURES, ValueError):
            (await connecting).terminate()
        raise
