"""Owns what a mapping and a join must hold beyond their shape. Refuses every other part of a project."""

import msgspec

from workflow_router.core.errors import Mistake
from workflow_router.core.event_mappings.joining import join_mappings
from workflow_router.core.event_mappings.target import compile_target
from workflow_router.core.expressions import compile_condition
from workflow_router.core.expressions.reads import reads_of
from workflow_router.core.patterns.filters import translated
from workflow_router.core.runtime_state.context import MEMBERS
from workflow_router.settings import model
from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.convert import SEEN
from workflow_router.settings.document import Node, Where, find
from workflow_router.settings.judge import Judge
from workflow_router.settings.steps import known
from workflow_router.settings.targets import MappingTarget, target_fields

_ANY_TARGET = compile_target({"start": "x"})


def check_mapping(
    router: model.RouterFile, mapping: model.Mapping, document: Node, mistakes: list[Mistake], *, compiled: bool
) -> None:
    """Add every mistake of the one mapping of a document; `router` has the names that it may use."""
    MappingChecker(router, document, mistakes, [], compiled=compiled).mapping(mapping, ("mappings", 0))


class MappingChecker(Judge):
    """The part of a check that is about mappings and joins."""

    def __init__(
        self,
        router: model.RouterFile,
        document: Node,
        mistakes: list[Mistake],
        warnings: list[Mistake],
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__(document, mistakes, warnings, compiled=compiled)
        self._router = router

    def mapping(self, mapping: model.Mapping, where: Where) -> None:
        """Judge a mapping, which stands there in the document."""
        given = [name for name in ("on", "filters") if find(self._document, (*where, name)) is not None]
        if len(given) != 1:
            self._mistake(where, f"The mapping has {' and '.join(given) or 'no `on`'}.", "Write `on` or `filters`.")
        self._pattern(mapping.on, (*where, "on"))
        self._pattern(mapping.filters, (*where, "filters"), translated)
        if mapping.when is not None:
            self._expression(lambda: compile_condition(mapping.when or "", variables=SEEN), (*where, "when"))
        self._targets(mapping, where, mapping.targets)
        self._template(mapping.share_key, (*where, "share_key"), *SEEN)
        self._state_read(mapping, where)

    def _state_read(self, mapping: model.Mapping, where: Where) -> None:
        """Warn of members that `state` never has: such an expression compiles, and then fails for each event."""
        rule = msgspec.json.encode(mapping)
        if self._compiled or b"state" not in rule:
            return
        read = reads_of("state", [mapping.when] if mapping.when is not None else [], msgspec.json.decode(rule))
        for name in sorted((read or {}).keys() - set(MEMBERS)):
            at = (*where, "when") if mapping.when is not None and name in mapping.when else where
            self._warn(at, f"`state` has no `{name}`.", did_you_mean(name, MEMBERS))

    def join(self, join: model.Join, where: Where) -> None:
        """Judge a join, which stands there in the document."""
        for name, part in known((join.parts or {}).items()):
            at = (*where, "parts", name)
            self._pattern(part.on, (*at, "on"))
            if part.when is not None:
                self._expression(lambda text=part.when: compile_condition(text, variables=SEEN), (*at, "when"))
            self._template(part.key, (*at, "key"), *SEEN)
            self._template(part.keep, (*at, "keep"), *SEEN)
        self._template(join.key, (*where, "key"), *SEEN)
        self._targets(join, where, join.targets)
        if self._fine(where):
            fields = ("kind", "parts", "within", "key", "count")
            rule = {name: msgspec.to_builtins(getattr(join, name)) for name in fields}
            self._engine(lambda: join_mappings(join.name or "x", rule, [_ANY_TARGET], None, variables=SEEN), where)

    def _targets(self, own: MappingTarget, where: Where, others: list[MappingTarget] | None) -> None:
        """The target that stands in the mapping itself, and those in its list."""
        listed = list(known(enumerate(others or [])))
        itself = target_fields(own)
        if itself is not None or not listed:
            self._target_of_mapping(own, where)
        for at, target in listed:
            self._target_of_mapping(target, (*where, "targets", at))

    def _target_of_mapping(self, target: MappingTarget, where: Where) -> None:
        does = [
            name for name in ("start", "publish", "signal", "dispatch", "emit") if getattr(target, name) is not None
        ]
        if len(does) != 1:
            several = f"both `{'` and `'.join(does)}`" if does else "no target"
            self._mistake(where, f"The mapping has {several}.", "Write one of them, or a list of `targets`.")
            return
        if does != ["start"] and find(self._document, (*where, "input")) is not None:
            field = {"publish": "body", "signal": "value", "dispatch": "body", "emit": "data"}[does[0]]
            self._mistake((*where, "input"), "`input` is for `start` only.", f"Move it to `{does[0]}.{field}`.")
        self._template(target.input, (*where, "input"), *SEEN)
        for name in ("publish", "signal", "dispatch", "emit", "debounce", "throttle", "batch"):
            below = getattr(target, name)
            if below is None:
                continue
            for field in ("key", "body", "value", "subject", "data"):
                self._template(getattr(below, field, None), (*where, name, field), *SEEN)
        self._template(target.once, (*where, "once"), *SEEN)
        if target.publish is not None:
            self._topic(target.publish.topic, (*where, "publish", "topic"), self._router.topics)
        route = getattr(target.dispatch, "route", None)
        if route is not None and route not in self._router.routes:
            remedy = did_you_mean(route, self._router.routes)
            self._mistake((*where, "dispatch", "route"), f"There is no route `{route}`.", remedy)
        fields = target_fields(target)
        if fields is not None and self._fine(where):
            self._engine(lambda: compile_target(fields, variables=SEEN), where)
