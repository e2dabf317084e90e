"""Rules and policies know what the running system knows: its state, the prices in force, how a run has fared."""

import asyncio
from pathlib import Path
from typing import Any

from workflow_router import Router, embed
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.options import Rule
from workflow_router.core.dispatch_route.prices import Price, Prices

DEAR, CHEAP = (Target(name=name, kind="python") for name in ("dear", "cheap"))


def project() -> Router:
    router = Router("r")
    router.add_target("dear", lambda _: "dear")
    router.add_target("cheap", lambda _: "cheap")

    @router.workflow
    async def ask() -> list[Any]:
        first = await router.dispatch("house", {})
        await router.receive("go", within="1h")
        return [first, await router.dispatch("house", {})]

    assert ask
    return router


def test_a_rule_knows_how_a_run_fared_before_a_restart(tmp_path: Path) -> None:
    rule = Rule(name="enough", when="run.calls >= 1", targets=("cheap",))
    routes = [Route(name="house", targets=(DEAR, CHEAP), rules=(rule,))]

    async def main() -> None:
        store = f"sqlite:///{tmp_path / 'r.db'}"
        async with embed(project(), store=store, routes=routes) as runtime:
            run_id = await runtime.start("ask")
            while (await runtime.engine.find(run_id)).status != "waiting":  # noqa: ASYNC110  it commits on its own
                await asyncio.sleep(0)
        async with embed(project(), store=store, routes=routes) as runtime:
            await runtime.signals.send(run_id, "go", b"null")
            assert (await runtime.engine.ended(run_id)).output == b'["dear","cheap"]'

    asyncio.run(main())


def test_a_rule_sees_the_state_of_the_running_system() -> None:
    rule = Rule(name="ready", when='state.targets["house"]["dear"].ready', targets=("cheap",))
    routes = [Route(name="house", targets=(DEAR, CHEAP), rules=(rule,))]

    async def main() -> None:
        async with embed(project(), routes=routes) as runtime:
            assert (await runtime.dispatch("house", Call(body=b"{}"), Caller())).body == b'"cheap"'

    asyncio.run(main())


def test_lowest_cost_goes_by_the_table_of_prices_in_force() -> None:
    targets = tuple(Target(name=one.name, kind="python", model=one.name) for one in (DEAR, CHEAP))
    route = Route(name="house", targets=targets, policy="lowest-cost")

    async def main() -> None:
        prices = Prices(models={"dear": Price(input=2), "cheap": Price(input=1, output=0.5)})
        async with embed(project(), routes=[route], prices=prices) as runtime:
            call = Call(body=b"{}")
            assert (await runtime.dispatch("house", call, Caller())).record.target == "cheap"
            runtime.ledger.prices = Prices(models={"dear": Price(input=1), "cheap": Price(input=2)})
            assert (await runtime.dispatch("house", call, Caller())).record.target == "dear"

    asyncio.run(main())
