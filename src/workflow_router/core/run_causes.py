"""Owns who or what caused a run, which may not decide what the run asks people. Refuses to ask."""

from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.ports import Store, Transaction

ANCESTORS_MAX = 50


async def causes_of(store: Store, live: LiveRun) -> list[str]:
    """Whoever or whatever caused the run, and those before it."""
    found = [live.run.cause] if live.run.cause else []

    async def unit(tx: Transaction) -> list[str]:
        causes = list(found)
        for _ in range(ANCESTORS_MAX):
            run = await tx.runs.find(causes[-1])
            if run is None or not run.cause or run.cause in causes:
                break
            causes.append(run.cause)
        return causes

    return await store.read(unit) if found else []
