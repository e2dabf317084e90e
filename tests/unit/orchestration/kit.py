"""What tests of runs look at."""

from workflow_router import Run
from workflow_router.core.model import StepRecord
from workflow_router.core.runtime import Runtime


async def ended(runtime: Runtime, run_id: str) -> Run:
    """The run, once it has ended."""
    return await runtime.engine.ended(run_id)


async def history(runtime: Runtime, run_id: str) -> list[StepRecord]:
    """Its committed steps in commit order."""
    return await runtime.store.read(lambda tx: tx.runs.history(run_id))
