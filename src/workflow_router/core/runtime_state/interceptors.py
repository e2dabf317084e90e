"""Owns the words of interception: what is about to happen, what may be said of it, and the rules that say it.

Refuses to judge: that is `gate`. What each kind of transition offers is stated here, once, and checked when a rule is
declared, so that a rule that could not do what it says never stands.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from workflow_router.core.durations import seconds
from workflow_router.core.errors import Forbidden, InvalidInput
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.utils.codec import to_json

At = Literal[
    "event.accepting",
    "mapping.acting",
    "run.starting",
    "step.starting",
    "dispatch.starting",
    "attempt.starting",
    "message.publishing",
    "message.delivering",
]
Kind = Literal["observe", "deny", "modify", "hold", "reroute", "ask"]
OnError = Literal["deny", "continue"]
OnDue = Literal["deny", "release"]

KINDS: tuple[At, ...] = get_args(At)

# Which verdicts each transition offers, and which of its fields may be changed.
OFFERS: dict[str, frozenset[str]] = {
    "event.accepting": frozenset({"observe", "deny", "modify", "hold", "ask"}),
    "mapping.acting": frozenset({"observe", "deny"}),
    "run.starting": frozenset({"observe", "deny", "modify", "hold", "ask"}),
    "step.starting": frozenset({"observe", "deny", "modify", "hold", "ask"}),
    "dispatch.starting": frozenset({"observe", "deny", "modify", "hold", "reroute", "ask"}),
    "attempt.starting": frozenset({"observe", "deny"}),
    "message.publishing": frozenset({"observe", "deny", "modify", "hold", "ask"}),
    "message.delivering": frozenset({"observe", "deny", "modify"}),
}
FIELDS: dict[str, frozenset[str]] = {
    "event.accepting": frozenset({"data", "subject"}),
    "mapping.acting": frozenset(),
    "run.starting": frozenset({"input"}),
    "step.starting": frozenset({"args", "kwargs"}),
    "dispatch.starting": frozenset({"body", "path"}),
    "attempt.starting": frozenset(),
    "message.publishing": frozenset({"body", "headers", "key"}),
    "message.delivering": frozenset({"body", "headers"}),
}

# What fields hold that are not just any JSON.
_SHAPES: dict[str, object] = {
    "args": list[object],
    "kwargs": dict[str, object],
    "headers": dict[str, str | int | float | bool],
    "key": str | int | float | None,
    "path": str,
    "subject": str | None,
}
WITHIN_MAX_S = 100 * 366 * 86_400.0


class Denied(Forbidden):
    """An interceptor said no, or could not be asked, so it did not happen."""

    type = "denied"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an interceptor says.

    Attributes:
        error: what the caller is told where it is denied.
        set: new values of fields.
        within_s: how long it is held, or asked for, seconds; None without end. Then `default` is what happens.
        route: where a dispatch goes instead.
        roles, people, quorum: who is asked, and how many must approve.
        remind_s: after so long they are reminded, and again.
    """

    kind: Kind
    error: str | None = None
    set: dict[str, object] = {}
    within_s: Annotated[float, Meta(ge=0, le=WITHIN_MAX_S)] | None = None
    default: OnDue = "deny"
    route: str | None = None
    roles: list[str] = []
    people: list[str] = []
    quorum: Annotated[int, Meta(ge=1, le=100)] = 1
    remind_s: Annotated[float, Meta(ge=0, le=WITHIN_MAX_S)] | None = None


class Interceptor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule over transitions that are about to happen, as `interceptors.NAME` of `router.yaml` says it.

    `at` says which transitions, `on` is a pattern over them, `when` a CEL condition that sees them as `event`. Of
    several that match, the one with the lowest `order` is asked first, then by name. With `call` a function of the
    project gives the verdict. One that takes longer than `timeout_s`, fails, or says what is not offered follows
    `on_error`.
    """

    at: list[At] | At
    verdict: Kind = "observe"
    on: dict[str, object] = {}
    when: Annotated[str, Meta(min_length=1, max_length=4_096)] | None = None
    error: Annotated[str, Meta(max_length=1_000)] | None = None
    set: dict[str, object] = {}
    within: Annotated[str, Meta(max_length=20)] | None = None
    default: OnDue = "deny"
    route: str | None = None
    roles: list[str] = []
    people: list[str] = []
    quorum: Annotated[int, Meta(ge=1, le=100)] = 1
    remind: Annotated[str, Meta(max_length=20)] | None = None
    order: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    on_error: OnError = "deny"
    call: str | None = None

    @property
    def kinds(self) -> list[At]:
        """The transitions it is asked about."""
        return self.at if isinstance(self.at, list) else [self.at]

    @property
    def says(self) -> Verdict:
        """Its verdict, with the templates of `set` as they stand."""
        return Verdict(
            kind=self.verdict,
            error=self.error,
            set=self.set,
            within_s=seconds(self.within),
            default=self.default,
            route=self.route,
            roles=self.roles,
            people=self.people,
            quorum=self.quorum,
            remind_s=seconds(self.remind),
        )


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that is about to happen, as interceptors see it: a function is given it, and answers with its verbs.

    Attributes:
        at: which transition, such as `step.starting`.
        subject: what it happens to: the event's type, or the name of the mapping, workflow, step, route or topic.
        fields: what is known of it, plain JSON data; under `data` to patterns, `event.data` to conditions.
    """

    at: At
    subject: str
    fields: dict[str, object]
    tenant: str = DEFAULT_TENANT
    run: str | None = None
    cause: str | None = None
    correlation: str | None = None

    def view(self) -> dict[str, object]:
        """As patterns and conditions see it: the form of a lifecycle event."""
        seen: dict[str, object] = {"type": self.at, "subject": self.subject, "tenant": self.tenant, "data": self.fields}
        if self.run is not None:
            seen["run"] = self.run
        if self.correlation is not None:
            seen["correlationid"] = self.correlation
        return seen

    def becoming(self, changed: Mapping[str, object]) -> "Proposed":
        """The same with other values of fields; a dispatch that goes to another route is a dispatch to that one."""
        route = changed.get("route") if self.at == "dispatch.starting" else None
        return msgspec.structs.replace(
            self, subject=self.subject if route is None else str(route), fields={**self.fields, **changed}
        )

    def observe(self) -> Verdict:
        """Let it happen, and record that it was seen. None lets it happen without a word."""
        return Verdict(kind="observe")

    def deny(self, error: str) -> Verdict:
        """It does not happen; the caller sees the error."""
        return Verdict(kind="deny", error=error)

    def modify(self, **fields: object) -> Verdict:
        """It happens with other values of fields."""
        return Verdict(kind="modify", set=fields)

    def hold(self, *, within: str | float | None = None, default: OnDue = "deny") -> Verdict:
        """It waits until somebody releases it, at most `within` that time; then `default`."""
        return Verdict(kind="hold", within_s=seconds(within), default=default)

    def reroute(self, route: str) -> Verdict:
        """The dispatch goes through another route."""
        return Verdict(kind="reroute", route=route)

    def ask(
        self,
        *,
        roles: list[str] | None = None,
        people: list[str] | None = None,
        quorum: int = 1,
        within: str | float | None = None,
        remind: str | float | None = None,
    ) -> Verdict:
        """It waits for people to approve it, as with `router.approve`."""
        return Verdict(
            kind="ask",
            roles=roles or [],
            people=people or [],
            quorum=quorum,
            within_s=seconds(within),
            remind_s=seconds(remind),
        )


def misfit(verdict: Verdict, at: str) -> str | None:
    """Why the verdict is not offered for the transition; None where it is."""
    if verdict.kind not in OFFERS[at]:
        return f"{at} offers {', '.join(sorted(OFFERS[at]))}, not {verdict.kind}"
    if verdict.kind == "modify":
        unknown = verdict.set.keys() - FIELDS[at]
        if unknown or not verdict.set:
            return f"modify sets {min(unknown, default='nothing')}, but of {at} may be set: {_known(at)}"
    if verdict.kind == "reroute" and not verdict.route:
        return "reroute needs a route"
    if verdict.people and not verdict.roles and verdict.quorum > len(set(verdict.people)):
        return f"{verdict.quorum} of {len(set(verdict.people))} people can never approve"
    return None


def nonsense(verdict: Verdict) -> str | None:
    """Why what a function said is no verdict, or what it sets are no such values; None where all is as it should be."""
    try:
        msgspec.convert(msgspec.to_builtins(msgspec.structs.replace(verdict, set={})), Verdict)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        return f"that is no verdict: {error}"
    return misshapen(verdict.set)


def misshapen(changed: Mapping[str, object]) -> str | None:
    """Why these cannot be new values of fields; None where they can."""
    for name, value in changed.items():
        try:
            to_json(value)
            if name in _SHAPES:
                msgspec.convert(value, _SHAPES[name])
        except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
            return f"{name} cannot be that: {error}"
    return None


def _known(at: str) -> str:
    return ", ".join(sorted(FIELDS[at])) or "nothing"


def check_rule(name: str, rule: Interceptor) -> None:
    """Raise InvalidInput where the rule could not do what it says."""
    if not rule.kinds:
        known = ", ".join(KINDS)
        raise InvalidInput(f"Interceptor {name!r} is asked about nothing.", remedy=f"`at` is one of {known}.")
    if "type" in rule.on:
        raise InvalidInput(f"The pattern of interceptor {name!r} names a type.", remedy="Say it by `at`.")
    if rule.call is None:
        for at in rule.kinds:
            problem = misfit(rule.says, at)
            if problem is not None:
                raise InvalidInput(f"Interceptor {name!r}: {problem}.", remedy="See docs/howto/intercept.md.")
