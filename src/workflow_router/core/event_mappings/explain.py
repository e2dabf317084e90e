"""Owns the answer to "what became of this event, and why": what matched, what came near, and what was in the way.

What is recorded with an event (`decision`) says which mappings were in force, so near misses are worked out when
somebody asks, exactly, and cost the intake nothing. It also tries events and draft mappings out. Refuses any effect.
"""

from collections.abc import Collection, Iterable

import msgspec

from workflow_router.core.errors import ExpressionFailed, NotFound, RouterError
from workflow_router.core.event_mappings.decision import Decision, decode_decision
from workflow_router.core.event_mappings.living import LivingMappings, compiled
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import Matched, Matcher, scope_of
from workflow_router.core.event_mappings.overlay import Overlay, folded, resolved
from workflow_router.core.event_mappings.plan import Paced, plan
from workflow_router.core.event_mappings.ports import AcceptedEvent, MappingVersion
from workflow_router.core.event_mappings.target import Effect
from workflow_router.core.model import Event
from workflow_router.core.ports import Store

NEAR_MAX = 5
CONSIDERED_MAX = 200
PAGE = 5_000
_DISCRIMINATORS = ("type", "source")


class Reason(msgspec.Struct, frozen=True):
    """One thing that was in the way: what was asked of a field, and the event's values there, as JSON."""

    path: str
    expected: str
    found: list[str]


class NearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping that would have matched, had it not been for a little.

    Attributes:
        failed: how many conditions of its pattern fail; 0 where only `when` stood in the way.
        when: why its condition does not hold.
    """

    mapping: str
    failed: int
    reasons: list[Reason]
    when: str | None = None


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        matched: labels (`name@version`) of the mappings that acted.
        shadow: those that matched in the stage `shadow`.
        held: canaries that matched, but whose share the event is not in.
        failed: by mapping, why a condition or template could not be evaluated.
        near: those that came nearest, the nearest first, five at most.
        considered: how many mappings were looked at for near misses, of how many whose type and source fit or are open.
        state: what was read of `state`.
        gone: by mapping, why the version that was in force then cannot be looked at any more.
    """

    matched: list[str]
    shadow: list[str]
    held: list[str]
    failed: dict[str, str]
    near: list[NearMiss]
    considered: int
    of: int
    state: dict[str, object] | None = None
    replay: str | None = None
    gone: dict[str, str] = {}


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What an event would start, publish or send, by the label of the mapping."""

    explained: Explained
    effects: dict[str, list[dict[str, object]]]


class Explainer:
    """Explains events by the mappings that were in force when they came."""

    def __init__(self, store: Store, living: LivingMappings, matcher: Matcher) -> None:
        self._store = store
        self._living = living
        self._matcher = matcher
        self._past: tuple[tuple[int, int], Matcher, dict[str, str]] | None = None

    async def explain(self, event_id: str, *, tenant: str) -> Explained:
        """Explain an accepted event by our id of it. Raises NotFound."""
        accepted = await self._store.read(lambda tx: tx.events.find(event_id, tenant=tenant))
        if accepted is None:
            raise NotFound("There is no event of this id.", remedy="It may be older than what is kept of events.")
        decision = decode_decision(accepted.decision)
        matcher, gone = await self._in_force(decision)
        return explained(accepted, decision, matcher, gone)

    async def _in_force(self, decision: Decision) -> tuple[Matcher, dict[str, str]]:
        """The mappings in force at that time; those of one earlier time are kept at hand."""
        when = (decision.set, decision.change)
        if when == (self._living.declared_set, self._living.change):
            return self._matcher, {}
        if self._past is None or self._past[0] != when:
            matcher, gone = await self._rebuilt(*when)
            self._past = (when, matcher, gone)
        return self._past[1], self._past[2]

    async def _rebuilt(self, declared_set: int, change: int) -> tuple[Matcher, dict[str, str]]:
        members = await self._store.read(lambda tx: tx.mappings.members(declared_set))
        rank = {(name, version): at for at, (name, version) in enumerate(members)}
        gone: dict[str, str] = {}

        def at_hand(version: MappingVersion | None) -> Mapping | None:
            if version is None:
                return None
            try:
                return compiled(version, self._living.compile_rule)
            except RouterError as error:
                gone[f"{version.name}@{version.version}"] = error.message
                return None

        declared: dict[str, tuple[Mapping, int]] = {}
        after = ""
        while page := await self._store.read(lambda tx, a=after: tx.mappings.project_versions(after=a, limit=PAGE)):
            for version in page:
                place = rank.get((version.name, version.version))
                mapping = at_hand(version) if place is not None else None
                if place is not None and mapping is not None:
                    declared[version.name] = (mapping, place)
            after = page[-1].name
        overlays: dict[str, Overlay | None] = {}
        last = 0
        while page := await self._store.read(lambda tx, a=last: tx.mappings.changes(after=a, until=change, limit=PAGE)):
            for version in page:
                overlays[version.name] = folded(overlays.get(version.name), version)
            last = page[-1].change
        matcher = Matcher()
        for name in declared.keys() | overlays.keys():
            overlay = overlays.get(name)
            base = at_hand(overlay.base) if overlay is not None else None
            candidate = at_hand(overlay.candidate) if overlay is not None else None
            matcher.put(name, resolved(declared.get(name), overlay, base, candidate))
        return matcher, gone


def explained(accepted: AcceptedEvent, decision: Decision, matcher: Matcher, gone: dict[str, str]) -> Explained:
    """Put what is recorded and what came near together."""
    scope = scope_of(accepted.event, accepted.id)
    if decision.state is not None:
        scope["state"] = decision.state
    done = {*accepted.matched, *decision.shadow, *decision.held}
    near, considered, total = near_misses(matcher, accepted.event, scope, done)
    return Explained(
        matched=accepted.matched,
        shadow=decision.shadow,
        held=decision.held,
        failed=decision.failed,
        near=near,
        considered=considered,
        of=total,
        state=decision.state,
        replay=decision.replay,
        gone=gone,
    )


def near_misses(
    matcher: Matcher, event: Event, scope: dict[str, object], done: Collection[str]
) -> tuple[list[NearMiss], int, int]:
    """The nearest of the mappings whose type and source fit; how many were looked at, and of how many."""
    candidates, total = matcher.of_type(event.type, limit=CONSIDERED_MAX)
    document: dict[str, object] = dict(event.attributes())
    if event.data is not None and event.is_json:
        document["data"] = scope["event"]["data"] if isinstance(scope["event"], dict) else None
    found: list[NearMiss] = []
    for mapping in candidates:
        if mapping.label in done:
            continue
        miss = _miss(mapping, document, scope)
        if miss is not None:
            found.append(miss)
    found.sort(key=lambda miss: (miss.failed, miss.mapping))
    return found[:NEAR_MAX], len(candidates), total


def _miss(mapping: Mapping, document: dict[str, object], scope: dict[str, object]) -> NearMiss | None:
    verdict = mapping.pattern.explain(document)
    if verdict.matched:
        return NearMiss(mapping=mapping.label, failed=0, reasons=[], when=_why_not(mapping, scope))
    failing = [finding for finding in verdict.findings if not finding.ok]
    if any(finding.path in _DISCRIMINATORS for finding in failing):
        return None
    reasons = [Reason(finding.path, finding.expected, list(finding.found)) for finding in failing[:NEAR_MAX]]
    return NearMiss(mapping=mapping.label, failed=verdict.failed, reasons=reasons)


def _why_not(mapping: Mapping, scope: dict[str, object]) -> str | None:
    if mapping.condition is None:
        return None
    try:
        return None if mapping.condition.holds(scope) else f"The condition is false: {mapping.condition.text}"
    except ExpressionFailed as error:
        return error.message


def try_out(matcher: Matcher, event: Event, own_id: str, *, drafts: Iterable[Mapping] = ()) -> Tried:
    """What an event would do with the mappings of the matcher, or with drafts alone where there are any."""
    given = list(drafts)
    if given:
        matcher = Matcher(given, state=matcher.state)
    found, scope = matcher.match(event, own_id)
    effects = {mapping.label: effects_of(mapping, scope, own_id) for mapping in found.mappings}
    if not scope:
        scope = scope_of(event, own_id)
    return Tried(explained=_of(found, matcher, event, scope), effects=effects)


def effects_of(mapping: Mapping, scope: dict[str, object], own_id: str) -> list[dict[str, object]]:
    """What a matched mapping would do, with rendered inputs; or why it cannot be rendered."""
    made = plan([mapping], scope, own_id, new_id=lambda: own_id)
    effects = [_shown(effect) for effect in made.effects]
    effects += [_shown(one.effect) | {"paced": _pace(one)} for one in made.paced]
    return effects + [{"failed": reason} for reason in made.failures.values()]


def _pace(paced: Paced) -> dict[str, object]:
    """What it waits for, and with what it is told together."""
    pace = paced.target.pace
    return {"by": type(pace.policy).__name__.lower() if pace is not None else "", "key": paced.key}


_SHOWN: dict[str, tuple[str, ...]] = {  # by target: what stands beside its name, the rendered value last
    "start": ("input",),
    "publish": ("key", "body"),
    "signal": ("workflow", "key", "value"),
    "dispatch": ("method", "path", "body"),
    "emit": ("subject", "data"),
    "join": ("part", "key", "keep"),
}


def _shown(effect: Effect) -> dict[str, object]:
    """An effect as it is written in a mapping."""
    *beside, value = _SHOWN[effect.does]
    shown: dict[str, object] = {effect.does: effect.name}
    shown |= {name: effect.key if name == "subject" else getattr(effect, name) for name in beside}
    return shown | {value: effect.value}


def _of(found: Matched, matcher: Matcher, event: Event, scope: dict[str, object]) -> Explained:
    matched = [mapping.label for mapping in found.mappings]
    near, considered, total = near_misses(matcher, event, scope, {*matched, *found.shadow, *found.held})
    return Explained(
        matched=matched,
        shadow=found.shadow,
        held=found.held,
        failed=found.failures,
        near=near,
        considered=considered,
        of=total,
        state=found.state,
    )
