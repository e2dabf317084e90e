"""Owns one side of the observe benchmark. `python -m benchmarks._observe_side VERB STORE_URL COUNT`, see `VERBS`."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Sequence
from functools import partial

import uvloop

from benchmarks import _durable_work as work
from benchmarks import _harness as harness
from benchmarks import audit
from benchmarks._durable_ours import engine, router
from workflow_router import embed
from workflow_router.core.model import AuditEntry
from workflow_router.core.patterns import Pattern
from workflow_router.core.proofs.entries import line_of
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Decision
from workflow_router.core.runtime_state.interceptors import Interceptor
from workflow_router.db import audit_log
from workflow_router.utils.codec import to_json

WARMING = 300
INTERCEPTORS = 1_000
OBSERVERS = 100
AT = ("run.starting", "step.starting", "event.accepting", "dispatch.starting", "message.publishing")


async def _runs(runtime: Runtime, count: int) -> dict[str, float]:
    three = engine(runtime).three
    gc.freeze()  # as a server does once it is ready; rules that a project declares are there by then
    await work.each(WARMING, work.IN_FLIGHT, three)
    cpu_s = time.process_time()
    took_s = await work.each(count, work.IN_FLIGHT, three)
    return {"runs_per_s": count / took_s, "cpu_us_per_run": (time.process_time() - cpu_s) / count * 1e6}


async def plain(store: str, count: int) -> dict[str, float]:
    """As it is: everything is in the audit log, and nobody looks."""
    async with embed(router, store=store) as runtime:
        return await _runs(runtime, count)


async def off(store: str, count: int) -> dict[str, float]:
    """Without an audit log, which the product does not offer: its one writer is replaced by one that writes nothing."""

    async def nothing(*_: object) -> list[AuditEntry]:
        return []

    audit_log.append = nothing
    return await plain(store, count)


async def _reader(runtime: Runtime, pattern: Pattern | None, seen: list[int]) -> None:
    """An observer, as its door makes it: each entry becomes a server-sent event. The socket is left out."""
    async with contextlib.aclosing(runtime.observe(pattern=pattern)) as entries:
        async for entry in entries:
            text = to_json(line_of(entry))
            seen[0] += len(b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, entry.transition.kind.encode(), text))


async def _observed(store: str, count: int, patterns: Sequence[Pattern | None]) -> dict[str, float]:
    async with embed(router, store=store) as runtime:
        seen = [0]
        readers = [asyncio.create_task(_reader(runtime, pattern, seen)) for pattern in patterns]
        await asyncio.sleep(0.1)
        found = await _runs(runtime, count)
        await asyncio.sleep(0.1)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert seen[0], "nobody saw anything"
        return found


async def watched(store: str, count: int) -> dict[str, float]:
    """Everything is in the audit log, and one observer gets all of it."""
    return await _observed(store, count, [None])


async def crowd(store: str, count: int) -> dict[str, float]:
    """A hundred observers, each of one in 256 runs that complete."""
    patterns = [
        Pattern.parse({"type": ["dev.workflow-router.run.completed"], "run": [{"suffix": f"{number:02x}"}]})
        for number in range(OBSERVERS)
    ]
    return await _observed(store, count, patterns)


async def intercepted(store: str, count: int, *, by: str) -> dict[str, float]:
    """A thousand interceptors on what happens, none of which matches: by name, or by what is in the data."""
    rules: dict[str, Interceptor] = {}
    for number in range(INTERCEPTORS):
        at = AT[number % 5]
        within = {"input" if at == "run.starting" else "args": [-1 - number]}
        on: dict[str, object] = {"subject": [f"other-{number}"]} if by == "name" else {"data": within}
        rules[f"i{number}"] = Interceptor(at=[at], verdict="deny", on=on)
    async with embed(router, store=store) as runtime:
        runtime.interception.rules.declare(rules, {})
        return await _runs(runtime, count)


async def approved(store: str, count: int) -> dict[str, float]:
    """From a decision to the run that goes on, one at a time, each parked before it is decided."""
    went_on: list[float] = []

    @router.workflow
    async def asks(n: int) -> int:
        await router.approve("go", people=["ann"])
        went_on.append(time.perf_counter())
        return n

    took_ms: list[float] = []
    async with embed(router, store=store) as runtime:
        for n in range(count + 20):
            async with contextlib.aclosing(runtime.observe()) as entries:
                run_id = await router.start(asks, n)
                asked = ""
                async for entry in entries:
                    if entry.transition.kind == "approval.asked":
                        asked = entry.transition.subject
                    if entry.transition.kind == "run.waiting":
                        break
            begun = time.perf_counter()
            await runtime.approvals.decide(asked, Decision(by="ann", approved=True))
            await runtime.engine.ended(run_id)
            took_ms.append((went_on[-1] - begun) * 1000)
    warm = took_ms[20:]
    return {"decision_p50_ms": harness.percentile(warm, 0.5), "decision_p99_ms": harness.percentile(warm, 0.99)}


VERBS = {
    "off": off,
    "plain": plain,
    "watched": watched,
    "crowd": crowd,
    "by_name": partial(intercepted, by="name"),
    "by_data": partial(intercepted, by="data"),
    "approved": approved,
    "audit": audit.measure,
}


if __name__ == "__main__":
    work.tell(uvloop.run(VERBS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
