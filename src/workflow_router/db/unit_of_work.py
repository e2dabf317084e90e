"""Owns one transaction's repositories and the audit entries it gathers. Refuses to commit: that is the writer's."""

from workflow_router.core.model import Transition
from workflow_router.db.audit_log import AuditLog
from workflow_router.db.database import Session
from workflow_router.db.repositories.approvals import Approvals
from workflow_router.db.repositories.dispatches import Dispatches
from workflow_router.db.repositories.events import Events
from workflow_router.db.repositories.holds import Holds
from workflow_router.db.repositories.limits import Limits
from workflow_router.db.repositories.live_rules import LiveRuleRows
from workflow_router.db.repositories.mappings import Mappings
from workflow_router.db.repositories.messages import Messages
from workflow_router.db.repositories.runs import Runs
from workflow_router.db.repositories.signals import Signals
from workflow_router.db.repositories.stops import Stops, Vitals


class UnitOfWork:
    """A `Transaction` over a session.

    Args:
        epochs: epoch by shard, for the shards this process owned when the transaction began.
        shard_count: how many shards runs are spread over.

    Attributes:
        session: for the store's own verbs, which are no room's.
    """

    def __init__(self, session: Session, now_ms: int, epochs: dict[int, int], shard_count: int) -> None:
        self.now_ms = now_ms
        self.transitions: list[Transition] = []
        self.record = self.transitions.append
        self.events = Events(session, self.record)
        self.mappings = Mappings(session, self.record, now_ms)
        self.runs = Runs(session, self.record, now_ms, epochs, shard_count)
        self.signals = Signals(session, self.record, now_ms, epochs)
        self.holds = Holds(session, now_ms)
        self.stops = Stops(session, self.record, now_ms, epochs)
        self.vitals = Vitals(session, now_ms, epochs)
        self.messages = Messages(session, self.record, now_ms)
        self.dispatches = Dispatches(session, self.record)
        self.limits = Limits(session, now_ms)
        self.live_rules = LiveRuleRows(session, self.record)
        self.approvals = Approvals(session, self.record)
        self.audit = AuditLog(session)
        self.session = session
