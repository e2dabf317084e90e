"""Owns the rules of approvals, as pure functions: who may decide, what decisions lead to, and what time does.

Refuses to know who people are: names and roles are as the door says. What is shown, stored or told is not its affair.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from workflow_router.core.errors import Conflict, Forbidden, InvalidInput
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_model import (
    Answer,
    Decision,
    Delegation,
    Policy,
    Progress,
    decisions_of,
    policy_of,
    progress_of,
)
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import to_canonical_json, to_json

# So many hands a delegation may go through.
CHAIN_MAX = 10
REMINDERS_MAX = 1_000


def subject_hash(subject: object) -> str:
    """SHA-256, in hex, of a subject's canonical JSON (RFC 8785): what an approval of it binds. Raises InvalidInput."""
    return hashlib.sha256(canonical(subject)).hexdigest()


def canonical(subject: object) -> bytes:
    """Canonical JSON (RFC 8785). Raises InvalidInput for what has no such form."""
    try:
        return to_canonical_json(subject)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"What is to be approved has no canonical JSON: {error}", remedy="Write large numbers as text."
        ) from None


# --- who -------------------------------------------------------------------------------------------------------------


def candidates(approval: Approval) -> tuple[list[str], list[str]]:
    """The people and the roles asked now, escalation included. None of either means anybody."""
    policy = policy_of(approval)
    people, roles = list(policy.people), list(approval.roles)
    for level in policy.levels[: progress_of(approval).level]:
        if level.replace:
            people, roles = [], []
        people += [one for one in level.people if one not in people]
        roles += [one for one in level.roles if one not in roles]
    return people, roles


def seats_of(approval: Approval, decision: Decision, delegations: Sequence[Delegation], now_ms: int) -> list[str]:
    """Whose places somebody may take, their own first; none where they are no candidate.

    Those who are kept apart give no place, nor may a place come through their hands.
    """
    people, roles = candidates(approval)
    apart = set(policy_of(approval).apart)
    if decision.by in apart:
        return []
    anybody = not people and not roles
    own = anybody or decision.by in people or bool(set(roles) & set(decision.roles))
    seats = [decision.by] if own else []
    seen, taken = {decision.by}, [decision.by]
    for _ in range(CHAIN_MAX):
        givers: list[str] = []
        for one in delegations:
            if one.taker not in taken or one.giver in seen | apart or not _runs(one, now_ms):
                continue
            seen.add(one.giver)
            givers.append(one.giver)
            if not anybody and (one.giver in people or set(roles) & set(one.roles)):
                seats.append(one.giver)
        taken = givers
    return seats


def _runs(one: Delegation, now_ms: int) -> bool:
    return one.from_ms <= now_ms and (one.until_ms is None or now_ms < one.until_ms)


def check_delegation(new: Delegation, known: Iterable[Delegation]) -> None:
    """Raises InvalidInput for one to oneself, Conflict for one that would close a circle."""
    if not new.giver or not new.taker or new.giver == new.taker:
        raise InvalidInput("A delegation needs two people.", remedy="Say who decides instead.")
    reached, edges = {new.taker}, list(known)
    for _ in range(len(edges) + 1):
        more = {one.taker for one in edges if one.giver in reached} - reached
        if not more:
            break
        reached |= more
    if new.giver in reached:
        raise Conflict(
            f"{new.taker} has delegated to {new.giver} already, directly or not.", remedy="Take that back first."
        )


# --- what ------------------------------------------------------------------------------------------------------------


def answer_of(approval: Approval, now_ms: int) -> Answer[object] | None:
    """The answer, if the approval has ended or its deadline is over; None while it is open."""
    policy = policy_of(approval)
    ended = approval
    if approval.status is ApprovalStatus.OPEN:
        if approval.due_ms is None or now_ms < approval.due_ms:
            return None
        ended = expired(approval)
    by_deadline = progress_of(ended).expired
    return Answer(
        status=ended.status,
        decisions=decisions_of(ended),
        hash=ended.hash,
        expired=by_deadline,
        fails=by_deadline and policy.on_expiry == "fail",
        default=policy.default if by_deadline and policy.on_expiry == "value" else {},
    )


def expired(approval: Approval) -> Approval:
    """The approval as its deadline leaves it."""
    outcome = {
        "approve": ApprovalStatus.APPROVED,
        "value": ApprovalStatus.APPROVED,
        "reject": ApprovalStatus.REJECTED,
    }.get(policy_of(approval).on_expiry, ApprovalStatus.EXPIRED)
    progress = msgspec.structs.replace(progress_of(approval), expired=True)
    return msgspec.structs.replace(approval, status=outcome, progress=to_json(progress), next_ms=None)


def withdrawn(approval: Approval, why: str) -> Approval:
    """The approval as it is when nobody is to answer it any more."""
    progress = msgspec.structs.replace(progress_of(approval), why=why)
    return msgspec.structs.replace(approval, status=ApprovalStatus.WITHDRAWN, progress=to_json(progress), next_ms=None)


def check_decision(
    approval: Approval, decision: Decision, delegations: Sequence[Delegation], now_ms: int
) -> list[Decision]:
    """The decisions with this one. Raises Conflict, InvalidInput or Forbidden where it may not be added."""
    ended = answer_of(approval, now_ms)
    if ended is not None:
        raise Conflict(f"Approval {approval.id} is {ended.status}.", remedy="Nothing is left to decide.")
    if not decision.by:
        raise InvalidInput("A decision needs a name.", remedy="Say who decides in `by`.")
    if decision.hash is not None and decision.hash != approval.hash:
        raise Conflict("This decides on something else than is asked now.", remedy="Look at it again.")
    policy = policy_of(approval)
    if decision.by in policy.apart:
        raise Forbidden(f"{decision.by} asked for this, or caused it.", remedy="Somebody else has to decide.")
    seats = seats_of(approval, decision, delegations, now_ms)
    if not seats:
        people, roles = candidates(approval)
        asked = ", ".join([*people, *roles])
        raise Forbidden(f"{decision.by} is none of those asked: {asked}.", remedy="Ask somebody who is.")
    decisions = decisions_of(approval)
    used = {name for earlier in decisions for name in (earlier.by, earlier.seat or earlier.by)}
    free = [seat for seat in seats if seat not in used]
    if decision.by in used or not free:
        raise Conflict(f"{decision.by} has decided already.", remedy="Another person has to decide.")
    if not decision.reason.strip() and (
        policy.reason == "always" or (policy.reason == "rejection" and not decision.approved)
    ):
        raise InvalidInput("This decision needs a reason.", remedy="Say why in `reason`.")
    return [*decisions, msgspec.structs.replace(decision, time_ms=now_ms, seat=free[0])]


def status_of(approval: Approval, decisions: Sequence[Decision]) -> ApprovalStatus:
    """What these decisions lead to."""
    policy, quorum = policy_of(approval), approval.quorum
    rejections = sum(not one.approved for one in decisions)
    if len(decisions) - rejections >= quorum:
        return ApprovalStatus.APPROVED
    people, roles = candidates(approval)
    known = policy.of or (len(people) if people and not roles else None)
    limits = {"one": 1, "quorum": quorum, "majority": (known or 2 * quorum - 1) // 2 + 1}
    # Where so many have refused that the quorum cannot be reached any more, there is nothing left to wait for.
    hopeless = known is not None and known - rejections < quorum
    return ApprovalStatus.REJECTED if hopeless or rejections >= limits[policy.rejections] else ApprovalStatus.OPEN


# --- when ------------------------------------------------------------------------------------------------------------


def with_next(approval: Approval) -> Approval:
    """The approval with the moment at which something of it is due."""
    policy, progress = policy_of(approval), progress_of(approval)
    moments = [] if approval.due_ms is None else [approval.due_ms]
    reminder = _reminder_ms(policy, progress.reminded)
    if reminder is not None:
        moments.append(approval.created_ms + reminder)
    if progress.level < len(policy.levels):
        moments.append(approval.created_ms + policy.levels[progress.level].after_ms)
    next_ms = min(moments, default=None) if approval.status is ApprovalStatus.OPEN else None
    return msgspec.structs.replace(approval, next_ms=next_ms)


def _reminder_ms(policy: Policy, number: int) -> int | None:
    """When the reminder of this number (from 0) is due, after the question; None where there is none."""
    given = policy.remind_ms
    if number < len(given):
        return given[number]
    if not policy.remind_again or not given or number >= REMINDERS_MAX:
        return None
    return given[-1] * (number - len(given) + 2)


def fallen_due(approval: Approval, now_ms: int) -> tuple[str, Approval] | None:
    """The first thing that has fallen due, as the kind of a transition, and the approval after it."""
    if approval.status is not ApprovalStatus.OPEN:
        return None
    if approval.due_ms is not None and approval.due_ms <= now_ms:
        return "approval.expired", expired(approval)
    policy, progress = policy_of(approval), progress_of(approval)
    since_ms = now_ms - approval.created_ms
    if progress.level < len(policy.levels) and policy.levels[progress.level].after_ms <= since_ms:
        return "approval.escalated", _progressed(approval, msgspec.structs.replace(progress, level=progress.level + 1))
    reminded = progress.reminded
    while (reminder := _reminder_ms(policy, reminded)) is not None and reminder <= since_ms:
        reminded += 1  # those that were missed while nobody ran are one
    if reminded == progress.reminded:
        return None
    return "approval.reminded", _progressed(approval, msgspec.structs.replace(progress, reminded=reminded))


def _progressed(approval: Approval, progress: Progress) -> Approval:
    return with_next(msgspec.structs.replace(approval, progress=to_json(progress)))
