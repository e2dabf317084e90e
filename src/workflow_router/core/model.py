"""Owns the words as frozen data: event, run, step, message, dispatch, approval, transition. Refuses behaviour.

Payloads are JSON bytes as they came or as they will be stored, so that nothing is decoded only to be encoded again.
What is made many times for each run cannot be part of a reference cycle, so the garbage collector need not look at it.
"""

from typing import Any

import msgspec

from workflow_router.core.states import (
    ApprovalStatus,
    DeliveryStatus,
    DispatchStatus,
    RunStatus,
    StepStatus,
)
from workflow_router.utils.codec import from_json

DEFAULT_TENANT = "default"
TRACE = ("traceparent", "tracestate")  # what carries a trace in headers, and in attributes of events (W3C)
# What the types of all events begin with that the router makes itself.
OWN_TYPE = "dev.workflow-router."


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvents 1.0 event.

    Attributes:
        data: content exactly as received: JSON text where `is_json`, else any bytes; None where there is none.
        extensions: extension attributes by name (lower-case letters and digits).
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: bytes | None = None
    extensions: dict[str, str | int | bool] = {}
    specversion: str = "1.0"

    @property
    def is_json(self) -> bool:
        """Whether `data` is JSON text (RFC 2045 type `*/json` or `*/*+json`; no type means JSON)."""
        if self.datacontenttype is None:
            return True
        kind = self.datacontenttype.partition(";")[0].strip().lower()
        return kind.endswith(("/json", "+json"))

    def attributes(self) -> dict[str, str | int | bool]:
        """The context attributes that are set, extensions included, as patterns and expressions see them."""
        found: dict[str, str | int | bool] = {"id": self.id, "source": self.source, "type": self.type}
        found["specversion"] = self.specversion
        for name in ("subject", "time", "datacontenttype", "dataschema"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value
        found.update(self.extensions)
        return found


class Transition(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A change of state, as the audit log and observers see it. Holds no payload and no secret.

    Attributes:
        kind: `<thing>.<what happened>`, for example `run.completed`.
        subject: id or name of the thing that changed.
        cause: id of the event, message, run or person that caused it.
        correlation: id of the event (or call) at the root of the causal tree.
        detail: small facts about the change.
    """

    kind: str
    subject: str
    tenant: str = DEFAULT_TENANT
    actor: str | None = None
    run: str | None = None
    cause: str | None = None
    correlation: str | None = None
    detail: dict[str, object] = {}


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of the tamper-evident log.

    Attributes:
        position: 1, 2, 3 … without gaps, in commit order.
        time_ms: when it was committed, wall time.
        body: the bytes that its leaf covers, see `core.proofs.entries`.
        private: the commitment to actor and detail, 32 bytes, where there are any.
        salt: of the commitment; None once actor and detail were redacted.
        hash: of its leaf in the log's Merkle tree, 32 bytes.
    """

    position: int
    time_ms: int
    transition: Transition
    body: bytes
    private: bytes | None
    salt: bytes | None
    hash: bytes


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """A signed checkpoint of the audit log: how many entries it covers, when it was made, and the signed note."""

    position: int
    time_ms: int
    note: str


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which audit entries to search for, after a position; None means any. `until_ms` itself is excluded."""

    after: int = 0
    limit: int = 100
    since_ms: int | None = None
    until_ms: int | None = None
    kind: str | None = None
    actor: str | None = None
    run: str | None = None
    tenant: str | None = None


class NewRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run to be started. `input` is JSON; `parent` is the run that waits for its end.

    With `key`, starts of the same workflow and key are one: the first makes the run, the others get it.
    """

    id: str
    workflow: str
    version: str = "1"
    input: bytes = b"null"
    tenant: str = DEFAULT_TENANT
    cause: str | None = None
    correlation: str | None = None
    parent: str | None = None
    key: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One execution of a workflow. `input` and `output` are JSON, `error` is a problem document as JSON.

    Attributes:
        wakes: how often something it may wait for has happened; a run parks only if that is as it was when it looked.
        parent: the run that waits for its end, which wakes it and outside of which it does not go on.
        joined: it was there before the start that returned it, which so has nothing to take up.
    """

    id: str
    workflow: str
    version: str
    status: RunStatus
    input: bytes
    output: bytes | None
    error: bytes | None
    tenant: str
    shard: int
    cause: str | None
    correlation: str | None
    created_ms: int
    updated_ms: int
    wakes: int = 0
    parent: str | None = None
    joined: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A value sent to a run, kept until the run receives it.

    Attributes:
        id: a second signal of the same id (in the same tenant) is the same signal.
        run: the run it is for; None while no run has its key.
        workflow, key: how it finds its run, where it was not sent to a run's id.
        value: JSON.
        cause: id of the event or run that sent it.
    """

    id: str
    name: str
    value: bytes
    run: str | None = None
    workflow: str | None = None
    key: str | None = None
    tenant: str = DEFAULT_TENANT
    cause: str | None = None
    sent_ms: int = 0


class StepRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A committed step of a run.

    Attributes:
        key: position of the step in its run, such as `2`, or `2/0` in a branch; unique in the run.
        seq: 1, 2, 3 … in commit order within the run, without gaps.
        kind: step, dispatch, publish, approval, sleep, start, child, parallel, signal, receive, correlate, patch,
            now, random or uuid.
        output: JSON of the result, where completed.
        error: problem document as JSON, where faulted.
    """

    key: str
    seq: int
    name: str
    kind: str
    status: StepStatus
    output: bytes | None
    error: bytes | None
    attempts: int
    started_ms: int
    finished_ms: int


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A question to people.

    Attributes:
        run: the one that asks; empty where something outside of a run's code asks.
        form: JSON Schema of the answer, as JSON.
        roles: who may answer; empty means anybody who may use the API.
        quorum: how many different people must approve.
        due_ms: after this wall time the approval has expired; None waits for ever.
        decisions: JSON list of `Decision`.
        policy: JSON of `Policy`: everything else that was said when it was asked.
        progress: JSON of `Progress`: what has become of it, besides decisions.
        subject: canonical JSON of what is approved, and the SHA-256 of it, in hex, as `hash`.
        next_ms: when something falls due: a reminder, an escalation, the deadline.
    """

    id: str
    run: str
    step_key: str
    name: str
    status: ApprovalStatus
    form: bytes
    context: bytes
    roles: list[str]
    quorum: int
    tenant: str
    created_ms: int
    due_ms: int | None
    decisions: bytes
    policy: bytes = b"{}"
    progress: bytes = b"{}"
    subject: bytes = b"null"
    hash: str = ""
    correlation: str | None = None
    next_ms: int | None = None


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be published. `body` is JSON; messages with the same `key` are delivered in order.

    Attributes:
        delay_ms: it is delivered so long after it was published; later ones of its key wait for it.
        deduplication: a second message of the topic with the same one, within `deduplication_ms`, is not published.
        expires_ms: it is not delivered any more so long after it was published.
        priority: 0 to 9; those above 0 are taken before others that wait, the highest first.
    """

    id: str
    topic: str
    body: bytes
    key: str | None = None
    headers: dict[str, str] = {}
    tenant: str = DEFAULT_TENANT
    cause: str | None = None
    correlation: str | None = None
    delay_ms: int = 0
    deduplication: str | None = None
    deduplication_ms: int = 600_000
    expires_ms: int | None = None
    priority: int = 0


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message on its way to one subscription.

    Attributes:
        token: proves the lease; a late ack with an older token is refused.
        attempt: 1 for the first delivery.
        status: ready, leased, acked or dead.
        position: of the message in its topic's log; with the topic's number in its upper bits.
        history: JSON list of {attempt, error, time_ms}, of a dead letter.
    """

    subscription: str
    message_id: str
    topic: str
    key: str | None
    body: bytes
    headers: dict[str, str]
    tenant: str
    cause: str | None
    correlation: str | None
    published_ms: int
    attempt: int
    token: str
    status: DeliveryStatus
    error: str | None = None
    position: int = 0
    history: bytes | None = None

    def json(self) -> Any:
        """The body as Python values."""
        return from_json(self.body)


class DispatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One outgoing call through a route, and why it went where it went.

    Attributes:
        attempts: JSON list of {target, status, error, started_ms, first_byte_ms, total_ms}.
        considered: JSON list of {target, picked, reason}.
        usage: JSON of token counts as the provider reported them, if it did.
        facts: JSON of who asked by which key, tokens, cost, what was reserved, and why it was refused, if it was.
    """

    id: str
    route: str
    status: DispatchStatus
    target: str | None
    run: str | None
    step_key: str | None
    tenant: str
    caller: str | None
    cause: str | None
    correlation: str | None
    attempts: bytes
    considered: bytes
    usage: bytes | None
    created_ms: int
    finished_ms: int | None
    facts: bytes | None = None
