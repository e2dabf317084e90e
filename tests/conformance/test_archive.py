"""Explaining accepted events, running drafts over the archive, and replaying, on each back-end."""

from typing import Any

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Event, Router
from workflow_router.app import run
from workflow_router.core.errors import NotFound
from workflow_router.core.event_mappings.archive import Difference, Progress
from workflow_router.core.runtime import Runtime
from workflow_router.db.store import SqlStore

TOPICS = ["one", "two"]


def order(number: int, amount: int, kind: str = "order") -> Event:
    return Event(id=str(number), source="/shop", type=kind, data=b'{"amount": %d, "land": "de"}' % amount)


def rule(least: int, **more: object) -> dict[str, object]:
    data = {"amount": [{"numeric": [">=", least]}]}
    return {"on": {"type": ["order"], "data": data}, "publish": {"topic": "one"}, **more}


async def explained(runtime: Runtime, event_id: str) -> Any:
    return await runtime.explainer.explain(event_id, tenant="default")


def test_what_matched_and_what_came_near_is_told_with_the_reason(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            put = runtime.mappings.put
            await put("small", rule(1), author="ann")
            await put("large", rule(1000), author="ann")
            await put("abroad", rule(1, when='event.data.land != "de"'), author="ann")
            await put("broken", rule(1, when="event.data.nothing > 1"), author="ann")
            await put("other", {"on": {"type": ["refund"]}, "publish": {"topic": "one"}}, author="ann")
            await put("quiet", rule(1, stage="shadow"), author="ann")
            accepted = await runtime.accept(order(1, 50))
            found = await explained(runtime, accepted.id)
            assert (found.matched, found.shadow) == (["small@1"], ["quiet@1"])
            assert "nothing" in found.failed["broken"]
            near = {one.mapping: one for one in found.near}
            assert near.keys() == {"large@1", "abroad@1", "broken@1"}  # another type is not near
            (reason,) = near["large@1"].reasons
            assert (reason.path, reason.found) == ("data.amount", ["50"])
            assert near["abroad@1"].when is not None
            assert "land" in near["abroad@1"].when
            with pytest.raises(NotFound):
                await explained(runtime, "none")

    backend.run(scenario)


def test_an_event_is_explained_by_the_mappings_of_its_time(lasting_backend: Backend) -> None:
    ids: list[str] = []

    def shop(least: int) -> Router:
        router = Router("shop")
        router.on(
            {"type": ["order"], "data": {"amount": [{"numeric": [">", least]}]}}, publish={"topic": "two"}, name="p"
        )
        return router

    async def first(store: SqlStore) -> None:
        async with run([shop(60)], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(100), author="ann")
            ids.append((await runtime.accept(order(1, 50))).id)

    async def second(store: SqlStore) -> None:
        async with run([shop(10)], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(10), author="ann")
            await runtime.mappings.put("later", rule(100), author="ann")
            ids.append((await runtime.accept(order(2, 50))).id)
            old, new = [await explained(runtime, one) for one in ids]
            assert (old.matched, [one.mapping for one in old.near]) == ([], ["m@1", "p@1"])
            assert (new.matched, [one.mapping for one in new.near]) == (["p@2", "m@2"], ["later@1"])
            assert old.gone == {}

    lasting_backend.run(first)
    lasting_backend.run(second)


async def differences(runtime: Runtime, *rules: dict[str, object]) -> tuple[list[Progress], list[Difference]]:
    drafts = [runtime.mappings.compile_rule(str(one["name"]), one) for one in rules]
    steps = [step async for step in runtime.archive.backtest(drafts, since_ms=0)]
    assert steps[-1].differences is not None
    return steps, steps[-1].differences


def test_a_backtest_tells_gained_and_lost_and_does_nothing(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(10), author="ann")
            for number in range(230):
                await runtime.accept(order(number, number % 23))
            before = await store.read(lambda tx: tx.audit.head())
            steps, (changed, new) = await differences(
                runtime, {"name": "m", **rule(12)}, {"name": "n", **rule(0, when="event.data.missing == 1")}
            )
            assert [step.done for step in steps] == [200, 230]
            assert (changed.before, changed.after, changed.gained, changed.lost) == (130, 110, 0, 20)
            assert len(changed.lost_samples) == 5
            assert (new.before, new.after, new.failed) == (0, 0, 230)
            _, (wider,) = await differences(runtime, {"name": "m", **rule(9)})
            assert (wider.gained, wider.lost) == (10, 0)
            assert wider.gained_samples[0].effects[0]["publish"] == "one"
            assert await store.read(lambda tx: tx.audit.head()) == before

    backend.run(scenario)


def test_a_replay_has_effects_once_more_and_is_recorded(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(10), author="ann")
            await runtime.mappings.put("n", rule(10), author="ann")
            accepted = await runtime.accept(order(1, 50))
            with pytest.raises(NotFound):
                await runtime.archive.replay([accepted.id, "none"], actor="ann")
            (again,) = await runtime.archive.replay([accepted.id], actor="ann", only=["m"])
            assert (again.matched, again.duplicate) == (["m@1"], False)
            stored = await store.read(lambda tx: tx.events.find(again.id, tenant="default"))
            assert stored is not None
            assert stored.event.extensions == {"replayof": accepted.id}
            assert stored.event.data == order(1, 50).data
            assert (await explained(runtime, again.id)).replay == accepted.id
            entries = await store.read(lambda tx: tx.audit.of_correlation(again.id, limit=10))
            (told,) = [one.transition for one in entries if one.transition.kind == "event.replayed"]
            assert (told.subject, told.actor, told.cause) == (accepted.id, "ann", accepted.id)
            counts = await store.read(lambda tx: tx.topics.counts())
            assert counts["one"]["published"] == 3

    backend.run(scenario)


def test_what_is_older_than_the_retention_is_forgotten(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS, clock=backend.clock) as runtime:
            await runtime.accept(order(1, 1))
            backend.clock.ms += 31 * 86_400_000
            kept = await runtime.accept(order(2, 1))
            assert (await runtime.archive.prune(), await runtime.archive.prune()) == (1, 0)
            assert [one.id for one in await store.read(lambda tx: tx.events.latest(tenant="default", limit=9))] == [
                kept.id
            ]
            runtime.archive.retention_days = None
            backend.clock.ms += 31 * 86_400_000
            assert await runtime.archive.prune() == 0

    backend.run(scenario)
