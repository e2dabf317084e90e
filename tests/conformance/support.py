"""Owns what the conformance suite says in every test: a clock set by hand, and things to store with few words."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import (
    Approval,
    AuditEntry,
    Delivery,
    DispatchRecord,
    Event,
    NewMessage,
    NewRun,
    Run,
    StepRecord,
)
from workflow_router.core.orchestration.ports import Fence
from workflow_router.core.ports import Transaction
from workflow_router.core.states import ApprovalStatus, DispatchStatus, StepStatus
from workflow_router.db.store import SqlStore

T = TypeVar("T")

SUBSCRIPTION = Subscription(name="mail", topic="tickets", max_deliveries=3, lease_ms=1_000)


class HandClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000


def accepted(number: int = 1, *, event_id: str | None = None, tenant: str = "default") -> AcceptedEvent:
    """An event; `event_id` tells its sender's id where that is not its number."""
    event = Event(
        id=event_id or f"e{number}", source="/shop", type="order.placed", data=b'{"n":1}', extensions={"trace": "t"}
    )
    return AcceptedEvent(id=f"event-{number:04}", event=event, matched=["orders@1"], received_ms=number, tenant=tenant)


def step(number: int = 1, *, kind: str = "step", key: str | None = None) -> StepRecord:
    """A completed step, the `number`th of its run."""
    return StepRecord(
        key=key or f"0/{number}",
        seq=number,
        name="charge",
        kind=kind,
        status=StepStatus.COMPLETED,
        output=b'{"ok":true}',
        error=None,
        attempts=2,
        started_ms=10,
        finished_ms=20,
    )


def message(number: int, *, key: str | None = None, delay_ms: int = 0, tenant: str = "default") -> NewMessage:
    """A message of the topic that SUBSCRIPTION reads."""
    return NewMessage(
        id=f"m{number:04}",
        topic="tickets",
        body=b'{"n":%d}' % number,
        key=key,
        headers={"lang": "en"},
        delay_ms=delay_ms,
        tenant=tenant,
    )


def approval(number: int = 1, *, tenant: str = "default") -> Approval:
    """An open question."""
    return Approval(
        id=f"approval-{number}",
        run="r1",
        step_key="0/1",
        name="refund",
        status=ApprovalStatus.OPEN,
        form=b'{"type":"object"}',
        context=b'{"sum":7}',
        roles=["lead"],
        quorum=2,
        tenant=tenant,
        created_ms=5,
        due_ms=None,
        decisions=b"[]",
    )


def dispatch(
    number: int = 1,
    *,
    status: DispatchStatus = DispatchStatus.INTENDED,
    attempts: bytes = b"[]",
    run: str | None = "r1",
) -> DispatchRecord:
    """A dispatch record."""
    return DispatchRecord(
        id=f"dispatch-{number}",
        route="models",
        status=status,
        target="primary",
        run=run,
        step_key="0/1",
        tenant="default",
        caller="key-1",
        cause="c",
        correlation="root",
        attempts=attempts,
        considered=b"[]",
        usage=b'{"tokens":3}',
        created_ms=1,
        finished_ms=None,
    )


def fence(store: SqlStore, run: Run) -> Fence:
    """The fence by which this store owns the run."""
    return store.fences()[run.shard]


async def start(store: SqlStore, run_id: str = "r1") -> Run:
    """A run that has been started."""
    run = await store.commit(lambda tx: tx.runs.start(NewRun(id=run_id, workflow="triage")))
    assert run is not None
    return run


async def publish(store: SqlStore, *messages: NewMessage) -> None:
    """Publish messages to SUBSCRIPTION, in order, in one unit."""

    async def unit(tx: Transaction) -> None:
        await tx.topics.declare([], [SUBSCRIPTION])
        for one in messages:
            await tx.messages.publish(one)

    await store.commit(unit)


async def lease(store: SqlStore, *, limit: int = 10, tag: str = "t", holder: str = "") -> list[Delivery]:
    """Lease from SUBSCRIPTION, with tokens that begin with `tag`."""
    return await store.commit(lambda tx: tx.messages.lease(SUBSCRIPTION, limit=limit, token=tag, holder=holder))


async def added(store: SqlStore, unit: Callable[[Transaction], Awaitable[T]]) -> tuple[T, list[AuditEntry]]:
    """Commit the unit; its result and the audit entries it added."""
    before, _ = await store.read(lambda tx: tx.audit.head())
    result = await store.commit(unit)
    return result, await store.read(lambda tx: tx.audit.entries(after=before, limit=1_000))
