"""Owns looking over the mappings in force: what cannot work, what is twice there, and what recent events say of them.

Everything is bounded: the events that are looked at, the pairs that are compared, the findings. Refuses to change
anything, and to call an error what may be meant so.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import combinations
from typing import Literal, TypeAlias, cast

import msgspec

from workflow_router.core.event_mappings.living import LivingMappings
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import Matcher, types_of
from workflow_router.core.event_mappings.ports import AcceptedEvent
from workflow_router.core.model import DEFAULT_TENANT
from workflow_router.core.patterns.relate import fields_needed, includes, needs_array, never
from workflow_router.core.ports import Store
from workflow_router.utils.codec import from_json

EVENTS_MAX = 10_000
PAIRS_MAX = 100_000
FINDINGS_MAX = 1_000
PATHS_MAX = 10_000  # of all types of event together
PATH_DEPTH_MAX = 16
PAGE = 200
BREATH = 100  # mappings or pairs between two breaths

Severity: TypeAlias = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be looked at.

    Attributes:
        kind: `broken`, `unknown`, `never`, `needs-array`, `same`, `included`, `overlap`, `quiet` or `unseen-field`.
        severity: an `error` cannot work, a `warning` is likely a mistake, a `note` may well be meant.
        other: label of the other mapping, where two are concerned.
    """

    kind: str
    severity: Severity
    mapping: str
    message: str
    remedy: str = ""
    other: str | None = None


class Linted(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, the worst first.

    Attributes:
        mappings, events: how many were looked at.
        complete: False where there were more pairs of mappings, or findings, than are looked at.
    """

    findings: list[Finding]
    mappings: int
    events: int
    complete: bool


async def lint(store: Store, living: LivingMappings, matcher: Matcher, known: "Known", *, events: int) -> Linted:
    """Look the mappings in force over, with so many of the newest events of the archive."""
    linter = Linter(matcher, living.broken, known)
    before: str | None = None
    left = min(events, EVENTS_MAX)
    while left > 0:
        count = min(left, PAGE)
        page = await store.read(
            lambda tx, b=before, n=count: tx.events.latest(tenant=DEFAULT_TENANT, limit=n, before=b)
        )
        for accepted in page:
            linter.see(accepted)
        left -= PAGE
        if len(page) < PAGE:
            break
        before = page[-1].id
        await asyncio.sleep(0)
    return await linter.findings()


Known: TypeAlias = Callable[[str, str], Collection[str] | None]


class Linter:
    """Looks mappings over, events first: `see` each, then ask for `findings`.

    Args:
        known: given a target's `does` and name, the names that are known where this one is not; else None.
    """

    def __init__(self, matcher: Matcher, broken: dict[str, str], known: Known) -> None:
        self._matcher = matcher
        self._broken = broken
        self._known = known
        self._events = 0
        self._hits: dict[str, int] = {}
        self._together: dict[tuple[str, str], int] = {}
        self._paths: dict[str, set[tuple[str, ...]]] = {}
        self._path_count = 0
        self._blind: set[str] = set()

    def see(self, accepted: AcceptedEvent) -> None:
        """Take an event of the archive into account. What a pattern says counts, not its condition."""
        event = accepted.event
        self._events += 1
        labels = self._matcher.candidates(event)
        for label in labels:
            self._hits[label] = self._hits.get(label, 0) + 1
        for pair in combinations(sorted(labels)[:16], 2):
            if pair in self._together or len(self._together) < PAIRS_MAX:
                self._together[pair] = self._together.get(pair, 0) + 1
        seen = self._paths.setdefault(event.type, set())
        seen.update((name,) for name in event.attributes())
        if event.data is None or not event.is_json:
            return
        for path in _paths(from_json(event.data), ("data",)):
            if path not in seen:
                if self._path_count >= PATHS_MAX:
                    self._blind.add(event.type)
                    return
                self._path_count += 1
                seen.add(path)

    async def findings(self) -> Linted:
        """What there is to be said. It lets others go on every now and then, as there may be very many mappings."""
        mappings = self._matcher.mappings
        found: list[Finding] = [
            Finding(kind="broken", severity="error", mapping=name, message=problem, remedy="Change or delete it.")
            for name, problem in list(self._broken.items())[:FINDINGS_MAX]
        ]
        complete = True
        for at, mapping in enumerate(mappings):
            if at % BREATH == 0:
                await asyncio.sleep(0)
            if len(found) > FINDINGS_MAX:
                complete = False
                break
            found += self._alone(mapping)
        pairs, all_pairs = _pairs(mappings)
        for at, (one, other) in enumerate(pairs):
            if at % BREATH == 0:
                await asyncio.sleep(0)
            if len(found) > 2 * FINDINGS_MAX:
                break
            found += self._compared(one, other)
        found.sort(key=lambda one: (("error", "warning", "note").index(one.severity), one.mapping, one.kind))
        return Linted(
            findings=found[:FINDINGS_MAX],
            mappings=len(mappings),
            events=self._events,
            complete=complete and all_pairs and len(found) <= FINDINGS_MAX,
        )

    def _alone(self, mapping: Mapping) -> Iterator[Finding]:
        label = mapping.label
        for target in mapping.targets:
            for does, name in ((target.does, target.name), ("start", target.workflow)):
                known = None if name is None else self._known(does, name)
                if known is not None:
                    what = {"start": "workflow", "publish": "topic", "dispatch": "route"}[does]
                    message = f"There is no {what} `{name}`."
                    remedy = _did_you_mean(name or "", known)
                    yield Finding(kind="unknown", severity="error", mapping=label, message=message, remedy=remedy)
        reason = never(mapping.pattern)
        if reason is None and mapping.condition is not None and mapping.condition.text.strip() == "false":
            reason = "Its condition is `false`."
        if reason is not None:
            message = f"No event can match: {reason}"
            yield Finding(kind="never", severity="error", mapping=label, message=message, remedy="Mend the pattern.")
            return
        path = needs_array(mapping.pattern)
        if path is not None:
            message = f"Only an array as {path} can have the values that are asked for together."
            remedy = "If it is a single value, no event matches."
            yield Finding(kind="needs-array", severity="warning", mapping=label, message=message, remedy=remedy)
        if self._events and label not in self._hits:
            yield from self._silent(mapping)

    def _silent(self, mapping: Mapping) -> Iterator[Finding]:
        """Why none of the events that were seen matches: a type or a field that did not occur, or just so."""
        label, types = mapping.label, types_of(mapping)
        looked = self._paths.keys() if types is None else [kind for kind in types if kind in self._paths]
        if not looked:
            message = f"None of the last {self._events} events has the type {' or '.join(types or ())}."
            remedy = _did_you_mean((types or [""])[0], self._paths)
            yield Finding(kind="quiet", severity="warning", mapping=label, message=message, remedy=remedy)
            return
        seen = set[tuple[str, ...]]().union(*(self._paths[kind] for kind in looked))
        missing = sorted(path for path in fields_needed(mapping.pattern) if path not in seen)
        if missing and self._blind.isdisjoint(looked):
            for path in missing:
                message = f"The field {'.'.join(path)} is in none of the events that were looked at."
                remedy = _did_you_mean(".".join(path), {".".join(one) for one in seen})
                yield Finding(kind="unseen-field", severity="warning", mapping=label, message=message, remedy=remedy)
            return
        message = f"None of the last {self._events} events matches."
        yield Finding(kind="quiet", severity="note", mapping=label, message=message, remedy="Try it on an event.")

    def _compared(self, one: Mapping, other: Mapping) -> Iterator[Finding]:
        """Two mappings that do the same: whatever both match is done twice."""
        same_condition = one.condition is None or (
            other.condition is not None and one.condition.text == other.condition.text
        )
        first = includes(one.pattern, other.pattern) and same_condition
        second = includes(other.pattern, one.pattern) and (
            other.condition is None or (one.condition is not None and one.condition.text == other.condition.text)
        )
        target = next(_said(mine) for mine in one.targets if _said(mine) in {_said(theirs) for theirs in other.targets})
        both = self._together.get((min(one.label, other.label), max(one.label, other.label)), 0)
        if first and second:
            kind, message, severity = "same", f"It matches the same events as {one.label}", "warning"
        elif first or second:
            if second:
                one, other = other, one
            kind, message, severity = "included", f"Every event it matches is matched by {one.label} too", "warning"
        elif both:
            kind, message, severity = "overlap", f"{both} of the last {self._events} match {one.label} too", "note"
        else:
            return
        yield Finding(
            kind=kind,
            severity=cast("Severity", severity),
            mapping=other.label,
            other=one.label,
            message=f"{message}, and both would {target}.",
            remedy="Remove one of them, or narrow a pattern.",
        )


def _pairs(mappings: Iterable[Mapping]) -> tuple[list[tuple[Mapping, Mapping]], bool]:
    """Live mappings that do the same and whose types do not exclude each other; whether these are all."""
    groups: dict[str, list[Mapping]] = {}
    for mapping in mappings:
        if mapping.stage == "live":
            for said in {_said(target) for target in mapping.targets if target.does != "join"}:
                groups.setdefault(said, []).append(mapping)
    found: dict[tuple[str, str], tuple[Mapping, Mapping]] = {}
    for group in groups.values():
        by_type: dict[str | None, list[Mapping]] = {}
        for mapping in group:
            for kind in types_of(mapping) or [None]:
                by_type.setdefault(kind, []).append(mapping)
        anywhere = by_type.pop(None, [])
        for several in (*by_type.values(), []):
            mixed = [*combinations(several, 2)] if len(several) <= 1_000 else []
            for one, other in (*mixed, *((wide, each) for wide in anywhere for each in several)):
                found[one.label, other.label] = (one, other)
                if len(found) >= PAIRS_MAX:
                    return list(found.values()), False
            if len(several) > 1_000:
                return list(found.values()), False
        for one, other in combinations(anywhere[:400], 2):
            found[one.label, other.label] = (one, other)
    return list(found.values()), True


def _said(target: object) -> str:
    does, name, workflow = (getattr(target, field) for field in ("does", "name", "workflow"))
    return f"{does} {name}" + (f" to {workflow}" if workflow else "")


def _paths(value: object, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths at which the value has values, through arrays."""
    if isinstance(value, dict):
        if len(at) < PATH_DEPTH_MAX:
            for key, below in cast("dict[str, object]", value).items():
                yield from _paths(below, (*at, key))
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _paths(one, at)
    else:
        yield at


def _did_you_mean(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known)[:PATHS_MAX], 1)
    return f"Did you mean `{close[0]}`?" if close else ""
