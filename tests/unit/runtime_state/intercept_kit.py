"""A house of everything that interceptors rule over."""

import asyncio
import contextlib
from typing import Any

from workflow_router import Router, embed
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.errors import StepFailed
from workflow_router.core.model import Run
from workflow_router.core.orchestration.ports import RunFilter
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.utils.codec import from_json, to_json


class House:
    """A router with a workflow that steps, publishes and dispatches, and what each of them was given."""

    def __init__(self) -> None:
        self.router = router = Router("house")
        self.seen: list[object] = []

        @router.target("till")
        async def till(body: object) -> object:
            self.seen.append(("till", body))
            return {"took": body}

        @router.target("spare")
        async def spare(body: object) -> object:
            self.seen.append(("spare", body))
            return {"spare": body}

        @router.step
        async def pay(amount: int, *, note: str = "") -> str:
            self.seen.append(("pay", amount, note))
            return f"paid {amount}"

        @router.workflow
        async def order(n: int) -> object:
            self.seen.append(("order", n))
            try:
                done: object = await pay(n, note="x")
            except StepFailed as error:
                done = {"failed": error.context["error_type"], "message": error.context["error_message"]}
            return done

        @router.workflow
        async def sell(n: int) -> object:
            try:
                return await router.dispatch("till", {"n": n}, path="/x")
            except StepFailed as error:
                return {"failed": error.context["error_type"]}

        @router.workflow
        async def tell(n: int) -> object:
            try:
                return bool(await router.publish("news", {"n": n}))
            except StepFailed as error:
                return {"failed": error.context["error_type"]}

        router.on({"type": ["order"]}, start=order, input="${ event.data.n }", name="orders")

    def embed(self, **more: Any) -> contextlib.AbstractAsyncContextManager[Runtime]:

        routes = [Route(name=name, targets=(Target(name=name, kind="python"),)) for name in ("till", "spare")]
        return embed(self.router, topics=["news"], routes=routes, **more)


async def rule(runtime: Runtime, name: str, **given: object) -> None:
    await runtime.interception.rules.put(name, given, author="ann")


async def kinds(runtime: Runtime, prefix: str) -> list[str]:
    entries = await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=500))
    return [one.transition.kind for one in entries if one.transition.kind.startswith(prefix)]


async def the_hold(runtime: Runtime) -> Held:
    while True:
        found = await runtime.interception.holds.list_held(tenant="default", limit=9)
        if found:
            return found[0]
        await asyncio.sleep(0.01)


async def ended(runtime: Runtime, workflow: str, given: object = 1) -> tuple[Run, object]:
    run = await runtime.engine.ended(await runtime.start(workflow, to_json(given)))
    return run, None if run.output is None else from_json(run.output)


async def all_runs(runtime: Runtime) -> list[Run]:
    return await runtime.store.read(lambda tx: tx.runs.list_runs(RunFilter(tenant="default")))
