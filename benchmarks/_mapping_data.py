"""Owns the events and rules of the mapping benchmark: seeded, the same in every run. Refuses to measure.

Records are shaped like event-ruler's city lots (0.9 KB), payloads like GitHub webhooks (4.5 KB).
"""

import json
import random
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple, cast

Rule = dict[str, object]

_SHARED = Path(__file__).parents[1] / "../shared/data"
RULES_70 = _SHARED / "patterns/rules-70.json"
WEBHOOKS = _SHARED / "github-webhooks.jsonl"
_STREETS = (
    "FULTON",
    "MASON",
    "JEFFERSON",
    "BEACH",
    "HYDE",
    "CHESTNUT",
    "OCTAVIA",
    "BLAKE",
    "DRUMM",
    "ACTON",
    "FUNSTON",
)
_TYPES = ("ST", "AVE", "WAY", "CT", "BLVD", None)


class Webhook(NamedTuple):
    """An event as intake sees it: attributes, and the JSON text of its data."""

    attributes: dict[str, str | int | bool]
    data: bytes


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _street(seed: random.Random) -> str:
    return seed.choice(_STREETS) if seed.random() < 0.3 else f"STREET {seed.randrange(2000):04d}"


def records(count: int) -> list[bytes]:
    """Land records of about 0.9 KB, with an array of arrays of points."""
    seed = random.Random(7)
    found: list[bytes] = []
    for _ in range(count):
        lot, number = f"{seed.randrange(10_000_000):07d}", str(seed.randrange(4000))
        points = [_point(seed) for _ in range(10)]
        properties = {"MAPBLKLOT": lot, "BLKLOT": lot, "BLOCK_NUM": lot[:4], "LOT_NUM": lot[4:], "FROM_ST": number}
        properties |= {"TO_ST": number, "STREET": _street(seed), "ST_TYPE": seed.choice(_TYPES), "ODD_EVEN": "O"}
        geometry = {"type": "Polygon", "coordinates": [points], "firstCoordinates": points[0]}
        found.append(_json({"type": "Feature", "properties": properties, "geometry": geometry}))
    return found


def _point(seed: random.Random) -> dict[str, float]:
    return {"x": -122.36 - seed.random() * 0.15, "y": 37.70 + seed.random() * 0.12, "z": 0}


def record_rules() -> "Callable[[int], list[Rule]]":
    """Twelve kinds of rule over land records, mixed; most match few of them."""
    seed = random.Random(11)

    def lot() -> str:
        return f"{seed.randrange(10_000_000):07d}"

    def of(**properties: object) -> Rule:
        return {"properties": properties}

    kinds: list[Callable[[], Rule]] = [
        lambda: of(MAPBLKLOT=[lot()]),
        lambda: of(STREET=[_street(seed)], FROM_ST=[str(seed.randrange(4000))]),
        lambda: of(MAPBLKLOT=[{"prefix": lot()[:5]}], ST_TYPE=["ST"]),
        lambda: of(BLKLOT=[{"suffix": lot()[:5]}]),
        lambda: of(STREET=[{"equals-ignore-case": f"Street {seed.randrange(100_000):04d}"}]),
        lambda: of(STREET=[_street(seed)], TO_ST=[str(seed.randrange(4000)), str(seed.randrange(4000))]),
        lambda: of(BLOCK_NUM=[lot()[:4]], LOT_NUM=[lot()[:3]], ST_TYPE=[{"anything-but": ["AVE"]}]),
        lambda: {**of(LOT_NUM=[lot()[:3]], FROM_ST=[str(seed.randrange(4000))]), **_east(seed)},
        lambda: of(MAPBLKLOT=[{"wildcard": f"{lot()[:4]}*{lot()[:2]}"}]),
        lambda: {**of(BLKLOT=[lot(), lot(), lot()]), "geometry": {"type": ["Polygon"]}},
        lambda: of(STREET=[{"prefix": f"STREET {seed.randrange(2000):04d}"}], FROM_ST=[{"prefix": lot()[:3]}]),
        lambda: of(MAPBLKLOT=[{"anything-but": {"prefix": "9"}}], BLKLOT=[lot()], ODD_EVEN=[{"exists": True}]),
    ]
    return lambda count: [kinds[at % len(kinds)]() for at in range(count)]


def _east(seed: random.Random) -> Rule:
    return {"geometry": {"firstCoordinates": {"x": [{"numeric": [">", -122.4 - seed.random() / 10]}]}}}


_ACTIONS = ("opened", "closed", "edited", "labeled", "reopened", "synchronize", "assigned", "created")
_KINDS = ("push", "pull_request", "issues", "issue_comment", "release", "check_run", "star", "fork")


def webhooks(count: int) -> list[Webhook]:
    """Events of about 4.5 KB with what GitHub tells of repository, sender and issue; labels are an array of objects."""
    seed = random.Random(5)
    return [_webhook(seed) for _ in range(count)]


def _webhook(seed: random.Random) -> Webhook:
    repo, login, number = _repo(seed), _login(seed), seed.randrange(5000)
    api = f"https://api.example.com/repos/{repo}"
    person = {"login": login, "id": number, "type": "User", "site_admin": False}
    person |= {
        f"{one}_url": f"https://api.example.com/users/{login}/{one}" for one in ("html", "gists", "orgs", "events")
    }
    urls = (
        *(
            "forks",
            "keys",
            "teams",
            "hooks",
            "tags",
            "blobs",
            "trees",
            "commits",
            "issues",
            "labels",
            "releases",
            "merges",
        ),
        *(
            "archive",
            "assignees",
            "branches",
            "clone",
            "collaborators",
            "comments",
            "compare",
            "contents",
            "contributors",
        ),
        *("deployments", "downloads", "events", "git_commits", "git_refs", "git_tags", "issue_comment", "issue_events"),
        *("languages", "milestones", "notifications", "pulls", "stargazers", "statuses", "subscribers", "subscription"),
    )
    repository = {"id": number, "name": repo.split("/")[1], "full_name": repo, "private": False, "owner": person}
    repository |= {f"{one}_url": f"{api}/{one}" for one in urls} | {
        "default_branch": "main",
        "topics": ["ai", "agents"],
    }
    labels = [{"id": n, "name": _label(seed), "color": "ededed", "default": False} for n in range(seed.randrange(1, 4))]
    issue = {"number": number, "title": f"Something about {number}", "state": "open", "labels": labels, "user": person}
    issue |= {"url": f"{api}/issues/{number}", "body": "It does not work. " * 30, "milestone": None, "comments": 3}
    data = {"action": seed.choice(_ACTIONS), "ref": f"refs/heads/team-{seed.randrange(3000)}/work", "issue": issue}
    data |= {"repository": repository, "sender": person, "installation": {"id": number}}
    kind = f"com.github.{seed.choice(_KINDS)}"
    return Webhook({"id": str(number), "source": f"/github/{repo}", "type": kind, "specversion": "1.0"}, _json(data))


def _repo(seed: random.Random) -> str:
    return f"org{seed.randrange(40)}/repo{seed.randrange(25)}"


def _login(seed: random.Random) -> str:
    return f"user{seed.randrange(2_000)}"


def _label(seed: random.Random) -> str:
    return f"area/{seed.randrange(800)}"


def webhook_rules() -> "Callable[[int], list[Rule]]":
    """Eight kinds of rule over webhooks, mixed; an event matches about three of 100,000."""
    seed = random.Random(13)

    def kind() -> list[object]:
        return [f"com.github.{seed.choice(_KINDS)}"]

    kinds: list[Callable[[], Rule]] = [
        lambda: {
            "type": kind(),
            "data": {"repository": {"full_name": [_repo(seed)]}, "action": [seed.choice(_ACTIONS)]},
        },
        lambda: {"type": kind(), "data": {"sender": {"login": [_login(seed)]}}},
        lambda: {"source": [f"/github/{_repo(seed)}"], "data": {"issue": {"number": [{"numeric": [">", 4500]}]}}},
        lambda: {"type": kind(), "data": {"ref": [{"prefix": f"refs/heads/team-{seed.randrange(3_000)}/"}]}},
        lambda: {
            "data": {"issue": {"labels": {"name": [_label(seed)]}}, "sender": {"login": [_login(seed), _login(seed)]}}
        },
        lambda: {
            "data": {"repository": {"full_name": [{"equals-ignore-case": _repo(seed).upper()}]}, "action": ["merged"]}
        },
        lambda: {"type": kind(), "data": {"sender": {"login": [{"wildcard": f"{_login(seed)}*bot"}]}}},
        lambda: {
            "data": {
                "repository": {"full_name": [_repo(seed)]},
                "issue": {"labels": {"name": [_label(seed)], "color": ["ededed"]}},
                "action": [{"anything-but": ["closed"]}],
            }
        },
    ]
    return lambda count: [kinds[at % len(kinds)]() for at in range(count)]


def rule_sets() -> dict[str, list[Rule]]:
    """event-ruler's 14 sets of five rules; empty where the data is not beside the checkout."""
    if not RULES_70.exists():
        return {}
    sets = cast(dict[str, list[str]], json.loads(RULES_70.read_text()))
    return {name: list(map(json.loads, rules)) for name, rules in sets.items() if not name.endswith("_EXPECTED")}


def hostile_sets(count: int) -> dict[str, tuple[list[Rule], bytes]]:
    """Rules that nothing can be looked up for, rules of a shape each, and wildcards that backtrack in other engines."""
    seed = random.Random(3)
    ranges: list[Rule] = [
        {"a": [{"numeric": [">", seed.random(), "<", 1 + seed.random()]}], "b": [{"anything-but": [str(at)]}]}
        for at in range(count)
    ]
    fields = [f"f{at}" for at in range(12)]
    choices = islice((pick for pick in product((False, True), repeat=12) if any(pick)), count)
    shapes: list[Rule] = [
        {name: [f"v{seed.randrange(9)}"] for name, picked in zip(fields, pick, strict=True) if picked}
        for pick in choices
    ]
    stars: list[Rule] = [{"a": [{"wildcard": "*a" * (8 + at % 8) + f"*{at}*"}]} for at in range(count)]
    return {
        "no hashable field": (ranges, _json({"a": 0.7, "b": "x"})),
        "a shape each": (shapes, _json({name: f"v{seed.randrange(9)}" for name in fields})),
        "*a*a*…": (stars, _json({"a": "a" * 60})),
    }
