"""Owns how things look from outside, as JSON: what is JSON in the store is passed on as it is, not quoted.

Refuses the store's own affairs: shards, wakes and leases of others.
"""

import base64
from functools import cache
from typing import TypeVar, get_type_hints

import msgspec
from msgspec import Raw

from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.model import Event
from workflow_router.core.states import ApprovalStatus, DeliveryStatus, DispatchStatus, RunStatus, StepStatus

V = TypeVar("V", bound=msgspec.Struct)

_NULL = Raw(b"null")


class EventSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was accepted, without its data. `id` is ours, `event_id` the sender's."""

    id: str
    event_id: str
    source: str
    type: str
    subject: str | None
    time: str | None
    matched: list[str]
    received_ms: int

    @classmethod
    def of(cls, accepted: AcceptedEvent) -> "EventSummary":
        event = accepted.event
        return cls(
            id=accepted.id,
            event_id=event.id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            time=event.time,
            matched=accepted.matched,
            received_ms=accepted.received_ms,
        )


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was accepted; `event` is itself, in the JSON format of CloudEvents."""

    id: str
    matched: list[str]
    received_ms: int
    event: dict[str, object]

    @classmethod
    def of(cls, accepted: AcceptedEvent) -> "EventView":
        return cls(
            id=accepted.id,
            matched=accepted.matched,
            received_ms=accepted.received_ms,
            event=_cloudevent(accepted.event),
        )


def _cloudevent(event: Event) -> dict[str, object]:
    members: dict[str, object] = dict(event.attributes())
    if event.data is not None and event.is_json:
        members["data"] = Raw(event.data)
    elif event.data is not None:
        members["data_base64"] = base64.b64encode(event.data).decode()
    return members


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run, without its input and output."""

    id: str
    workflow: str
    version: str
    status: RunStatus
    error: Raw
    cause: str | None
    correlation: str | None
    created_ms: int
    updated_ms: int


class ListedRun(RunSummary, frozen=True, kw_only=True):
    """A run in a list. `waits_for`: what a pending one waits for before it starts, a waiting one before it goes on."""

    waits_for: str | None


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A committed step of a run."""

    key: str
    seq: int
    name: str
    kind: str
    status: StepStatus
    output: Raw
    error: Raw
    attempts: int
    started_ms: int
    finished_ms: int


class DispatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A call through a route, each of its attempts, and why its targets were or were not picked."""

    id: str
    route: str
    status: DispatchStatus
    target: str | None
    run: str | None
    step_key: str | None
    caller: str | None
    cause: str | None
    correlation: str | None
    attempts: Raw
    considered: Raw
    usage: Raw
    facts: Raw
    created_ms: int
    finished_ms: int | None


class ExplainedView(DispatchView, frozen=True, kw_only=True):
    """A call through a route, and what became of it in words, a line each."""

    tenant: str
    explanation: list[str]
    bodies_kept: bool


class ChainView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands among those that go on one as the other: their first, and the ones before and after it."""

    first: str
    number: int
    continued_from: str | None
    continued_as: str | None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its history.

    `waits_for`: what a pending or waiting one waits for; `chain`: where it stands, if it went on as another run or is
    such a one; `archived`: the file it was read from, if it is not in the store any more.
    """

    id: str
    workflow: str
    version: str
    status: RunStatus
    input: Raw
    output: Raw
    error: Raw
    cause: str | None
    correlation: str | None
    created_ms: int
    updated_ms: int
    waits_for: str | None
    chain: ChainView | None
    archived: str | None = None
    steps: list[StepView]
    dispatches: list[DispatchView]


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """A question to people; `form` is the JSON Schema of the answer's values.

    `roles` and `people` may decide now; neither means anybody. `hash` is the SHA-256 of `subject`'s canonical JSON.
    """

    id: str
    run: str
    step_key: str
    name: str
    status: ApprovalStatus
    form: Raw
    context: Raw
    roles: list[str]
    quorum: int
    created_ms: int
    due_ms: int | None
    decisions: Raw
    people: list[str]
    subject: Raw
    hash: str
    policy: Raw
    progress: Raw


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to one subscription; `token` proves the lease. `history`: its failed attempts."""

    message_id: str
    topic: str
    key: str | None
    body: Raw
    headers: dict[str, str]
    cause: str | None
    correlation: str | None
    published_ms: int
    attempt: int
    token: str
    status: DeliveryStatus
    error: str | None
    history: Raw


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the messages of a topic."""

    name: str
    topic: str
    start: str | None
    signal: str | None
    workflow: str | None
    route: str | None
    handler: str | None
    filter: Raw
    input: Raw
    max_deliveries: int
    lease_ms: int
    on_failure: str
    prefetch: int


@cache
def _raw_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(kind).items() if hint is Raw)


def view(kind: type[V], source: msgspec.Struct, **more: object) -> V:
    """A view of a struct of the model: the fields of the same names, JSON bytes as JSON."""
    raw = _raw_fields(kind)
    values = more
    for name in kind.__struct_fields__:
        if name not in values:
            value = getattr(source, name)
            values[name] = value if name not in raw else _NULL if value is None else Raw(value)
    return kind(**values)
