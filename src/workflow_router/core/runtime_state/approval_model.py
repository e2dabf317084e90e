"""Owns the words of approvals as frozen data: what is asked, said and handed on. Refuses behaviour."""

from typing import Generic, Literal, TypeVar

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, Approval
from workflow_router.core.states import ApprovalStatus

Rejections = Literal["one", "majority", "quorum"]
Reasons = Literal["optional", "rejection", "always"]
OnExpiry = Literal["expire", "approve", "reject", "value", "fail"]
V = TypeVar("V")


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A document that a decision refers to: where it is, and the SHA-256 of its bytes in hex. It is not kept here."""

    uri: str
    sha256: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said.

    Attributes:
        by: who; the same person counts once.
        roles: what they may answer as.
        values: the form's fields.
        hash: of what they saw; a decision on something else is refused.
        seat: whose place it takes: their own, or that of whoever delegated to them.
        via: the door it came through: `api`, `link` or `message`.
    """

    by: str
    approved: bool
    reason: str = ""
    roles: list[str] = []
    values: dict[str, object] = {}
    time_ms: int = 0
    hash: str | None = None
    attachments: list[Attachment] = []
    seat: str = ""
    via: str = ""


class Answer(msgspec.Struct, Generic[V], frozen=True, kw_only=True):
    """How an approval ended, as the workflow gets it. `values` are those of the last decision.

    Attributes:
        value: the same as the form's type; None where nothing was approved.
        hash: SHA-256 of the canonical JSON of what was approved.
        expired: the deadline decided, not people.
        fails: the workflow is to get ApprovalRejected instead.
        default: the form's fields where the deadline decided.
    """

    status: ApprovalStatus
    decisions: list[Decision]
    value: V | None = None
    hash: str = ""
    expired: bool = False
    fails: bool = False
    default: dict[str, object] = {}

    @property
    def approved(self) -> bool:
        return self.status is ApprovalStatus.APPROVED

    @property
    def values(self) -> dict[str, object]:
        if self.expired:
            return self.default
        return self.decisions[-1].values if self.decisions else {}


class Level(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is asked next, so long after the approval was asked: besides those before, or instead of them."""

    after_ms: int
    roles: list[str] = []
    people: list[str] = []
    replace: bool = False


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was said when an approval was asked, besides its roles and quorum.

    Attributes:
        people: who may decide by name.
        of: how many may decide at all, where that is known (the N of M of N).
        rejections: what ends it: one of them, more than half of all, or as many as the quorum.
        reason: when a decision needs one.
        apart: who may not decide: the requester, and whoever caused the run.
        remind_ms: when to remind, after it was asked; the last one again and again with `remind_again`.
        default: the form's fields where the deadline approves with a value.
    """

    people: list[str] = []
    of: int | None = None
    rejections: Rejections = "one"
    reason: Reasons = "optional"
    apart: list[str] = []
    remind_ms: list[int] = []
    remind_again: bool = False
    levels: list[Level] = []
    on_expiry: OnExpiry = "expire"
    default: dict[str, object] = {}


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of an approval, besides decisions.

    Attributes:
        reminded: how often. level: how many levels of its escalation were reached.
        expired: the deadline ended it. why: what ended it, where people did not.
    """

    reminded: int = 0
    level: int = 0
    expired: bool = False
    why: str = ""


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody lets somebody else decide: one approval, or all of them within a span of time.

    Attributes:
        roles: what the giver may answer as, and so the taker in their place.
        approval: the one; empty for all.
        until_ms: it ends then; None where it ends with its approval.
    """

    id: str
    giver: str
    taker: str
    roles: list[str] = []
    approval: str = ""
    from_ms: int = 0
    until_ms: int | None = None
    reason: str = ""
    tenant: str = DEFAULT_TENANT


_decode_policy = msgspec.json.Decoder(Policy).decode
_decode_progress = msgspec.json.Decoder(Progress).decode
_decode_decisions = msgspec.json.Decoder(list[Decision]).decode


def policy_of(approval: Approval) -> Policy:
    """What was said when it was asked."""
    return _decode_policy(approval.policy)


def progress_of(approval: Approval) -> Progress:
    """What has become of it."""
    return _decode_progress(approval.progress)


def decisions_of(approval: Approval) -> list[Decision]:
    """What people said so far."""
    return _decode_decisions(approval.decisions)
