"""A PostgreSQL session sends what it put off in few statements, and each of them as it was meant."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.conftest import Backend
from workflow_router.db.database import AssumedError, Row, Value
from workflow_router.db.postgres.connection import PostgresDatabase
from workflow_router.db.postgres.session import PostgresSession

Scenario = Callable[[PostgresSession], Awaitable[None]]


def in_transaction(backend: Backend, scenario: Scenario) -> None:
    """Run it in a transaction that assumes what it may, and is undone."""

    async def main() -> None:
        database = PostgresDatabase(backend.url)
        try:
            await scenario(await database.begin(assume=True))
            await database.rollback()
        finally:
            await database.close()

    asyncio.run(main())


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Queries that a session sends as statements of their own."""
    sent: list[str] = []
    send = PostgresSession._send_group  # pyright: ignore[reportPrivateUsage]  it is what a test can count

    async def noted(self: PostgresSession, query: str, rows: list[tuple[Value, ...]], assumed: bool) -> None:
        sent.append(query)
        await send(self, query, rows, assumed)

    monkeypatch.setattr(PostgresSession, "_send_group", noted)
    return sent


async def insert_run(session: PostgresSession, run_id: str) -> None:
    assert await session.change(
        "insert_run",
        id=run_id,
        tenant="default",
        workflow="job",
        version="1",
        shard=1,
        input="1",
        cause=None,
        correlation=None,
        parent=None,
        now_ms=1,
    )


async def insert_tile(session: PostgresSession, number: int) -> None:
    session.execute("insert_audit_tile", level=0, number=number, hashes=b"h", root=b"r%d" % number)


async def rows(session: PostgresSession) -> list[Row]:
    found = await session.fetch("audit_tile_roots", level=0, start=0, end=9)
    found = [*found, *await session.fetch("audit_head")]
    return [tuple(row) for row in found]


def test_what_belongs_to_several_tables_is_one_statement(postgres_backend: Backend, one_by_one: list[str]) -> None:
    async def scenario(session: PostgresSession) -> None:
        for number in range(3):
            await insert_run(session, f"run-{number}")
            await insert_tile(session, number)
        session.execute("move_audit_head", position=7, frontier=b"f")
        await session.flush()
        assert one_by_one == []
        assert await rows(session) == [(b"r0",), (b"r1",), (b"r2",), (7, b"f")]
        ids = [row[0] for row in await session.fetch("unfinished_runs", shards="[1]", after="", limit=9)]
        assert ids == ["run-0", "run-1", "run-2"]

    in_transaction(postgres_backend, scenario)


def test_what_was_assumed_is_noticed_among_others(postgres_backend: Backend) -> None:
    async def scenario(session: PostgresSession) -> None:
        await insert_run(session, "there")
        await session.flush()
        for number in range(2):
            await insert_tile(session, number)
        await insert_run(session, "new")
        await insert_run(session, "there")
        with pytest.raises(AssumedError, match="insert_run"):
            await session.flush()

    in_transaction(postgres_backend, scenario)


def test_changes_of_one_table_keep_their_order(postgres_backend: Backend) -> None:
    async def scenario(session: PostgresSession) -> None:
        await insert_run(session, "run")
        await insert_tile(session, 1)
        session.execute("move_audit_head", position=7, frontier=b"f")
        changed = {"output": "2", "error": None, "now_ms": 2, "id": "run"}
        assert await session.change("change_run_status", status="completed", **changed)
        await insert_tile(session, 2)
        assert await rows(session) == [(b"r1",), (b"r2",), (7, b"f")]
        assert await session.fetch("unfinished_runs", shards="[1]", after="", limit=9) == []

    in_transaction(postgres_backend, scenario)
