"""Owns how a check tells of what it finds: pattern, template and names are judged, mistakes get the line they stand on.

Refuses to know what a project consists of: what is to be judged is for those who build on it.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import cast

from workflow_router.core.errors import InvalidExpression, InvalidInput, InvalidPattern, Mistake
from workflow_router.core.expressions import compile_template
from workflow_router.core.patterns import Pattern
from workflow_router.settings.bind import did_you_mean, dotted
from workflow_router.settings.document import Node, Where, find, last_line, line_of
from workflow_router.settings.steps import steps_of

_FILE = "router.yaml"


class Judge:
    """What every part of a check needs: the document, and the lists of mistakes and warnings.

    Args:
        compiled: the engine has taken the patterns, templates and expressions already: they are not judged again.
    """

    def __init__(
        self, document: Node, mistakes: list[Mistake], warnings: list[Mistake], *, compiled: bool = False
    ) -> None:
        self._compiled = compiled
        self._document = document
        self._mistakes = mistakes
        self._warnings = warnings

    def _fine(self, where: Where) -> bool:
        """Whether nothing was noted of what stands there, so that all parts of it are what their types say."""
        if not self._mistakes:
            return True
        node = find(self._document, where)
        if node is None:
            return True
        first, last = line_of(self._document, where), last_line(node)
        return not any(first <= (one.line or first) <= last for one in self._mistakes)

    def _engine(self, make: Callable[[], object], where: Where) -> None:
        """Let the engine judge what is left, so that what passes here is accepted there."""
        if self._compiled:
            return
        try:
            make()
        except InvalidInput as error:
            self._mistake(where, error.message, error.remedy)

    def _pattern(self, pattern: object, where: Where, parse: Callable[[object], object] = Pattern.parse) -> None:
        if pattern is None or self._compiled:
            return
        try:
            parse(pattern)
        except InvalidPattern as error:
            at = (*where, *steps_of(pattern, error.path))
            self._mistake(
                at, f"`{dotted(at)}`: {error.reason.removesuffix('.')}.", error.remedy or "See docs/patterns.md."
            )

    def _template(self, template: object, where: Where, *variables: str) -> None:
        if template is not None:
            self._expression(lambda: compile_template(template, variables=variables), where)

    def _expression(self, compiler: Callable[[], object], where: Where) -> None:
        if self._compiled:
            return
        try:
            compiler()
        except InvalidExpression as error:
            inner = error.context.get("where")
            steps = cast("Where", inner) if isinstance(inner, tuple) else ()
            self._mistake((*where, *steps), error.message, error.remedy)

    def _topic(self, topic: str | None, where: Where, topics: Collection[str]) -> None:
        if topic is not None and topic not in topics:
            self._mistake(where, f"There is no topic `{topic}`.", did_you_mean(topic, topics))

    def _unique(self, section: str | Where, names: list[str | None]) -> None:
        where = (section,) if isinstance(section, str) else section
        for name, count in Counter(name for name in names if name is not None).items():
            if count > 1:
                second = [at for at, other in enumerate(names) if other == name][1]
                self._mistake(
                    (*where, second, "name"), f"The name `{name}` stands twice in `{dotted(where)}`.", "Rename one."
                )

    def _mistake(self, where: Where, message: str, remedy: str) -> None:
        line = line_of(self._document, where)
        self._mistakes.append(Mistake(file=_FILE, line=line, message=message, remedy=remedy))

    def _warn(self, where: Where, message: str, remedy: str) -> None:
        line = line_of(self._document, where)
        self._warnings.append(Mistake(file=_FILE, line=line, message=message, remedy=remedy))
