"""The demo's reckoning holds for what adds up, and finds whatever does not."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from workflow_router.cli.demo.account import Found, checks
from workflow_router.cli.demo.api import Audit, Review, Run, State
from workflow_router.cli.demo.github_events import Delivery
from workflow_router.cli.demo.sender import Answer
from workflow_router.core.model import Transition
from workflow_router.core.proofs.entries import Line


def delivery(own_id: str, starts: str | None = None, **more: str) -> Delivery:
    return Delivery(id=own_id, event="x", body=b"", signature="", starts=starts, fault=more.get("fault", ""))  # pyright: ignore[reportArgumentType]  the faults below are two of them


REVIEW, TRIAGE, RELEASE, STAR = (
    delivery("1", "review_pull_request"),
    delivery("2", "triage_issue"),
    delivery("3", "prepare_release"),
    delivery("4"),
)
FORGED, MALFORMED = delivery("5", fault="signature"), delivery("6", fault="malformed")
DELIVERIES = [REVIEW, TRIAGE, RELEASE, STAR, FORGED, MALFORMED, TRIAGE]

# The key of each committed result, by run.
HISTORY = [
    ("a", "dispatch.completed", "0"),
    ("a", "step.completed", "1"),
    ("b", "dispatch.completed", "0/0"),
    ("b", "dispatch.completed", "1/0"),
    ("b", "approval.completed", "2"),
    ("b", "step.completed", "3"),
    ("c", "step.completed", "0"),
    ("c", "publish.completed", "1"),
    ("d", "step.completed", "0"),
]


def entry(run: str, kind: str, key: str) -> Line:
    told = Transition(kind=kind, subject=run, run=run, detail={"key": key})
    return Line(position=1, time_ms=1, transition=told, hash="")


def write_effects(folder: Path, *keys: str) -> Path:
    file = folder / "effects.jsonl"
    file.write_text("".join(f'{{"key": "{key}", "effect": {{"of": "{key[:1]}"}}}}\n' for key in keys))
    return file


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """All that a demo finds when everything went well."""
    return Found(
        answers=[
            Answer(REVIEW, 202, 1, mapped=True),
            Answer(TRIAGE, 202, 1, mapped=True),
            Answer(RELEASE, 202, 3, duplicate=True),  # taken in, then killed before the answer
            Answer(STAR, 202, 1),
            Answer(FORGED, 401, 1, reason="no"),
            Answer(MALFORMED, 400, 1, reason="no"),
            Answer(TRIAGE, 202, 1, duplicate=True),
        ],
        state=State(
            events={"accepted": 4, "unmapped": 1},
            runs={
                "review_pull_request": {"completed": 1},
                "triage_issue": {"completed": 1},
                "prepare_release": {"completed": 1},
                "announce_release": {"completed": 1},
            },
            dispatches={
                "reviewer": {"succeeded": 2, "failed": 0, "failovers": 0},
                "classifier": {"succeeded": 0, "failed": 1, "failovers": 1},
                "classifier-backup": {"succeeded": 1, "failed": 0, "failovers": 0},
            },
            messages={"releases": {"published": 1, "ready": 0, "leased": 0, "acked": 1, "dead": 0}},
        ),
        runs=[
            Run("a", "triage_issue", "completed"),
            Run("b", "review_pull_request", "completed"),
            Run("c", "prepare_release", "completed"),
            Run("d", "announce_release", "completed"),
        ],
        reviews=[Review("approved", ["the risk is high"])],
        decided={"x": True},
        audit=Audit(True, sha256().hexdigest(), [entry(*one) for one in HISTORY]),
        effects=write_effects(tmp_path, "1", "2", "3", "3"),
    )


def wrong(found: Found) -> list[str]:
    return [check.what for check in checks(DELIVERIES, found) if not check.holds]


def test_what_adds_up_adds_up(found: Found) -> None:
    assert wrong(found) == []


def lose_an_event(found: Found) -> None:
    found.state.events["accepted"] -= 1


def lose_an_answer(found: Found) -> None:
    found.answers = found.answers[1:]


def accept_twice(found: Found) -> None:
    found.answers = [changed(one, duplicate=False) for one in found.answers]


def accept_a_forgery(found: Found) -> None:
    found.answers = [changed(one, status=202) for one in found.answers]


def refuse_without_reason(found: Found) -> None:
    found.answers = [changed(one, reason="") for one in found.answers]


def match_nothing(found: Found) -> None:
    found.answers = [changed(one, mapped=False) for one in found.answers]


def lose_a_run(found: Found) -> None:
    found.runs = found.runs[1:]


def fault_a_run(found: Found) -> None:
    found.runs = [Run("a", "triage_issue", "faulted"), *found.runs[1:]]


def commit_a_step_twice(found: Found) -> None:
    found.audit.entries.append(found.audit.entries[0])


def lose_a_step(found: Found) -> None:
    found.audit.entries.pop()


def break_the_chain(found: Found) -> None:
    found.audit.verified = False


def call_once_too_often(found: Found) -> None:
    found.state.dispatches["reviewer"]["succeeded"] += 1


def fail_without_failover(found: Found) -> None:
    found.state.dispatches["classifier"]["failovers"] = 0


def lose_a_message(found: Found) -> None:
    found.state.messages["releases"]["acked"] = 0


def bury_a_message(found: Found) -> None:
    found.state.messages["releases"]["dead"] = 1


def ask_without_need(found: Found) -> None:
    found.reviews = [Review("approved", [])]


def turn_a_yes_into_a_no(found: Found) -> None:
    found.reviews = [Review("changes requested", ["the risk is high"])]


def lose_an_effect(found: Found) -> None:
    write_effects(found.effects.parent, "1", "2")


def repeat_an_effect_differently(found: Found) -> None:
    write_effects(found.effects.parent, "1", "2", "3")
    with found.effects.open("a") as file:
        file.write('{"key": "3", "effect": {"of": "another"}}\n')


def changed(answer: Answer, **changes: object) -> Answer:
    return msgspec.structs.replace(answer, **changes)


@pytest.mark.parametrize(
    "spoil",
    [
        lose_an_event,
        lose_an_answer,
        accept_twice,
        accept_a_forgery,
        refuse_without_reason,
        match_nothing,
        lose_a_run,
        fault_a_run,
        commit_a_step_twice,
        lose_a_step,
        break_the_chain,
        call_once_too_often,
        fail_without_failover,
        lose_a_message,
        bury_a_message,
        ask_without_need,
        turn_a_yes_into_a_no,
        lose_an_effect,
        repeat_an_effect_differently,
    ],
)
def test_whatever_does_not_add_up_is_found(found: Found, spoil: Callable[[Found], None]) -> None:
    spoil(found)
    assert wrong(found)
