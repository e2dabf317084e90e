"""What concurrent clients do to one run, its signals and a topic, and the sequential models that it is held against."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.conformance.support import SUBSCRIPTION, message, step
from tests.simulation.linearizable import History, Operation, stuck
from workflow_router.core.errors import Conflict, Lost
from workflow_router.core.model import Delivery, NewRun, Run, Signal
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RUN_ENDED, RunStatus
from workflow_router.db.store import SqlStore

Call = tuple[str | int, ...]
Answer = str | int | bool | tuple[object, ...] | None
RUN = "r1"
KEYS = 5
ROUNDS = 10
PAUSE_S = 0.002
TOLD = SUBSCRIPTION.name


# --- the models: what a call does to the object, and what it answers ------------------------------------------------


class RunState(NamedTuple):
    """A run as clients know it."""

    status: RunStatus = RunStatus.RUNNING
    epoch: int = 0
    wakes: int = 0
    steps: tuple[int, ...] = ()


def run_model(run: RunState, call: Call) -> tuple[RunState, Answer]:
    """A run with its fence: an old epoch changes nothing, the first end wins, no wake is lost, no step lands twice."""
    match call:
        case ("take",):
            taken = run._replace(epoch=run.epoch + 1)
            return taken, taken.epoch
        case ("wake",):
            if run.status in RUN_ENDED:
                return run, None
            status = RunStatus.RUNNING if run.status in (RunStatus.WAITING, RunStatus.SUSPENDED) else run.status
            return run._replace(status=status, wakes=run.wakes + 1), str(status)
        case ("read",):
            return run, (str(run.status), run.wakes, tuple(sorted(run.steps)))
        case (_, int(epoch), *_) if epoch != run.epoch:
            return run, "lost"
        case ("step", _, int(number)):
            known = number in run.steps
            return (run, "conflict") if known else (run._replace(steps=(*run.steps, number)), True)
        case ("park", _, int(wakes)):
            landed = run.status is RunStatus.RUNNING and wakes == run.wakes
            return (run._replace(status=RunStatus.WAITING) if landed else run), landed
        case ("go_on", _):
            landed = run.status in (RunStatus.RUNNING, RunStatus.WAITING)
            return (run._replace(status=RunStatus.RUNNING) if landed else run), landed
        case ("become", _, str(status)):
            landed = run.status not in RUN_ENDED
            return (run._replace(status=RunStatus(status)) if landed else run), landed
        case _:
            raise ValueError(call)


class SignalsState(NamedTuple):
    """The signals of a run: all that were ever sent, and those that wait."""

    sent: frozenset[int] = frozenset()
    waiting: tuple[int, ...] = ()


def signals_model(signals: SignalsState, call: Call) -> tuple[SignalsState, Answer]:
    """A queue in which each signal is once, however often it is sent, and out of which it comes once."""
    match call:
        case ("send", int(number)):
            if number in signals.sent:
                return signals, False
            return SignalsState(signals.sent | {number}, (*signals.waiting, number)), True
        case ("receive",):
            if not signals.waiting:
                return signals, None
            return signals._replace(waiting=signals.waiting[1:]), signals.waiting[0]
        case _:
            raise ValueError(call)


class TopicState(NamedTuple):
    """Messages of one key that are not acknowledged, in order, and the lease of the first."""

    messages: tuple[int, ...] = ()
    lease: int | None = None


def topic_model(topic: TopicState, call: Call) -> tuple[TopicState, Answer]:
    """Messages of a key, one leased at a time and in order; only who has the lease acknowledges, and once."""
    match call:
        case ("publish", int(number)):
            return topic._replace(messages=(*topic.messages, number)), None
        case ("lease", int(lease)):
            if topic.lease is not None or not topic.messages:
                return topic, None
            return topic._replace(lease=lease), topic.messages[0]
        case ("acknowledge", int(lease)):
            if topic.lease != lease:
                return topic, False
            return TopicState(topic.messages[1:]), True
        case _:
            raise ValueError(call)


# --- the clients -----------------------------------------------------------------------------------------------------


@dataclass
class Histories:
    """What happened to each object.

    Attributes:
        number: of the next thing that must be new.
    """

    run: History[Call, Answer]
    signals: History[Call, Answer]
    topic: History[Call, Answer]
    number: int = 0

    def new(self) -> int:
        self.number += 1
        return self.number

    def stuck(self, epoch: int) -> list[Operation[Call, Answer]]:
        """What cannot have happened one after the other. `epoch`: of the run's shard at first."""
        return [
            *stuck(self.run.operations, RunState(epoch=epoch), run_model),
            *stuck(self.signals.operations, SignalsState(), signals_model),
            *stuck(self.topic.operations, TopicState(), topic_model),
        ]


def begin() -> Histories:
    """Of clients that have done nothing yet."""
    return Histories(History(), History(), History())


async def prepare(store: SqlStore) -> int:
    """Make what clients share; returns the epoch of the run's shard."""

    async def unit(tx: Transaction) -> None:
        await tx.runs.start(NewRun(id=RUN, workflow="triage"))
        await tx.topics.declare([], [SUBSCRIPTION])

    await store.commit(unit)
    return store.fences()[(await the_run(store)).shard].epoch


async def the_run(store: SqlStore) -> Run:
    found = await store.read(lambda tx: tx.runs.find(RUN))
    assert found is not None
    return found


async def _fenced(doing: Awaitable[Answer]) -> Answer:
    try:
        return await doing
    except Lost:
        return "lost"
    except Conflict:
        return "conflict"


class Client:
    """Does things at random through one store.

    Args:
        fence: the one this client believes in; another client may have a newer one.
        unheard: errors after which nobody knows whether the call took effect.
    """

    def __init__(
        self,
        store: SqlStore,
        histories: Histories,
        run: Run,
        fence: Callable[[], Fence],
        chance: random.Random,
        unheard: tuple[type[Exception], ...] = (),
    ) -> None:
        self._store = store
        self._histories = histories
        self._run = run
        self._fence = fence
        self._chance = chance
        self._unheard = unheard
        self._leases: list[tuple[int, Delivery]] = []

    async def work(self, rounds: int = ROUNDS) -> None:
        """Do so many things, one after the other, with pauses."""
        for _ in range(rounds):
            await self._chance.choice((self._change, self._look, self._signal, self._message))()
            await asyncio.sleep(self._chance.random() * PAUSE_S)

    async def _note(self, history: History[Call, Answer], call: Call, doing: Awaitable[Answer]) -> Answer:
        return await history.record(call, _fenced(doing), unheard=self._unheard)

    async def _change(self) -> None:
        fence, run = self._fence(), self._run
        kind = self._chance.choice(("step", "step", "step", "become", "go_on", "wake"))
        call: Call = (kind, fence.epoch)

        async def change(tx: Transaction) -> Answer:
            match call:
                case ("step", _, int(number)):
                    await tx.runs.commit_step(run, fence, step(number))
                    return True
                case ("become", _, str(status)):
                    return await tx.runs.change_status(run, fence, RunStatus(status))
                case ("go_on", _):
                    return await tx.runs.change_status(run, fence, RunStatus.RUNNING)
                case _:
                    woken = await tx.runs.wake(RUN, resume=True)
                    return None if woken is None else str(woken.status)

        if kind == "step":
            call = (*call, self._chance.randint(1, KEYS))
        elif kind == "become":
            ends = self._chance.random() < 0.2
            call = (*call, str(self._chance.choice(sorted(RUN_ENDED)) if ends else RunStatus.SUSPENDED))
        elif kind == "wake":
            call = ("wake",)
        await self._note(self._histories.run, call, self._store.commit(change))

    async def _look(self) -> None:
        async def look(tx: Transaction) -> Answer:
            run, history = await tx.runs.find(RUN), await tx.runs.history(RUN)
            return run and (str(run.status), run.wakes, tuple(record.seq for record in history))

        seen = await self._note(self._histories.run, ("read",), self._store.read(look))
        if isinstance(seen, tuple) and isinstance(seen[1], int):
            fence, wakes = self._fence(), seen[1]
            park = self._store.commit(lambda tx: tx.runs.park(self._run, fence, wakes=wakes))
            await self._note(self._histories.run, ("park", fence.epoch, wakes), park)

    async def _signal(self) -> None:
        async def receive(tx: Transaction) -> Answer:
            found = await tx.signals.waiting(RUN, "paid", limit=1)
            for one in found:
                await tx.signals.receive(self._run, self._fence(), one.id, f"0/{one.id}")
            return int(found[0].id) if found else None

        if self._chance.random() < 0.5:
            number = self._chance.randint(1, 2 * KEYS)
            signal = Signal(id=str(number), name="paid", value=b"1", run=RUN)
            sending = self._store.commit(lambda tx: tx.signals.send(signal))
            await self._note(self._histories.signals, ("send", number), sending)
        else:  # a process that has lost the run receives nothing
            unheard = (*self._unheard, Lost)
            with contextlib.suppress(Lost):
                await self._histories.signals.record(("receive",), self._store.commit(receive), unheard=unheard)

    async def _message(self) -> None:
        topic, number = self._histories.topic, self._histories.new()
        got: list[Delivery] = []

        async def publish(tx: Transaction) -> Answer:
            await tx.messages.publish(message(number, key="k"))
            return None

        async def acknowledge(tx: Transaction) -> Answer:
            return bool(await tx.messages.acknowledge(TOLD, [self._leases[-1][1]]))

        async def lease(tx: Transaction) -> Answer:
            got[:] = await tx.messages.lease(SUBSCRIPTION, limit=1, token=f"lease-{number}")
            return int(got[0].message_id[1:]) if got else None

        kind = self._chance.choice(("publish", "lease", "acknowledge"))
        if kind == "publish":
            await self._note(topic, (kind, number), self._store.commit(publish))
        elif kind == "lease":
            # One that gets nothing tells nothing: another may just have been looking, and none waits for the other.
            leased = topic.record(
                (kind, number), self._store.commit(lease), unheard=self._unheard, tells=lambda got: got is not None
            )
            if await leased is not None:
                self._leases.append((number, got[0]))
        elif self._leases:
            await self._note(topic, (kind, self._leases[-1][0]), self._store.commit(acknowledge))


async def all_at_once(clients: Sequence[Client]) -> None:
    """Let them work until they are done, or each has met an error, the first of which is raised."""
    for error in await asyncio.gather(*(client.work() for client in clients), return_exceptions=True):
        if error is not None:
            raise error
