"""Large inputs and results: kept once by their content, read as if they were not, refused above the limit, swept."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import fence, step
from workflow_router import ChildFailed, Retry, Router, StepFailed, embed
from workflow_router.core.errors import PayloadTooLarge
from workflow_router.core.model import NewRun
from workflow_router.core.orchestration.payloads import PayloadLimit, Payloads, PayloadSweeper
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore
from workflow_router.utils.codec import from_json, to_json

HOUR_MS = 3_600_000
TEXT = "é" * 2_500
LARGE = to_json(TEXT)
SMALL = b'"small"'


async def kept(store: SqlStore) -> int:
    """How many payloads are kept by their content."""
    return await store.read(lambda tx: tx.blobs.count())


def in_store(backend: Backend, scenario: Callable[[SqlStore], Awaitable[None]]) -> None:
    """Play a scenario on a store that keeps payloads of more than 1,000 bytes by their content."""

    async def main() -> None:
        store = await open_store(backend.url, clock=backend.clock, owner="first", blob_min_bytes=1_000)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


async def run_with(store: SqlStore, run_id: str, given: bytes) -> None:
    """A run that has ended, whose input, first step and output are the same."""

    async def unit(tx: Transaction) -> None:
        run = await tx.runs.start(NewRun(id=run_id, workflow="triage", input=given))
        assert run is not None
        own = fence(store, run)
        await tx.runs.commit_step(run, own, msgspec.structs.replace(step(1), output=given))
        await tx.runs.commit_step(run, own, msgspec.structs.replace(step(2), output=SMALL))
        await tx.runs.change_status(run, own, RunStatus.COMPLETED, output=given)

    await store.commit(unit)


def test_a_large_payload_is_kept_once_and_read_as_if_it_were_not(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await run_with(store, "r1", LARGE)
        await run_with(store, "r2", LARGE)
        assert await kept(store) == 1
        for run_id in ("r1", "r2"):
            run = await store.read(lambda tx, i=run_id: tx.runs.find(i))
            assert run is not None
            assert (run.input, run.output) == (LARGE, LARGE)
            history = await store.read(lambda tx, i=run_id: tx.runs.history(i))
            assert [one.output for one in history] == [LARGE, SMALL]
        await run_with(store, "r3", SMALL)
        assert await kept(store) == 1

    in_store(backend, scenario)


def test_what_no_run_uses_is_swept_in_small_batches_and_nothing_else(lasting_backend: Backend) -> None:
    gone = [f"gone-{number:03}" for number in range(205)]

    async def fill(store: SqlStore) -> None:
        for run_id in gone:
            await run_with(store, run_id, to_json(run_id + TEXT))
        await run_with(store, "stays", LARGE)
        await run_with(store, "gone-too", LARGE)

    async def sweep(store: SqlStore) -> None:
        sweeper = PayloadSweeper(store, PayloadLimit())
        assert await sweeper.sweep() == 0  # all were written just now; one that is about to use them may not be done
        lasting_backend.clock.ms += 3 * HOUR_MS
        await run_with(store, "again", to_json(gone[0] + TEXT))
        assert await sweeper.sweep() == 204
        assert await kept(store) == 2
        for run_id in ("stays", "again"):
            run = await store.read(lambda tx, i=run_id: tx.runs.find(i))
            assert run is not None
            assert len(run.input) > 1_000
        assert await sweeper.sweep() == 0

    in_store(lasting_backend, fill)
    lasting_backend.tamper(  # as retention does
        "DELETE FROM runs WHERE id LIKE 'gone%'",
        "DELETE FROM steps WHERE run_id LIKE 'gone%'",
    )
    in_store(lasting_backend, sweep)


def test_a_payload_that_the_store_lost_is_an_error_and_no_wrong_value(lasting_backend: Backend) -> None:
    in_store(lasting_backend, lambda store: run_with(store, "r1", LARGE))
    lasting_backend.tamper("DELETE FROM blobs")

    async def scenario(store: SqlStore) -> None:
        with pytest.raises(Exception, match="lost a large payload"):
            await store.read(lambda tx: tx.runs.find("r1"))

    in_store(lasting_backend, scenario)


def test_runs_pass_large_values_on_over_restarts_forks_and_children(lasting_backend: Backend) -> None:
    router = Router()
    calls: list[int] = []

    @router.step
    async def twice(text: str) -> str:
        calls.append(len(text))
        return text * 2

    @router.workflow
    async def child(text: str) -> str:
        return await twice(text)

    @router.workflow
    async def parent(text: str) -> list[str]:
        first = await twice(text)
        await router.receive("go")
        return [first, await router.run(child, text)]

    async def main() -> None:
        limits = Payloads(blob_min_bytes=1_000)
        async with embed(router, store=lasting_backend.url, payloads=limits):
            run_id = await router.start(parent, TEXT)
        async with embed(router, store=lasting_backend.url, payloads=limits) as runtime:
            await router.signal(run_id, "go")
            run = await runtime.engine.ended(run_id)
            assert from_json(run.output or b"") == [TEXT * 2, TEXT * 2]
            forked = await runtime.time_machine.fork(run_id, before="2", edits={"0": to_json(TEXT * 3)})
            assert from_json((await runtime.engine.ended(forked)).output or b"") == [TEXT * 3, TEXT * 2]
            assert isinstance(runtime.store, SqlStore)
            assert await kept(runtime.store) == 5  # the text, twice it, three times it, and two outputs

    asyncio.run(main())
    assert calls == [2_500] * 3


def test_a_payload_above_the_limit_fails_its_step_at_once_and_is_refused_elsewhere() -> None:
    router = Router()
    tries: list[int] = []

    @router.step(retry=Retry(attempts=5, first_s=0))
    async def grow(size: int) -> str:
        tries.append(size)
        return "x" * size

    @router.workflow
    async def takes(text: str) -> None: ...

    @router.workflow
    async def ends(size: int) -> str:
        return "x" * size

    @router.workflow
    async def tries_all() -> list[str]:
        failed: list[str] = []
        for call in (
            lambda: grow(20_000),
            lambda: router.run(takes, "x" * 20_000),
            lambda: router.run(ends, 20_000),
            lambda: router.start(takes, "x" * 20_000),
            lambda: router.signal("nobody", "more", "x" * 20_000),
        ):
            try:
                await call()
            except (StepFailed, ChildFailed) as error:
                failed.append(str(error))
        return failed

    async def main() -> None:
        async with embed(router, payloads=Payloads(max_bytes=10_000)) as runtime:
            run = await runtime.engine.ended(await router.start(tries_all))
            failed = from_json(run.output or b"[]")
            assert isinstance(failed, list)
            assert len(failed) == 5  # pyright: ignore[reportUnknownArgumentType]  plain JSON
            for message in failed:  # pyright: ignore[reportUnknownVariableType]  as above
                assert "20,002 bytes of JSON, and 10,000 are allowed" in str(message)  # pyright: ignore[reportUnknownArgumentType]  as above
            with pytest.raises(PayloadTooLarge, match="The input of takes"):
                await router.start(takes, "x" * 20_000)
            with pytest.raises(PayloadTooLarge, match="The signal more"):
                await router.signal(run.id, "more", "x" * 20_000)
            ended = await runtime.engine.ended(await router.start(ends, 20_000))
            assert ended.status == "faulted"
            assert b"payload-too-large" in (ended.error or b"")

    asyncio.run(main())
    assert tries == [20_000]
