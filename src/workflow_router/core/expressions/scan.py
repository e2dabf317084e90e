"""Owns reading an expression's tokens: which parts of the scope it reads, and how its work grows with its input.

Refuses to check grammar, which is the engine's. What cannot be read here is refused; what is uncertain is overrated.
Lexical rules: CEL language definition (cel-spec, "Syntax").
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import msgspec

from workflow_router.core.errors import InvalidExpression
from workflow_router.core.expressions.wording import quote

NESTING_MAX = 2
_REGEX_LENGTH_MAX = 256
_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
_BUILDING = frozenset({"filter", "map"})
_NOT_A_VARIABLE = frozenset({"true", "false", "null", "in"})
_OPENING = {"(": ")", "[": "]", "{": "}"}

_TOKEN = re.compile(
    r"""
    (?P<space>   \s+ | //[^\n]* )
  | (?P<string>  (?: [bB]?[rR] | [rR][bB] )
                 (?: \"{3}(?s:.)*?\"{3} | '{3}(?s:.)*?'{3} | "[^"\r\n]*" | '[^'\r\n]*' )
               | [bB]?
                 (?: \"{3}(?:\\(?s:.)|[^\\])*?\"{3} | '{3}(?:\\(?s:.)|[^\\])*?'{3}
                   | "(?:\\.|[^"\\\r\n])*" | '(?:\\.|[^'\\\r\n])*' ) )
  | (?P<number>  (?: 0[xX][0-9a-fA-F]+ | (?:\d+\.\d+|\d+|\.\d+)(?:[eE][+-]?\d+)? ) [uU]? )
  | (?P<name>    [A-Za-z_][A-Za-z0-9_]* | `[^`\r\n]+` )
  | (?P<op>      && | \|\| | [<>=!]= | [-+*/%?:.,()\[\]{}<>!] )
    """,
    re.VERBOSE,
)
_REPEAT = re.compile(r"\{(\d{1,6})(?:,(\d{0,6}))?\}")

Tree: TypeAlias = "dict[str, Tree | None]"
"""Which parts of the scope are read, by key; None means all below."""


class Token(NamedTuple):
    """A token and where it starts."""

    kind: str
    text: str
    at: int


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What an expression reads, and how its work grows.

    Attributes:
        reads: the parts of the scope that are read.
        factor: work per byte of input, iterations apart.
        loops: whether there is any comprehension.
        joins: how many `+` there are, each of which may double a list.
        levels: how many nested comprehensions repeat work on something outside themselves.
        builds: how many comprehensions make a list, which the engine copies for each element it appends.
        depth: how deep comprehensions nest.
        literals: the most elements a list or map written in the expression can have.
    """

    reads: Tree
    factor: int
    loops: bool
    joins: int
    levels: int
    builds: int
    depth: int
    literals: int


class _Loop:
    """A comprehension while its body is read: its variable, how often its body names a variable, and the nesting."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.uses = 0
        self.outer = False


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """The tokens from `start` on, without space and comments. Raises InvalidExpression where there is none."""
    at = start
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidExpression(
                f"Expression {quote(text)}: nothing can start with {quote(text[at : at + 12])} (column {at + 1}).",
                remedy="Close every quote, and put text in quotes.",
            )
        kind = match.lastgroup or ""
        if kind != "space":
            yield Token(kind, match.group(), at)
        at = match.end()


def end_of_embedded(text: str, start: int) -> int | None:
    """Where the `}` stands that closes the expression starting at `start`; None where none does."""
    depth = 0
    for token in tokens(text, start):
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            if depth == 0:
                return token.at
            depth -= 1
    return None


def shape_of(text: str) -> Shape:
    """Read an expression's shape. Raises InvalidExpression for what cannot be bounded."""
    return _Scan(text).shape()


class _Scan:
    """One pass over the tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._open: list[_Loop | None] = []
        self._loops: list[_Loop] = []
        self._reads: Tree = {}
        self._uses = 0
        self._levels = self._builds = self._depth = 0
        self._regex_weight = 0

    def shape(self) -> Shape:
        for index, token in enumerate(self._tokens):
            if token.text in _OPENING:
                self._enter(index)
            elif token.text in (")", "]", "}"):
                self._leave()
            elif token.kind == "name":
                self._name(index)
        joins = sum(token.text == "+" for token in self._tokens)
        factor = _growth(self._uses, joins=joins > 0) * max(1, self._regex_weight)
        for loop in self._loops:
            factor *= _growth(loop.uses, joins=joins > 0)
        return Shape(
            reads=self._reads,
            factor=factor,
            loops=bool(self._loops),
            joins=joins,
            levels=self._levels,
            builds=self._builds,
            depth=self._depth,
            literals=sum(token.text == "," for token in self._tokens) + 1,
        )

    def _at(self, index: int) -> str:
        return self._tokens[index].text if 0 <= index < len(self._tokens) else ""

    def _enter(self, index: int) -> None:
        called = self._at(index - 1)
        if self._at(index) == "{" and index > 0 and self._tokens[index - 1].kind == "name" and called != "in":
            raise self._refusal("it builds a protobuf message", 'Write a map such as {"key": value}.')
        if self._at(index) == "(" and called == "matches":
            self._weigh_regex(index)
        if self._at(index) == "(" and called in _MACROS and self._at(index - 2) == ".":
            loop = _Loop(self._at(index + 1))
            self._loops.append(loop)
            self._open.append(loop)
            self._builds += called in _BUILDING
            depth = sum(frame is not None for frame in self._open)
            self._depth = max(self._depth, depth)
            if depth > NESTING_MAX:
                raise self._refusal(
                    f"comprehensions nest deeper than {NESTING_MAX}",
                    "Flatten the condition, or do this part in a step of the workflow.",
                )
        else:
            self._open.append(None)

    def _leave(self) -> None:
        levels = sum(frame is not None and frame.outer for frame in self._open)
        self._levels = max(self._levels, levels)
        if self._open:
            self._open.pop()

    def _name(self, index: int) -> None:
        name, before, after = self._at(index), self._at(index - 1), self._at(index + 1)
        declares = before == "(" and self._open and self._open[-1] and self._open[-1].variable == name and after == ","
        if declares or name in _NOT_A_VARIABLE:
            return
        if before == ".":
            if not _ends_operand(self._tokens[index - 2] if index > 1 else None):
                self._read((name,))  # a leading dot names a variable from the root: keep all of it
            return
        if after == "(":
            return
        enclosing = [frame for frame in self._open if frame is not None]
        if enclosing:
            enclosing[-1].uses += 1
        else:
            self._uses += 1
        for loop in reversed(enclosing):
            if loop.variable == name:
                return
            loop.outer = True
        self._read(self._path(index))

    def _path(self, index: int) -> tuple[str, ...]:
        """The constant path that starts here, as far as it is constant and no call."""
        keys = [self._at(index)]
        while True:
            following = self._at(index + 1)
            if following == "." and self._at(index + 3) != "(" and self._at(index + 2):
                keys.append(self._at(index + 2).strip("`"))
                index += 2
            elif following == "[" and self._at(index + 3) == "]" and _is_plain_string(self._at(index + 2)):
                keys.append(self._at(index + 2)[1:-1])
                index += 3
            else:
                return tuple(keys)

    def _read(self, path: tuple[str, ...]) -> None:
        tree = self._reads
        for key in path[:-1]:
            below = tree.setdefault(key, {})
            if below is None:
                return
            tree = below
        tree[path[-1]] = None

    def _weigh_regex(self, index: int) -> None:
        """RE2 takes time linear in text times pattern, so a pattern must be constant to be weighed beforehand."""
        start = index + 1 if self._at(index - 2) == "." else self._after_comma(index + 1)
        token = self._tokens[start] if start < len(self._tokens) else None
        if token is None or token.kind != "string" or self._at(start + 1) != ")":
            raise self._refusal(
                "the pattern of `matches` is not a constant", 'Write it as one text: matches("^v[0-9]+").'
            )
        if len(token.text) > _REGEX_LENGTH_MAX:
            raise self._refusal(f"the pattern of `matches` is longer than {_REGEX_LENGTH_MAX}", "Shorten it.")
        self._regex_weight += regex_weight(token.text)

    def _after_comma(self, index: int) -> int:
        depth = 0
        for at in range(index, len(self._tokens)):
            text = self._at(at)
            if text == "," and depth == 0:
                return at + 1
            depth += (text in _OPENING) - (text in (")", "]", "}"))
        return len(self._tokens)

    def _refusal(self, problem: str, remedy: str) -> InvalidExpression:
        return InvalidExpression(f"Expression {quote(self._text)}: {problem}.", remedy=remedy)


def regex_weight(pattern: str) -> int:
    """About how many states the pattern compiles to: its length with every counted repetition written out."""
    sizes: list[int] = []
    total = last = at = 0
    while at < len(pattern):
        char = pattern[at]
        repeat = _REPEAT.match(pattern, at)
        if repeat:
            times = max(1, int(repeat[1]), int(repeat[2] or 0))
            total += last * (times - 1)
            last *= times
            at = repeat.end()
            continue
        if char == "(":
            sizes.append(total)
            total = 0
        elif char == ")" and sizes:
            last = total + 1
            total = sizes.pop() + last
        else:
            last = 1
            total += 1
        at += 2 if char == "\\" else 1
    return sum(sizes) + total


def _growth(uses: int, *, joins: bool) -> int:
    """Bytes touched per byte read where variables are named so often; with `+`, every partial sum counts."""
    return max(1, uses * (uses + 1) // 2 if joins else uses)


def _ends_operand(token: Token | None) -> bool:
    return token is not None and (token.kind in ("name", "string", "number") or token.text in (")", "]", "}"))


def _is_plain_string(text: str) -> bool:
    return len(text) >= 2 and text[0] in "\"'" and not text.startswith(('"""', "'''")) and "\\" not in text
