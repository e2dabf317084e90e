"""Owns what `wr top` shows, gathered from the public API. Refuses to draw, and to fail where a part is hidden."""

import time
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from workflow_router.cli.client import Client, Refused
from workflow_router.cli.terminal import as_text

FORBIDDEN = 403
FRESH_S = 5.0  # what no transition tells of, such as a breaker that closes by itself, is asked for again this often
EACH = 20  # of what needs a person, at most so many of a sort

Row = dict[str, object]


class Facts(msgspec.Struct, kw_only=True):
    """All that there is to see, as of one moment.

    Attributes:
        url: of the server.
        at_s: when it was gathered, seconds since the epoch.
        position: of the latest audit entry that it knows of.
        state: how many events, runs, calls and messages there are in each status, by name.
        hour: the last hour by minutes, and how long calls and runs took; None where the caller may not see it.
        needs: what needs a person: what it is, its name, why, and the command that shows more.
        targets: of each route: whether it is ready and why not, calls in flight, and how its calls of the hour went.
        subscriptions: how far each is behind.
        budgets: limits and budgets with the most that one subject has used.
        hidden: the parts that the caller's key does not open.
    """

    url: str
    at_s: float
    position: int
    state: Row
    hour: Row | None = None
    needs: list[Row] = []
    targets: list[Row] = []
    subscriptions: list[Row] = []
    budgets: list[Row] = []
    hidden: list[str] = []


class Gatherer:
    """Asks a server again and again; what cannot have changed is not asked for again.

    Args:
        now_s: a monotonic clock.
    """

    def __init__(self, client: Client, now_s: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now_s = now_s
        self._last: tuple[float, Facts] | None = None

    def gather(self) -> Facts:
        """What there is to see now. Raises Refused, Unreachable."""
        state = self._client.get("/api/state")
        position = cast("int", cast("Row", state["audit"])["position"])
        if self._last is not None:
            asked_s, facts = self._last
            if facts.position == position and self._now_s() - asked_s < FRESH_S:
                return msgspec.structs.replace(facts, state=state, at_s=time.time())
        facts = self._all(state, position)
        self._last = (self._now_s(), facts)
        return facts

    def _all(self, state: Row, position: int) -> Facts:
        hidden: list[str] = []

        def rows(path: str, inside: str | None = None, **query: object) -> list[Row]:
            try:
                if inside is None:
                    return self._client.list(path, **query)
                return cast("list[Row]", self._client.get(path, **query)[inside])
            except Refused as error:
                if error.answered != FORBIDDEN:
                    raise
                hidden.append(path.removeprefix("/api/"))
                return []

        try:
            hour = self._client.get("/api/state/hour")
        except Refused as error:
            if error.answered != FORBIDDEN:
                raise
            hour = None
            hidden.append("the last hour")
        routes, limits = rows("/api/routes"), rows("/api/limits")
        subscriptions = rows("/api/subscriptions")
        needs = [
            *map(_approval, rows("/api/approvals", status="open", limit=EACH)),
            *map(_hold, rows("/api/holds", limit=EACH)),
            *map(_run, rows("/api/runs", "runs", status="suspended", limit=EACH)),
            *map(_run, rows("/api/runs", "runs", status="faulted", limit=EACH)),
            *(need for one in subscriptions if (need := _subscription(one)) is not None),
        ]
        targets = [_target(route, one, hour) for route in routes for one in cast("list[Row]", route["targets"])]
        needs += [_out(one) for one in targets if not one["ready"]]
        budgets = [_budget(one) for one in limits]
        needs += [_spent(one) for one in budgets if cast("int", one["used"]) >= cast("int", one["amount"])]
        return Facts(
            url=self._client.url,
            at_s=time.time(),
            position=position,
            state=state,
            hour=hour,
            needs=needs,
            targets=targets,
            subscriptions=[{**cast("Row", one["progress"]), "stuck": one["stuck"]} for one in subscriptions],
            budgets=budgets,
            hidden=list(dict.fromkeys(hidden)),
        )


def _need(what: str, name: object, why: str, command: str, since_ms: object = None) -> Row:
    return {"what": what, "name": str(name), "why": why, "command": command, "since_ms": since_ms}


def _approval(one: Mapping[str, object]) -> Row:
    return _need("asked", one["name"], gist(one["context"]), f"wr approvals show {one['id']}", one["created_ms"])


def _hold(one: Mapping[str, object]) -> Row:
    why = f"{one['at']}, held by {one['interceptor']}"
    return _need("held", one["subject"], why, f"wr holds show {one['id']}", one.get("created_ms"))


def _run(one: Mapping[str, object]) -> Row:
    error = one.get("error")
    message = cast("Row", error).get("message") if isinstance(error, dict) else error
    command = f"wr runs show {one['id']}"
    return _need(str(one["status"]), one["workflow"], as_text("error", message), command, one["updated_ms"])


def _subscription(one: Mapping[str, object]) -> Row | None:
    dead = cast("int", cast("Row", one["progress"])["dead"])
    if one["stuck"]:
        return _need(
            "stuck", one["name"], "messages wait and nobody takes them", f"wr subscriptions peek {one['name']}"
        )
    if dead:
        return _need("dead", one["name"], f"{dead} dead letters", f"wr subscriptions dead-letters {one['name']}")
    return None


def _out(target: Mapping[str, object]) -> Row:
    name = f"{target['route']} → {target['target']}"
    return _need("out", name, str(target["reason"]), f"wr routes show {target['route']}")


def _spent(budget: Mapping[str, object]) -> Row:
    return _need("spent", budget["name"], "nothing is left of it", "wr limits list")


def _target(route: Mapping[str, object], one: Mapping[str, object], hour: Mapping[str, object] | None) -> Row:
    seen = cast("list[Row]", (hour or {}).get("targets") or [])
    here = next((row for row in seen if (row["route"], row["target"]) == (route["name"], one["name"])), None)
    took = cast("Row", (here or {}).get("took") or {})
    fields = ("ready", "reason", "in_flight", "waiting")
    return {
        "route": route["name"],
        "target": one["name"],
        **{name: one.get(name) for name in fields},
        "calls": took.get("count", 0),
        "failed": (here or {}).get("failed", 0),
        "p50_ms": took.get("p50_ms"),
        "p95_ms": took.get("p95_ms"),
        "cost": (here or {}).get("cost", 0),
    }


def _budget(one: Mapping[str, object]) -> Row:
    counters = cast("list[Row]", one["counters"])
    most = max(counters, key=lambda counter: cast("int", counter["used"]), default={"subject": "", "used": 0})
    kept = {name: one[name] for name in ("name", "unit", "amount", "window", "per")}
    return {**kept, "subject": most["subject"], "used": most["used"], "subjects": len(counters)}


def gist(value: object) -> str:
    """What an object says, without its names, on one line."""
    if not isinstance(value, dict):
        return as_text("value", value)
    fields = cast("Row", value)
    inside = fields.values()
    flat = [part for one in inside for part in (cast("list[object]", one) if isinstance(one, list) else [one])]
    plain = [str(part) for part in flat if isinstance(part, str | int | float) and part != ""]
    return " · ".join(dict.fromkeys(" ".join(as_text("", part).split()) for part in plain)) or as_text("value", fields)
