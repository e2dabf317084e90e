"""What conditions see as `state` is what Python sees, and what rules of routes see."""

import asyncio

from workflow_router import Event, Router, embed
from workflow_router.core.dispatch_route.inside import Function
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.options import Rule
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.context import MEMBERS


def test_python_sees_what_conditions_see() -> None:
    router = Router("shop")
    router.on({"type": ["order"]}, publish={"topic": "orders"}, name="orders")

    async def main() -> None:
        async with embed(router, topics=["orders"]) as runtime:
            assert "orders" not in router.state["mappings"]
            await runtime.accept(Event(id="1", source="/s", type="order"))
            assert router.state["mappings"] == {"orders": {"matched": 1, "failed": 0}}
            await runtime.state.sample()
            assert router.state["queues"]["orders"]["published"] == 1
            assert router.state["backlog"] == 0
            assert runtime.ingest.matcher.state().keys() == router.state.keys() == set(MEMBERS)

    asyncio.run(main())


def test_conditions_see_what_runs_publish_of_themselves_by_key_and_it_is_recorded() -> None:
    router, published = Router("shop"), asyncio.Event()

    @router.workflow
    async def order(key: str) -> None:
        await router.correlate(key)
        await router.publish_state({"paid": True})
        published.set()
        await router.receive("end")

    router.on(
        {"type": ["ship"]},
        publish={"topic": "orders"},
        when="state.published.order[event.subject].paid",
        name="ship",
    )

    async def main() -> None:
        async with embed(router, topics=["orders"]) as runtime:
            run = await router.start(order, "A-17")
            await published.wait()
            await runtime.state.sample()
            accepted = await runtime.accept(Event(id="1", source="/s", type="ship", subject="A-17"))
            assert accepted.matched == ["ship@1"]
            explained = await runtime.explainer.explain(accepted.id, tenant="default")
            assert explained.state == {"published": {"order": {"A-17": {"paid": True}}}}
            await router.signal(run, "end")
            await runtime.engine.ended(run)
            await runtime.state.sample()
            assert router.state["published"] == {}

    asyncio.run(main())


def test_rules_of_routes_see_it() -> None:
    router = Router("shop")
    router.on({"type": ["order"]}, publish={"topic": "orders"}, name="orders")
    answer: Function = lambda body: body  # noqa: E731  a name would say no more
    router.add_target("calm", answer)
    router.add_target("busy", answer)

    async def asked(runtime: Runtime) -> str | None:
        return (await runtime.dispatch("mail", Call(body=b"1"), Caller())).record.target

    async def main() -> None:
        targets = tuple(Target(name=name, kind="python") for name in ("calm", "busy"))
        rule = Rule(name="under load", when="state.mappings.orders.matched >= 2", targets=("busy",))
        mail = Route(name="mail", targets=targets, rules=(rule,))
        async with embed(router, topics=["orders"], routes=[mail]) as runtime:
            seen: list[str | None] = []
            for number in range(3):
                await runtime.accept(Event(id=str(number), source="/s", type="order"))
                seen.append(await asked(runtime))
            assert seen == ["calm", "busy", "busy"]

    asyncio.run(main())
