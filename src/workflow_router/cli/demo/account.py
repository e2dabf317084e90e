"""Owns the demo's reckoning: what must have come of the deliveries, held against what the router says. Pure.

What is expected is worked out from the deliveries alone; what was found comes from answers, API, audit log and effects.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from workflow_router.cli.demo.api import Audit, Counts, Review, Run, State
from workflow_router.cli.demo.github_events import Delivery
from workflow_router.cli.demo.sender import Answer

# Durable operations of one run: calls, steps, messages. A review has one more where a person was asked.
OPERATIONS = {"review_pull_request": 3, "triage_issue": 2, "prepare_release": 2, "announce_release": 1}
DISPATCHES = {"review_pull_request": 2, "triage_issue": 1}
EFFECTS = ("review_pull_request", "triage_issue", "announce_release")
REFUSALS = {"signature": 401, "malformed": 400}
_COMMITTED = ("completed", "faulted")
_OPERATIONS = ("step", "dispatch", "publish", "approval")


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold."""

    what: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.expected == self.found


class Found(msgspec.Struct, kw_only=True):
    """What the router and its surroundings say after the last run has ended."""

    answers: Sequence[Answer]
    state: State
    runs: Sequence[Run]
    reviews: Sequence[Review]
    decided: Mapping[str, bool]
    audit: Audit
    effects: Path


def expected_runs(deliveries: Sequence[Delivery]) -> dict[str, int]:
    """How many runs of each workflow these deliveries must start, each delivery once."""
    starts = Counter(one.starts for one in {one.id: one for one in deliveries}.values() if one.starts and not one.fault)
    runs = {name: starts.get(name, 0) for name in OPERATIONS}
    runs["announce_release"] = runs["prepare_release"]  # the subscription starts one for each message
    return runs


def checks(deliveries: Sequence[Delivery], found: Found) -> list[Check]:
    """Everything that must add up."""
    runs = expected_runs(deliveries)
    return [
        *_events(deliveries, found),
        *_runs(runs, found),
        *_calls(runs, found),
        *_messages(runs["prepare_release"], found.state.messages.get("releases", {})),
        *_effects(runs, found.effects),
        Check("audit log verified", True, found.audit.verified),
    ]


def _events(deliveries: Sequence[Delivery], found: Found) -> list[Check]:
    good = {one.id: one for one in deliveries if not one.fault}
    unmapped = sum(one.starts is None for one in good.values())
    first = Counter(answer.delivery.id for answer in found.answers if is_accepted(answer) and not answer.duplicate)
    # A delivery that was taken in just before the kill got no answer, and its repetition was a duplicate.
    unanswered = {answer.delivery.id for answer in found.answers if answer.duplicate and answer.tries > 1}
    faults = Counter(one.fault for one in deliveries if one.fault)
    refused = Counter(answer.delivery.fault for answer in found.answers if is_refused(answer))
    mapped = {answer.delivery.id for answer in found.answers if answer.mapped}
    wanted = {one.id for one in good.values() if one.starts}
    return [
        Check("every delivery got an answer", len(deliveries), len(found.answers)),
        Check("accepted, each once", len(good), found.state.events.get("accepted", 0)),
        Check("told so, or killed before it could be told", good.keys(), first.keys() | (unanswered & good.keys())),
        Check("told so more than once", 0, sum(count > 1 for count in first.values())),
        Check("matched wrongly", 0, len((mapped ^ wanted) - unanswered)),
        Check("no mapping", unmapped, found.state.events.get("unmapped", 0)),
        Check("refused with the right status and a reason", dict(faults), dict(refused)),
    ]


def is_accepted(answer: Answer) -> bool:
    """Whether the router took the event in, now or before."""
    return answer.status in {200, 202}


def is_refused(answer: Answer) -> bool:
    """Whether a bad delivery was refused as it must be."""
    return answer.status == REFUSALS.get(answer.delivery.fault) and bool(answer.reason)


def _runs(runs: Mapping[str, int], found: Found) -> list[Check]:
    committed = committed_operations(found.audit)
    asked = sum(bool(review.asked_because) for review in found.reviews)
    refused = sum(review.state != "approved" for review in found.reviews)
    wanted = sum(OPERATIONS[name] * count for name, count in runs.items()) + asked
    return [
        Check("runs, all completed", {n: {"completed": c} for n, c in runs.items() if c}, by_status(found.runs)),
        Check("the router counts the same", by_status(found.runs), {n: c for n, c in found.state.runs.items() if c}),
        Check("results of steps committed", wanted, len(committed)),
        Check("results of steps committed twice", 0, sum(count > 1 for count in committed.values())),
        Check("people asked, as the rule says", asked, len(found.decided)),
        Check("reviews that a person refused", refused, sum(not agreed for agreed in found.decided.values())),
    ]


def _calls(runs: Mapping[str, int], found: Found) -> list[Check]:
    targets = found.state.dispatches
    wanted = sum(DISPATCHES.get(name, 0) * count for name, count in runs.items())
    first = targets.get("classifier", {})
    return [
        Check("calls that succeeded", wanted, sum(target["succeeded"] for target in targets.values())),
        Check("failed calls that went to the next target", first.get("failed", 0), first.get("failovers", 0)),
    ]


def _messages(published: int, counts: Mapping[str, int]) -> list[Check]:
    return [
        Check("messages published", published, counts.get("published", 0)),
        Check("messages delivered", published, counts.get("acked", 0)),
        Check("dead letters", 0, counts.get("dead", 0)),
    ]


class _Effect(msgspec.Struct):
    key: str
    effect: msgspec.Raw


def effects_by_key(file: Path) -> dict[str, list[bytes]]:
    """What the example's steps did outside, by key. More than one under a key was repeated after a crash."""
    found: dict[str, list[bytes]] = {}
    for line in file.read_bytes().splitlines() if file.exists() else []:
        effect = msgspec.json.decode(line, type=_Effect)
        found.setdefault(effect.key, []).append(bytes(effect.effect))
    return found


def repeated_effects(file: Path) -> int:
    """How many outside effects were done once more after a crash."""
    return sum(len(same) - 1 for same in effects_by_key(file).values())


def _effects(runs: Mapping[str, int], file: Path) -> list[Check]:
    effects = effects_by_key(file)
    return [
        Check("outside effects, by key", sum(runs[name] for name in EFFECTS), len(effects)),
        Check("repeated with another content", 0, sum(len(set(same)) > 1 for same in effects.values())),
    ]


def committed_operations(audit: Audit) -> Counter[tuple[str, str]]:
    """How often the audit log tells of a result committed, by run and step key. Each must be there once."""
    found: Counter[tuple[str, str]] = Counter()
    for entry in audit.entries:
        told = entry.transition
        kind, _, what = told.kind.partition(".")
        if kind in _OPERATIONS and what in _COMMITTED and "key" in told.detail:
            found[str(told.run), str(told.detail["key"])] += 1
    return found


def by_status(runs: Sequence[Run]) -> Counts:
    """How many runs, by workflow and status."""
    found: Counts = {}
    for run in runs:
        counts = found.setdefault(run.workflow, {})
        counts[run.status] = counts.get(run.status, 0) + 1
    return found
