"""What happens after a GitHub event: reviewing a pull request, triaging an issue, announcing a release.

Each `await` below that reaches a model, a person, a topic or a step is durable: done once, and remembered over a crash.
Where a real project would call GitHub's API, these steps append a line to `data/effects.jsonl`, with a key by which a
repetition can be recognised.
"""

import asyncio
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, cast

from workflow_router import Retry, Router

router = Router("github-triage")

EFFECTS = Path(__file__).parent / "data" / "effects.jsonl"
MANY_FILES = 40
SENSITIVE = ("auth", "crypto", "permission", "secret", "security", "token")
RISKS = ("low", "medium", "high")
LABELS = ("bug", "feature", "documentation", "question")


# --- pull requests --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PullRequest:
    """What the mapping `review-pull-request` takes from the event."""

    delivery: str
    repository: str
    number: int
    title: str
    author: str
    branch: str
    commit: str
    changed_files: int
    labels: list[str]


@dataclass(frozen=True)
class Verdict:
    """What a person fills in."""

    comment: str = ""


@dataclass(frozen=True)
class Review:
    """What was posted."""

    repository: str
    number: int
    commit: str
    state: Literal["approved", "changes requested"]
    summary: str
    risk: str
    asked_because: list[str] = field(default_factory=list[str])
    comment: str = ""


@router.workflow
async def review_pull_request(pull: PullRequest) -> Review:
    """Ask two models at once, let the rule decide whether a person must agree, and post the review."""
    about = (
        f"{pull.repository}#{pull.number} by {pull.author}: {pull.title} ({pull.changed_files} files, {pull.branch})"
    )
    summary, answer = await asyncio.gather(
        ask("review-model", "Summarise this pull request in one sentence.", about),
        ask("review-model", f"How risky is this pull request? Answer with one of: {', '.join(RISKS)}.", about),
    )
    risk = pick(RISKS, answer, otherwise="high")
    reasons = reasons_to_ask(pull, risk)
    agreed, comment = True, ""
    if reasons:
        decision = await router.approve(
            "risky-pull-request",
            form=Verdict,
            context={"pull_request": about, "summary": summary, "risk": risk, "reasons": reasons},
            roles=["maintainer"],
            within="2d",
        )
        agreed, comment = decision.approved, str(decision.values.get("comment", ""))
    review = Review(
        repository=pull.repository,
        number=pull.number,
        commit=pull.commit,
        state="approved" if agreed else "changes requested",
        summary=summary,
        risk=risk,
        asked_because=reasons,
        comment=comment,
    )
    await post_review(pull.delivery, review)
    return review


def reasons_to_ask(pull: PullRequest, risk: str) -> list[str]:
    """Why a person must look at this pull request; none means that the models' word is enough."""
    reasons: list[str] = []
    if risk == "high":
        reasons.append("the risk is high")
    if pull.changed_files > MANY_FILES:
        reasons.append(f"{pull.changed_files} files change")
    named = " ".join([pull.title, pull.branch, *pull.labels]).lower()
    reasons += [f"it is about {word}" for word in SENSITIVE if word in named][:1]
    return reasons


@router.step(retry=Retry(attempts=3), timeout_s=10)
def post_review(delivery: str, review: Review) -> None:
    """Post the review."""
    record_effect(f"review:{delivery}", asdict(review))


# --- issues ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issue:
    """What the mapping `triage-issue` takes from the event."""

    delivery: str
    repository: str
    number: int
    title: str
    body: str | None


@router.workflow
async def triage_issue(issue: Issue) -> str:
    """Let a model choose the label, and set it."""
    kinds = ", ".join(LABELS)
    answer = await ask(
        "triage-model",
        f"What is this issue about? Answer with one of: {kinds}.",
        f"{issue.repository}#{issue.number}: {issue.title}\n\n{issue.body or ''}",
    )
    label = pick(LABELS, answer, otherwise="question")
    await set_label(issue.delivery, issue.repository, issue.number, label)
    return label


@router.step(retry=Retry(attempts=3), timeout_s=10)
def set_label(delivery: str, repository: str, number: int, label: str) -> None:
    """Set the label."""
    record_effect(f"label:{delivery}", {"repository": repository, "number": number, "label": label})


# --- releases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """What the mapping `prepare-release` takes from the event."""

    delivery: str
    repository: str
    tag: str
    notes: str | None
    url: str


@dataclass(frozen=True)
class Announcement:
    """The body of a message on the topic `releases`."""

    delivery: str
    repository: str
    text: str


@router.workflow
async def prepare_release(release: Release) -> str:
    """Write the announcement and publish it; who reads the topic is not this workflow's business."""
    text = await write_announcement(release)
    body = Announcement(release.delivery, release.repository, text)
    return await router.publish("releases", body, key=release.repository)


@router.workflow
async def announce_release(announcement: Announcement) -> str:
    """Started by the subscription `announce` for each message."""
    await post_announcement(announcement)
    return announcement.text


@router.step
async def write_announcement(release: Release) -> str:
    """Put the announcement's text together."""
    notes = (release.notes or "").strip().partition("\n")[0]
    return f"{release.repository} {release.tag} is out: {notes or 'see the release.'} {release.url}"


@router.step(retry=Retry(attempts=3), timeout_s=10)
def post_announcement(announcement: Announcement) -> None:
    """Post the announcement."""
    record_effect(f"announcement:{announcement.delivery}", asdict(announcement))


# --- what they share ------------------------------------------------------------------------------------------------


async def ask(route: str, task: str, about: str) -> str:
    """The model's answer as text. The route decides which model it is."""
    answer = cast(
        "dict[str, list[dict[str, dict[str, str]]]]",
        await router.dispatch(
            route, {"messages": [{"role": "system", "content": task}, {"role": "user", "content": about}]}
        ),
    )
    return answer["choices"][0]["message"]["content"].strip()


def pick(words: tuple[str, ...], answer: str, *, otherwise: str) -> str:
    """The first of the words that the answer names: models like to talk."""
    spoken = answer.lower()
    named = [word for word in words if word in spoken]
    return min(named, key=spoken.index) if named else otherwise


def record_effect(key: str, effect: dict[str, object]) -> None:
    """Do the outside effect. After a crash a step may do it once more, with the same key and the same content."""
    EFFECTS.parent.mkdir(exist_ok=True)
    line = json.dumps({"key": key, "effect": effect}, sort_keys=True) + "\n"
    descriptor = os.open(EFFECTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())  # one write of one line: a kill leaves the whole of it or nothing
    finally:
        os.close(descriptor)
