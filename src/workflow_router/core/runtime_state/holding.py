"""Owns what is held as data: how a ruling becomes a hold, and how a hold is settled. Refuses to keep it."""

from collections.abc import Mapping

import msgspec

from workflow_router.core.runtime_state.gate import Ruling
from workflow_router.core.runtime_state.interceptor_ports import Held, HeldStatus
from workflow_router.utils.codec import to_json

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


def settle_as(held: Held, status: HeldStatus, by: str, reason: str) -> Held:
    """The hold as it is once it is settled."""
    return msgspec.structs.replace(held, status=status, settled_by=by, reason=reason[:1_000])


def overdue(held: Held) -> Held:
    """The hold as it is once its time is over."""
    return settle_as(held, "released" if held.on_due == "release" else "denied", "deadline", HELD_ERROR)
