"""Owns turning source text into a bounded program: the fast path where it will do, the engine within limits elsewhere.

Refuses unbounded work. cel-cpp bounds recursion (32) and iterations (10,000), but not memory, regex size or time, so
the bytes an evaluation may touch are estimated from the expression's shape and its actual input before it starts.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import cast

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions.paths import fast_path
from workflow_router.core.expressions.ports import Engine, Program
from workflow_router.core.expressions.scan import Shape, Tree, shape_of
from workflow_router.core.expressions.wording import quote
from workflow_router.utils.codec import to_json

VARIABLES = ("event", "state", "run", "request", "message", "input")
LENGTH_MAX = 2_000
INPUT_BYTES_MAX = 1_048_576
OUTPUT_BYTES_MAX = 1_048_576
WORK_MAX = 32_000_000
ITERATIONS_MAX = 10_000  # the engine's own budget for one evaluation
COPIED_BYTES = 8  # of a list that grows, for each element and each that is appended: 2,000 elements take 80 ms


def compile_program(text: str, variables: Collection[str] = VARIABLES, engine: Engine | None = None) -> Program:
    """Compile an expression over `variables`. Raises InvalidExpression."""
    if len(text) > LENGTH_MAX:
        raise InvalidExpression(
            f"Expression {quote(text)} is {len(text)} characters long; the limit is {LENGTH_MAX}.",
            remedy="Do this work in a step of the workflow.",
        )
    text = text.strip()
    if not text:
        raise InvalidExpression("The expression is empty.", remedy="Write one, such as event.data.number > 2.")
    program = fast_path(text, variables)
    if program is not None:
        return program
    shape = shape_of(text)
    for name in shape.reads:
        if name in VARIABLES and name not in variables:
            raise InvalidExpression(
                f"Expression {quote(text)}: there is no {quote(name)} here.",
                remedy=f"Use {', '.join(variables)}.",
            )
    if len(text) * shape.factor > WORK_MAX:
        raise InvalidExpression(
            f"Expression {quote(text)} multiplies its input {shape.factor} times.",
            remedy="Use fewer comprehensions, or do this work in a step of the workflow.",
        )
    return _Bounded(text, shape, (engine or default_engine()).compile(text, variables))


@cache
def default_engine() -> Engine:
    """The CEL engine, made at the first expression that needs it."""
    # Imported here because the library costs 60 ms and 8 MB, which projects of plain paths need not pay.
    from workflow_router.core.expressions.cel import CelEngine  # noqa: PLC0415  see above

    return CelEngine()


class _Bounded:
    """An engine's program behind limits on its input, work and output; it gets only the parts of the scope it reads."""

    __slots__ = ("_program", "_shape", "_text", "never_bool")

    def __init__(self, text: str, shape: Shape, program: Program) -> None:
        self._text = text
        self._shape = shape
        self._program = program
        self.never_bool = program.never_bool

    def evaluate(self, scope: Mapping[str, object]) -> object:
        data = prune(scope, self._shape.reads)
        try:
            encoded = to_json(data)
        except (TypeError, ValueError, RecursionError, OverflowError):
            raise self._failure("its input is no plain JSON data.", "Pass maps, lists, text, numbers.") from None
        if len(encoded) > INPUT_BYTES_MAX:
            raise self._failure(
                f"it reads {len(encoded)} bytes of input; the limit is {INPUT_BYTES_MAX}.",
                "Read a smaller part of it, such as event.data.number.",
            )
        if b"\\u0000" in encoded and _has_nul(data):
            # cel-expr-python 0.1.3 cuts text at the first NUL, so that "admin\0x" would equal "admin".
            raise self._failure("text it reads holds a NUL character.", "Send text without NUL, or read other fields.")
        self._check_work(encoded, data)
        result = self._program.evaluate(data)
        if not isinstance(result, bool) and len(to_json(result)) > OUTPUT_BYTES_MAX:
            raise self._failure(f"its result is larger than {OUTPUT_BYTES_MAX} bytes.", "Select less of the input.")
        return result

    def _check_work(self, encoded: bytes, data: object) -> None:
        if not self._shape.loops:
            work = (len(encoded) + len(self._text)) * self._shape.factor
        else:
            work = self._work(len(encoded), encoded.count(b",") + 1)  # no list is longer than there are commas
            if work > WORK_MAX:
                work = self._work(len(encoded), max(len(part) for part in _containers(data)))
        if work > WORK_MAX:
            raise self._failure(
                f"it would touch about {work // 1_000_000} MB for {len(encoded)} bytes of input.",
                "Read less of the input in comprehensions, or do this work in a step of the workflow.",
            )

    def _work(self, size: int, longest: int) -> int:
        shape = self._shape
        longest = max(longest, shape.literals)
        length = longest * (shape.factor if shape.joins else 1)
        repeats = min(ITERATIONS_MAX, length**shape.levels)
        text = len(self._text)
        work = shape.factor * ((size + text) * repeats + min(ITERATIONS_MAX, length) * text)
        if shape.builds:
            built = min(length, longest << shape.joins)
            work = max(work, COPIED_BYTES * built * min(ITERATIONS_MAX, shape.builds * built**shape.depth))
        return work

    def _failure(self, problem: str, remedy: str) -> ExpressionFailed:
        return ExpressionFailed(f"Expression {quote(self._text)}: {problem}", remedy=remedy)


def prune(value: Mapping[str, object], tree: Tree) -> dict[str, object]:
    """Only what the tree reads: converting a whole event costs the engine 25 ms a megabyte, whatever it looks at."""
    kept: dict[str, object] = {}
    for key, below in tree.items():
        if key in value:
            part = value[key]
            kept[key] = (
                part if below is None or type(part) is not dict else prune(cast("dict[str, object]", part), below)
            )
    return kept


def _containers(value: object) -> Iterator[dict[str, object] | list[object]]:
    """Every map and list in the value."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            fields = cast("dict[str, object]", part)
            yield fields
            rest.extend(fields.values())
        elif isinstance(part, list):
            items = cast("list[object]", part)
            yield items
            rest.extend(items)


def _has_nul(value: object) -> bool:
    for part in _containers(value):
        texts = [*part, *part.values()] if isinstance(part, dict) else part
        if any(isinstance(text, str) and "\0" in text for text in texts):
            return True
    return False
