"""`wr` with a planted bug: it acknowledges before it commits. The harness beside this file must notice.

What was acknowledged stays in an open transaction for some seconds, longer than a router lives here. Everything in the
process sees it, so nothing is amiss until the process is killed.
"""

import contextlib
import time
from collections.abc import AsyncGenerator

from workflow_router.cli.main import main
from workflow_router.db.sqlite import connection
from workflow_router.db.sqlite.connection import SqliteDatabase
from workflow_router.db.sqlite.session import SqliteSession

HOLD_S = 3.0


class Forgetful(SqliteDatabase):
    """An SQLite database whose commits are not there yet when they are told."""

    _since = 0.0
    _open = False

    async def begin(self, *, assume: bool = False, synced: bool = True) -> SqliteSession:
        if self._connection.in_transaction and time.monotonic() - self._since > HOLD_S:
            await super().commit()
        if not self._connection.in_transaction:
            await super().begin(assume=assume, synced=synced)
            self._since = time.monotonic()
        self._connection.execute("SAVEPOINT held")
        self._open = True
        return SqliteSession(self._connection, self._queries)

    async def commit(self) -> None:
        self._connection.execute("RELEASE held")
        self._open = False

    async def rollback(self) -> None:
        if self._open:
            self._connection.execute("ROLLBACK TO held; RELEASE held")
            self._open = False

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[SqliteSession]:
        yield SqliteSession(self._connection, self._queries)

    async def close(self) -> None:
        if self._connection.in_transaction:
            await super().commit()
        await super().close()


if __name__ == "__main__":
    connection.SqliteDatabase = Forgetful
    main()
