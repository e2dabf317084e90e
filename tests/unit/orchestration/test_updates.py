"""Updates: checked before the run hears of them, handled in order, answered once and for all."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workflow_router import InvalidInput, Router, UpdateRejected, WaitExpired, embed
from workflow_router.core.errors import Conflict, NotFound
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json


@dataclass
class Item:
    name: str
    count: int = 1


@dataclass
class Cart:
    items: list[Item] = field(default_factory=list[Item])
    paid: bool = False


def shop(calls: list[str], *, hold: asyncio.Event | None = None) -> Router:
    router = Router()

    @router.step
    async def reserve(name: str) -> str:
        calls.append(name)
        return f"reserved {name}"

    @router.on_update()
    async def add(cart: Cart, item: Item) -> str:
        if item.count > 9:
            raise ValueError("too many")
        told = await reserve(item.name)
        cart.items.append(item)
        return f"{told}, {len(cart.items)} in all"

    @router.on_update(name="pay")
    def settle(cart: Cart) -> int:
        cart.paid = True
        return sum(item.count for item in cart.items)

    @router.on_update()
    def wrong(cart: Cart) -> int:
        return "no number"  # pyright: ignore[reportReturnType]  what is tested

    @router.workflow
    async def buy() -> list[Item]:
        cart = Cart()
        while not cart.paid:
            await router.handle(add, settle, wrong, to=cart)
        if hold is not None:
            await hold.wait()
        return cart.items

    @router.workflow
    async def idle(within: str) -> str:
        try:
            return await router.handle(add, to=Cart(), within=within)
        except WaitExpired:
            return "nobody asked"

    assert buy and idle
    return router


async def kinds(runtime: Runtime) -> list[str]:
    return [entry.transition.kind for entry in await runtime.store.read(lambda tx: tx.audit.entries(after=0, limit=99))]


def test_updates_change_the_state_of_the_run_in_order_and_are_answered() -> None:
    calls: list[str] = []
    router = shop(calls)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("buy")
            first = asyncio.create_task(router.update(run_id, "add", {"name": "tea"}))
            await asyncio.sleep(1)
            assert await router.update(run_id, "add", Item("milk", 2)) == "reserved milk, 2 in all"
            assert await first == "reserved tea, 1 in all"
            with pytest.raises(UpdateRejected, match="too many") as refused:
                await router.update(run_id, "add", Item("salt", 10))
            assert refused.value.error_type == "ValueError"
            with pytest.raises(UpdateRejected, match="Expected `int`"):
                await router.update(run_id, "wrong")
            assert await router.update(run_id, "pay") == 3
            ended = await runtime.engine.ended(run_id)
            assert from_json(ended.output or b"") == [{"name": "tea"}, {"name": "milk", "count": 2}]

    run_virtually(main())


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    router = shop([])

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("buy")
            before = await kinds(runtime)
            with pytest.raises(InvalidInput, match=r"\$\.count"):
                await router.update(run_id, "add", {"name": "tea", "count": "many"})
            with pytest.raises(InvalidInput, match="pay"):
                await router.update(run_id, "pay", 5)
            with pytest.raises(NotFound, match="known are: add, pay, wrong"):
                await router.update(run_id, "else")
            with pytest.raises(NotFound, match="no run"):
                await router.update("nobody", "pay")
            assert await kinds(runtime) == before
            waiting = await runtime.store.read(lambda tx: tx.signals.waiting(run_id, "+update", limit=9))
            assert waiting == []

    run_virtually(main())


def test_one_id_is_one_update_also_after_the_run_has_ended() -> None:
    calls: list[str] = []
    router = shop(calls)

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("buy")
            asked = [router.update(run_id, "add", Item("tea"), update_id="u1") for _ in range(3)]
            assert set(await asyncio.gather(*asked)) == {"reserved tea, 1 in all"}
            assert await router.update(run_id, "pay", update_id="u1") == 1  # an id is of one run and update
            await runtime.engine.ended(run_id)
            assert await router.update(run_id, "add", Item("tea"), update_id="u1") == "reserved tea, 1 in all"
            assert calls == ["tea"]
            with pytest.raises(Conflict, match="ended"):
                await router.update(run_id, "add", Item("late"))

    run_virtually(main())


def test_the_caller_has_a_deadline_and_the_run_another() -> None:
    router = shop([])

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("idle", "1h")
            with pytest.raises(WaitExpired, match="ask again with the id u1") as expired:
                await router.update(run_id, "pay", update_id="u1", within="5m")
            assert isinstance(expired.value, TimeoutError)
            later = asyncio.create_task(router.update(run_id, "pay", update_id="u1", within="2h"))
            assert (await runtime.engine.ended(run_id)).output == b'"nobody asked"'
            with pytest.raises(Conflict, match="without an answer"):
                await later
            with pytest.raises(InvalidInput, match="inside a run"):
                await router.handle(to=None)

    run_virtually(main())


def test_the_answer_after_a_crash_is_the_one_that_was_journalled(tmp_path: Path) -> None:
    calls: list[str] = []
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def main() -> None:
        hold = asyncio.Event()
        first = shop(calls, hold=hold)
        async with embed(first, store=url):
            run_id = await first.start("buy")
            assert await first.update(run_id, "add", Item("tea"), update_id="u1") == "reserved tea, 1 in all"
        second = shop(calls)
        async with embed(second, store=url) as runtime:
            assert await second.update(run_id, "add", Item("tea"), update_id="u1") == "reserved tea, 1 in all"
            assert await second.update(run_id, "add", Item("milk")) == "reserved milk, 2 in all"
            assert await second.update(run_id, "pay") == 2
            assert len(from_json((await runtime.engine.ended(run_id)).output or b"")) == 2  # pyright: ignore[reportArgumentType]  a list
        assert calls == ["tea", "milk"]

    asyncio.run(main())


def test_declarations_that_make_no_sense_are_refused() -> None:
    router = shop([])

    def three(state: Cart, value: int, more: int) -> None:
        raise AssertionError

    def pay(state: Cart) -> None:
        raise AssertionError

    for function, sentence in ((three, "takes 3 parameters"), (pay, "Two updates")):
        with pytest.raises(InvalidInput, match=sentence):
            router.on_update()(function)
