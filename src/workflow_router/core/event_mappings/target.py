"""Owns what a mapping does with an event: its targets, compiled, and the effects that are rendered from them.

An effect is plain data, so it can be performed at once, or be held for later and performed then. Refuses to perform.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.expressions import Template, compile_template
from workflow_router.core.model import DEFAULT_TENANT, OWN_TYPE
from workflow_router.core.pacing import Batch, Debounce, Delay, Policy, Throttle

EVENT_DATA = "${ event.data }"
Does: TypeAlias = Literal["start", "publish", "signal", "dispatch", "emit", "join"]
_Names = tuple[str, ...]


class Pace(msgspec.Struct, frozen=True):
    """When a target goes on: the policy, and what it tells apart; without a key all events are paced together."""

    policy: Policy
    key: Template | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a mapping does. Templates read `event`.

    Attributes:
        name: the workflow, topic, signal, route, type of the event, or join that it is about.
        value: the run's input, the message's or call's body, the signal's value, the event's data, what a join keeps.
        key: order of a message, run of a signal, subject of an event, what a join goes by.
        once: the idempotency key: a second effect of the same one is not performed; None is one effect an event.
        workflow: whose run a signal is for.
        path, method: of a call.
        part: of a join.
        priority, delay_ms: of a message.
    """

    does: Does
    name: str
    value: Template
    key: Template | None = None
    once: Template | None = None
    pace: Pace | None = None
    workflow: str | None = None
    path: str | None = None
    method: str = "POST"
    part: str = ""
    priority: int = 0
    delay_ms: int = 0


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A target rendered for one event, to be performed now or later.

    Attributes:
        id: of the run, message, signal or event that it makes, and what makes it stable when it is performed again.
        once: whether `id` was made of an idempotency key.
        chain: the mappings that led here, this one last: what keeps them from running in circles.
        cause, correlation: our own id of the event; the root of what it belongs to.
        trace: the event's trace context (W3C), for what it publishes and emits.
    """

    does: Does
    name: str
    value: msgspec.Raw
    id: str
    mapping: str
    cause: str
    correlation: str
    chain: tuple[str, ...]
    once: bool = False
    key: str | None = None
    workflow: str | None = None
    path: str | None = None
    method: str = "POST"
    part: str = ""
    priority: int = 0
    delay_ms: int = 0
    tenant: str = DEFAULT_TENANT
    trace: dict[str, str] = {}


def stable_id(*parts: str) -> str:
    """An id that is the same for the same parts: 32 hexadecimal digits."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


_FIELDS: dict[str, tuple[set[str], set[str]]] = {  # by target: fields it needs, fields it may have
    "start": (set(), {"input"}),
    "publish": ({"topic"}, {"key", "body", "priority", "delay"}),
    "signal": ({"workflow", "name", "key"}, {"value"}),
    "dispatch": ({"route"}, {"body", "path", "method"}),
    "emit": ({"type"}, {"subject", "data"}),
}
PRIORITY_MAX = 9
_COMMON = {"once", "delay", "debounce", "throttle", "batch"}


def compile_target(rule: Mapping[str, object], *, variables: Collection[str] = ("event",)) -> Target:
    """A target as it is written: `start`, `publish`, `signal`, `dispatch` or `emit`, with `once` and one pace.

    Raises:
        InvalidInput, InvalidExpression: what is wrong, and how to mend it.
    """
    found = [does for does in _FIELDS if rule.get(does) is not None]
    if len(found) != 1:
        raise InvalidInput(
            f"A target has {' and '.join(found) or 'nothing to do'}.", remedy=f"Give it one of {', '.join(_FIELDS)}."
        )
    does = cast("Does", found[0])
    given = rule[does]
    fields: Mapping[str, object] = (
        {"input": rule.get("input", EVENT_DATA)} if does == "start" else cast("Mapping[str, object]", given)
    )
    needed, optional = _FIELDS[does]
    unknown = set(rule) - _COMMON - {does} - ({"input"} if does == "start" else set())
    if unknown or not isinstance(cast("object", fields), Mapping) or not needed <= set(fields) <= needed | optional:
        known = ", ".join(sorted(needed | optional))
        raise InvalidInput(
            f"`{does}` takes {known}{f', not {min(unknown)}' if unknown else ''}.",
            remedy=f"It needs {', '.join(sorted(needed)) or 'a name'}; beside it stand {', '.join(sorted(_COMMON))}.",
        )

    if does == "signal" and str(fields["name"]).startswith(("+", "~")):
        raise InvalidInput(
            f"No signal may be named {fields['name']!r}: names that begin with + or ~ are the router's own.",
            remedy="Choose another name.",
        )

    if does == "emit" and str(fields["type"]).startswith(OWN_TYPE):
        raise InvalidInput(
            f"No mapping may emit {str(fields['type'])[:100]}: types that begin with {OWN_TYPE} are the router's own.",
            remedy="Choose another type.",
        )

    if does == "dispatch" and not str(fields.get("path") or "/").startswith("/"):
        raise InvalidInput(
            f"The path {str(fields['path'])[:100]} cannot be appended to an address.", remedy="Start it with /."
        )

    def template(field: str, default: object = None) -> Template | None:
        value = fields.get(field, default)
        return None if value is None else compile_template(value, variables=variables)

    what = {"start": "input", "publish": "body", "signal": "value", "dispatch": "body", "emit": "data"}[does]
    naming = {"publish": "topic", "signal": "name", "dispatch": "route", "emit": "type"}
    once = rule.get("once")
    return Target(
        does=does,
        name=str(given if does == "start" else fields[naming[does]]),
        value=compile_template(fields.get(what, EVENT_DATA), variables=variables),
        key=template("subject" if does == "emit" else "key"),
        once=None if once is None else compile_template(once, variables=variables),
        pace=compile_pace(rule, variables=variables),
        workflow=str(fields["workflow"]) if does == "signal" else None,
        path=None if fields.get("path") is None else str(fields["path"]),
        method=str(fields.get("method", "POST")),
        priority=_priority(fields.get("priority")) if does == "publish" else 0,
        delay_ms=round(duration_s(fields.get("delay") or 0) * 1000) if does == "publish" else 0,
    )


def _priority(given: object) -> int:
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= PRIORITY_MAX:
        raise InvalidInput(f"The priority {given!r} is not one.", remedy=f"Choose from 0 to {PRIORITY_MAX}.")
    return given


def compile_pace(rule: Mapping[str, object], *, variables: Collection[str] = ("event",)) -> Pace | None:
    """The pace of a target: `delay` (a time), or `debounce`, `throttle` or `batch` with an optional `key`.

    Raises:
        InvalidInput, InvalidExpression.
    """
    found = [name for name in ("delay", "debounce", "throttle", "batch") if rule.get(name) is not None]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidInput(f"A target has both {' and '.join(found)}.", remedy="Give it one of them.")
    given = rule[found[0]]
    if found[0] == "delay":
        return Pace(Delay(duration_s(given)))
    if not isinstance(given, Mapping):
        raise InvalidInput(f"`{found[0]}` is no map.", remedy="Write its fields, as docs/howto/joins.md shows.")
    fields = dict(cast("Mapping[str, object]", given))
    key = fields.pop("key", None)
    try:
        if found[0] == "debounce":
            longest = fields.pop("max", None)
            policy: Policy = Debounce(duration_s(fields.pop("quiet")), None if longest is None else duration_s(longest))
        elif found[0] == "throttle":
            policy = Throttle(_count(fields.pop("limit")), duration_s(fields.pop("per")))
        else:
            policy = Batch(_count(fields.pop("size")), duration_s(fields.pop("within")))
    except KeyError as error:
        raise InvalidInput(f"`{found[0]}` has no {error.args[0]}.", remedy=f"Add `{error.args[0]}:`.") from None
    if fields:
        raise InvalidInput(f"`{found[0]}` has an unknown {next(iter(fields))}.", remedy="Remove it.")
    return Pace(policy, None if key is None else compile_template(key, variables=variables))


DURATION_MAX_S = 36_500 * 86_400
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(given: object) -> float:
    """Seconds of a number, or of text such as `90s`, `15m`, `2h`, `2d`. Raises InvalidInput."""
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            seconds = float(given)
        else:
            text = str(given)
            number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
            seconds = float(number) * _UNITS_S[text[len(number) :] or "s"]
        if not 0 <= seconds <= DURATION_MAX_S:  # nor is what is no number between these
            raise ValueError
        return seconds
    except (KeyError, ValueError, OverflowError):
        raise InvalidInput(
            f"{str(given)[:100]!r} is not a duration.",
            remedy="Write a number and a unit: ms, s, m, h or d, such as `2d`, at most 36500d.",
        ) from None


def _count(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise InvalidInput(f"{given!r} is no whole number.", remedy="Write one, such as 10.")
    return given
