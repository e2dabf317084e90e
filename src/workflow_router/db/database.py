"""Owns the seam between repositories and a database: sessions that run named queries. Refuses SQL in Python."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = str | int | float | bytes | bool | None
# A row's types are fixed by its query, which no Python type checker can read; repositories unpack rows by position.
Row: TypeAlias = tuple[Any, ...]


class UndoneError(Exception):
    """The database undid the transaction because of what another process did meanwhile; it may be run again."""


class AssumedError(UndoneError):
    """A change that was assumed to have landed had not; run the transaction again without assuming."""


class Session(Protocol):
    """A transaction that runs queries by name, with values bound by name.

    Every method raises Conflict where a value breaks a constraint, InvalidInput where it cannot be kept at all, and
    StoreUnavailable where the database failed; after any of these the transaction can only be undone.
    """

    async def fetch(self, query: str, /, **values: Value) -> Sequence[Row]:
        """Run a query and return its rows."""
        ...

    async def change(self, query: str, /, **values: Value) -> bool:
        """Run a query that changes one row or none; whether it did.

        A session that was begun with `assume` may answer yes and send it later: whether all of them did is known at the
        next `fetch` or `flush`, which raises AssumedError if not.
        """
        ...

    def execute(self, query: str, /, **values: Value) -> None:
        """Run a query for its effect. It may be sent later, together with others, but before any later `fetch`."""
        ...

    def execute_many(self, query: str, /, rows: Sequence[tuple[Value, ...]]) -> None:
        """Run a query once for each row of values, which are in the order in which the query first names them."""
        ...

    async def flush(self) -> None:
        """Send what `execute` put off, so that its errors are raised here."""
        ...

    async def savepoint(self) -> None:
        """Mark this point of the transaction."""
        ...

    async def end_savepoint(self, *, undo: bool) -> None:
        """Forget the mark; with `undo`, go back to it first, dropping also what was put off since."""
        ...


class Database(Protocol):
    """One open database with one writing connection."""

    async def begin(self, *, assume: bool = False, synced: bool = True) -> Session:
        """Start the writing transaction; without `synced` its commit does not wait for the disk.

        Raises StoreUnavailable.
        """
        ...

    async def commit(self) -> None:
        """Make it durable, if it is synced. Raises StoreUnavailable (nothing was written) or CommitUnknown."""
        ...

    async def rollback(self) -> None:
        """Undo it."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Session]:
        """A consistent, read-only session beside the writer."""
        ...

    async def close(self) -> None:
        """Release connections and locks."""
        ...
