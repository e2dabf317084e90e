"""Owns the adapter to CEL in C++ (`cel-expr-python`). Refuses to let its types, or its error texts with data, get out.

Traps it covers: an evaluation error comes back as a *value* of error type; some limits raise instead; error texts may
quote the input; maps come back in no order.
"""

import base64
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import cast

from cel_expr_python import cel

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions.wording import quote

_COMPILE_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_RECURSION = re.compile(r"recursion (?:depth|limit)")
_NO_OVERLOAD = re.compile(r"No matching overloads found : (\S+?)(\([a-z0-9_, ()<>]*\))?$")

# What the engine's error texts begin with, and what we say instead: the texts themselves may quote data.
_PROBLEMS: tuple[tuple[str, str, str], ...] = (
    ("Key not found in map", "a field it reads is missing", "Guard it with has(), such as has(event.data.x)."),
    ("Index error", "an index is outside its list or no whole number", "Compare with size() first."),
    ("Applying SELECT to non-message type", "it selects a field of what is no map", "Compare it with a real event."),
    ("Invalid container type", "it indexes what is neither map nor list", "Compare it with a real event."),
    ("Invalid map key type", "a map key is no text, number or bool", "Use text as keys."),
    ("divide by zero", "it divides by zero", "Guard it: x != 0 && …"),
    ("modulus by zero", "it divides by zero", "Guard it: x != 0 && …"),
    ("integer overflow", "an integer overflows 64 bits", "Convert to double() first."),
    (
        "Iteration budget exceeded",
        "it takes more than 10,000 iterations",
        "Filter earlier, or use a step of the workflow.",
    ),
    ("String to Timestamp conversion failed", "text is no RFC 3339 timestamp", "Write 2026-01-31T12:00:00Z."),
    ("String to Duration conversion failed", "text is no duration", 'Write duration("90s").'),
    ("invalid regular expression", "the pattern of `matches` is not valid RE2", "Mend the pattern."),
    ("Integer value", "a number in the input does not fit into 64 bits", "Send large numbers as text."),
    ("No value with name", "a variable it reads is not here", "Use only the variables this place offers."),
)


class CelEngine:
    """Compiles CEL with the standard library, no extensions."""

    def __init__(self) -> None:
        self._environments: dict[frozenset[str], cel.Env] = {}

    def compile(self, text: str, variables: Collection[str]) -> "CelProgram":
        names = frozenset(variables)
        environment = self._environments.get(names)
        if environment is None:
            environment = cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))
            self._environments[names] = environment
        try:
            return CelProgram(text, environment.compile(text))
        except (RuntimeError, ValueError) as error:
            raise _compile_error(text, str(error), names) from None


class CelProgram:
    """A compiled CEL expression."""

    __slots__ = ("_expression", "_text", "never_bool")

    def __init__(self, text: str, expression: cel.Expression) -> None:
        self._text = text
        self._expression = expression
        self.never_bool = expression.return_type() not in (cel.Type.BOOL, cel.Type.DYN)

    def evaluate(self, scope: Mapping[str, object]) -> object:
        try:
            value = self._expression.eval(data=scope)
            plain = value.plain_value()
        except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
            raise self._failure(str(error)) from None
        if value.type() == cel.Type.ERROR:
            raise self._failure(str(plain))
        if isinstance(plain, bool):
            return plain
        try:
            return _to_plain_json(plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise ExpressionFailed(
                f"Expression {quote(self._text)}: its result {error}.", remedy="Convert it, for example with string()."
            ) from None

    def _failure(self, detail: str) -> ExpressionFailed:
        problem, remedy = "it could not be evaluated on this input", "Compare it with a real event."
        overload = _NO_OVERLOAD.search(detail)
        if overload:
            what = overload[1].strip("_") + (overload[2] or "").replace("int64", "int")
            problem, remedy = f"no operation {what} for these types", "Convert one side: double(), int() or string()."
            if overload[1] in ("_&&_", "_||_", "!_", "<jump_condition>"):
                problem, remedy = "a condition in it is neither true nor false", "Compare it: x == true."
        for beginning, said, mend in _PROBLEMS:
            if beginning in detail.partition("'")[0]:
                problem, remedy = said, mend
        missing = re.search(r'Key not found in map : "([^"]*)"', detail)
        if missing and missing[1] and missing[1] in self._text:  # quoted only if the expression itself names it
            problem = f"{missing[1]!r} is missing in what it reads"
        return ExpressionFailed(f"Expression {quote(self._text)}: {problem}.", remedy=remedy)


_WORDS = re.compile(r"\b(and|or|not)\b")


def _compile_error(text: str, detail: str, variables: Collection[str]) -> InvalidExpression:
    if _RECURSION.search(detail):
        return InvalidExpression(
            f"Expression {quote(text)} nests too deeply.", remedy="Split it, or use fewer operators."
        )
    found = _COMPILE_ERROR.search(detail)
    if found is None:
        return InvalidExpression(f"Expression {quote(text)} is not valid CEL.", remedy="Check its syntax.")
    line, column, problem = int(found[1]), int(found[2]), found[3].replace(" [INVALID_ARGUMENT]", "")
    undeclared = _UNDECLARED.search(problem)
    remedy = "Check the syntax there."
    if undeclared:
        problem = f"nothing is called {undeclared[1].partition('.')[0]!r}"
        remedy = f"Use {', '.join(sorted(variables))} and the functions of CEL."
    elif problem.startswith("Syntax error: "):
        problem = problem.removeprefix("Syntax error: ").partition(" expecting ")[0].replace("<EOF>", "end")
        if _WORDS.search(text):
            remedy = "CEL writes && for and, || for or, ! for not."
    elif problem.startswith("found no matching overload for "):
        problem = "no operation " + problem.removeprefix("found no matching overload for ").replace("_", "")
        remedy = "Convert one side: double(), int() or string()."
    where = f"line {line}, column {column}" if line > 1 else f"column {column}"
    return InvalidExpression(f"Expression {quote(text)}, {where}: {problem}.", remedy=remedy)


def _to_plain_json(value: object) -> object:
    """JSON data as the protobuf JSON mapping writes it. Raises TypeError or ValueError, told as a predicate."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("is not a finite number")
        return value
    if isinstance(value, list):
        return [_to_plain_json(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return _to_plain_map(cast("dict[object, object]", value))
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return _seconds(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError("has no JSON form")


def _to_plain_map(value: dict[object, object]) -> dict[str, object]:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("is a map with keys that are no text")
    items = cast("dict[str, object]", value)
    return {key: _to_plain_json(items[key]) for key in sorted(items)}


def _seconds(value: timedelta) -> str:
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    whole, fraction = divmod(abs(micros), 1_000_000)
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}.{fraction:06d}".rstrip("0").rstrip(".") + "s" if fraction else f"{sign}{whole}s"
