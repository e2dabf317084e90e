"""Owns one transaction's repositories and the audit entries it gathers. Refuses to commit: that is the writer's."""

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
from workflow_router.db.repositories.holds import Holds
from workflow_router.db.repositories.interests import Interests
from workflow_router.db.repositories.limits import Limits
from workflow_router.db.repositories.live_rules import LiveRuleRows
from workflow_router.db.repositories.mappings import Mappings
from workflow_router.db.repositories.members import Members
from workflow_router.db.repositories.messages import Messages
from workflow_router.db.repositories.pauses import Pauses
from workflow_router.db.repositories.replies import Replies
from workflow_router.db.repositories.retention import Retention
from workflow_router.db.repositories.routes import Routes
from workflow_router.db.repositories.runs import Runs
from workflow_router.db.repositories.schedules import Schedules
from workflow_router.db.repositories.signals import Signals
from workflow_router.db.repositories.states import States
from workflow_router.db.repositories.stops import Stops, Vitals
from workflow_router.db.repositories.streams import Streams
from workflow_router.db.repositories.targets import Targets
from workflow_router.db.repositories.topics import Topics
from workflow_router.db.repositories.updates import Updates


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


class UnitOfWork:
    """A `Transaction` over a session.

    Args:
        epochs: epoch by shard, for the shards this process owned when the transaction began.
        shard_count: how many shards runs are spread over.
        blob_min_bytes: payloads larger than this are kept by their content.

    Attributes:
        session: for the store's own verbs, which are no room's.
    """

    def __init__(
        self,
        session: Session,
        now_ms: int,
        epochs: dict[int, int],
        shard_count: int,
        admission: Controls | None = None,
        blob_min_bytes: int = MIN_BYTES,
    ) -> None:
        self.now_ms = now_ms
        self.transitions: list[Transition] = []
        self.record = self.transitions.append
        self.events = Events(session, self.record)
        self.mappings = Mappings(session, self.record, now_ms)
        self.targets = Targets(session, now_ms)
        self.blobs = Blobs(session, now_ms, blob_min_bytes)
        self.runs = Runs(session, self.record, now_ms, epochs, shard_count, self.blobs)
        self.runs.flow = None if admission is None else Gate(admission, self)
        self.signals = Signals(session, self.record, now_ms, epochs)
        self.slots = Slots(session)
        self.starts = Starts(session, self.runs)
        self.keys = Keys(session, self.runs)
        self.holds = Holds(session, now_ms)
        self.stops = Stops(session, self.record, now_ms, epochs)
        self.retention = Retention(session, self.blobs, now_ms)
        self.states = States(session, now_ms)
        self.streams = Streams(session, epochs)
        self.pauses = Pauses(session)
        self.chains = Chains(session, self.runs, epochs)
        self.attributes = Attributes(session, self.runs, epochs)
        self.interests = Interests(session, now_ms, epochs)
        self.updates = Updates(session, now_ms, epochs)
        self.schedules = Schedules(session, self.record, now_ms)
        self.vitals = Vitals(session, now_ms, epochs)
        self.members = Members(session, self.record, now_ms, epochs)
        self.messages = Messages(session, self.record, now_ms, min(epochs, default=-1))
        self.replies = Replies(session, now_ms)
        self.bridges = Bridges(session, self.record, now_ms)
        self.topics = Topics(session, self.record, now_ms, self.messages.settle)
        self.dispatches = Dispatches(session, self.record)
        self.limits = Limits(session, now_ms)
        self.live_rules = LiveRuleRows(session, self.record)
        self.routes = Routes(session, self.record, now_ms)
        self.approvals = Approvals(session, self.record, now_ms)
        self.audit = AuditLog(session, self.record)
        self.session = session
