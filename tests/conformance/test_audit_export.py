"""The export of the audit log to a topic: each entry once and in order, whoever publishes it, and at rest when idle."""

import asyncio
import contextlib
from collections.abc import Callable

from tests.conformance.conftest import Backend
from workflow_router import Router, embed
from workflow_router.core.model import NewMessage, Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.checkpoint import Signer
from workflow_router.core.proofs.entries import LogCheck
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.audit_export import Exported
from workflow_router.core.runtime_state.audit_retention import AuditKeeping
from workflow_router.core.runtime_state.observe import AUDIT
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import to_json, typed_from_json

COUNT = 300


def exporting(runtime: Runtime) -> None:
    runtime.audit.export.topic = "log"


async def grow(runtime: Runtime, count: int) -> int:
    """Position of the last of so many entries that were added."""

    async def unit(tx: Transaction) -> None:
        for number in range(count):
            tx.record(Transition(kind="test.told", subject=f"s{number}", actor="ada", detail={"n": number}))

    await runtime.store.commit(unit)
    return (await runtime.store.read(lambda tx: tx.audit.head()))[0]


async def exported(runtime: Runtime, until: Callable[[list[Exported]], bool]) -> list[Exported]:
    while True:
        found = [typed_from_json(one.body, Exported) for one in await runtime.broker.peek("log", limit=1_000)]
        if until(found):
            return found
        await asyncio.sleep(0.01)


def test_every_entry_is_published_once_whoever_does_it(lasting_backend: Backend) -> None:
    """Two processes on PostgreSQL, one after the other on SQLite."""
    many = lasting_backend.url.startswith("postgresql")

    def joined() -> contextlib.AbstractAsyncContextManager[Runtime]:
        return embed(Router(), store=lasting_backend.url, topics=["log"], prepare=exporting)

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(30):
            one = await stack.enter_async_context(joined())
            two = await stack.enter_async_context(joined()) if many else one
            for runtime in (one, two, one):
                await grow(runtime, COUNT)
            if not many:
                await stack.aclose()
                two = await stack.enter_async_context(joined())
            last = await grow(two, COUNT)
            parts = await exported(two, lambda found: bool(found) and found[-1].last >= last)
            assert [part.first for part in parts[1:]] == [part.last + 1 for part in parts[:-1]]
            lines = [line for part in parts for line in part.entries]
            assert [line.position for line in lines] == list(range(parts[0].first, parts[-1].last + 1))
            assert sum(line.transition.kind == "test.told" for line in lines) == 4 * COUNT
            check = LogCheck()
            for entry in await two.store.read(lambda tx: tx.audit.entries(after=0, limit=parts[0].first - 1)):
                check.skip(entry.hash)
            assert check.follow(lines), check.reason

    asyncio.run(main())


def test_nothing_goes_that_was_not_exported(lasting_backend: Backend) -> None:
    async def main() -> None:
        async with embed(Router(), store=lasting_backend.url, prepare=exporting) as runtime:  # the topic is not there
            runtime.audit.retention.keeping = AuditKeeping(entries=0)
            await grow(runtime, 3 * COUNT)
            assert await runtime.audit.retention.sweep() == 0
        async with embed(Router(), store=lasting_backend.url, topics=["log"], prepare=exporting) as runtime:
            last = await grow(runtime, 1)
            await exported(runtime, lambda found: bool(found) and found[-1].last >= last)
            runtime.audit.retention.keeping = AuditKeeping(entries=0)
            assert await runtime.audit.retention.sweep() >= 2 * COUNT

    asyncio.run(main())


def test_the_log_rests_when_nothing_happens_but_its_own_export() -> None:
    """A day of virtual time with a consumer that acknowledges, and checkpoints that go to a topic too."""

    def prepare(runtime: Runtime) -> None:
        async def publish(note: str) -> None:
            message = NewMessage(id=runtime.ids.new(), topic="notes", body=to_json(note), correlation=AUDIT)
            await runtime.publish(message)

        exporting(runtime)
        runtime.audit.checkpoints.sign_with(Signer("office", bytes(32)), [publish])

    async def main() -> None:
        router = Router()
        taken: list[int] = []

        @router.subscribe("log")
        async def siem(part: Exported) -> None:
            taken.append(part.last)

        assert siem
        async with embed(router, clock=VirtualClock(), topics=["log", "notes"], prepare=prepare) as runtime:
            last = await grow(runtime, 3)
            await asyncio.sleep(600)
            assert taken
            assert taken[-1] >= last
            head = (await runtime.store.read(lambda tx: tx.audit.head()))[0]
            await asyncio.sleep(86_400)
            assert (await runtime.store.read(lambda tx: tx.audit.head()))[0] == head

    run_virtually(main())
