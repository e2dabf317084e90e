"""Owns what GitHub sends in the demo: a seeded stream of webhooks in GitHub's format, some of them bad in known ways.

Each delivery says what must become of it, by rules written here a second time and not read from `router.yaml`, so that
the demo can hold the router against them. Refuses to send anything.
"""

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as hmac
from typing import Literal, TypeAlias

import msgspec

from workflow_router.cli.demo import github_payloads as github
from workflow_router.cli.demo.github_payloads import Payload

Fault: TypeAlias = Literal["", "signature", "malformed"]

REPOSITORIES = ("octo-org/api", "octo-org/console", "octo-org/docs", "octo-org/agent-kit")
PEOPLE = ("ada-l", "grace-h", "barbara-l", "edsger-d", "annie-e", "radia-p", "leslie-l", "fran-a")
_AREAS = ("parser", "scheduler", "retry loop", "token check", "sign-in page", "exporter", "cache", "upload form")
_VERBS = ("Simplify", "Fix", "Speed up", "Rewrite", "Document", "Add tests for", "Remove dead code from")
_ISSUES = (
    "crashes on an empty list",
    "should remember the last choice",
    "is not explained anywhere",
    "gives a different answer each time",
    "hangs when the network is gone",
    "needs a dark mode",
)
_FIRST = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook, ready to be sent.

    Attributes:
        id: what GitHub sends as `X-GitHub-Delivery`; a duplicate has the same one.
        fault: why it must be refused; empty means that it must be accepted.
        starts: the workflow that it must start; None where no mapping wants it.
        signature: of the body, as `X-Hub-Signature-256`.
    """

    id: str
    event: str
    body: bytes
    signature: str
    fault: Fault = ""
    starts: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers GitHub sends."""
        return {
            "accept": "*/*",
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-delivery": self.id,
            "x-github-event": self.event,
            "x-github-hook-id": "109948940",
            "x-github-hook-installation-target-type": "repository",
            "x-hub-signature-256": self.signature,
        }


def sign(body: bytes, secret: str) -> str:
    """The signature GitHub sends with a body."""
    return f"sha256={hmac(secret.encode(), body, sha256).hexdigest()}"


def make_deliveries(count: int, *, seed: int, secret: str) -> list[Delivery]:
    """`count` webhooks: about 2 % badly signed, 2 % malformed and 3 % duplicates of others, at least one of each."""
    chance = random.Random(seed)  # noqa: S311  a stream that can be repeated, nothing secret
    forged, malformed, twice = (max(1, round(count * share)) for share in (0.02, 0.02, 0.03))
    make = _Maker(chance, secret)
    deliveries = [make.good() for _ in range(max(0, count - forged - malformed - twice))]
    repeated = [chance.choice(deliveries) for _ in range(twice)] if deliveries else []
    deliveries += [make.forged() for _ in range(forged)] + [make.malformed() for _ in range(malformed)]
    chance.shuffle(deliveries)
    for again in repeated:  # after the one they repeat, sooner or later
        deliveries.insert(chance.randint(deliveries.index(again) + 1, len(deliveries)), again)
    return deliveries


class _Maker:
    """Makes deliveries, one after the other."""

    def __init__(self, chance: random.Random, secret: str) -> None:
        self._chance = chance
        self._secret = secret
        self._numbers: dict[str, int] = dict.fromkeys(REPOSITORIES, 100)
        self._now = _FIRST
        self._kinds: dict[Callable[[], tuple[str, Payload, str | None]], int] = {
            self._pull_request: 36,
            self._issue: 28,
            self._release: 10,
            self._push: 9,
            self._star: 6,
            self._comment: 6,
            self._fork: 4,
            self._ping: 1,
        }

    def good(self) -> Delivery:
        event, payload, starts = self._chance.choices(list(self._kinds), list(self._kinds.values()))[0]()
        return self._delivery(event, msgspec.json.encode(payload), starts=starts)

    def forged(self) -> Delivery:
        """Somebody who does not know the secret."""
        event, payload, _ = self._issue()
        body = msgspec.json.encode(payload)
        return self._delivery(event, body, fault="signature", signature=sign(body, "not the secret"))

    def malformed(self) -> Delivery:
        """Well signed, but the body is cut, no object, or deeper than anybody nests."""
        event, payload, _ = self._issue()
        whole = msgspec.json.encode(payload)
        body = self._chance.choice([whole[: len(whole) // 2], b"[1, 2", b'{"action":' + b"[" * 500 + b"]" * 500 + b"}"])
        return self._delivery(event, body, fault="malformed")

    def _delivery(
        self, event: str, body: bytes, *, starts: str | None = None, fault: Fault = "", signature: str | None = None
    ) -> Delivery:
        return Delivery(
            id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            event=event,
            body=body,
            signature=signature or sign(body, self._secret),
            fault=fault,
            starts=starts,
        )

    # --- what happens on GitHub, and what it must start -------------------------------------------------------------

    def _somewhere(self) -> tuple[str, str, str]:
        self._now += timedelta(seconds=self._chance.randint(5, 400))
        time = self._now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._chance.choice(REPOSITORIES), self._chance.choice(PEOPLE), time

    def _number(self, repository: str) -> int:
        self._numbers[repository] += 1
        return self._numbers[repository]

    def _finish(self, payload: Payload, repository: str, person: str, time: str) -> Payload:
        return {**payload, "repository": github.repository(repository, time), "sender": github.user(person)}

    def _pull_request(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        number, area = self._number(repository), self._chance.choice(_AREAS)
        draft = self._chance.random() < 0.1
        pull = github.pull_request(
            repository,
            number,
            title=f"{self._chance.choice(_VERBS)} the {area}",
            author=person,
            branch=f"{person}/{area.replace(' ', '-')}-{number}",
            commit=github.sha_of(f"{repository}#{number}"),
            changed_files=round(self._chance.lognormvariate(1.6, 1.1)) + 1,
            labels=["security"] if self._chance.random() < 0.05 else [],
            draft=draft,
            time=time,
        )
        action = "opened" if self._chance.random() < 0.65 else "synchronize"
        payload: Payload = {"action": action, "number": number, "pull_request": pull}
        if action == "synchronize":
            payload |= {
                "before": github.sha_of(f"{repository}#{number}-"),
                "after": github.sha_of(f"{repository}#{number}"),
            }
        starts = None if draft else "review_pull_request"
        return "pull_request", self._finish(payload, repository, person, time), starts

    def _issue(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        title = f"The {self._chance.choice(_AREAS)} {self._chance.choice(_ISSUES)}"
        body = None if self._chance.random() < 0.1 else f"{title}.\n\nSeen on version 2.{self._chance.randint(0, 9)}."
        issue = github.issue(repository, self._number(repository), title=title, body=body, author=person, time=time)
        return "issues", self._finish({"action": "opened", "issue": issue}, repository, person, time), "triage_issue"

    def _release(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        prerelease = self._chance.random() < 0.15
        tag = f"v2.{self._number(repository)}.0" + ("-rc.1" if prerelease else "")
        release = github.release(
            repository,
            tag,
            notes=f"Better {self._chance.choice(_AREAS)}.\n\nThanks to {person}.",
            author=person,
            prerelease=prerelease,
            time=time,
        )
        payload: Payload = {"action": "published", "release": release}
        return "release", self._finish(payload, repository, person, time), None if prerelease else "prepare_release"

    def _push(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        payload = github.push(repository, author=person, message="Update the README", time=time)
        return "push", self._finish(payload, repository, person, time), None

    def _star(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        return "star", self._finish({"action": "created", "starred_at": time}, repository, person, time), None

    def _comment(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        number = self._number(repository)
        comment: Payload = {
            "id": github.number_of(f"{repository}#{number}c"),
            "html_url": f"{github.WEB}/{repository}/issues/{number}#issuecomment-1",
            "user": github.user(person),
            "created_at": time,
            "updated_at": time,
            "author_association": "NONE",
            "body": "Same here.",
        }
        issue = github.issue(repository, number, title="An older issue", body=None, author=person, time=time)
        payload: Payload = {"action": "created", "issue": issue, "comment": comment}
        return "issue_comment", self._finish(payload, repository, person, time), None

    def _fork(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        fork = github.repository(f"{person}/{repository.partition('/')[2]}", time) | {"fork": True}
        return "fork", self._finish({"forkee": fork}, repository, person, time), None

    def _ping(self) -> tuple[str, Payload, str | None]:
        repository, person, time = self._somewhere()
        hook: Payload = {"type": "Repository", "id": 109948940, "name": "web", "active": True, "events": ["*"]}
        payload: Payload = {"zen": "Keep it logically awesome.", "hook_id": 109948940, "hook": hook}
        return "ping", self._finish(payload, repository, person, time), None
