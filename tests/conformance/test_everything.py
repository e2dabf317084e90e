"""One workflow of most that runs can do, over a restart, on each database: what the engine's own tests hold on one."""

import asyncio
from dataclasses import dataclass

from tests.conformance.conftest import Backend
from workflow_router import Event, Retry, Router, StepFailed, embed
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.utils.codec import from_json


@dataclass
class Cart:
    items: int = 0


CAME_TO = ["fast", "flaky", ["a", "b", "c"], "right of left x", "compensated", 3, ["packed", "paid"], None, "key"]


class Shop:
    """A router, and what its steps did outside."""

    def __init__(self) -> None:
        self.router = router = Router()
        self.undone: list[str] = []
        self.calls: list[str] = []

        @router.step(retry=Retry(attempts=2, first_s=0.001))
        async def work(name: str, last_s: float = 0.0) -> str:
            await asyncio.sleep(last_s)
            self.calls.append(name)
            if (name == "flaky" and self.calls.count(name) == 1) or name == "broken":
                raise ValueError(name)
            return name

        @router.step
        async def undo(name: str) -> None:
            self.undone.append(name)

        @router.step
        async def left(item: str) -> str:
            return f"left {item}"

        @router.step(depends_on=["left"])
        async def right(left: str) -> str:
            return f"right of {left}"

        @router.step
        async def write(number: int) -> int:
            stream = router.stream("tokens")
            for chunk in range(number):
                await stream.write(chunk)
            return number

        self.work, self.undo, self.write = work, undo, write
        self.plan = router.graph("plan", left, right)
        self.everything = self._declare()

    def _declare(self) -> Workflow[..., list[object]]:
        router, work, undo, write = self.router, self.work, self.undo, self.write

        @router.on_update()
        async def add(cart: Cart, item: int) -> int:
            if item < 0:
                raise ValueError("no such item")
            cart.items += item
            await router.publish_state({"items": cart.items})
            return cart.items

        @router.workflow
        async def everything(before: list[object] | None) -> list[object]:
            if before is not None:
                await router.correlate("key")
                return [*before, await router.receive("paid", within="1h")]
            mine = {"data": {"order": ["o"]}}
            await router.expect("news", {one: {"type": [one], **mine} for one in ("paid", "packed")})
            racers = [asyncio.ensure_future(work("slow", 0.2)), asyncio.ensure_future(work("fast", 0.01))]
            done, others = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
            came_first = done.pop().result()
            await asyncio.gather(*others)
            seen: list[object] = [
                came_first,
                await work("flaky"),
                await router.map(work, ["a", "b", "c"], concurrency=2),
            ]
            seen.append(await router.run(self.plan, "x"))
            try:
                async with router.saga() as saga:
                    saga.compensate(undo, "one")
                    saga.compensate(undo, "two")
                    await work("broken")
            except StepFailed:
                seen.append("compensated")
            seen.append(await write(3))
            cart = Cart()
            while cart.items < 3:
                await router.handle(add, to=cart)
            seen.append(sorted(await router.wait_for_all("news", within="1h")))
            seen.append(await router.wait_for_absence({"type": ["never"]}, within=0.05))
            raise router.continue_as_new(seen)

        paid = {"workflow": "everything", "name": "paid", "key": "${ event.data.key }", "value": "${ event.data.key }"}
        router.on({"type": ["settled"]}, signal=paid)
        return everything


def test_a_run_of_everything_comes_to_the_same_over_restarts(lasting_backend: Backend) -> None:
    async def main() -> None:
        shop = Shop()
        async with embed(shop.router, store=lasting_backend.url), asyncio.timeout(60):
            run_id = await shop.router.start(shop.everything)
            async for item in shop.router.read_stream(run_id, "tokens", after=2):
                assert (item.number, item.value) == (3, 2)
                break
            assert await shop.router.update(run_id, "add", 1, update_id="u") == 1
        calls = list(shop.calls)
        async with embed(shop.router, store=lasting_backend.url) as runtime, asyncio.timeout(60):
            assert await shop.router.update(run_id, "add", 1, update_id="u") == 1  # the same answer
            await runtime.accept(Event(id="1", source="/shop", type="packed", data=b'{"order": "o"}'))
            assert await shop.router.update(run_id, "add", 2) == 3
            await runtime.accept(Event(id="2", source="/shop", type="paid", data=b'{"order": "o"}'))
            await runtime.accept(Event(id="3", source="/shop", type="settled", data=b'{"key": "key"}'))
            last = await runtime.engine.ended(run_id)
            assert last.id != run_id
            assert from_json(last.output or b"") == CAME_TO
            assert await shop.router.state_of(last.id) == {"items": 3}
        assert shop.calls == calls  # nothing was done again
        assert shop.undone == ["two", "one"]

    asyncio.run(main())
