"""PostgreSQL that goes away: before, during and after COMMIT, for a moment or for longer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import HandClock, accepted
from tests.fixtures.postgres import running_postgres
from workflow_router.core.errors import CommitUnknown, StoreUnavailable
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore

SOCKET = ".s.PGSQL.5432"
Moment = Literal["request", "answer"]


class Cable:
    """Carries bytes between a client and PostgreSQL, and can be cut at a given statement.

    Attributes:
        cut: the bytes at which it is cut next, and whether the request is lost or only its answer.
    """

    def __init__(self, folder: Path, url: str) -> None:
        parts = urlsplit(url)
        self._server = Path(parse_qs(parts.query)["host"][0]) / SOCKET
        self._own = folder / SOCKET
        self.url = f"postgresql://postgres@{parts.path}?host={folder}"
        self.cut: tuple[bytes, Moment] | None = None
        self.cuts = 0

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncGenerator[None]:
        async with await asyncio.start_unix_server(self._connected, self._own):
            yield

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(_carry(server_reader, writer))
        try:
            while data := await reader.read(65_536):
                if self.cut is not None and self.cut[0] in data:
                    (_, moment), self.cut = self.cut, None
                    self.cuts += 1
                    if moment == "answer":
                        answers.cancel()
                        await asyncio.wait([answers])
                        server_writer.write(data)
                        await server_reader.read(1)  # it has been done
                    return
                server_writer.write(data)
        finally:
            answers.cancel()
            writer.close()
            server_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def _take(store: SqlStore, number: int) -> None:
    await store.commit(lambda tx: tx.events.take_in(accepted(number)))


async def _taken(store: SqlStore) -> list[int]:
    return [int(event.id[-4:]) for event in await store.read(lambda tx: tx.events.latest(tenant="default", limit=99))]


@pytest.mark.parametrize(
    ("statement", "moment", "error", "taken"),
    [
        (b"COMMIT", "request", CommitUnknown, [3, 1]),
        (b"COMMIT", "answer", CommitUnknown, [3, 2, 1]),
        (b"event-0002", "request", StoreUnavailable, [3, 1]),
        (b"event-0002", "answer", StoreUnavailable, [3, 1]),
        (b"BEGIN", "request", None, [3, 2, 1]),
    ],
)
def test_a_lost_connection_says_what_is_known(
    postgres_backend: Backend,
    tmp_path: Path,
    statement: bytes,
    moment: Moment,
    error: type[Exception] | None,
    taken: list[int],
) -> None:
    cable = Cable(tmp_path, postgres_backend.url)

    async def main() -> None:
        async with cable.laid():
            store = await open_store(cable.url, clock=HandClock(), owner="first")
            await _take(store, 1)
            cable.cut = statement, moment
            with pytest.raises(error) if error else contextlib.nullcontext():
                await _take(store, 2)
            assert cable.cuts == 1
            await _take(store, 3)
            assert await _taken(store) == taken
            assert (await store.verify_audit()).entries == len(taken)
            await store.close()

    asyncio.run(main())


def test_a_reader_that_lost_its_connection_gets_another(postgres_backend: Backend, tmp_path: Path) -> None:
    cable = Cable(tmp_path, postgres_backend.url)

    async def main() -> None:
        async with cable.laid():
            store = await open_store(cable.url, clock=HandClock(), owner="first")
            await _take(store, 1)
            assert await _taken(store) == [1]
            cable.cut = b"READ ONLY", "request"
            assert await _taken(store) == [1]
            assert cable.cuts == 1
            await store.close()

    asyncio.run(main())


def test_many_readers_share_few_connections(postgres_backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await _take(store, 1)
        assert await asyncio.gather(*(_taken(store) for _ in range(50))) == [[1]] * 50
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        postgres_backend.tamper(f"DO $$ BEGIN ASSERT ({count}) <= 6; END $$")

    postgres_backend.run(scenario)


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await open_store(f"postgresql://me:secret@/db?host={tmp_path}", clock=HandClock(), owner="first")

    asyncio.run(main())


async def killed(kills: int, *, early: bool = False) -> set[str]:
    """Writers keep on while the server is killed again and again; what does not hold of what they were answered.

    Args:
        early: the planted bug: what is not committed yet is taken for acknowledged.
    """
    with running_postgres() as server:
        store = await open_store(server.dsn(), clock=HandClock(), owner="first")
        acknowledged: set[int] = set()
        refused: set[int] = set()
        numbers = iter(range(1_000_000))
        running = True

        async def write() -> None:
            while running:
                number = next(numbers)
                if early:
                    acknowledged.add(number)
                try:
                    await _take(store, number)
                    acknowledged.add(number)
                except CommitUnknown:
                    pass
                except StoreUnavailable:
                    refused.add(number)
                    await asyncio.sleep(0.01)  # the server is gone for a while

        writers = [asyncio.create_task(write()) for _ in range(8)]
        for _ in range(kills):
            goal = len(acknowledged) + 50
            while len(acknowledged) < goal:
                await _take(store, next(numbers))  # until there is something to lose
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        running = False
        await asyncio.gather(*writers)
        await store.tend()
        there = {int(line) for line in server.sql("SELECT substr(id, 7)::int FROM events").splitlines()}
        entries = (await store.verify_audit()).entries
        await store.close()
    holds = {
        "what was acknowledged is there": acknowledged <= there,
        "what was refused is not": not refused & there,
        "something was refused": bool(refused),
        "the audit log has each once": entries == len(there),
    }
    return {what for what, held in holds.items() if not held}


def test_what_was_acknowledged_survives_kills_of_the_server(rounds: Callable[[int, int], int]) -> None:
    assert not asyncio.run(killed(rounds(3, 100)))


def test_an_acknowledgement_before_its_commit_is_caught() -> None:
    assert asyncio.run(killed(2, early=True)) == {"what was acknowledged is there"}
