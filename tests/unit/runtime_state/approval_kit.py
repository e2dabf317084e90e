"""A router that asks, and what tests of approvals do with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from workflow_router import Answer, Router, embed
from workflow_router.core.model import Approval
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Decision
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json

HOUR_S = 3_600


def asking(**said: Any) -> Router:
    """A router with the workflow `ask`, whose result tells how it was answered."""
    router = Router()

    @router.workflow
    async def ask(subject: object = None) -> dict[str, object]:
        given = {"subject": subject, **said} if subject is not None else said
        approve: Any = router.approve
        answer: Answer[Any] = await approve("go", **given)
        return {
            "status": answer.status,
            "by": [one.by for one in answer.decisions],
            "value": None if answer.value is None else repr(answer.value),
        }

    assert ask
    return router


async def opened(runtime: Runtime) -> Approval:
    while True:
        found = await runtime.approvals.list_approvals(tenant="default")
        if found:
            return found[0]
        await asyncio.sleep(0.01)


async def result(runtime: Runtime, run_id: str) -> Any:
    async with asyncio.timeout(5):
        run = await runtime.engine.ended(run_id)
    assert run.output is not None, run.error
    return from_json(run.output)


async def kinds(runtime: Runtime) -> list[tuple[str, str | None]]:
    """Transitions of approvals, with who did them."""
    entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=10_000))
    told = [entry.transition for entry in entries if entry.transition.kind.startswith("approval.")]
    told = [one for one in told if one.kind != "approval.completed"]  # that is the step, which has the answer
    return [(one.kind.removeprefix("approval."), one.actor) for one in told]


def say(by: str, *, approved: bool = True, **more: Any) -> Decision:
    return Decision(by=by, approved=approved, **more)


def play(router: Router, scenario: Callable[[Runtime], Awaitable[None]], **parts: Any) -> None:
    async def main() -> None:
        async with embed(router, clock=VirtualClock(), **parts) as runtime:
            await scenario(runtime)

    run_virtually(main())
