"""Questions in SQL: the same views on every store, and nothing but them."""

import asyncio
from pathlib import Path

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import start
from workflow_router.core.errors import InvalidInput
from workflow_router.db.ask import ask
from workflow_router.db.asked import VIEWS
from workflow_router.db.store import SqlStore

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "sql.md"

REFUSED = (
    "select * from runs",
    "select * from wr_runs, audit_log",
    "with found as (select * from events) select * from found",
    "select (select count(*) from dispatch_bodies) from wr_runs",
    "delete from runs",
    "delete from wr_runs",
    "select 1; delete from runs",
    "select * from wr_runs; drop table runs",
    "pragma query_only = 0",
    "attach 'x.db' as x",
    "select pg_read_file('/etc/passwd')",
    "select query_to_xml('select * from events', true, true, '')",
    "select * from sqlite_schema",
    "select * from pg_catalog.pg_class",
    "nonsense",
)


def test_views_have_their_columns_and_nothing_else_can_be_read(lasting_backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for name in ("r1", "r2", "r3"):
            await start(store, name)
        url = lasting_backend.url
        for view, columns in VIEWS.items():
            assert (await ask(url, " ".join(("select * from", view)))).columns == columns
            assert f"| `{view}` | {', '.join(columns)} |" in PAGE.read_text(encoding="utf-8")
        found = await ask(url, "select id, status from wr_runs order by id", limit=2)
        assert (found.rows, found.cut) == ([("r1", "running"), ("r2", "running")], True)
        counted = await ask(url, "with r as (select * from wr_runs) select status, count(*) from r group by status")
        assert counted.rows == [("running", 3)]
        for question in REFUSED:
            try:
                found = await ask(url, question)
            except InvalidInput as error:
                assert "wr_runs" in str(error), question
            else:
                pytest.fail(f"{question} answered {found}")
        endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
        with pytest.raises(InvalidInput, match="longer"):
            await ask(url, endless, timeout_s=0.2)
        assert len((await ask(url, "select * from wr_runs")).rows) == 3

    lasting_backend.run(scenario)


def test_bounds_are_checked() -> None:
    with pytest.raises(InvalidInput, match="bounds"):
        asyncio.run(ask("sqlite:///x", "select 1", limit=0))
