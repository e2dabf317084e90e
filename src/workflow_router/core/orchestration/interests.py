"""Owns what runs want to hear of: patterns over events, in one index, and the events kept for them as signals.

An interest begins with the commit that opens it: an event whose commit comes later and that matches is kept for the
run, in that commit, until the run waits for it. Whether the run still is interested is asked of the store in the same
transaction, so that no event reaches a run that is not. With several processes each looks whether others opened
interests, once a transaction. Refuses to start runs, and to match anything while nobody waits.
"""

from collections.abc import Mapping

import msgspec

from workflow_router.core.errors import WaitExpired
from workflow_router.core.joins import EMPTY, Item, Join, advance
from workflow_router.core.model import Event, Run, Signal
from workflow_router.core.orchestration.continuing import wake
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import Operations
from workflow_router.core.orchestration.ports import Interest, Timer
from workflow_router.core.patterns import Pattern, PatternIndex
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json, typed_from_json

KEPT_MAX = 1_000
Patterns = Mapping[str, Mapping[str, object]]
Heard = dict[str, list[dict[str, object]]]


class _Kept(msgspec.Struct):
    """An event kept for a run, and the part of the interest that it is."""

    part: str
    event: msgspec.Raw


class Interests:
    """The interests of all runs, and the waits of those of this process."""

    def __init__(self, store: Store, clock: Clock, operations: Operations) -> None:
        self._store = store
        self._clock = clock
        self._operations = operations
        self._index: PatternIndex[tuple[str, str, str]] = PatternIndex()
        self._parts: dict[tuple[str, str], tuple[str, ...]] = {}
        self._shared = store.poll_s is not None
        self._version = 0
        self._moved = False

    async def open(self) -> None:
        """Learn of those that the store has."""
        await self._store.read(self._learn)

    @property
    def listening(self) -> bool:
        """Whether an event may be of interest to anybody."""
        return self._shared or len(self._index) > 0

    async def hear(self, tx: Transaction, event: Event, own_id: str, tenant: str) -> list[Run]:
        """Keep an event for the runs that want it, in the transaction that takes it in; returns those it woke."""
        if self._moved:
            self._moved = False
            await self._learn(tx)
        elif self._shared and await tx.interests.version() > self._version:
            await self._learn(tx)
        woken: dict[str, Run] = {}
        if not len(self._index):
            return []
        body: bytes | None = None
        for run_id, name, part in self._index.matching(event.attributes(), event.data if event.is_json else None):
            if body is None:
                body = _envelope(event)
            value = to_json(_Kept(part, msgspec.Raw(body)))
            signal = Signal(
                id=f"{own_id}/{run_id}/{name}/{part}",
                name=_signal_name(name),
                value=value,
                run=run_id,
                tenant=tenant,
                cause=own_id,
            )
            if not await tx.interests.keep(name, signal):
                self._forget(run_id, name)
                continue
            run = await wake(tx, run_id)
            if run is not None:
                woken[run.id] = run
        return list(woken.values())

    def moved(self) -> None:
        """Look again before the next event: a run's interests are about to be those of the run that goes on for it."""
        self._moved = True

    async def _learn(self, tx: Transaction) -> None:
        for interest in await tx.interests.since(self._version):
            self._add(interest)
            self._version = max(self._version, interest.version)
        if self._shared:
            self._version = max(self._version, await tx.interests.version())

    def _add(self, interest: Interest) -> None:
        patterns = typed_from_json(interest.patterns, dict[str, dict[str, object]])
        self._parts[interest.run, interest.name] = tuple(patterns)
        for part, pattern in patterns.items():
            self._index.add((interest.run, interest.name, part), Pattern.parse(pattern))

    def _forget(self, run_id: str, name: str) -> None:
        for part in self._parts.pop((run_id, name), ()):
            self._index.remove((run_id, name, part))

    async def expect(self, branch: Branch, name: str, patterns: Patterns) -> None:
        """Open an interest from now on; `wait` with its name gets what came since."""

        opened: list[Interest] = []

        async def perform(live: LiveRun, _: str) -> Outcome:
            interest = self._interest(live, name, patterns)
            opened.append(interest)
            return Outcome(output=b"null", also=lambda tx: tx.interests.open(live.run, live.fence, interest))

        await self._operations.value(branch, "expect", name, perform)
        self._again(*opened)

    def _interest(self, live: LiveRun, name: str, patterns: Patterns) -> Interest:
        interest = Interest(live.run.id, name, live.run.tenant, to_json(patterns))
        live.traces = True
        self._add(interest)  # before its commit, so that no event passes in between; the store has the last word
        return interest

    def _again(self, *opened: Interest) -> None:
        """Add those that an event which came before their commit has made be forgotten."""
        for interest in opened:
            if (interest.run, interest.name) not in self._parts:
                self._add(interest)

    async def wait(
        self, branch: Branch, join: Join, patterns: Patterns | None, name: str | None, within_s: float | None
    ) -> Heard:
        """Wait until what came completes the join; returns the events by part.

        Args:
            patterns: of an interest that begins now; None where `name` is that of one that was opened before.

        Raises:
            WaitExpired: that did not happen within so many seconds.
        """
        picked: list[Signal] = []

        async def perform(live: LiveRun, key: str) -> Outcome:
            heard = name or f"={key}"
            due_ms = None if within_s is None else self._clock.now_ms() + round(within_s * 1000)
            interest = None if patterns is None else self._interest(live, heard, patterns)

            async def begin(tx: Transaction) -> int | None:
                if interest is not None:
                    await tx.interests.open(live.run, live.fence, interest)
                if due_ms is None:
                    return None
                return await tx.runs.set_timer(live.run, live.fence, Timer(live.run.id, key, due_ms))

            first_due_ms = await self._store.commit(begin) if interest is not None or due_ms is not None else None
            self._again(*([] if interest is None else [interest]))
            completed: list[Heard] = []

            async def look(tx: Transaction) -> bool | None:
                kept = await tx.signals.waiting(live.run.id, _signal_name(heard), limit=KEPT_MAX)
                found = _fold(join, [one for one in kept if one.id not in live.receiving], self._clock.now_ms())
                if found is not None:
                    completed[:] = [found[0]]
                    picked[:] = found[1]
                    live.receiving.update(one.id for one in picked)
                    return True
                return True if first_due_ms is not None and self._clock.now_ms() >= first_due_ms else None

            try:
                await self._operations.waits.until(live, key, look, due_ms=first_due_ms)
            except BaseException:
                live.receiving.difference_update(one.id for one in picked)
                raise

            async def also(tx: Transaction) -> None:
                for one in picked:
                    await tx.signals.receive(live.run, live.fence, one.id, key)
                if patterns is not None:
                    await tx.interests.close(live.run, live.fence, heard)

            if patterns is not None:
                self._forget(live.run.id, heard)
            began_ms = None if first_due_ms is None or within_s is None else first_due_ms - round(within_s * 1000)
            if not completed:
                problem = Problem(type=WaitExpired.type, message="What was waited for did not come in time.")
                return Outcome(error=problem, also=also, started_ms=began_ms)
            return Outcome(output=to_json(completed[0]), also=also, started_ms=began_ms)

        record = await self._operations.durable(branch, "wait", name or join.kind, perform)
        branch.live.receiving.difference_update(one.id for one in picked)
        if record.status is StepStatus.FAULTED:
            raise WaitExpired(f"It did not come within {within_s} s.", remedy="Catch it as TimeoutError.")
        return typed_from_json(record.output or b"{}", dict[str, list[dict[str, object]]])


def _fold(join: Join, kept: list[Signal], now_ms: int) -> tuple[Heard, list[Signal]] | None:
    held = EMPTY
    for at, signal in enumerate(kept):
        one = typed_from_json(signal.value, _Kept)
        if one.part not in join.parts:
            continue
        made = advance(join, held, one.part, Item(signal.id, signal.sent_ms, one.event), now_ms)
        if made.completed is not None:
            heard = {
                part: [msgspec.json.decode(item.value, type=dict[str, object]) for item in items]
                for part, items in made.completed.items()
            }
            return heard, kept[: at + 1]
        held = made.held
    return None


def _signal_name(name: str) -> str:
    return f"~{name}"


def _envelope(event: Event) -> bytes:
    found: dict[str, object] = dict(event.attributes())
    if event.data is not None:
        found["data"] = msgspec.Raw(event.data) if event.is_json else event.data.decode(errors="replace")
    return to_json(found)
