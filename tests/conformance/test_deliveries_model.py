"""Deliveries against a model: walks through publishing, leasing, answering, redriving, waiting; on both databases."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conformance.support import SUBSCRIPTION, HandClock, message
from tests.fixtures.postgres import PostgresServer
from workflow_router.core.message_broker.ports import OFFSET_BITS
from workflow_router.core.message_broker.tokens import leased
from workflow_router.core.model import Delivery
from workflow_router.core.ports import Transaction
from workflow_router.db.open import open_store
from workflow_router.db.repositories.messages import CHECK_MS

T = TypeVar("T")
NAME, MAX, LEASE_MS = SUBSCRIPTION.name, SUBSCRIPTION.max_deliveries, SUBSCRIPTION.lease_ms


@dataclass
class Known:
    """What the model knows of one delivery. `due_ms` of a leased one is the end of its lease."""

    number: int
    key: str | None
    due_ms: int
    status: Literal["ready", "leased", "acked", "dead"] = "ready"
    attempt: int = 0
    token: str = ""
    taken: bool = False
    stale: list[str] = field(default_factory=list[str])

    @property
    def open(self) -> bool:
        return self.status in {"ready", "leased"}

    @property
    def answerable(self) -> bool:
        """Whether its token still counts: also after its lease ran out, until somebody else has it."""
        return self.open and self.token != ""


class Deliveries(RuleBasedStateMachine):
    """The store must always agree with the list of what was published, in that order."""

    def __init__(self, url: str = "sqlite://") -> None:
        super().__init__()
        self.url = url
        self.clock = HandClock()
        self.known: list[Known] = []
        self.tokens = 0
        self.checked_ms = 0
        self.runner = asyncio.Runner()

    @initialize()
    def open(self) -> None:
        opened = open_store(self.url, clock=self.clock, owner="first", commit_in_thread=False)
        self.store = self.runner.run(opened)
        self.commit(lambda tx: tx.topics.declare([], [SUBSCRIPTION]))

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    def commit(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        async def committed() -> T:
            return await self.store.commit(unit)

        return self.runner.run(committed())

    def keyed(self, key: str | None) -> str | None:
        """The key that the store is told."""
        return key

    @rule(key=st.sampled_from([None, "a", "b"]), delay_ms=st.sampled_from([0, 0, 500]))
    def publish(self, key: str | None, delay_ms: int) -> None:
        number = len(self.known)
        self.commit(lambda tx: tx.messages.publish(message(number, key=self.keyed(key), delay_ms=delay_ms)))
        self.known.append(Known(number, key, self.clock.ms + delay_ms))

    @rule(limit=st.integers(1, 4))
    def lease(self, limit: int) -> None:
        now = self.clock.ms
        if all(one.taken for one in self.known) or now - self.checked_ms >= CHECK_MS:
            self.checked_ms = now
            for one in self.known:
                if one.status == "leased" and one.due_ms <= now:
                    one.status = "dead" if one.attempt >= MAX else "ready"
        expected: list[Known] = []
        for one in sorted(self.known, key=lambda one: (one.due_ms, one.number)):
            blocked = one.key is not None and any(
                other.open and other.taken and other.key == one.key for other in self.known[: one.number]
            )
            if one.taken and one.status == "ready" and one.due_ms <= now and not blocked and len(expected) < limit:
                expected.append(one)
        for one in self.known:  # what nobody has taken yet, in order, as far as there is room
            if one.taken or len(expected) == limit:
                continue
            busy = one.key is not None and any(
                other.open and other.taken and other.key == one.key for other in self.known[: one.number]
            )
            one.taken = True
            if one.due_ms <= now and not busy:
                expected.append(one)
            elif one.due_ms <= now:
                one.due_ms = now
        self.tokens += 1
        token = f"token-{self.tokens}"
        taken = self.commit(lambda tx: tx.messages.lease(SUBSCRIPTION, limit=limit, token=token))
        for one in expected:
            one.stale.append(one.token)
            one.status, one.attempt, one.due_ms = "leased", one.attempt + 1, now + LEASE_MS
            one.token = f"{token}.{self.position(one):x}"
        assert [self._seen(delivery) for delivery in taken] == [
            (one.number, one.key, one.attempt, one.token) for one in expected
        ]

    @staticmethod
    def _seen(delivery: Delivery) -> tuple[int, str | None, int, str]:
        return int(delivery.message_id[1:]), delivery.key, delivery.attempt, delivery.token

    @staticmethod
    def position(one: Known) -> int:
        return (1 << OFFSET_BITS) + 1 + one.number

    def _delivery(self, one: Known, token: str | None = None) -> Delivery:
        return msgspec.structs.replace(
            leased(NAME, f"m{one.number:04}", (one.token if token is None else token) or "none.0"),
            position=self.position(one),
        )

    def _leased(self, which: int) -> Known | None:
        leased = [one for one in self.known if one.answerable]
        return leased[which % len(leased)] if leased else None

    @rule(which=st.integers(0, 9))
    def acknowledge(self, which: int) -> None:
        one = self._leased(which)
        if one is not None:
            assert self.commit(lambda tx: tx.messages.acknowledge(NAME, [self._delivery(one)]))
            one.status = "acked"

    @rule(which=st.integers(0, 9), wait_ms=st.sampled_from([0, 300]))
    def give_back(self, which: int, wait_ms: int) -> None:
        one = self._leased(which)
        if one is not None:
            due_ms = self.clock.ms + wait_ms
            assert self.commit(
                lambda tx: tx.messages.return_later(SUBSCRIPTION, self._delivery(one), due_ms=due_ms, error="no")
            )
            one.status, one.due_ms = ("dead" if one.attempt >= MAX else "ready"), due_ms
            one.stale.append(one.token)
            one.token = ""

    @rule(which=st.integers(0, 9))
    def answer_too_late(self, which: int) -> None:
        """Tokens of leases that are over: superseded, answered, or of a dead letter; not those that only ran out."""
        stale = [(one, token) for one in self.known for token in one.stale]
        stale += [(one, one.token) for one in self.known if not one.answerable]
        if stale:
            one, token = stale[which % len(stale)]
            assert not self.commit(lambda tx: tx.messages.acknowledge(NAME, [self._delivery(one, token)]))

    @precondition(lambda self: any(one.status == "dead" for one in self.known))
    @rule(which=st.integers(0, 9))
    def redrive(self, which: int) -> None:
        dead = [one for one in self.known if one.status == "dead"]
        one = dead[which % len(dead)]
        assert self.commit(lambda tx: tx.messages.redrive(NAME, [self._delivery(one)]))
        one.stale.append(one.token)
        one.status, one.attempt, one.token, one.due_ms = "ready", 0, "", self.clock.ms

    @rule(wait_ms=st.sampled_from([1, 300, LEASE_MS]))
    def wait(self, wait_ms: int) -> None:
        self.clock.ms += wait_ms

    @invariant()
    def counts_agree(self) -> None:
        if not self.known:
            return
        counts = self.runner.run(self.store.read(lambda tx: tx.topics.counts()))
        expected = Counter[str](one.status for one in self.known)
        assert counts == {"tickets": {"published": len(self.known), **expected}}

    @invariant()
    def the_next_due_moment_agrees(self) -> None:
        if self.known:
            due_ms = self.runner.run(self.store.read(lambda tx: tx.messages.next_due_ms(NAME)))
            assert due_ms == (
                0
                if not all(one.taken for one in self.known)
                else min((one.due_ms for one in self.known if one.open), default=None)
            )

    @invariant()
    def dead_letters_agree(self) -> None:
        if self.known:
            dead = self.runner.run(self.store.read(lambda tx: tx.messages.dead_letters(NAME, limit=99)))
            assert [int(letter.message_id[1:]) for letter in dead] == [
                one.number for one in self.known if one.status == "dead"
            ]


def test_deliveries_agree_with_the_model_in_memory() -> None:
    run_state_machine_as_test(Deliveries, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))


@pytest.mark.soak
def test_deliveries_agree_with_the_model_on_postgresql(
    postgres: PostgresServer, migrated_postgres: str, rounds: Callable[[int, int], int]
) -> None:
    class Walk(Deliveries):
        def __init__(self) -> None:
            self.name = postgres.create_database(migrated_postgres)
            super().__init__(postgres.dsn(self.name))

        def teardown(self) -> None:
            super().teardown()
            postgres.drop_database(self.name)

    few = settings(max_examples=rounds(8, 400), stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Walk, settings=few)


def test_the_model_catches_a_lease_that_forgets_keys() -> None:
    """A control: a store that delivers a key's second message while its first is under way is told from ours."""

    class Forgetful(Deliveries):
        def keyed(self, key: str | None) -> str | None:
            return None if key is None else f"{key}{len(self.known)}"

    found = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        print_blob=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Forgetful, settings=found)
