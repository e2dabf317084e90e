"""Waits for events: kept since the moment of the interest, for the runs that want them, alone or with others."""

import asyncio
from pathlib import Path

import pytest

from workflow_router import Event, Router, WaitExpired, embed
from workflow_router.core.errors import InvalidInput, InvalidPattern
from workflow_router.core.runtime import Runtime
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json


def event(number: int, kind: str, order: int) -> Event:
    return Event(id=f"e{number}", source="/shop", type=kind, data=to_json({"order": order, "n": number}))


def of(kind: str, order: int) -> dict[str, object]:
    return {"type": [kind], "data": {"order": [order]}}


async def output(runtime: Runtime, run_id: str) -> object:
    run = await runtime.engine.ended(run_id)
    assert run.status == "completed", run.error
    return from_json(run.output or b"null")


def waiting() -> Router:
    router = Router()

    @router.workflow
    async def wait(kind: str, order: int) -> object:
        parts = {name: of(name, order) for name in ("paid", "packed")}
        if kind == "one":
            return (await router.wait_for(of("paid", order), within="3d"))["data"]["n"]
        if kind == "any":
            part, heard = await router.wait_for_any(parts)
            return [part, heard["data"]["n"]]
        if kind == "all":
            return {part: heard["data"]["n"] for part, heard in (await router.wait_for_all(parts)).items()}
        if kind == "sequence":
            return {part: heard["data"]["n"] for part, heard in (await router.wait_for_sequence(parts)).items()}
        if kind == "count":
            return [heard["data"]["n"] for heard in await router.wait_for_count(of("paid", order), 3)]
        if kind == "absence":
            return await router.wait_for_absence(of("paid", order), within="1d")
        await router.expect("early", parts)
        await router.sleep("1d")
        first, second = [await router.wait_for_any("early") for _ in range(2)]
        return [first[0], second[0]]

    assert wait
    return router


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("one", 3),
        ("any", ["packed", 2]),
        ("all", {"paid": 3, "packed": 2}),
        ("sequence", {"paid": 3, "packed": 4}),
        ("count", [3, 5, 6]),
        ("expect", ["packed", "paid"]),
    ],
)
def test_waits_get_what_came_since_in_order_and_only_what_is_theirs(
    kind: str, expected: object, restart: bool, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'router.db'}"
    kinds = ["packed", "paid", "packed", "paid", "paid"]

    async def main() -> None:
        router = waiting()
        async with embed(router, store=store, clock=VirtualClock()) as runtime:
            await runtime.accept(event(1, "paid", 7))  # before anybody was interested
            run_id, other = [await router.start("wait", {"kind": kind, "order": order}) for order in (7, 8)]
            await asyncio.sleep(3_600)
            for number, what in enumerate(kinds[:2], 2):
                await runtime.accept(event(number, what, 7))
                await runtime.accept(event(number, what, 7))  # the same once more
            if not restart:
                await finish(router, runtime, run_id, other)
        if restart:
            async with embed(router, store=store, clock=VirtualClock()) as runtime:
                await finish(router, runtime, run_id, other)

    async def finish(router: Router, runtime: Runtime, run_id: str, other: str) -> None:
        for number, what in enumerate(kinds[2:], 4):
            await runtime.accept(event(number, what, 7))
        assert await output(runtime, run_id) == expected
        await asyncio.sleep(60)
        assert (await runtime.engine.find(other)).status == "waiting"
        assert router.name

    run_virtually(main())


def test_absence_and_expiry() -> None:
    router = waiting()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            silent, loud, late = [
                await router.start("wait", {"kind": kind, "order": order})
                for kind, order in (("absence", 1), ("absence", 2), ("one", 3))
            ]
            await asyncio.sleep(3_600)
            await runtime.accept(event(1, "paid", 2))
            assert await output(runtime, silent) is None
            heard = await output(runtime, loud)
            assert isinstance(heard, dict)
            assert heard["type"] == "paid"
            run = await runtime.engine.ended(late)
            assert (run.status, b"wait-expired" in (run.error or b"")) == ("faulted", True)
            assert not runtime.interests.listening
            assert await runtime.store.read(lambda tx: tx.interests.since(0)) == []

    run_virtually(main())
    assert issubclass(WaitExpired, TimeoutError)


def test_an_event_for_a_run_that_has_ended_is_dropped() -> None:
    router = waiting()

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start("wait", {"kind": "one", "order": 1})
            await asyncio.sleep(60)
            await runtime.engine.cancel(run_id)
            assert not (await runtime.accept(event(1, "paid", 1))).duplicate
            assert not runtime.interests.listening

    run_virtually(main())


def test_patterns_and_names_that_are_wrong_are_refused() -> None:
    router = Router()

    @router.workflow
    async def wrong(kind: str) -> None:
        if kind == "name":
            await router.wait_for_any("nobody said so")
        await router.wait_for({"type": "not a list"})

    async def main() -> None:
        with pytest.raises(InvalidInput, match="only inside a run"):
            await router.wait_for({"type": ["x"]})
        async with embed(router, clock=VirtualClock()) as runtime:
            for kind, problem in (("name", InvalidInput.type), ("pattern", InvalidPattern.type)):
                run = await runtime.engine.ended(await router.start(wrong, kind))
                assert problem.encode() in (run.error or b"")

    run_virtually(main())


def test_an_event_taken_in_by_another_process_is_heard(postgres_dsn: str) -> None:
    async def main() -> None:
        near, far = waiting(), waiting()
        async with embed(near, store=postgres_dsn) as owner, embed(far, store=postgres_dsn) as door:
            run_ids = [await near.start("wait", {"kind": "one", "order": order}) for order in range(5)]
            while len(await owner.store.read(lambda tx: tx.interests.since(0))) < 5:  # noqa: ASYNC110  real time
                await asyncio.sleep(0.02)
            for order in range(5):
                await door.accept(event(order, "paid", order))
            assert [await output(owner, run_id) for run_id in run_ids] == list(range(5))

    asyncio.run(main())


def test_published_state_is_seen_from_outside_also_after_the_end() -> None:
    router = Router()

    @router.workflow
    async def progress() -> None:
        await router.publish_state({"at": 1})
        await router.receive("go")
        await router.publish_state({"at": 2})

    async def main() -> None:
        async with embed(router, clock=VirtualClock()) as runtime:
            run_id = await router.start(progress)
            await asyncio.sleep(60)
            assert await router.state_of(run_id) == {"at": 1}
            await router.signal(run_id, "go")
            await runtime.engine.ended(run_id)
            assert await router.state_of(run_id) == {"at": 2}

    run_virtually(main())
