"""Owns `state`: what conditions and templates may see of the running system, so that decisions depend on context.

A snapshot in memory: counts of events by mapping are fed by this process's commits, health of targets is that of the
moment, and counts of the store are read anew, at most once a second, when somebody asks. So an evaluation waits for
nothing, and sees one thing throughout. Refuses to be exact to the last commit: what must be counted exactly is a limit.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from workflow_router.core.errors import RouterError
from workflow_router.core.model import DEFAULT_TENANT, AuditEntry
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json

SAMPLE_S = 1.0
PUBLISHED_MAX = 1_000
MEMBERS = ("backlog", "events", "mappings", "published", "queues", "runs", "targets")

Live = Callable[[], Mapping[str, object]]

_log = logging.getLogger(__name__)


class StateContext:
    """What expressions see as `state`.

    Its members: `mappings` by name with `matched` and `failed` since this process started; `queues` by topic with
    `ready`, `leased` and `dead`; `runs` by workflow with counts by status; `events` with `accepted` and `unmapped`;
    `published` by workflow and then key, or else id, what runs that go on say of themselves, the last `PUBLISHED_MAX`;
    and what `live` says.

    Args:
        live: what is cheap to ask at any moment, such as the health of targets.
    """

    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._mappings: dict[str, dict[str, int]] = {}
        self._sampled: dict[str, object] = {"queues": {}, "runs": {}, "events": {}, "published": {}}
        self._due_s = 0.0
        self._sampling: asyncio.Task[None] | None = None

    def snapshot(self) -> Mapping[str, object]:
        """The state as of now. It is to be read at once, and not to be changed."""
        if self._clock.monotonic_s() >= self._due_s and self._sampling is not None and self._sampling.done():
            self._sampling = asyncio.create_task(self._sample(), name="state")
        return {"mappings": self._mappings, **self._sampled, **self._live()}

    hears = frozenset({"event.accepted", "mapping.failed"})

    def committed(self, entries: Sequence[AuditEntry]) -> None:
        """Count what mappings did; to be called after each commit with entries of the kinds in `hears`."""
        for entry in entries:
            transition = entry.transition
            if transition.kind == "event.accepted":
                for label in cast("list[str]", transition.detail.get("matched", [])):
                    self._count(label.rpartition("@")[0], "matched")
            elif transition.kind == "mapping.failed":
                self._count(transition.subject, "failed")

    def _count(self, name: str, what: str) -> None:
        counts = self._mappings.get(name)
        if counts is None:
            counts = self._mappings[name] = {"matched": 0, "failed": 0}
        counts[what] += 1

    def open(self) -> None:
        """Take the first sample; further ones follow where somebody asks."""
        self._sampling = asyncio.create_task(self._sample(), name="state")

    async def close(self) -> None:
        """Stop it."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)

    async def _sample(self) -> None:
        self._due_s = self._clock.monotonic_s() + SAMPLE_S
        try:
            await self.sample()
        except RouterError as error:
            _log.warning("The state could not be sampled: %s", error)

    async def sample(self) -> None:
        """Read the counts of the store now."""

        async def unit(tx: Transaction) -> dict[str, object]:
            return {
                "queues": await tx.topics.counts(),
                "runs": await tx.runs.counts(tenant=DEFAULT_TENANT),
                "events": await tx.events.counts(tenant=DEFAULT_TENANT),
                "published": _by_workflow(await tx.interests.published(tenant=DEFAULT_TENANT, limit=PUBLISHED_MAX)),
            }

        self._sampled = await self._store.read(unit)


def _by_workflow(published: Sequence[tuple[str, str, bytes]]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for workflow, key, state in published:
        found.setdefault(workflow, {})[key] = from_json(state)
    return found
