"""Owns reading YAML 1.2 (core schema) into nodes that know their lines. Refuses tags, merge keys and bombs.

`on`, `yes` and dates stay text, as YAML 1.2 has it; a key is its text, whatever it looks like, as in JSON.
"""

import re
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any, TypeAlias, cast

import msgspec

from workflow_router.core.errors import InvalidInput, Mistake

BYTES_MAX = 1_048_576
NODES_MAX = 50_000
DEPTH_MAX = 40

Where: TypeAlias = tuple[str | int, ...]

_KINDS = {
    "ScalarEvent": "scalar",
    "AliasEvent": "alias",
    "MappingStartEvent": "map",
    "SequenceStartEvent": "list",
    "MappingEndEvent": "end",
    "SequenceEndEvent": "end",
}
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_BASED = re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,5})?")


class Node(msgspec.Struct, frozen=True):
    """A value and the line it starts on. Maps and lists hold nodes; `key_lines` has the line of each key of a map."""

    line: int
    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"
    key_lines: dict[str, int] = {}


class _Event(msgspec.Struct, frozen=True):
    """What the parser said: kind is scalar, alias, map, list or end."""

    kind: str
    line: int
    text: str = ""
    plain: bool = False
    anchor: str | None = None


class _ReadError(Exception):
    """The document cannot be read on from here."""

    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.line = line
        self.remedy = remedy


def read_document(text: str, file: str, mistakes: list[Mistake]) -> Node | None:
    """The root node, or None where the text is no single YAML document; mistakes are added to the list."""
    try:
        if len(text) > BYTES_MAX:
            raise _ReadError(1, f"The file is larger than {BYTES_MAX} bytes.", "Move generated parts elsewhere.")
        return _Composer(file, mistakes).document(_events(text))
    except _ReadError as broken:
        mistakes.append(Mistake(file=file, line=broken.line, message=str(broken), remedy=broken.remedy))
        return None


def sole_document(text: str, file: str) -> Node:
    """The same for a text that stands alone. Raises InvalidInput, which tells the line of the first mistake."""
    mistakes: list[Mistake] = []
    document = read_document(text, file, mistakes)
    if mistakes or document is None:
        problem = mistakes[0] if mistakes else Mistake(file=file, line=1, message="It is empty.", remedy="")
        raise InvalidInput(f"{file}:{problem.line or 1}: {problem.message}", remedy=problem.remedy)
    return document


def plain(node: Node) -> object:
    """The node as plain JSON data."""
    if isinstance(node.value, dict):
        return {key: plain(below) for key, below in node.value.items()}
    if isinstance(node.value, list):
        return [plain(below) for below in node.value]
    return node.value


def find(node: Node, where: Where) -> Node | None:
    """The node at `where`, if there is one."""
    for part in where:
        below = _below(node, part)
        if below is None:
            return None
        node = below
    return node


def line_of(node: Node, where: Where) -> int:
    """The line of what stands at `where` (of its key, in a map), or of the nearest thing above it that exists."""
    line = node.line
    for part in where:
        below = _below(node, part)
        if below is None:
            break
        line = node.key_lines.get(str(part), below.line)
        node = below
    return line


def last_line(node: Node) -> int:
    """The last line on which something of the node begins."""
    below = node.value
    inner: Iterable[Node] = below.values() if isinstance(below, dict) else below if isinstance(below, list) else ()
    return max((last_line(one) for one in inner), default=node.line)


def _below(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict) and isinstance(part, str):
        return node.value.get(part)
    if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def _events(text: str) -> Iterator[_Event]:
    """The parser's events, one after the other, so that limits stop it early."""
    # Imported here because the library costs 100 ms, which commands without a project need not pay.
    from ruamel.yaml import YAML  # noqa: PLC0415  see above
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415  see above

    documents = 0
    try:
        parser = cast("Any", YAML(typ="safe", pure=True))  # its events carry no types
        for event in parser.parse(text):
            line = int(event.start_mark.line) + 1
            kind = type(event).__name__
            if getattr(event, "tag", None) is not None:
                raise _ReadError(line, f"The tag {event.tag} is not allowed.", "Remove it; put text in quotes.")
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise _ReadError(line, "The file holds a second document.", "Keep one document a file.")
            elif kind == "ScalarEvent":
                yield _Event(_KINDS[kind], line, event.value, event.implicit[0], event.anchor)
            elif kind in _KINDS:
                yield _Event(_KINDS[kind], line, anchor=getattr(event, "anchor", None))
    except MarkedYAMLError as failure:
        error = cast("Any", failure)
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be read"
        line = mark.line + 1 if mark else 1
        raise _ReadError(line, f"This is not YAML: {problem}.", "Check indentation and quotes.") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _ReadError(
            1, f"This is not YAML: {str(error).splitlines()[0]}.", "Save the file as UTF-8 text."
        ) from None


class _Composer:
    """Builds nodes; aliases share theirs, and are counted as if they did not."""

    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self._file = file
        self._mistakes = mistakes
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def document(self, events: Iterator[_Event]) -> Node | None:
        root = None
        for event in events:
            root = self._node(event, events, 0)
        return root

    def _node(self, event: _Event, events: Iterator[_Event], depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise _ReadError(event.line, f"This nests deeper than {DEPTH_MAX}.", "Flatten it.")
        before = self._nodes
        self._count(event.line, 1)
        if event.kind == "alias":
            return self._alias(event)
        if event.kind == "scalar":
            node = Node(event.line, self._scalar(event))
        elif event.kind == "list":
            items: list[Node] = []
            while (item := next(events)).kind != "end":
                items.append(self._node(item, events, depth + 1))
            node = Node(event.line, items)
        else:
            node = self._map(event, events, depth)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise _ReadError(
                    event.line, f"The anchor &{event.anchor} is set twice.", "Give each anchor its own name."
                )
            self._anchors[event.anchor] = (node, self._nodes - before)
        return node

    def _map(self, event: _Event, events: Iterator[_Event], depth: int) -> Node:
        fields: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while (key := next(events)).kind != "end":
            if key.kind != "scalar":
                raise _ReadError(key.line, "A key is no text.", "Write keys as plain text.")
            if key.plain and key.text == "<<":
                raise _ReadError(key.line, "Merge keys (<<) are not part of YAML 1.2.", "Write the fields out.")
            node = self._node(next(events), events, depth + 1)
            if node.value is None:
                node = Node(key.line, None)  # an empty value is said to stand where the next thing begins
            if key.text in fields:
                self._mistake(
                    key.line, f"The key `{key.text[:80]}` stands twice; first on line {lines[key.text]}.", "Remove one."
                )
                continue
            fields[key.text], lines[key.text] = node, key.line
        return Node(event.line, fields, lines)

    def _alias(self, event: _Event) -> Node:
        found = self._anchors.get(event.anchor or "")
        if found is None:
            raise _ReadError(event.line, f"There is no anchor &{event.anchor} above.", "Set it before it is used.")
        self._count(event.line, found[1])
        return found[0]

    def _count(self, line: int, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise _ReadError(
                line, f"The file holds more than {NODES_MAX} values, aliases written out.", "Split the project."
            )

    def _scalar(self, event: _Event) -> bool | int | float | str | None:
        text = event.text
        if not event.plain:
            return text
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text[2:], 8 if text[1] == "o" else 16)
        if _FLOAT.fullmatch(text):
            if isfinite(number := float(text)):
                return number
            self._mistake(event.line, f"The number {text} is out of range.", "Put it in quotes if it is text.")
        return text

    def _mistake(self, line: int, message: str, remedy: str) -> None:
        self._mistakes.append(Mistake(file=self._file, line=line, message=message, remedy=remedy))
