"""Owns the one seam to durable state: units of work over a transaction. Refuses to know which database is behind it.

A unit of work is an async function of a `Transaction`. It only reads and changes the store, so the writer may run it
again: when units that share a commit must be taken apart, each is repeated on its own. Effects in memory come after.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from workflow_router.core.dispatch_route.journal import DispatchTransitions
from workflow_router.core.event_mappings.ports import EventTransitions, MappingTransitions, TargetTransitions
from workflow_router.core.limits.ports import LimitTransitions, LiveRules
from workflow_router.core.message_broker.bridge_ports import BridgeTransitions
from workflow_router.core.message_broker.ports import (
    BrokerReads,
    MessageTransitions,
    ReplyTransitions,
    TopicTransitions,
)
from workflow_router.core.model import NewRun, Run, Transition
from workflow_router.core.orchestration.chain_ports import ChainTransitions
from workflow_router.core.orchestration.flow_ports import KeyTransitions, SlotTransitions, StartTransitions
from workflow_router.core.orchestration.ports import (
    AttributeTransitions,
    BlobTransitions,
    Fence,
    InterestTransitions,
    MemberTransitions,
    Neighbours,
    PauseTransitions,
    RunReads,
    RunTransitions,
    SignalTransitions,
    StopTransitions,
    UpdateTransitions,
    VitalTransitions,
)
from workflow_router.core.orchestration.retention_ports import RetentionTransitions
from workflow_router.core.orchestration.state_ports import StateTransitions
from workflow_router.core.orchestration.stream_ports import StreamTransitions
from workflow_router.core.pacing.ports import HoldTransitions
from workflow_router.core.rule_versions import RuleTransitions
from workflow_router.core.runtime_state.interceptor_ports import HeldTransitions
from workflow_router.core.runtime_state.lately_ports import LatelyReads
from workflow_router.core.runtime_state.ports import ApprovalVerbs, AuditPast, AuditReads, AuditTransitions, TraceReads
from workflow_router.core.schedules.ports import ScheduleTransitions

T = TypeVar("T")


class RunVerbs(RunTransitions, RunReads, Protocol):
    """The verbs of runs: those that change and those that read."""


class AuditVerbs(AuditReads, AuditPast, AuditTransitions, Protocol):
    """The verbs of the audit log."""


class TopicVerbs(TopicTransitions, BrokerReads, Protocol):
    """The verbs of topics and subscriptions: those that change and those that read."""


class BrokerVerbs(Protocol):
    """The verbs of the broker: messages on their way, and what they go through."""

    @property
    def messages(self) -> MessageTransitions: ...
    @property
    def topics(self) -> TopicVerbs: ...
    @property
    def replies(self) -> ReplyTransitions: ...
    @property
    def bridges(self) -> BridgeTransitions: ...


class FlowVerbs(Protocol):
    """The verbs of what directs work and holds it back: routes, holds, limits, live rules, slots, starts, keys."""

    @property
    def routes(self) -> RuleTransitions: ...
    @property
    def holds(self) -> HoldTransitions: ...
    @property
    def limits(self) -> LimitTransitions: ...
    @property
    def live_rules(self) -> LiveRules: ...
    @property
    def slots(self) -> SlotTransitions: ...
    @property
    def starts(self) -> StartTransitions: ...
    @property
    def keys(self) -> KeyTransitions: ...


class TimeVerbs(Protocol):
    """The verbs of time: stops, chains, pauses, signs of life, schedules, interests, updates."""

    @property
    def stops(self) -> StopTransitions: ...
    @property
    def attributes(self) -> AttributeTransitions: ...
    @property
    def states(self) -> StateTransitions: ...
    @property
    def chains(self) -> ChainTransitions: ...
    @property
    def pauses(self) -> PauseTransitions: ...
    @property
    def vitals(self) -> VitalTransitions: ...
    @property
    def schedules(self) -> ScheduleTransitions: ...
    @property
    def interests(self) -> InterestTransitions: ...
    @property
    def updates(self) -> UpdateTransitions: ...


class SharedVerbs(Protocol):
    """The verbs of what processes and runs share."""

    @property
    def blobs(self) -> BlobTransitions: ...
    @property
    def members(self) -> MemberTransitions: ...
    @property
    def streams(self) -> StreamTransitions: ...
    @property
    def retention(self) -> RetentionTransitions: ...


class EventVerbs(Protocol):
    """The verbs of events, of what mappings do with them, and of the sources they come from."""

    @property
    def events(self) -> EventTransitions: ...
    @property
    def mappings(self) -> MappingTransitions: ...
    @property
    def targets(self) -> TargetTransitions: ...


class InterceptVerbs(Protocol):
    """The verbs of interceptors, and of what they hold."""

    @property
    def interceptors(self) -> RuleTransitions: ...
    @property
    def held(self) -> HeldTransitions: ...


class Transaction(InterceptVerbs, FlowVerbs, TimeVerbs, BrokerVerbs, SharedVerbs, EventVerbs, Protocol):
    """The verbs of every room, all within one transaction."""

    @property
    def now_ms(self) -> int:
        """Wall time of this transaction, milliseconds since the epoch."""
        ...

    @property
    def runs(self) -> RunVerbs: ...
    @property
    def signals(self) -> SignalTransitions: ...
    @property
    def dispatches(self) -> DispatchTransitions: ...
    @property
    def approvals(self) -> ApprovalVerbs: ...
    @property
    def audit(self) -> AuditVerbs: ...
    @property
    def traces(self) -> TraceReads: ...
    @property
    def lately(self) -> LatelyReads: ...

    def record(self, transition: Transition, /) -> None:
        """Add an audit entry to this transaction."""
        ...


Unit = Callable[[Transaction], Awaitable[T]]


class Controls(Protocol):
    """What holds back the starts of runs within the transactions that make them, and hears of their ends."""

    def controls(self, new: NewRun, /) -> bool: ...
    def held(self, workflow: str, /) -> bool: ...
    async def start(self, tx: Transaction, new: NewRun, /) -> Run | None: ...
    async def ended(self, tx: Transaction, run_id: str, /) -> None: ...


class Store(Protocol):
    """Durable state. What `commit` has returned survives a crash; what it raised for left nothing behind."""

    def commit(self, unit: Unit[T], *, weight: int = 1, synced: bool = True) -> Awaitable[T]:
        """Run the unit and return its result once it is on disk. It is queued at once, awaited or not.

        Args:
            weight: how many changes it stands for, so that one that does very much shares its commit with few others.
            synced: False for what a power cut may undo, such as a lease: the disk is not waited for. The end of this
                process undoes nothing, and what is synced later is so with all that came before it.

        Raises:
            Overloaded: too many units wait; nothing was done.
            StoreUnavailable: the database failed; nothing of this unit was written.
            CommitUnknown: the connection broke during COMMIT.
        """
        ...

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on a consistent snapshot of what is committed."""
        ...

    def control(self, admission: Controls | None, /) -> None:
        """Let this hold back the starts of runs, and hear of their ends, in the commits that make them."""
        ...

    @property
    def owner(self) -> str:
        """Id of this process, new at each start."""
        ...

    @property
    def poll_s(self) -> float | None:
        """How often to look for what other processes did, seconds; None where no other process can have the store."""
        ...

    def fences(self) -> Mapping[int, Fence]:
        """The shards this process holds, with the epochs it holds them by."""
        ...

    async def tend(self) -> list[int]:
        """Renew the holds and take free shards up to the share; returns those gained. To be called every `poll_s`."""
        ...

    @property
    def neighbours(self) -> Neighbours:
        """The processes that share the store."""
        ...
