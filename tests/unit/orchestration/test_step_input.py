"""What a step was called with, which no store has."""

import asyncio
from dataclasses import dataclass

import pytest

from workflow_router import Router, embed
from workflow_router.core.errors import Conflict, NotFound
from workflow_router.core.orchestration.replay import arguments_of
from workflow_router.core.runtime import Runtime
from workflow_router.utils.codec import from_json


@dataclass
class Order:
    item: str
    cents: int


class Odd:
    """Has no JSON form."""


router = Router("shop")
calls: list[str] = []


@router.step
async def price(item: str, *, times: int = 1) -> int:
    calls.append(item)
    return len(item) * times


@router.step
def pack(order: Order, odd: object) -> str:
    calls.append(order.item)
    return f"{order.item} for {order.cents}"


@router.workflow
async def buy(item: str) -> str:
    one, two = await asyncio.gather(price(item), price(item + "s", times=2))
    await router.sleep(0.001)
    return await pack(Order(item, one + two), Odd())


@router.workflow
async def stuck(item: str) -> int:
    await router.receive("never")
    return await price(item)


async def _given(runtime: Runtime, run_id: str, key: str) -> dict[str, object]:
    run = await runtime.engine.find(run_id)
    history = await runtime.store.read(lambda tx: tx.runs.history(run_id))
    found = await arguments_of(runtime.workflows, run, history, key)
    return {name: from_json(text) for name, text in found.items()}


def test_the_code_says_again_what_a_step_was_called_with() -> None:
    async def main() -> None:
        async with embed(router) as runtime:
            run_id = await router.start(buy, "cup")
            assert await router.result(run_id) == "cup for 11"
            history = await runtime.store.read(lambda tx: tx.runs.history(run_id))
            keys = {(record.name, bytes(record.output or b"")): record.key for record in history}
            done = list(calls)
            assert await _given(runtime, run_id, keys["price", b"3"]) == {"item": "cup"}
            assert await _given(runtime, run_id, keys["price", b"8"]) == {"item": "cups", "times": 2}
            packed = keys["pack", b'"cup for 11"']
            assert await _given(runtime, run_id, packed) == {"order": {"item": "cup", "cents": 11}, "odd": "<Odd>"}
            assert calls == done, "looking at a run did something"

    asyncio.run(main())


def test_what_cannot_be_told_is_refused() -> None:
    async def main() -> None:
        async with embed(router) as runtime:
            run_id = await router.start(stuck, "cup")
            with pytest.raises(NotFound, match="has no step 1 with arguments"):
                await _given(runtime, run_id, "1")
            bought = await router.start(buy, "cup")
            await router.result(bought)
            run = await runtime.engine.find(bought)
            history = await runtime.store.read(lambda tx: tx.runs.history(bought))
            with pytest.raises(NotFound, match="is not here"):
                await arguments_of({}, run, history, "0")
            other = {"buy": {run.version: runtime.workflows["stuck"]["1"]}}
            with pytest.raises(Conflict, match="departs from run"):
                await arguments_of(other, run, history, history[-1].key)

    asyncio.run(main())
