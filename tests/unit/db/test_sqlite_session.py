"""What a session on SQLite puts off is all done, and in order, before anything is read or committed."""

import asyncio
from typing import cast

import apsw
import pytest

from workflow_router.core.errors import Conflict
from workflow_router.db.sqlite.session import ROWS, Connection, SqliteQuery, SqliteSession

QUERIES = {
    name: SqliteQuery(text)
    for name, text in {
        "put": "INSERT INTO things (name, size) VALUES (:name, :size)",
        "put_and_tell": "INSERT INTO things (name, size) VALUES (:name, :size) RETURNING name",
        "grow": "UPDATE things SET size = size + :more WHERE name = :name",
        "note": "INSERT INTO notes (text) VALUES (:text)",
        "double": "INSERT INTO notes (text) SELECT text || text FROM notes",
        "things": "SELECT name, size FROM things ORDER BY name",
        "notes": "SELECT text FROM notes ORDER BY text",
        "savepoint": "SAVEPOINT unit",
        "rollback_to_savepoint": "ROLLBACK TO unit",
        "release_savepoint": "RELEASE unit",
    }.items()
}


@pytest.fixture
def session() -> SqliteSession:
    connection = cast("Connection", apsw.Connection(":memory:"))
    connection.execute("CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER); CREATE TABLE notes (text TEXT)")
    return SqliteSession(connection, QUERIES)


def test_each_row_is_there_also_of_a_query_that_returns_them(session: SqliteSession) -> None:
    async def main() -> None:
        session.execute_many("put_and_tell", [("a", 1), ("b", 2)])
        session.execute("put_and_tell", name="c", size=3)
        assert await session.fetch("things") == [("a", 1), ("b", 2), ("c", 3)]

    asyncio.run(main())


def test_what_touches_one_table_keeps_its_order(session: SqliteSession) -> None:
    async def main() -> None:
        session.execute("put", name="a", size=1)
        session.execute("note", text="x")
        session.execute("grow", name="a", more=5)
        assert await session.change("grow", name="a", more=10)  # sees what was put off before
        assert not await session.change("grow", name="b", more=1)
        session.execute("double")  # reads, so that it is not put off
        session.execute("note", text="y")
        assert await session.fetch("things") == [("a", 16)]
        assert await session.fetch("notes") == [("x",), ("xx",), ("y",)]

    asyncio.run(main())


def test_what_was_put_off_is_undone_with_its_savepoint(session: SqliteSession) -> None:
    async def main() -> None:
        session.execute("put", name="a", size=1)
        await session.savepoint()
        session.execute("put", name="b", size=1)
        await session.end_savepoint(undo=True)
        await session.savepoint()
        session.execute("put", name="c", size=1)
        await session.end_savepoint(undo=False)
        assert [name for name, _ in await session.fetch("things")] == ["a", "c"]

    asyncio.run(main())


def test_a_conflict_shows_when_it_is_sent(session: SqliteSession) -> None:
    async def main() -> None:
        for _ in range(2):
            session.execute("put", name="a", size=1)
        with pytest.raises(Conflict):
            await session.flush()

    asyncio.run(main())


def test_many_rows_are_there_as_often_as_they_were_put(session: SqliteSession) -> None:
    """Around the number that one statement inserts, where the rest goes row by row."""

    async def main() -> None:
        put = 0
        for count in (1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS, 3 * ROWS + 5):
            session.execute_many("put", [(f"{put + number:04}", number) for number in range(count)])
            put += count
            found = await session.fetch("things")
            assert [name for name, _ in found] == [f"{number:04}" for number in range(put)]
        assert found[-1] == (f"{put - 1:04}", 3 * ROWS + 4)

    asyncio.run(main())


@pytest.mark.parametrize("at", [0, ROWS - 1, ROWS, 2 * ROWS])
def test_a_row_that_is_there_already_fails_them_all(session: SqliteSession, at: int) -> None:
    async def main() -> None:
        await session.savepoint()
        names = [f"{number:04}" for number in range(2 * ROWS + 3)]
        session.execute_many("put", [(name, 0) for name in [*names[:at], names[at], *names[at:]]])
        with pytest.raises(Conflict):
            await session.flush()
        await session.end_savepoint(undo=True)
        assert await session.fetch("things") == []

    asyncio.run(main())
