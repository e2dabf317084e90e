"""Owns the schema's versions: forward-only, checksummed migrations. Refuses a database that is too new for the code.

A migration is a file `NNNN_title.sql`; it runs once, in a transaction of its own, and must never change afterwards.
"""

import hashlib
from importlib.resources import files
from typing import Protocol

import msgspec

from workflow_router.core.errors import StoreError, StoreTooNew

BREAKING = "_breaking"


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Applied(msgspec.Struct, frozen=True):
    """What a database remembers of a migration."""

    checksum: str
    name: str


class Migrated(Protocol):
    """What a database offers to be migrated."""

    async def applied(self) -> dict[int, "Applied"]:
        """The migrations it has had, by number; creates the table that keeps them."""
        ...

    async def apply(self, migration: Migration) -> bool:
        """Run one migration and note it, in one transaction. False where another process has just done so."""
        ...


def load_migrations(dialect: str) -> list[Migration]:
    """The migrations of `db/<dialect>/migrations`, in order. Raises ValueError where a number is missing or double."""
    folder = files("workflow_router.db") / dialect / "migrations"
    found: list[Migration] = []
    for source in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if source.name.endswith(".sql"):
            number, _, name = source.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, source.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"The migrations of {dialect} are not numbered 1, 2, 3 … without gaps.")
    return found


async def migrate(database: Migrated, migrations: list[Migration]) -> list[Migration]:
    """Bring the database up to date; returns what was applied.

    A database may have migrations that this code does not know, so that old and new code run side by side during an
    upgrade. One that older code cannot work with has a name that ends in `_breaking`.

    Raises:
        StoreTooNew: it has such a migration.
        StoreError: a migration was changed after it had been applied.
    """
    applied = await database.applied()
    newest = max(applied, default=0)
    if any(one.name.endswith(BREAKING) for number, one in applied.items() if number > len(migrations)):
        raise StoreTooNew(
            f"The store is at version {newest}, this code knows {len(migrations)}.",
            remedy="Run the newer version of workflow-router, or restore a backup from before the upgrade.",
        )
    fresh: list[Migration] = []
    for migration in migrations:
        if migration.number not in applied:
            if await database.apply(migration):
                fresh.append(migration)
        elif applied[migration.number].checksum != migration.checksum:
            raise StoreError(
                f"Migration {migration.number:04} ({migration.name}) differs from the one this store has had.",
                remedy="Restore the released file; a migration never changes.",
            )
    return fresh
