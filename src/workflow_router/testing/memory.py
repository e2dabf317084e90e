"""Owns databases in memory that are ready at once: a schema made once a process, and copied. Refuses to keep data."""

from workflow_router.db.migrate import load_migrations, migrate
from workflow_router.db.sqlite.connection import SqliteDatabase

_images: list[bytes] = []


async def fresh_database() -> SqliteDatabase:
    """A migrated database in memory, with nothing in it."""
    database = SqliteDatabase(None, commit_in_thread=False)
    if not _images:
        await migrate(database, load_migrations("sqlite"))
        _images.append(database.image())
    else:
        database.load(_images[0])
    return database
