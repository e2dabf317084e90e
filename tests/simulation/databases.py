"""Databases in memory that one seed has after the other, emptied: schema and prepared statements stay."""

from collections.abc import Sequence

from workflow_router.db.database import Row
from workflow_router.db.migrate import load_migrations, migrate
from workflow_router.db.sqlite.connection import SqliteDatabase

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


class Reused(SqliteDatabase):
    """A `Database` that can be made empty again."""

    def __init__(self) -> None:
        super().__init__(None, commit_in_thread=False)
        self._first: dict[str, Sequence[Row]] = {}

    async def migrate(self) -> None:
        """Make the schema, and remember the rows that it begins with."""
        await migrate(self, load_migrations("sqlite"))
        tables = [str(name) for (name,) in self._connection.execute(TABLES).fetchall()]
        self._first = {name: self._connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}  # noqa: S608  a table of ours

    def empty(self) -> None:
        """Have the rows of the beginning, and no others."""
        self._connection.execute("BEGIN IMMEDIATE")
        for name, rows in self._first.items():
            self._connection.execute(f'DELETE FROM "{name}"')  # noqa: S608  a table of ours
            if rows:
                places = ",".join("?" * len(rows[0]))
                self._connection.executemany(f'INSERT INTO "{name}" VALUES ({places})', rows)  # noqa: S608  a table of ours
        self._connection.execute("COMMIT")


_idle: list[Reused] = []


async def borrow() -> Reused:
    """A migrated database with nothing in it."""
    if _idle:
        database = _idle.pop()
        database.empty()
        return database
    database = Reused()
    await database.migrate()
    return database


def give_back(database: Reused) -> None:
    """Be done with one that is in order."""
    _idle.append(database)
