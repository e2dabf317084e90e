"""Owns one transaction's repositories and the audit entries it gathers. Refuses to commit: that is the writer's."""

from collections.abc import Callable
from typing import TypeVar, cast

from workflow_router.core.model import NewRun, Run, Transition
from workflow_router.core.ports import Controls
from workflow_router.db.audit_log import AuditLog
from workflow_router.db.database import Session
from workflow_router.db.repositories.approvals import Approvals
from workflow_router.db.repositories.attributes import Attributes
from workflow_router.db.repositories.blobs import MIN_BYTES, Blobs
from workflow_router.db.repositories.bridges import Bridges
from workflow_router.db.repositories.chains import Chains
from workflow_router.db.repositories.dispatches import Dispatches
from workflow_router.db.repositories.events import Events
from workflow_router.db.repositories.flow import Keys, Slots, Starts
from workflow_router.db.repositories.held import HeldRows
from workflow_router.db.repositories.holds import Holds
from workflow_router.db.repositories.interests import Interests
from workflow_router.db.repositories.lately import Lately
from workflow_router.db.repositories.limits import Limits
from workflow_router.db.repositories.live_rules import LiveRuleRows
from workflow_router.db.repositories.mappings import Mappings
from workflow_router.db.repositories.members import Members
from workflow_router.db.repositories.messages import Messages
from workflow_router.db.repositories.pauses import Pauses
from workflow_router.db.repositories.replies import Replies
from workflow_router.db.repositories.retention import Retention
from workflow_router.db.repositories.rules import INTERCEPTORS, ROUTES, Rules
from workflow_router.db.repositories.runs import Runs
from workflow_router.db.repositories.schedules import Schedules
from workflow_router.db.repositories.signals import Signals
from workflow_router.db.repositories.states import States
from workflow_router.db.repositories.stops import Stops, Vitals
from workflow_router.db.repositories.streams import Streams
from workflow_router.db.repositories.targets import Targets
from workflow_router.db.repositories.topics import Topics
from workflow_router.db.repositories.traces import Traces
from workflow_router.db.repositories.updates import Updates
from workflow_router.db.shards import Homes

T = TypeVar("T")


class Gate:
    """Flow control within one transaction: where runs start and end."""

    __slots__ = ("_admission", "_work")

    def __init__(self, admission: Controls, work: "UnitOfWork") -> None:
        self._admission = admission
        self._work = work

    def controls(self, new: NewRun) -> bool:
        """See `Controls`."""
        return self._admission.controls(new)

    async def start(self, new: NewRun) -> Run | None:
        """See `Controls`."""
        return await self._admission.start(self._work, new)

    async def ended(self, run: Run) -> None:
        """See `Controls`."""
        if self._admission.held(run.workflow):
            await self._admission.ended(self._work, run.id)


class _Lazy:
    def __init__(self, make: Callable[["UnitOfWork"], object]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, work: "UnitOfWork", owner: type) -> object:
        made = self._make(work)
        work.__dict__[self._name] = made  # found there from now on, without this call
        return made


def lazy(make: Callable[["UnitOfWork"], T]) -> T:
    """A repository that is made when a unit of work is first asked for it: most transactions need few of them."""
    return cast("T", _Lazy(make))  # what a look-up gives, since protocols are not matched through descriptors


def _runs(work: "UnitOfWork") -> Runs:
    runs = Runs(work.session, work.record, work.now_ms, work.epochs, work.homes, work.blobs)
    runs.flow = None if work.admission is None else Gate(work.admission, work)
    return runs


class UnitOfWork:
    """A `Transaction` over a session.

    Args:
        epochs: epoch by shard, for the shards this process owned when the transaction began.
        homes: where runs begin.
        blob_min_bytes: payloads larger than this are kept by their content.

    Attributes:
        session: for the store's own verbs, which are no room's.
    """

    events = lazy(lambda work: Events(work.session, work.record))
    mappings = lazy(lambda work: Mappings(work.session, work.record, work.now_ms))
    targets = lazy(lambda work: Targets(work.session, work.now_ms))
    blobs = lazy(lambda work: Blobs(work.session, work.now_ms, work.blob_min_bytes))
    runs = lazy(_runs)
    signals = lazy(lambda work: Signals(work.session, work.record, work.now_ms, work.epochs))
    slots = lazy(lambda work: Slots(work.session))
    starts = lazy(lambda work: Starts(work.session, work.runs))
    keys = lazy(lambda work: Keys(work.session, work.runs))
    holds = lazy(lambda work: Holds(work.session, work.now_ms))
    stops = lazy(lambda work: Stops(work.session, work.record, work.now_ms, work.epochs))
    retention = lazy(lambda work: Retention(work.session, work.blobs, work.now_ms))
    states = lazy(lambda work: States(work.session, work.now_ms))
    streams = lazy(lambda work: Streams(work.session, work.epochs))
    pauses = lazy(lambda work: Pauses(work.session))
    chains = lazy(lambda work: Chains(work.session, work.runs, work.epochs))
    attributes = lazy(lambda work: Attributes(work.session, work.runs, work.epochs))
    interests = lazy(lambda work: Interests(work.session, work.now_ms, work.epochs))
    updates = lazy(lambda work: Updates(work.session, work.now_ms, work.epochs))
    schedules = lazy(lambda work: Schedules(work.session, work.record, work.now_ms))
    vitals = lazy(lambda work: Vitals(work.session, work.now_ms, work.epochs))
    members = lazy(lambda work: Members(work.session, work.record, work.now_ms, work.epochs))
    messages = lazy(lambda work: Messages(work.session, work.record, work.now_ms, min(work.epochs, default=-1)))
    replies = lazy(lambda work: Replies(work.session, work.now_ms))
    bridges = lazy(lambda work: Bridges(work.session, work.record, work.now_ms))
    topics = lazy(lambda work: Topics(work.session, work.record, work.now_ms, work.messages.settle))
    dispatches = lazy(lambda work: Dispatches(work.session, work.record))
    limits = lazy(lambda work: Limits(work.session, work.now_ms))
    live_rules = lazy(lambda work: LiveRuleRows(work.session, work.record))
    routes = lazy(lambda work: Rules(work.session, work.record, work.now_ms, ROUTES))
    approvals = lazy(lambda work: Approvals(work.session, work.record, work.now_ms))
    interceptors = lazy(lambda work: Rules(work.session, work.record, work.now_ms, INTERCEPTORS))
    held = lazy(lambda work: HeldRows(work.session, work.record, work.now_ms))
    audit = lazy(lambda work: AuditLog(work.session, work.record))
    traces = lazy(lambda work: Traces(work.session))
    lately = lazy(lambda work: Lately(work.session))

    def __init__(
        self,
        session: Session,
        now_ms: int,
        epochs: dict[int, int],
        homes: Homes,
        admission: Controls | None = None,
        blob_min_bytes: int = MIN_BYTES,
    ) -> None:
        self.now_ms = now_ms
        self.transitions: list[Transition] = []
        self.record = self.transitions.append
        self.session = session
        self.epochs = epochs
        self.homes = homes
        self.admission = admission
        self.blob_min_bytes = blob_min_bytes
