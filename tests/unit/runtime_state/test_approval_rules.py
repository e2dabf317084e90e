"""The rules of approvals, as tables: who may decide, what decisions lead to, what time does, what a hash binds."""

import hashlib
import random

import msgspec
import pytest

from workflow_router import Escalation
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, RouterError
from workflow_router.core.model import Approval
from workflow_router.core.runtime_state.approval_model import Decision, Delegation, progress_of
from workflow_router.core.runtime_state.approval_rules import (
    answer_of,
    candidates,
    check_decision,
    check_delegation,
    fallen_due,
    status_of,
    subject_hash,
)
from workflow_router.core.runtime_state.question import Question
from workflow_router.utils.codec import to_json

HOUR_S = 3_600.0
HOUR_MS = 3_600_000


def asked(**said: object) -> Approval:
    return Question(name="q", **said).asked("a", 0)  # pyright: ignore[reportArgumentType]  each row says what it needs


def says(
    by: str, *, approved: bool = True, roles: tuple[str, ...] = (), reason: str = "", seen: str | None = None
) -> Decision:
    return Decision(by=by, approved=approved, roles=list(roles), reason=reason, hash=seen)


def hands(giver: str, taker: str, *roles: str, from_ms: int = 0, until_ms: int | None = None) -> Delegation:
    return Delegation(
        id=f"{giver}>{taker}", giver=giver, taker=taker, roles=list(roles), from_ms=from_ms, until_ms=until_ms
    )


@pytest.mark.parametrize(
    ("said", "votes", "status"),
    [
        ({"quorum": 2}, "y", "open"),
        ({"quorum": 2}, "yy", "approved"),
        ({"quorum": 2}, "yn", "rejected"),
        ({"quorum": 2, "rejections": "quorum"}, "yn", "open"),
        ({"quorum": 2, "rejections": "quorum"}, "nyy", "approved"),
        ({"quorum": 2, "rejections": "quorum"}, "ynn", "rejected"),
        ({"quorum": 2, "of": 5, "rejections": "majority"}, "nn", "open"),
        ({"quorum": 2, "of": 5, "rejections": "majority"}, "nnn", "rejected"),
        ({"quorum": 2, "rejections": "majority"}, "n", "open"),
        ({"quorum": 2, "rejections": "majority"}, "nn", "rejected"),
        # Two of three are wanted and two have refused: nothing is left to wait for.
        ({"quorum": 2, "of": 3, "rejections": "quorum"}, "n", "open"),
        ({"quorum": 3, "of": 3, "rejections": "quorum"}, "n", "rejected"),
        ({"quorum": 2, "people": ["a", "b"], "rejections": "quorum"}, "n", "rejected"),
    ],
)
def test_what_decisions_lead_to(said: dict[str, object], votes: str, status: str) -> None:
    decisions = [says(str(number), approved=vote == "y") for number, vote in enumerate(votes)]
    assert status_of(asked(**said), decisions) == status


REFUSED: list[tuple[dict[str, object], Decision, list[Delegation], type[RouterError]]] = [
    ({"people": ["ann"]}, says("eve"), [], Forbidden),
    ({"roles": ["lead"]}, says("eve", roles=("guest",)), [], Forbidden),
    ({"apart": ["ann"]}, says("ann"), [], Forbidden),
    ({"apart": ["ann"], "roles": ["lead"]}, says("ann", roles=("lead",)), [], Forbidden),
    # The requester cannot decide through somebody else, nor lend their place.
    ({"apart": ["ann"], "people": ["ann"]}, says("bob"), [hands("ann", "bob")], Forbidden),
    ({"apart": ["bob"], "people": ["ann"]}, says("cid"), [hands("ann", "bob"), hands("bob", "cid")], Forbidden),
    ({"people": ["ann"]}, says("bob"), [hands("ann", "bob", from_ms=1)], Forbidden),
    ({"people": ["ann"]}, says("bob"), [hands("ann", "bob", until_ms=0)], Forbidden),
    ({"people": ["ann"]}, says("bob"), [hands("cid", "bob")], Forbidden),
    ({"roles": ["lead"]}, says("bob"), [hands("ann", "bob", "guest")], Forbidden),
    ({}, says(""), [], InvalidInput),
    ({"reason": "always"}, says("ann"), [], InvalidInput),
    ({"reason": "rejection"}, says("ann", approved=False, reason="  "), [], InvalidInput),
    ({"subject": 1}, says("ann", seen=subject_hash(2)), [], Conflict),
]


@pytest.mark.parametrize(("said", "decision", "handed", "error"), REFUSED)
def test_who_may_not_decide(
    said: dict[str, object], decision: Decision, handed: list[Delegation], error: type[RouterError]
) -> None:
    with pytest.raises(error):
        check_decision(asked(**said), decision, handed, 0)


TAKEN: list[tuple[dict[str, object], Decision, list[Delegation], str]] = [
    ({}, says("ann"), [], "ann"),
    ({"people": ["ann"], "roles": ["lead"]}, says("ann"), [], "ann"),
    ({"people": ["ann"], "roles": ["lead"]}, says("bob", roles=("lead",)), [], "bob"),
    ({"people": ["ann"]}, says("bob"), [hands("ann", "bob")], "ann"),
    ({"roles": ["lead"]}, says("bob"), [hands("ann", "bob", "lead")], "ann"),
    ({"people": ["ann"]}, says("cid"), [hands("bob", "cid"), hands("ann", "bob")], "ann"),
    ({"people": ["ann", "bob"]}, says("bob"), [hands("ann", "bob")], "bob"),
    ({"reason": "rejection"}, says("ann"), [], "ann"),
    ({"subject": {"b": 1, "a": 2}}, says("ann", seen=subject_hash({"a": 2, "b": 1})), [], "ann"),
]


@pytest.mark.parametrize(("said", "decision", "handed", "seat"), TAKEN)
def test_whose_place_a_decision_takes(
    said: dict[str, object], decision: Decision, handed: list[Delegation], seat: str
) -> None:
    assert [one.seat for one in check_decision(asked(**said), decision, handed, 0)] == [seat]


def test_one_person_and_one_place_count_once() -> None:
    handed = [hands("ann", "bob"), hands("ann", "cid"), hands("dan", "bob")]
    approval = asked(people=["ann", "dan", "eve"], quorum=3)

    def after(decisions: list[Decision]) -> Approval:
        return msgspec.structs.replace(approval, decisions=to_json(decisions))

    first = check_decision(approval, says("bob"), handed, 0)
    for again in ("bob", "ann", "cid"):  # who decided, whose place it was, and who would take the same place
        with pytest.raises(Conflict, match="decided already"):
            check_decision(after(first), says(again), handed, 0)
    second = check_decision(after(first), says("dan"), handed, 0)
    assert [(one.by, one.seat) for one in second] == [("bob", "ann"), ("dan", "dan")]


def test_delegations_make_no_circle_whatever_their_order() -> None:
    chance = random.Random(7)
    for _ in range(200):
        known: list[Delegation] = []
        for _ in range(12):
            giver, taker = chance.choice("abcdef"), chance.choice("abcdef")
            try:
                check_delegation(hands(giver, taker), known)
            except (Conflict, InvalidInput):
                continue
            known.append(hands(giver, taker))
        reached = {person: {one.taker for one in known if one.giver == person} for person in "abcdef"}
        for _ in range(6):
            for near in reached.values():
                near |= {far for one in near for far in reached[one]}
        assert not [person for person in reached if person in reached[person]]


def test_time_reminds_escalates_and_ends() -> None:
    approval = asked(
        people=["ann"],
        within_s=10 * HOUR_S,
        remind_s=[HOUR_S],
        remind_again=True,
        escalate=[
            Escalation(after_s=5 * HOUR_S, roles=["board"], replace=True),
            Escalation(after_s=2.5 * HOUR_S, people=["bob"]),
        ],
        on_expiry="approve",
    )
    seen: list[tuple[int, str]] = []
    while approval.next_ms is not None:
        now_ms = approval.next_ms
        assert fallen_due(approval, now_ms - 1) is None
        while (change := fallen_due(approval, now_ms)) is not None:
            seen.append((now_ms // (HOUR_MS // 2), change[0].removeprefix("approval.")))
            approval = change[1]
            if change[0] == "approval.escalated":
                seen.append((0, str(candidates(approval))))
    assert seen == [
        (2, "reminded"),
        (4, "reminded"),
        (5, "escalated"),
        (0, "(['ann', 'bob'], [])"),
        (6, "reminded"),
        (8, "reminded"),
        (10, "escalated"),
        (0, "([], ['board'])"),
        (10, "reminded"),
        (12, "reminded"),
        (14, "reminded"),
        (16, "reminded"),
        (18, "reminded"),
        (20, "expired"),
    ]
    assert (approval.status, progress_of(approval).reminded) == ("approved", 9)


def test_reminders_that_were_missed_are_one() -> None:
    approval = asked(remind_s=[HOUR_S], remind_again=True)
    change = fallen_due(approval, 100 * HOUR_MS + 1)
    assert change is not None
    assert (progress_of(change[1]).reminded, change[1].next_ms) == (100, 101 * HOUR_MS)


@pytest.mark.parametrize(
    ("on_expiry", "status"),
    [
        ("expire", "expired"),
        ("fail", "expired"),
        ("reject", "rejected"),
        ("approve", "approved"),
        ("value", "approved"),
    ],
)
def test_what_a_deadline_means(on_expiry: str, status: str) -> None:
    approval = asked(within_s=1.0, on_expiry=on_expiry, default={"n": 1})
    assert answer_of(approval, 999) is None
    answer = answer_of(approval, 1_000)
    assert answer is not None
    assert (answer.status, answer.expired, answer.fails) == (status, True, on_expiry == "fail")
    assert answer.values == ({"n": 1} if on_expiry == "value" else {})
    with pytest.raises(Conflict, match=status):
        check_decision(approval, says("ann"), [], 1_000)


def test_the_hash_is_of_the_canonical_form() -> None:
    subject = {"target": "billing", "cost": 12.50, "arguments": {"b": [1, "ü"], "a": None}}
    text = '{"arguments":{"a":null,"b":[1,"ü"]},"cost":12.5,"target":"billing"}'
    assert subject_hash(subject) == hashlib.sha256(text.encode()).hexdigest()
    assert asked(subject=subject).hash == subject_hash(subject)
    assert asked(context={"x": 1}).hash == subject_hash({"x": 1})
    with pytest.raises(InvalidInput, match="canonical"):
        subject_hash(2**60)


@pytest.mark.parametrize(
    "said",
    [
        {"quorum": 0},
        {"quorum": 3, "of": 2},
        {"quorum": 2, "people": ["ann"]},
        {"remind_s": [0.0]},
        {"remind_s": [2.0, 1.0]},
        {"escalate": [Escalation(after_s=1.0)]},
        {"escalate": [Escalation(after_s=-1.0, people=["ann"])]},
        {"on_expiry": "approve"},
        {"on_expiry": "value", "within_s": 1.0, "form": {"type": "object", "required": ["n"]}},
        {"on_expiry": "value", "within_s": 1.0, "default": [1]},
        {"people": [str(n) for n in range(201)]},
        {"context": "x" * 300_000},
    ],
)
def test_what_nobody_could_answer_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        asked(**said)
