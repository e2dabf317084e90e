"""Owns waiting for what a run comes to, for code that is not part of a run. Refuses to wait inside a run or a handler.

A result is of the type that the workflow's annotation says, as it is for a parent that runs a child.
"""

import asyncio

from workflow_router.core.errors import InvalidInput, RunFailed, WaitExpired
from workflow_router.core.message_broker.effects import handling
from workflow_router.core.orchestration.definitions import fitted
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.orchestration.live import current
from workflow_router.core.orchestration.streams import writing
from workflow_router.core.runtime import Runtime
from workflow_router.core.states import RunStatus
from workflow_router.utils.codec import from_json, typed_from_json


async def run(runtime: Runtime, workflow: str, given: bytes, run_id: str | None, key: str | None) -> object:
    """Start a run and wait for its result; where the caller gives up, the run goes on."""
    if writing() is not None:
        raise InvalidInput(
            "A step cannot run a workflow: tried again, it would run another one.",
            remedy="Call `router.run` in the workflow, between its steps.",
        )
    if handling() is not None:
        raise InvalidInput(
            "A handler cannot wait for a run that it starts: the run starts when the message is acknowledged.",
            remedy="Use `router.start`, and let the run publish what it comes to.",
        )
    return await result(runtime, await runtime.start(workflow, given, run_id=run_id, key=key), None)


async def result(runtime: Runtime, run_id: str, within_s: float | None) -> object:
    """What a run came to, once it has ended. Raises NotFound, RunFailed, WaitExpired."""
    if current() is not None:
        raise InvalidInput(
            "`result` works only outside of a run.",
            remedy="Inside one, `router.run` waits for a child, and a signal or an event tells of other runs.",
        )
    try:
        async with asyncio.timeout(within_s):
            ended = await runtime.engine.ended(run_id)
    except TimeoutError:
        raise WaitExpired(
            f"Run {run_id} has not ended within {within_s:g} s.", remedy="It goes on; ask again with its id."
        ) from None
    if ended.status is not RunStatus.COMPLETED:
        problem = None if ended.error is None else typed_from_json(ended.error, Problem)
        said = "" if problem is None else f": {problem.message}"
        raise RunFailed(
            f"Run {run_id} of {ended.workflow} is {ended.status}{said}",
            remedy=f"See `wr runs show {run_id}`.",
            status_of_run=str(ended.status),
            error_type=None if problem is None else problem.type,
        )
    output = ended.output or b"null"
    known = runtime.workflows.get(ended.workflow, {}).get(ended.version)
    if known is None:  # another process has the code
        return from_json(output)
    return fitted(known.codec, output, f"The result of {ended.workflow}")
