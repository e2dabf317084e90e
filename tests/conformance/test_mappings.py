"""The verbs of living mappings, and how they live in one process and in two."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.conftest import Backend
from workflow_router import Event, Router
from workflow_router.app import run
from workflow_router.core.errors import Conflict, InvalidInput, NotFound
from workflow_router.core.event_mappings.decision import decode_decision, in_share
from workflow_router.core.event_mappings.living import LivingMappings
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.match import Matcher
from workflow_router.core.event_mappings.ports import NewVersion
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore
from workflow_router.settings.model import RouterFile, Topic
from workflow_router.settings.rules import rule_compiler
from workflow_router.utils.codec import to_canonical_json

TOPICS = ["one", "two", "three"]


def rule(kind: str = "a", topic: str = "one", **more: object) -> dict[str, object]:
    return {"on": {"type": [kind]}, "publish": {"topic": topic}, **more}


def event(number: int, kind: str = "a", **more: Any) -> Event:
    return Event(id=str(number), source="/s", type=kind, data=b'{"n": %d}' % number, **more)


async def matched(runtime: Runtime, number: int, kind: str = "a", **more: Any) -> list[str]:
    return (await runtime.accept(event(number, kind, **more))).matched


def test_a_mapping_lives(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            living = runtime.mappings
            assert await matched(runtime, 1) == []
            assert (await living.put("m", rule(), author="ann")).version == 1
            assert await matched(runtime, 2) == ["m@1"]
            await living.put("m", rule("b", "two"), author="bob", expected=1)
            assert (await matched(runtime, 3), await matched(runtime, 4, "b")) == ([], ["m@2"])
            await living.set_disabled("m", disabled=True, author="ann")
            assert await matched(runtime, 5, "b") == []
            await living.set_disabled("m", disabled=False, author="ann")
            assert await matched(runtime, 6, "b") == ["m@4"]
            await living.roll_back("m", 1, author="ann")
            assert await matched(runtime, 7) == ["m@5"]
            await living.delete("m", author="ann")
            assert await matched(runtime, 8) == []
            history = await living.history("m")
            assert [(one.version, one.author, one.stage) for one in history] == [
                (1, "ann", "live"),
                (2, "bob", "live"),
                (3, "ann", "disabled"),
                (4, "ann", "live"),
                (5, "ann", "live"),
                (6, "ann", "deleted"),
            ]
            entries = await store.read(lambda tx: tx.audit.entries(after=0, limit=100))
            changes = [one.transition for one in entries if one.transition.kind == "mapping.changed"]
            assert [(one.actor, one.detail["version"]) for one in changes] == [
                (one.author, one.version) for one in history
            ]
            assert changes[4].detail["reason"] == "rolled back to 1"

    backend.run(scenario)


def test_what_cannot_be_changed_says_why(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            living = runtime.mappings
            with pytest.raises(InvalidInput, match="no topic"):
                await living.put("m", rule(topic="nowhere"), author="ann")
            with pytest.raises(InvalidInput, match="cannot be used"):
                await living.put("m", {"on": {"type": "text"}, "start": "none"}, author="ann")
            with pytest.raises(NotFound):
                await living.delete("m", author="ann")
            await living.put("m", rule(), author="ann", expected=0)
            with pytest.raises(Conflict, match="meanwhile"):
                await living.put("m", rule(), author="ann", expected=0)
            with pytest.raises(NotFound):
                await living.roll_back("m", 9, author="ann")
            assert len(await living.history("m")) == 1

    backend.run(scenario)


def test_a_new_version_is_tried_beside_the_live_one(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            living = runtime.mappings
            await living.put("m", rule(), author="ann")
            await living.put("m", rule(topic="two", stage="shadow"), author="ann")
            accepted = await runtime.accept(event(1))
            assert accepted.matched == ["m@1"]
            stored = await store.read(lambda tx: tx.events.find(accepted.id, tenant="default"))
            assert stored is not None
            assert decode_decision(stored.decision).shadow == ["m@2"]
            await living.set_stage("m", "canary", author="ann", share=30)
            seen = {number: await matched(runtime, 100 + number, subject=f"s{number % 20}") for number in range(80)}
            for number, labels in seen.items():
                assert labels == (["m@3"] if in_share("m", f"s{number % 20}", 30) else ["m@1"])
            assert {label for labels in seen.values() for label in labels} == {"m@1", "m@3"}
            await living.put(
                "m", rule(topic="two", stage="canary", share=30, share_key="k${ event.data.n }"), author="a"
            )
            for number in range(80):  # now the key says it, whatever the subject is
                labels = await matched(runtime, 200 + number, subject="s1")
                assert labels == (["m@4"] if in_share("m", f"k{200 + number}", 30) else ["m@1"])
            await living.set_stage("m", "live", author="ann")
            assert await matched(runtime, 2) == ["m@5"]
            counts = await store.read(lambda tx: tx.topics.counts())
            assert counts["one"]["published"] + counts["two"]["published"] == 162

    backend.run(scenario)


def declaring() -> Router:
    router = Router("shop")
    router.on({"type": ["a"]}, publish={"topic": "one"}, name="m")
    return router


def test_the_project_goes_first_unless_overridden(lasting_backend: Backend) -> None:
    async def first(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(topic="three"), author="ann")
            assert await matched(runtime, 1) == ["m@1"]

    async def second(store: SqlStore) -> None:
        async with run([declaring()], store=store, topics=TOPICS) as runtime:
            living = runtime.mappings
            assert await matched(runtime, 2) == ["m@2"]  # the project's
            with pytest.raises(Conflict, match="project declares"):
                await living.put("m", rule(topic="two"), author="ann")
            with pytest.raises(Conflict, match="project declares"):
                await living.set_disabled("m", disabled=True, author="ann")
            await living.set_disabled("m", disabled=True, author="ann", override=True)
            assert await matched(runtime, 3) == []
            await living.put("m", rule(topic="two"), author="ann", override=True)
            assert await matched(runtime, 4) == ["m@4"]

    async def third(store: SqlStore) -> None:
        async with run([declaring()], store=store, topics=TOPICS) as runtime:
            assert await matched(runtime, 5) == ["m@4"]  # it is still overridden, and the project's is not learnt anew
            await runtime.mappings.delete("m", author="ann")
            assert await matched(runtime, 6) == ["m@2"]

    for scenario in (first, second, third):
        lasting_backend.run(scenario)


def test_a_name_changed_over_and_over_is_compiled_once_at_the_start(lasting_backend: Backend) -> None:
    """Else a start would take as long as all changes ever made; there are more of them here than of a page."""
    names, rounds = 30, 40

    async def fill(store: SqlStore) -> None:
        async def change(tx: Transaction) -> None:
            for at in range(names * rounds):
                specification = to_canonical_json(rule(f"kind {at}"))
                name = f"m{at % names}"
                await tx.mappings.change(
                    NewVersion(
                        name=name, specification=specification, author="ann", origin="api", stage="live", reason=""
                    )
                )

        await store.commit(change)

    async def again(store: SqlStore) -> None:
        compiled: list[str] = []

        make = rule_compiler(RouterFile(name="many", topics={"one": Topic()}), [])

        def compile_rule(name: str, given: Mapping[str, object]) -> EventMapping:
            compiled.append(name)
            return make(name, given)

        matcher = Matcher()
        living = LivingMappings(store, matcher, compile_rule)
        await living.refresh()
        assert sorted(compiled) == sorted(f"m{at}" for at in range(names))
        assert living.change == names * rounds
        last = names * rounds - 1
        assert matcher.candidates(event(1, f"kind {last}")) == [f"m{names - 1}@{rounds}"]
        assert matcher.candidates(event(1, "kind 0")) == []

    lasting_backend.run(fill)
    lasting_backend.run(again)


def test_no_event_is_lost_while_mappings_change(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            await runtime.mappings.put("m", rule(), author="ann")
            changing = True

            async def change() -> None:
                number = 0
                while changing:
                    number += 1
                    await runtime.mappings.put("m", rule(topic=TOPICS[number % 3]), author="ann")

            task = asyncio.create_task(change())
            labels: list[str] = []
            for start in range(0, 200, 20):
                several = await asyncio.gather(*(matched(runtime, start + number) for number in range(20)))
                labels += [label for one in several for label in one]
            changing = False
            await task
            assert len(labels) == 200  # each one matched exactly one version
            assert len(set(labels)) > 3
            counts = await store.read(lambda tx: tx.topics.counts())
            assert sum(one["published"] for one in counts.values()) == 200

    backend.run(scenario)


def test_another_process_takes_changes_up_in_the_same_order(postgres_backend: Backend) -> None:
    async def main() -> None:
        stores = [await open_store(postgres_backend.url, clock=postgres_backend.clock, owner=name) for name in "ab"]
        try:
            async with (
                run([], store=stores[0], topics=TOPICS) as first,
                run([], store=stores[1], topics=TOPICS) as second,
            ):
                chance = random.Random(7)
                for number in range(12):
                    living = chance.choice([first, second]).mappings
                    await living.put(f"m{chance.randrange(4)}", rule(topic=TOPICS[number % 3]), author="ann")
                async with asyncio.timeout(5):
                    while {first.mappings.change, second.mappings.change} != {12}:  # noqa: ASYNC110  the poll is the subject
                        await asyncio.sleep(0.02)
                assert [one.label for one in first.ingest.mappings] == [one.label for one in second.ingest.mappings]
                assert await matched(first, 1) == await matched(second, 2)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(main())


def test_old_events_are_forgotten_in_batches(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            for number in range(5):
                await runtime.accept(event(number))
            found = await store.read(lambda tx: tx.events.latest(tenant="default", limit=10))
            before = found[1].id
            assert [await store.commit(lambda tx: tx.events.prune(before, limit=2)) for _ in range(3)] == [2, 1, 0]

            async def left(tx: Transaction) -> list[str]:
                return [one.id for one in await tx.events.between(tenant="default", after="", before="~", limit=10)]

            assert await store.read(left) == [found[1].id, found[0].id]
            assert await store.read(lambda tx: tx.events.count_between(tenant="default", after=before, before="~")) == 1

    backend.run(scenario)


def test_a_condition_sees_the_state_and_what_it_saw_is_recorded(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        async with run([], store=store, topics=TOPICS) as runtime:
            living = runtime.mappings
            await living.put("plain", rule(), author="ann")
            busy = rule(topic="two", when='"plain" in state.mappings && state.mappings.plain.matched >= 2')
            await living.put("busy", busy, author="ann")
            labels = [await matched(runtime, number) for number in range(3)]
            assert labels == [["plain@1"], ["plain@1"], ["plain@1", "busy@1"]]
            (last, *_) = await store.read(lambda tx: tx.events.latest(tenant="default", limit=1))
            assert decode_decision(last.decision).state == {"mappings": {"plain": {"matched": 2, "failed": 0}}}
            assert (await runtime.explainer.explain(last.id, tenant="default")).matched == ["plain@1", "busy@1"]
            await runtime.state.sample()
            await living.put(
                "full", rule("b", when="state.queues.two.published == 1 && state.backlog == 0"), author="ann"
            )
            assert await matched(runtime, 9, "b") == ["full@1"]

    backend.run(scenario)
