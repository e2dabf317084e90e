"""Owns the life of interceptors: create, change, disable, enable and delete while transitions go through them.

Each change is a version in the store, with its author and an audit entry, and is in force when the call returns; other
processes on the same store take it up within a second. Refuses a rule that cannot be put in force: nothing is written.
A version in the store that this program cannot read or ask is in force as one that fails, so its `on_error` follows,
which denies unless it says otherwise: what was meant to guard does not stop to guard.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, NotFound, RouterError
from workflow_router.core.ports import Store
from workflow_router.core.rule_history import RuleHistory
from workflow_router.core.rule_versions import RuleVersion
from workflow_router.core.runtime_state.gate import Filed, Function, Gate, compile_interceptor, unreadable
from workflow_router.core.runtime_state.interceptors import KINDS, At, Interceptor
from workflow_router.utils.codec import to_json

INTERCEPTORS_MAX = 10_000

_log = logging.getLogger(__name__)


class Known(NamedTuple):
    """An interceptor as it stands: version 0 is the project's own; `problem` says why it cannot be asked."""

    filed: Filed
    stage: str
    author: str
    specification: bytes | None = None
    problem: str | None = None


def interceptor_of(name: str, given: Mapping[str, object]) -> Interceptor:
    """A rule as `router.yaml` says it. Raises InvalidInput."""
    try:
        return msgspec.convert(dict(given), Interceptor)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput(
            f"The interceptor {name[:100]!r} cannot be used: {error}.", remedy="See docs/howto/intercept.md."
        ) from None


class LivingInterceptors:
    """The interceptors of a running system: what the project declares, under what was changed since."""

    def __init__(self, store: Store, gate: Gate, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._gate = gate
        self._declared: dict[str, Known] = {}
        self._changed: dict[str, Known] = {}
        self._functions: dict[str, Function] = {}
        self._history = RuleHistory(store, "interceptor", lambda tx: tx.interceptors, self._take_up, sleep)

    def declare(self, rules: Mapping[str, Interceptor], functions: Mapping[str, Function]) -> None:
        """What the project says, and the functions its rules may call. Raises InvalidInput and the like."""
        self._functions = dict(functions)
        self._declared = {
            name: Known(compile_interceptor(name, rule, 0, self._functions), "live", "project")
            for name, rule in rules.items()
        }
        self._apply()

    async def open(self) -> None:
        """Put what the store holds in force over it, and look for what others change."""
        await self._history.open()

    async def close(self) -> None:
        """Stop looking."""
        await self._history.close()

    async def refresh(self) -> None:
        """Put in force what was changed since the last time."""
        await self._history.refresh()

    def all(self) -> list[Known]:
        """Every interceptor, those that are disabled included, in the order in which they are asked."""
        known = {**self._declared, **self._changed}
        return sorted(known.values(), key=lambda one: one.filed.rank)

    def find(self, name: str) -> Known:
        """One of them. Raises NotFound."""
        known = self._changed.get(name) or self._declared.get(name)
        if known is None:
            raise NotFound(f"There is no interceptor {name[:100]!r}.", remedy="List them with `wr interceptors`.")
        return known

    async def history(self, name: str) -> list[RuleVersion]:
        """Its versions, oldest first; those of the project's files are not among them."""
        return await self._history.of(name)

    async def put(
        self, name: str, given: Mapping[str, object], *, author: str, expected: int | None = None
    ) -> RuleVersion:
        """Create or change an interceptor, as `router.yaml` would say it.

        Raises:
            InvalidInput, InvalidPattern, InvalidExpression: it is none. Conflict: `expected` is not its last version.
        """
        rule = interceptor_of(name, given)
        compile_interceptor(name, rule, 0, self._functions)
        known = name in self._changed or name in self._declared
        if not known and len(self._changed) >= INTERCEPTORS_MAX:
            raise InvalidInput(f"There are {INTERCEPTORS_MAX} interceptors.", remedy="Delete those that are not used.")
        what = "changed" if known else "created"
        return await self._history.make(name, to_json(rule), "live", author=author, what=what, expected=expected)

    async def stage(self, name: str, stage: str, *, author: str, expected: int | None = None) -> RuleVersion:
        """Disable (`disabled`), enable (`live`) or delete (`deleted`) one. Raises NotFound, Conflict."""
        known = self.find(name)
        what = {"disabled": "disabled", "live": "enabled", "deleted": "deleted"}[stage]
        if stage == "deleted" and name not in self._changed:
            raise Conflict(
                f"Interceptor {name!r} stands in the project.", remedy="Disable it, or take it out of router.yaml."
            )
        said = known.specification or to_json(known.filed.rule)
        return await self._history.make(name, said, stage, author=author, what=what, expected=expected)

    def _apply(self) -> None:
        self._gate.set(one.filed for one in self.all() if one.stage == "live")

    def _take_up(self, versions: Sequence[RuleVersion]) -> None:
        for version in versions:
            self._fold(version)
        self._apply()

    def _fold(self, version: RuleVersion) -> None:
        name = version.name
        if version.stage == "deleted":
            self._changed.pop(name, None)
            return
        problem: str | None = None
        try:
            rule = msgspec.json.decode(version.specification, type=Interceptor)
            filed = compile_interceptor(name, rule, version.version, self._functions)
        except (
            msgspec.DecodeError,
            RouterError,
        ) as error:  # of another version of this program, or its function is gone
            problem = error.message if isinstance(error, RouterError) else f"it cannot be read: {error}"
            rule = _remains(version.specification)
            if not rule.kinds:
                _log.error("Interceptor %s is about nothing that this program does: %s", name, problem)
            else:
                _log.error("Interceptor %s cannot be asked, so `%s` follows: %s", name, rule.on_error, problem)
            filed = unreadable(name, version.version, rule, problem[:1_000])
        self._changed[name] = Known(filed, version.stage, version.author, version.specification, problem)


class _Remains(msgspec.Struct):
    """What of a rule is needed to be on the safe side without it."""

    at: object = None
    on: object = None
    order: object = 0
    on_error: object = "deny"


def _remains(specification: bytes) -> Interceptor:
    """The least that a rule says that cannot be read whole: what it is about, and what follows where it fails.

    What does not even say what it is about is about everything.
    """
    try:
        said = msgspec.json.decode(specification, type=_Remains)
    except msgspec.DecodeError:
        said = _Remains()
    listed = cast("list[object]", said.at) if isinstance(said.at, list) else [said.at]
    known: list[At] = [at for at in KINDS if at in listed]
    if not known and not any(isinstance(one, str) for one in listed):
        known = [*KINDS]
    return Interceptor(
        at=known,
        verdict="deny",
        on=cast("dict[str, object]", said.on) if isinstance(said.on, dict) else {},
        order=said.order if isinstance(said.order, int) else 0,
        on_error="continue" if said.on_error == "continue" else "deny",
    )
