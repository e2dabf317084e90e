"""Owns what is held as data: how a ruling becomes a hold, and how a hold is settled. Refuses to keep it."""

from collections.abc import Mapping, Sequence

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_model import Answer
from workflow_router.core.runtime_state.gate import Ruling
from workflow_router.core.runtime_state.interceptor_ports import Held, HeldStatus
from workflow_router.core.runtime_state.interceptors import Denied, Proposed
from workflow_router.core.runtime_state.question import Question
from workflow_router.utils.codec import from_json, to_json

HELD_ERROR = "Nobody released it in time."


def holder(ruling: Ruling) -> str:
    """The name of the interceptor that holds it."""
    return "" if ruling.by is None else ruling.by.name


def held_of(now_ms: int, ruling: Ruling, own_id: str, changed: Mapping[str, object]) -> Held:
    """The hold that a ruling leads to."""
    verdict, by, proposed = ruling.held, ruling.by, ruling.proposed
    assert verdict is not None  # noqa: S101  it is asked only of what is held
    assert by is not None  # noqa: S101  as above
    return Held(
        id=own_id,
        at=proposed.at,
        subject=proposed.subject,
        tenant=proposed.tenant,
        interceptor=by.name,
        version=by.version,
        place=by.rule.order,
        verdict=verdict.kind,
        run=proposed.run,
        cause=proposed.cause,
        correlation=proposed.correlation,
        fields=to_json(proposed.fields),
        changed=to_json(changed),
        on_due=verdict.default,
        due_ms=None if verdict.within_s is None else now_ms + round(verdict.within_s * 1000),
        created_ms=now_ms,
    )


def subject_of(proposed: Proposed) -> object:
    """Exactly what is approved: what is about to happen, as it would happen."""
    return from_json(to_json({"at": proposed.at, "subject": proposed.subject, "fields": proposed.fields}))


def asked_of(held: Held, ruling: Ruling, apart: Sequence[str] = ()) -> Approval:
    """The question about what is held. Raises Denied where it could not be shown.

    Args:
        apart: people who caused it, and so may not decide.
    """
    verdict = ruling.held
    assert verdict is not None  # noqa: S101  it is asked only of what is held
    question = Question(
        name=f"{held.interceptor}: {held.at} {held.subject}"[:200],
        form={"type": "object"},
        context=ruling.proposed.fields,
        subject=subject_of(ruling.proposed),
        roles=verdict.roles,
        people=verdict.people,
        quorum=verdict.quorum,
        within_s=verdict.within_s,
        remind_s=() if verdict.remind_s is None else (verdict.remind_s,),
        remind_again=verdict.remind_s is not None,
        apart=apart,
        on_expiry="approve" if held.on_due == "release" and held.due_ms is not None else "expire",
    )
    try:
        return question.asked(
            held.id,
            held.created_ms,
            run=held.run or "",
            step_key=held.mark or "",
            tenant=held.tenant,
            correlation=held.correlation,
        )
    except InvalidInput as error:
        raise Denied(f"Nobody could be asked: {error.message}", remedy=error.remedy) from None


def answered(held: Held, answer: Answer[object]) -> Held:
    """The hold as it is once people have answered."""
    status: HeldStatus = "released" if answer.approved else "denied"
    return settle_as(held, status, "approval", f"The approval was {answer.status}.")


def settle_as(held: Held, status: HeldStatus, by: str, reason: str) -> Held:
    """The hold as it is once it is settled."""
    return msgspec.structs.replace(held, status=status, settled_by=by, reason=reason[:1_000])


def overdue(held: Held) -> Held:
    """The hold as it is once its time is over."""
    return settle_as(held, "released" if held.on_due == "release" else "denied", "deadline", HELD_ERROR)
