"""Owns the sources that a running system reads by itself, and what is told of them. Refuses webhooks: they are doors.

While there is one, what mappings start and publish keeps the chain behind it; without any, that costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

import msgspec

from workflow_router.core.event_mappings.ingest import Ingest
from workflow_router.core.event_sources.lifecycle import CURSOR, Lifecycle
from workflow_router.core.event_sources.topics import CONCURRENCY, TopicSource, handler_of
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.observe import SOURCE, Observation


class LifecycleSource(msgspec.Struct, frozen=True, kw_only=True):
    """Transitions of our own runs that are events: kinds such as `run.completed`, or `run.*`."""

    name: str
    kinds: tuple[str, ...]


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """A source and how far it was read.

    Attributes:
        source: the `source` attribute of its events.
        of: the topic, or the kinds of transitions.
        lag: messages or audit entries that it has not looked at.
        dead: messages that could not be taken in.
    """

    name: str
    kind: Literal["topic", "lifecycle", "webhook"]
    source: str
    of: list[str]
    lag: int = 0
    dead: int = 0


class EventSources:
    """The sources of a running system."""

    def __init__(
        self, store: Store, ingest: Ingest, observation: Observation, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._observation = observation
        self._sleep = sleep
        self._topics: list[TopicSource] = []
        self._lifecycles: list[LifecycleSource] = []
        self._reading: asyncio.Task[None] | None = None

    def declare(self, sources: Iterable[TopicSource | LifecycleSource]) -> None:
        """Say what is read, before `open`."""
        given = list(sources)
        self._topics = [one for one in given if isinstance(one, TopicSource)]
        self._lifecycles = [one for one in given if isinstance(one, LifecycleSource)]
        self._ingest.keep_chains(keep=bool(given))

    def subscriptions(self) -> list[Subscription]:
        """What the broker is to deliver to them."""
        return [source.subscription for source in self._topics]

    def handlers(self) -> dict[str, tuple[Handle, int]]:
        """What takes these messages, by the name that their subscriptions give."""
        return {
            one.subscription.name: (handler_of(one, self._store, self._ingest), CONCURRENCY) for one in self._topics
        }

    def open(self) -> None:
        """Begin to read the lifecycle; topics are read as the broker delivers."""
        kinds = [kind for source in self._lifecycles for kind in source.kinds]
        if kinds:
            reader = Lifecycle(self._store, self._ingest, self._observation, kinds, self._sleep)
            self._reading = asyncio.get_running_loop().create_task(reader.run(), name="lifecycle events")

    async def close(self) -> None:
        """Stop; the next process goes on where this one was."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def states(self) -> list[SourceState]:
        """The sources, and how far each was read."""

        async def unit(tx: Transaction) -> tuple[dict[str, tuple[int, int]], int]:
            progress = {one.name: (one.lag, one.dead) for one in await tx.topics.progress()} if self._topics else {}
            if not self._lifecycles:
                return progress, 0
            (head, _), position = await tx.audit.head(), await tx.targets.cursor(CURSOR)
            return progress, head - (head if position is None else position)

        progress, lag = await self._store.read(unit)
        found: list[SourceState] = []
        for one in self._topics:
            untaken, dead = progress.get(one.subscription.name, (0, 0))
            topic = [one.subscription.topic]
            found.append(SourceState(name=one.name, kind="topic", source=one.source, of=topic, lag=untaken, dead=dead))
        return found + [
            SourceState(name=source.name, kind="lifecycle", source=SOURCE, of=list(source.kinds), lag=lag)
            for source in self._lifecycles
        ]
