"""Owns asking the store behind a URL in SQL. Refuses to open it for anything else."""

import math
from pathlib import Path

from workflow_router.core.errors import InvalidInput, StoreError
from workflow_router.db.asked import Answer

ROWS_MAX = 100_000
TIMEOUT_MAX_S = 300.0


async def ask(url: str, question: str, *, limit: int = 1_000, timeout_s: float = 10.0) -> Answer:
    """The first `limit` rows of what a SELECT over the views `wr_…` finds. Raises InvalidInput, StoreError."""
    if not 1 <= limit <= ROWS_MAX or not (math.isfinite(timeout_s) and 0 < timeout_s <= TIMEOUT_MAX_S):
        raise InvalidInput("The bounds do not fit.", remedy=f"At most {ROWS_MAX} rows and {TIMEOUT_MAX_S:g} s.")
    if url.startswith(("postgresql://", "postgres://")):
        from workflow_router.db.postgres.asking import ask_postgres  # noqa: PLC0415  an optional extra

        return await ask_postgres(url, question, limit=limit, timeout_s=timeout_s)
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.is_file():  # noqa: ASYNC240  a local file, once
        raise StoreError("There is no such store.", remedy="Give --store sqlite:///data/router.db or postgresql://….")
    from workflow_router.db.sqlite.asking import ask_sqlite  # noqa: PLC0415  not needed with PostgreSQL

    return ask_sqlite(path, question, limit=limit, timeout_s=timeout_s)
