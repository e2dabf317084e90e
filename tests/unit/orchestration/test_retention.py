"""Finished runs go to files before they go from the store, by workflow and age, in batches."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput, StoreUnavailable
from workflow_router.core.orchestration import retention
from workflow_router.core.orchestration.retention import Keeping
from workflow_router.db.archive_files import ArchiveFolder
from workflow_router.db.open import verify_store
from workflow_router.utils.codec import from_json


class Later:
    """A clock that is some days ahead where it is told to."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000


def router_of() -> Router:
    router = Router()

    @router.step
    async def double(number: int) -> int:
        return number * 2

    @router.workflow
    async def short(number: int) -> int:
        return await double(number)

    @router.workflow
    async def kept(number: int) -> int:
        return await double(number)

    @router.workflow
    async def open_() -> None:
        await router.receive("never")

    assert short and kept and open_
    return router


def test_old_runs_are_archived_in_batches_and_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_MAX", 4)

    async def main() -> None:
        router, clock = router_of(), Later()
        url = f"sqlite:///{tmp_path}/s.db"
        async with embed(router, store=url, clock=clock) as runtime:
            keeping = runtime.retention.keeping = Keeping(days=30, workflows={"kept": None})
            runs = [await router.start("short", number) for number in range(10)]
            others = [await router.start("kept", 1), await router.start("open_")]
            for run_id in [*runs, others[0]]:
                await runtime.engine.ended(run_id)
            clock.ms += 31 * 86_400_000
            young = await router.start("short", 1)
            await runtime.engine.ended(young)
            page = await runtime.retention.archive(keeping, after=0, actor="ada", dry_run=True)
            assert (page.count, page.file) == (4, None)
            with pytest.raises(InvalidInput):  # nowhere to put them, so none is removed
                await runtime.retention.sweep()
            (tmp_path / "file").write_text("")
            runtime.retention.files = ArchiveFolder(tmp_path / "file")
            with pytest.raises(StoreUnavailable):
                await runtime.retention.sweep()
            assert (await runtime.engine.find(runs[0])).status == "completed"
            runtime.retention.files = ArchiveFolder(tmp_path / "archive")
            assert await runtime.retention.sweep() == 10
            assert await runtime.retention.sweep() == 0
            for run_id in (*others, young):
                await runtime.engine.find(run_id)
            files = sorted((tmp_path / "archive").rglob("*"))
            assert [file.suffix for file in files if file.is_file()] == [".gz"] * 3
            found = await runtime.retention.recall(runs[3])
            assert found is not None
            file, line = found
            with gzip.open(file) as lines:
                assert line in list(lines)
            run: Any = from_json(line or b"")
            assert (run["id"], run["runs"][0]["output"], run["steps"][0]["output"]) == (runs[3], 6, 6)
            assert await runtime.retention.recall("nobody") is None
            runtime.retention.files = ArchiveFolder(tmp_path / "other")
            name = file.removeprefix(f"{tmp_path}/archive/")
            assert await runtime.retention.recall(runs[3]) == (f"{tmp_path}/other/{name}", None)
            told = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=1_000))
            archived = [one.transition for one in told if one.transition.kind == "runs.archived"]
            assert [one.detail["count"] for one in archived] == [4, 4, 2]
        assert (await verify_store(url)).intact  # the audit log has its entries as before

    asyncio.run(main())
