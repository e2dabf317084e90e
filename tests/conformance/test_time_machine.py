"""Going back in time: a new run takes over the history of another up to a step, and two runs can be compared."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Router, embed
from workflow_router.core.errors import Conflict, InvalidInput


def test_a_run_is_retried_from_its_failed_step_forked_and_compared(lasting_backend: Backend) -> None:
    router = Router()
    calls: list[str] = []
    broken = [True]

    @router.step
    async def price(item: str) -> int:
        calls.append(f"price {item}")
        return 3

    @router.step
    async def charge(amount: int) -> int:
        calls.append(f"charge {amount}")
        if broken[0]:
            raise ValueError("no connection")
        return amount

    @router.workflow
    async def buy(item: str) -> int:
        return await charge(await price(item))

    async def main() -> None:
        async with embed(router, store=lasting_backend.url) as runtime:
            machine, engine = runtime.time_machine, runtime.engine
            first = await engine.ended(await router.start(buy, "vase"))
            assert first.status == "faulted"
            broken[0] = False
            retried = await engine.ended(await machine.retry(first.id))
            assert (retried.status, retried.output) == ("completed", b"3")
            assert calls == ["price vase", "charge 3", "charge 3"]
            assert await runtime.store.read(lambda tx: tx.keys.forked_from(retried.id)) == (first.id, "1")
            forked = await engine.ended(await machine.fork(retried.id, before="1", edits={"0": b"5"}))
            assert (forked.output, calls[-1]) == (b"5", "charge 5")
            again = await engine.ended(await machine.fork(retried.id, before="0", given=b'"piano"'))
            assert (again.input, calls[-2:]) == (b'"piano"', ["price piano", "charge 3"])
            found = await machine.diff(first.id, retried.id)
            assert [(one.key, one.what) for one in found] == [("0", "same"), ("1", "changed")]
            with pytest.raises(Conflict, match="not faulted"):
                await machine.retry(retried.id)
            with pytest.raises(InvalidInput, match="no step '9'"):
                await machine.fork(retried.id, before="9")

    asyncio.run(main())
