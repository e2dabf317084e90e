"""Dispatches under limits: reserved with the intent, settled by what was used, refused or kept waiting where full."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.api_kit import served
from tests.fixtures.raw_server import Received, Script, Wire, always, answer, serving
from tests.unit.dispatch_route.kit import dead_url, target
from workflow_router.app import embed
from workflow_router.core.dispatch_route import ledger
from workflow_router.core.dispatch_route.entry import Entry
from workflow_router.core.dispatch_route.ledger import Ledger
from workflow_router.core.dispatch_route.model import Call, Caller, Route
from workflow_router.core.dispatch_route.prices import (
    INPUT_MAX_TOKENS,
    TOOLS_TOKENS,
    Price,
    Prices,
    PriceUnknown,
    estimate,
)
from workflow_router.core.dispatch_route.serving import Queue, Serving
from workflow_router.core.errors import DispatchFailed, LimitReached
from workflow_router.core.limits.model import NANO, Limit, Window
from workflow_router.core.ports import Transaction
from workflow_router.core.router import Router
from workflow_router.core.runtime import Runtime

HOUR = Window(kind="fixed", span_s=3600)
PRICES = Prices(version="test", models={"m": Price(input=1_000, output=2_000)})
CHAT = Call(path="/v1/chat/completions", body=b'{"model":"m","messages":[],"max_tokens":10}')
USED = b'{"usage":{"prompt_tokens":4,"completion_tokens":3}}'
JSON = [("Content-Type", "application/json")]


@asynccontextmanager
async def house(
    url: str, *limits: Limit, prices: Prices = PRICES, queue: Queue | None = None
) -> AsyncGenerator[Runtime, None]:
    one = Route(name="m", targets=(target("a", url, key=None),), serving=Serving(queue=queue or Queue(wait_s=0)))
    async with embed(Router("t"), routes=[one], limits=limits, prices=prices) as runtime:
        yield runtime


def limit(unit: Any, amount: int, **more: Any) -> Limit:
    return Limit(name=f"l-{unit}", unit=unit, amount=amount, window=more.pop("window", HOUR), **more)


async def used(runtime: Runtime, name: str = "l-") -> int:
    async def settled() -> bool:
        return not await runtime.store.read(lambda tx: tx.limits.held())

    async with asyncio.timeout(5):
        while not await settled():  # noqa: ASYNC110  outcomes are settled a moment later
            await asyncio.sleep(0.005)
    found = await runtime.store.read(lambda tx: tx.limits.usage(name, limit=9))
    return sum(sum(one.buckets.values()) for one in found)


def against(script: Script, use: Callable[[str], Any]) -> None:
    async def main() -> None:
        async with serving(script) as server:
            await use(server.url)

    asyncio.run(main())


def test_money_is_reserved_by_the_estimate_and_settled_by_the_usage() -> None:
    async def use(url: str) -> None:
        estimate = 43 * 1_000_000 + 10 * 2_000_000  # 43 bytes are 43 tokens at most; nanodollars
        async with house(url, limit("money", estimate), limit("tokens", 53)) as runtime:
            done = await runtime.dispatch("m", CHAT, Caller(key="k1", tenant="acme"))
            facts = json.loads(done.record.facts or b"{}")
            assert facts["reserved"] == {"l-money": estimate, "l-tokens": 53}
            assert (facts["cost"], facts["prices"]) == (4 * 1_000_000 + 3 * 2_000_000, "test")
            assert (facts["input_tokens"], facts["output_tokens"], facts["key"]) == (4, 3, "k1")
            assert await used(runtime, "l-money") == facts["cost"]
            assert await used(runtime, "l-tokens") == 7
            with pytest.raises(LimitReached, match="l-money") as caught:
                await runtime.dispatch("m", CHAT, Caller())
            assert 0 < (caught.value.retry_after_s or 0) <= 3600
            await runtime.recorder.close()
            ((refused, _),) = [
                (json.loads(one.facts or b"{}"), one)
                for one in await runtime.store.read(
                    lambda tx: tx.dispatches.latest(tenant="default", run=None, limit=9)
                )
            ]
            assert "l-money" in refused["refused"]

    against(always(answer(USED, headers=JSON)), use)


def test_what_was_never_sent_is_given_back_and_a_refusal_costs_a_request_only() -> None:
    async def dead() -> None:
        async with house(dead_url(), limit("requests", 9), limit("tokens", 99)) as runtime:
            with pytest.raises(DispatchFailed):
                await runtime.dispatch("m", CHAT, Caller())
            assert await used(runtime) == 0

    asyncio.run(dead())

    async def use(url: str) -> None:
        async with house(url, limit("requests", 9), limit("tokens", 99)) as runtime:
            assert (await runtime.dispatch("m", CHAT, Caller())).status == 400
            assert (await used(runtime, "l-requests"), await used(runtime, "l-tokens")) == (1, 0)

    against(always(answer(b"{}", status=400, headers=JSON)), use)


@pytest.mark.parametrize(("unknown", "cost"), [("refuse", None), ("zero", 0), ("default", 7 * 1_000_000)])
def test_a_model_without_a_price_follows_the_policy(unknown: Any, cost: int | None) -> None:
    async def use(url: str) -> None:
        prices = Prices(unknown=unknown, default=Price(input=1_000, output=1_000))
        async with house(url, limit("money", NANO), prices=prices) as runtime:
            if cost is None:
                with pytest.raises(PriceUnknown, match="no price"):
                    await runtime.dispatch("m", CHAT, Caller())
            else:
                await runtime.dispatch("m", CHAT, Caller())
            assert await used(runtime) == (cost or 0)

    against(always(answer(USED, headers=JSON)), use)


def test_a_call_waits_for_room_and_resumed_runs_go_first() -> None:
    async def use(url: str) -> None:
        queue = Queue(wait_s=5)
        async with house(url, limit("requests", 1, window=Window(kind="rolling", span_s=1)), queue=queue) as runtime:
            ended: list[str] = []

            async def ask(name: str, **more: Any) -> None:
                await runtime.dispatch("m", CHAT, Caller(caller=name, **more))
                ended.append(name)

            await ask("first")
            tasks = [asyncio.create_task(ask("new")), asyncio.create_task(ask("high", priority=9))]
            tasks.append(asyncio.create_task(ask("resumed", resumed=True)))
            with pytest.raises(LimitReached):
                await ask("hasty", wait_s=0.01)
            await asyncio.gather(*tasks)
            assert ended == ["first", "resumed", "high", "new"]

    against(always(answer(USED, headers=JSON)), use)


def test_outcomes_that_gather_hold_up_nobody_who_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "EVERY_S", 2.0)

    async def use(url: str) -> None:
        one = Route(name="m", targets=(target("a", url, key=None),))
        async with served(Router("t"), routes=[one], limits=[limit("requests", 9)], prices=PRICES) as door:
            for _ in range(2):
                async with asyncio.timeout(1.5):
                    answered = await door.call("POST", "/v1/chat/completions", {"model": "m", "messages": []})
                assert answered.status == 200

    against(always(answer(USED, headers=JSON)), use)


def test_a_full_queue_refuses_and_who_leaves_it_reserves_nothing() -> None:
    async def use(url: str) -> None:
        async with house(
            url, limit("requests", 1, window=Window(kind="fixed", span_s=5)), queue=Queue(wait_s=9, size=1)
        ) as runtime:
            await runtime.dispatch("m", CHAT, Caller())
            waiting = asyncio.create_task(runtime.dispatch("m", CHAT, Caller()))
            await asyncio.sleep(0.05)
            with pytest.raises(LimitReached, match="wait already"):
                await runtime.dispatch("m", CHAT, Caller())
            waiting.cancel()
            assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
            assert await used(runtime) == 1

    against(always(answer(USED, headers=JSON)), use)


def test_64_callers_with_random_cancels_never_overshoot_their_budget() -> None:
    async def use(url: str) -> None:
        async with house(url, limit("requests", 40), limit("tokens", 10_000, per="tenant")) as runtime:

            async def ask(number: int) -> str:
                task = asyncio.create_task(runtime.dispatch("m", CHAT, Caller(caller=f"c{number}")))
                if number % 3 == 0:
                    await asyncio.sleep(number / 5_000)
                    task.cancel()
                try:
                    await task
                except LimitReached:
                    return "refused"
                except asyncio.CancelledError:
                    return "cancelled"
                return "done"

            ends: Sequence[str] = await asyncio.gather(*(ask(number) for number in range(64)))
            requests = await used(runtime, "l-requests")
            assert ends.count("done") <= requests <= 40
            assert await runtime.store.read(lambda tx: tx.limits.held()) == 0

    against(always(answer(USED, headers=JSON)), use)


def test_an_estimate_bounds_what_a_call_may_use() -> None:
    text = json.dumps({"messages": [{"role": "user", "content": "\u00e9\U0001f600"}], "max_tokens": 7, "n": 3}).encode()
    chat = estimate(text, "/v1/chat/completions")
    assert (chat.input, chat.output) == (len(text), 21)
    with_tools = text.replace(b'"n"', b'"tools":[],"n"')
    assert estimate(with_tools, "/v1/chat/completions").input == len(with_tools) + TOOLS_TOKENS
    assert estimate(b"x" * (INPUT_MAX_TOKENS + 1), "/v1/embeddings").total == INPUT_MAX_TOKENS


def test_what_a_call_of_a_run_used_is_settled_in_the_commit_of_its_outcome() -> None:
    async def use(url: str) -> None:
        async with house(url, limit("tokens", 999)) as runtime:
            caller = Caller(run="r1", step_key="s")
            done = await runtime.call("m", CHAT, caller)
            assert await runtime.store.read(lambda tx: tx.limits.held()) == 1

            async def counted(tx: Transaction) -> tuple[int, int]:
                found = await tx.limits.usage("l-", limit=9)
                return sum(sum(one.buckets.values()) for one in found), await tx.limits.held()

            async def finish(tx: Transaction) -> tuple[int, int]:
                await runtime.ledger.finish(tx, done.record)
                return await counted(tx)

            assert await runtime.store.commit(finish) == (7, 0)
            left = await runtime.call("m", CHAT, caller)  # and its outcome is never committed
            await runtime.ledger.close()
            assert await runtime.store.read(counted) == (14, 0)
            assert await runtime.store.read(lambda tx: tx.dispatches.find(left.record.id)) is not None

    against(always(answer(USED, headers=JSON)), use)


def test_the_calls_of_a_run_that_was_under_way_go_before_those_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = Router("t")

    @router.workflow
    async def work() -> object:
        return await router.dispatch("m", {"messages": []})

    async def main() -> None:
        resumed: list[bool] = []
        entry = Ledger.entry

        def noting(self: Ledger, route: Route, call: Call, caller: Caller) -> Entry:
            resumed.append(caller.resumed)
            return entry(self, route, call, caller)

        monkeypatch.setattr(Ledger, "entry", noting)
        answering = asyncio.Event()

        async def upstream(received: Received, wire: Wire) -> bool:
            await answering.wait()
            await wire.send(answer(USED, headers=JSON))
            return True

        async with serving(upstream) as server:
            one = Route(name="m", targets=(target("a", server.url, key=None),))
            for number in (1, 2):
                async with embed(router, store=f"sqlite:///{tmp_path}/t.db", routes=[one]) as runtime:
                    if number == 1:
                        await runtime.start("work", b"null")
                    await server.arrived(number)
                    if number == 2:
                        answering.set()
            assert resumed == [False, True]

    asyncio.run(main())
