"""Runs are found by the attributes they set, each by its kind, newest first."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.attributes import attributes_of, condition_of
from workflow_router.core.orchestration.ports import RunFilter


def test_runs_are_found_by_what_they_set(lasting_backend: Backend) -> None:
    router = Router()

    @router.workflow
    async def buy(customer: int) -> None:
        await router.set_attributes(customer=0, name=f"it's {customer}", vip=customer == 2)
        await router.set_attributes(customer=customer % 2)

    async def main() -> None:
        async with embed(router, store=lasting_backend.url) as runtime:
            runs = [await router.start(buy, number) for number in range(3)]
            for run_id in runs:
                assert (await runtime.engine.ended(run_id)).status == "completed"

            async def found(where: str, wanted: RunFilter) -> list[str]:
                condition = condition_of(where)
                return [run.id for run in await runtime.store.read(lambda tx: tx.attributes.runs(condition, wanted))]

            assert await found("customer=0", RunFilter()) == [runs[2], runs[0]]
            assert await found("customer=0", RunFilter(limit=1)) == [runs[2]]
            assert await found("customer=0", RunFilter(before=runs[2])) == [runs[0]]
            assert await found("customer=0", RunFilter(workflow="sell")) == []
            assert await found('customer="0"', RunFilter()) == []
            assert await found("vip=true", RunFilter()) == [runs[2]]
            assert await found("vip=1", RunFilter()) == []
            assert await found("name=it's 1", RunFilter()) == [runs[1]]
            assert await found("name=' OR 1=1 --", RunFilter()) == []

    asyncio.run(main())


@pytest.mark.parametrize("given", [{}, {"a b": 1}, {"a": "x" * 501}, {"a": 2**60}, {"a": None}, {"a": [1]}])
def test_what_is_no_attribute_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        attributes_of(given)
