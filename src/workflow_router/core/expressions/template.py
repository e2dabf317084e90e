"""Owns templates: plain JSON data whose text leaves may hold expressions. Refuses expressions in keys.

A leaf that is exactly `${ expr }` becomes the expression's value, of any type. `${ expr }` within text is written into
it: text as it is, everything else as JSON. `$${` stands for a literal `${`.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import TypeAlias, cast

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions.ports import Engine, Program
from workflow_router.core.expressions.program import OUTPUT_BYTES_MAX, VARIABLES, compile_program
from workflow_router.core.expressions.scan import end_of_embedded
from workflow_router.core.expressions.wording import quote
from workflow_router.utils.codec import to_json

DEPTH_MAX = 32
NODES_MAX = 10_000
EXPRESSIONS_MAX = 256

Where: TypeAlias = tuple[str | int, ...]


class _Meter:
    """Adds up what one rendering has produced."""

    __slots__ = ("_size",)

    def __init__(self) -> None:
        self._size = 0

    def charge(self, value: object) -> None:
        self._size += len(value) if isinstance(value, str) else len(to_json(value))
        if self._size > OUTPUT_BYTES_MAX:
            raise ExpressionFailed(
                f"A template's result is larger than {OUTPUT_BYTES_MAX} bytes.", remedy="Select less of the input."
            )


Render: TypeAlias = Callable[[Mapping[str, object], _Meter | None], object]


class Template:
    """A compiled template."""

    __slots__ = ("_count", "_render", "source")

    def __init__(self, source: object, render: Render, count: int) -> None:
        self.source = source
        self._render = render
        self._count = count

    def __repr__(self) -> str:
        return f"Template({self.source!r})"

    def render(self, scope: Mapping[str, object]) -> object:
        """The data with every expression replaced. It may share parts with scope and source: do not change it.

        Raises:
            ExpressionFailed: an expression failed (`context["where"]` says at which leaf), or the result is too large.
        """
        # One expression copies no more than its input, which is bounded; many may multiply it.
        return self._render(scope, _Meter() if self._count > 1 else None)


def compile_template(
    value: object, *, variables: Collection[str] = VARIABLES, engine: Engine | None = None
) -> Template:
    """Compile a template whose expressions may read these variables.

    Raises:
        InvalidExpression: an expression does not compile, or the template breaks a limit; `context["where"]` is the
            path of the leaf.
    """
    if isinstance(value, str) and engine is None:
        return _of_text(value, tuple(variables))
    compiler = _Compiler(variables, engine)
    render = compiler.node(value, ())
    return Template(value, render, compiler.expressions)


@lru_cache(maxsize=1_024)
def _of_text(text: str, variables: tuple[str, ...]) -> Template:
    """Very many mappings say the same few texts, `${ event.data }` above all; a template never changes."""
    compiler = _Compiler(variables, None)
    return Template(text, compiler.node(text, ()), compiler.expressions)


class _Compiler:
    """One pass over a template; turns each node into a function that renders it."""

    def __init__(self, variables: Collection[str], engine: Engine | None) -> None:
        self._variables = variables
        self._engine = engine
        self._nodes = 0
        self.expressions = 0

    def node(self, value: object, where: Where) -> Render:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(where) > DEPTH_MAX:
            raise InvalidExpression(
                f"The template is too large: at most {NODES_MAX} values, nested {DEPTH_MAX} deep.",
                remedy="Do this work in a step of the workflow.",
                where=where,
            )
        if isinstance(value, str):
            return self._text(value, where)
        if isinstance(value, dict):
            return self._map(cast("dict[object, object]", value), where)
        if isinstance(value, list):
            return _list([self.node(item, (*where, at)) for at, item in enumerate(cast("list[object]", value))])
        if value is None or isinstance(value, (bool, int, float)):
            return _constant(value)
        raise InvalidExpression(
            f"The template{_at(where)} holds {type(value).__name__}, which is not JSON data.",
            remedy="Use maps, lists, text, numbers, true, false and null.",
            where=where,
        )

    def _map(self, value: dict[object, object], where: Where) -> Render:
        fields: list[tuple[str, Render]] = []
        for key, item in value.items():
            parts = self._split(key, where) if isinstance(key, str) else []
            name = parts[0] if len(parts) == 1 else None
            if not isinstance(name, str) or not isinstance(key, str):
                raise InvalidExpression(
                    f"The template{_at(where)} has the key {quote(str(key))}.",
                    remedy="Keys are constant text; only values may hold expressions.",
                    where=where,
                )
            fields.append((name, self.node(item, (*where, key))))
        return _map(fields)

    def _text(self, text: str, where: Where) -> Render:
        parts = self._split(text, where)
        if len(parts) > 1:
            return _joined(parts, where)
        only = parts[0]
        return _constant(only) if isinstance(only, str) else _whole(only, where)

    def _split(self, text: str, where: Where) -> list[str | Program]:
        """Literal text and programs in turn; never empty."""
        parts: list[str | Program] = []
        literal, at = "", 0
        while (start := text.find("${", at)) >= 0:
            if start > at and text[start - 1] == "$":
                literal += text[at : start - 1] + "${"
                at = start + 2
                continue
            program, end = self._program(text, start + 2, where)
            literal += text[at:start]
            if literal:
                parts.append(literal)
            parts.append(program)
            literal, at = "", end + 1
        literal += text[at:]
        if literal or not parts:
            parts.append(literal)
        return parts

    def _program(self, text: str, start: int, where: Where) -> tuple[Program, int]:
        self.expressions += 1
        try:
            if self.expressions > EXPRESSIONS_MAX:
                raise InvalidExpression(
                    f"The template has more than {EXPRESSIONS_MAX} expressions.", remedy="Pass larger parts as a whole."
                )
            end = end_of_embedded(text, start)
            if end is None:
                raise InvalidExpression(
                    f"Expression {quote(text[start - 2 :])} has no end.",
                    remedy="Close it with }, or write $${ for plain text.",
                )
            return compile_program(text[start:end], self._variables, self._engine), end
        except InvalidExpression as error:
            raise InvalidExpression(_located(error.message, where), remedy=error.remedy, where=where) from None


def _constant(value: object) -> Render:
    return lambda _scope, _meter: value


def _whole(program: Program, where: Where) -> Render:
    def render(scope: Mapping[str, object], meter: _Meter | None) -> object:
        value = _evaluate(program, scope, where)
        if meter is not None:
            meter.charge(value)
        return value

    return render


def _joined(parts: list[str | Program], where: Where) -> Render:
    def render(scope: Mapping[str, object], meter: _Meter | None) -> object:
        texts: list[str] = []
        for part in parts:
            value = part if isinstance(part, str) else _evaluate(part, scope, where)
            text = value if isinstance(value, str) else to_json(value).decode()
            if meter is not None:
                meter.charge(text)
            texts.append(text)
        return "".join(texts)

    return render


def _list(items: list[Render]) -> Render:
    return lambda scope, meter: [item(scope, meter) for item in items]


def _map(fields: list[tuple[str, Render]]) -> Render:
    return lambda scope, meter: {name: render(scope, meter) for name, render in fields}


def _evaluate(program: Program, scope: Mapping[str, object], where: Where) -> object:
    try:
        return program.evaluate(scope)
    except ExpressionFailed as error:
        raise ExpressionFailed(_located(error.message, where), remedy=error.remedy, where=where) from None


def _located(message: str, where: Where) -> str:
    return f"At {dotted(where)}: {message}" if where else message


def _at(where: Where) -> str:
    return f" at {dotted(where)}" if where else ""


def dotted(where: Where) -> str:
    """A path as people write it: `items[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".")
