"""Owns judging: which interceptors a transition meets, in order, and what they say together.

Where no interceptor is filed for a transition, `on` says so by one look into a set. A rule that takes too long, raises
or says what is not offered follows its `on_error`: it denies, unless it was told otherwise. Refuses to hold anything
and to write: what is to be recorded is handed to whoever makes the transition.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import msgspec

from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.expressions import Condition, Template, compile_condition, compile_template
from workflow_router.core.expressions.reads import Tree, prune, reads_of
from workflow_router.core.model import Transition
from workflow_router.core.patterns import Pattern
from workflow_router.core.patterns.index import PatternIndex
from workflow_router.core.runtime_state.interceptors import Interceptor, Proposed, Verdict, check_rule, misfit, nonsense

Function = Callable[[Proposed], Any]
Rank = tuple[int, str]
FIRST: Rank = (-(10**9), "")
THREADS = 8  # for functions that are not async
ERROR_MAX = 1_000  # characters of what a caller is told, as declared rules may say

_log = logging.getLogger(__name__)


class Filed(NamedTuple):
    """A rule in force, compiled. `version` 0 is the project's own."""

    name: str
    rule: Interceptor
    version: int
    pattern: Pattern
    condition: Condition | None
    template: Template | None
    function: Function | None
    reads: "Tree | None"

    @property
    def rank(self) -> Rank:
        """Where it stands among others."""
        return self.rule.order, self.name


def compile_interceptor(
    name: str, rule: Interceptor, version: int = 0, functions: Mapping[str, Function] | None = None
) -> Filed:
    """A rule made ready. Raises InvalidInput, InvalidPattern, InvalidExpression."""
    check_rule(name, rule)
    function = None
    if rule.call is not None:
        function = (functions or {}).get(rule.call)
        if function is None:
            known = ", ".join(functions or ()) or "none"
            raise InvalidInput(
                f"Interceptor {name!r} calls {rule.call!r}, which is not declared; known are: {known}.",
                remedy="Declare it with @router.intercept.",
            )
    return Filed(
        name,
        rule,
        version,
        Pattern.parse({**rule.on, "type": list(rule.kinds)}),
        None if rule.when is None else compile_condition(rule.when, variables=("event", "state")),
        compile_template(rule.set, variables=("event", "state")) if rule.set else None,
        function,
        reads_of("state", [rule.when] if rule.when else [], rule.set),
    )


def unreadable(name: str, version: int, rule: Interceptor, why: str) -> Filed:
    """A rule that cannot be asked any more: whatever it would have been asked about follows its `on_error`."""

    def refuse(_: Proposed) -> Verdict:
        raise InvalidInput(why, remedy="Change or delete it.")

    pattern = Pattern.parse({"type": list(rule.kinds) or [""]})
    with contextlib.suppress(RouterError):  # what cannot be read as a pattern leaves nothing out
        pattern = Pattern.parse({**rule.on, "type": list(rule.kinds)})
    return Filed(name, rule, version, pattern, None, None, refuse, None)


class Ruling(msgspec.Struct, kw_only=True):
    """What the interceptors that were asked said together.

    Attributes:
        proposed: the transition with what was changed.
        changed: the new values by field.
        denied: the error to tell, where it is not to happen.
        held: what it waits for, and by whom it is held.
        records: what is to be recorded with the transition; empty where nobody said anything.
    """

    proposed: Proposed
    changed: dict[str, object] = {}
    denied: str | None = None
    held: Verdict | None = None
    by: Filed | None = None
    records: list[Transition] = []


class Gate:
    """The interceptors in force.

    Args:
        state: what conditions and templates see as `state`; asked once a decision, and only where it is read.
    """

    def __init__(self, state: Callable[[], Mapping[str, object]] = dict) -> None:
        self._state = state
        self._index: PatternIndex[str] = PatternIndex()
        self._filed: dict[str, Filed] = {}
        self.active: frozenset[str] = frozenset()
        self._named: frozenset[tuple[str, str]] = frozenset()
        self._unnamed: frozenset[str] = frozenset()
        self._threads = ThreadPoolExecutor(THREADS, "interceptor")

    def on(self, at: str, subject: str | None = None) -> bool:
        """Whether any interceptor is filed for this transition, of this subject where it is known."""
        if at not in self.active:
            return False
        return subject is None or at in self._unnamed or (at, subject) in self._named

    def set(self, filed: Iterable[Filed]) -> None:
        """Put these in force, and no others."""
        wanted = {one.name: one for one in filed}
        for name in self._filed.keys() - wanted.keys():
            self._index.remove(name)
        for name, one in wanted.items():
            if self._filed.get(name) is not one:
                self._index.add(name, one.pattern)
        self._filed = wanted
        self.active = frozenset(at for one in wanted.values() for at in one.rule.kinds)
        named, unnamed = set[tuple[str, str]](), set[str]()
        for one in wanted.values():
            subjects = one.pattern.texts("subject")
            if subjects is None:
                unnamed.update(one.rule.kinds)
            else:
                named.update((at, subject) for at in one.rule.kinds for subject in subjects)
        self._named, self._unnamed = frozenset(named), frozenset(unnamed)

    def matching(self, proposed: Proposed) -> list[Filed]:
        """The rules whose pattern matches, in the order in which they are asked."""
        names = self._index.matching_value(proposed.view())
        if not names:
            return []
        return sorted((self._filed[name] for name in names), key=lambda one: one.rank)

    async def judge(self, proposed: Proposed, *, after: Rank = FIRST) -> Ruling:
        """Ask those that match, in order, until one denies or holds it. Who comes later matches what it has become.

        Args:
            after: the rank of the one that held it, where it was released.
        """
        ruling = Ruling(proposed=proposed)
        state: dict[str, object] | None = None
        left = [one for one in self.matching(proposed) if one.rank > after]
        while left:
            one, before = left.pop(0), ruling.proposed
            if one.reads is not None and state is None:
                state = dict(self._state())  # one reading for the whole decision
            seen = None if one.reads is None or state is None else prune(state, one.reads) if one.reads else state
            failed: str | None = None
            try:
                async with asyncio.timeout(one.rule.timeout_s):
                    verdict = await self._ask(one, ruling.proposed, seen)
                problem = None if verdict is None else misfit(verdict, proposed.at) or nonsense(verdict)
                if problem is not None:
                    failed = problem
            except TimeoutError:
                verdict, failed = None, f"it took longer than {one.rule.timeout_s} s"
            except RouterError as error:
                verdict, failed = None, f"{type(error).__name__}: {error.message}"
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it raises, `on_error` says what follows
                verdict, failed = None, type(error).__name__  # its words may repeat what it was given
                _log.warning("Interceptor %s raised.", one.name, exc_info=True)
            if failed is not None:
                verdict = None
                if one.rule.on_error == "deny":
                    verdict = Verdict(kind="deny", error=f"Interceptor {one.name} could not say: {failed}.")
            if verdict is not None or failed is not None:
                ruling.records.append(_record(one, ruling.proposed, verdict, seen, failed))
            if verdict is not None and _apply(ruling, one, verdict):
                break
            if ruling.proposed is not before:  # so that no change gets round the rules that come after it
                left = [later for later in self.matching(ruling.proposed) if later.rank > one.rank]
        return ruling

    async def _ask(self, one: Filed, proposed: Proposed, state: Mapping[str, object] | None) -> Verdict | None:
        scope: dict[str, object] = {"event": proposed.view()}
        if state is not None:
            scope["state"] = state
        if one.condition is not None and not one.condition.holds(scope):
            return None
        if one.function is None:
            verdict = one.rule.says
            if one.template is not None:
                changed = cast("dict[str, object]", one.template.render(scope))
                verdict = msgspec.structs.replace(verdict, set=changed)
            return verdict
        if inspect.iscoroutinefunction(one.function):
            said: object = await one.function(proposed)
        else:  # in a thread of their own, so that those that hang hold up nothing but one another
            function, context = one.function, contextvars.copy_context()

            def work() -> object:
                return context.run(function, proposed)

            said = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        if said is None or isinstance(said, Verdict):
            return said
        raise InvalidInput(f"it returned {type(said).__name__}, which is no verdict.")


def _apply(ruling: Ruling, one: Filed, verdict: Verdict) -> bool:
    """Take what was said into account; whether nobody further is to be asked."""
    if verdict.kind == "deny":
        ruling.denied, ruling.by = (verdict.error or f"Interceptor {one.name} denies it.")[:ERROR_MAX], one
        return True
    if verdict.kind in {"hold", "ask"}:
        ruling.held, ruling.by = verdict, one
        return True
    changed = {"route": verdict.route} if verdict.kind == "reroute" else verdict.set
    if changed and verdict.kind != "observe":
        ruling.changed = {**ruling.changed, **changed}
        ruling.proposed = ruling.proposed.becoming(changed)
    return False


def _record(
    one: Filed, proposed: Proposed, verdict: Verdict | None, state: Mapping[str, object] | None, failed: str | None
) -> Transition:
    detail: dict[str, object] = {"version": one.version, "at": proposed.at, "subject": proposed.subject[:200]}
    detail["verdict"] = "continue" if verdict is None else verdict.kind
    if verdict is not None and verdict.set:
        detail["fields"] = sorted(verdict.set)
    if verdict is not None and verdict.route:
        detail["route"] = verdict.route
    if failed is not None:
        detail["failed"] = failed[:500]
    if state is not None:
        detail["state"] = state
    return Transition(
        kind=f"interceptor.{_DONE.get(verdict.kind, 'observed') if verdict is not None else 'failed'}",
        subject=one.name,
        tenant=proposed.tenant,
        run=proposed.run,
        cause=proposed.cause,
        correlation=proposed.correlation,
        detail=detail,
    )


_DONE = {
    "observe": "observed",
    "deny": "denied",
    "modify": "modified",
    "hold": "held",
    "reroute": "rerouted",
    "ask": "asked",
}
