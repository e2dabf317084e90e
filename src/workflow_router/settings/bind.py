"""Owns fitting nodes to the structs of the model. Refuses to stop at the first mistake: it notes each with its line.

msgspec converts whole trees faster, but tells of one mistake only; here it judges single values, and the walk is ours.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import FieldInfo

from workflow_router.core.errors import Mistake
from workflow_router.settings.document import Node, Where, plain

# A type as an annotation gives it (`list[Name]`, `str | None`, `Annotated[…]`): Python has no narrower type for these.
Kind: TypeAlias = Any
S = TypeVar("S", bound=msgspec.Struct)

_WORDS: dict[object, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_FOUND: dict[type, str] = {NoneType: "empty", dict: "a map", list: "a list", str: "text", bool: "true or false"}


def bind(node: Node, kind: type[S], file: str, mistakes: list[Mistake], *, where: Where = ()) -> S:
    """The struct that the node describes, which stands at `where` in its document.

    Where mistakes were added it serves only to find more of them: a required field missing or wrong is None in it.
    """
    return cast("S", _Binder(file, mistakes).bind(node, kind, where))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy for a name that is not known."""
    names = sorted(known)
    close = get_close_matches(name, names, 1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Known here: {', '.join(names[:20])}." if names else "None is declared."


def dotted(where: Where) -> str:
    """A path as people write it: `mappings[0].when`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


@cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Kind]:
    return get_type_hints(kind, include_extras=True)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)


class _Binder:
    """One walk over a document."""

    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self._file = file
        self._mistakes = mistakes

    def bind(self, node: Node, kind: Kind, where: Where) -> object:
        if kind is object:
            return plain(node)
        bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(bare) in (Union, UnionType):
            chosen = _choose(node, get_args(bare))
            return self._unfit(node, kind, where) if chosen is None else self.bind(node, chosen, where)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self._struct(node, bare, where) if isinstance(node.value, dict) else self._unfit(node, kind, where)
        if get_origin(bare) is dict:
            return self._map(node, bare, where) if isinstance(node.value, dict) else self._unfit(node, kind, where)
        if get_origin(bare) is list:
            if not isinstance(node.value, list) or not (node.value or _may_be_empty(kind)):
                return self._unfit(node, kind, where)
            item = get_args(bare)[0]
            return [self.bind(below, item, (*where, at)) for at, below in enumerate(node.value)]
        return self._scalar(node, kind, where)

    def _struct(self, node: Node, kind: type[msgspec.Struct], where: Where) -> object:
        fields = cast("dict[str, Node]", node.value)
        hints = _hints(kind)
        for key in fields.keys() - hints.keys():
            place = f" in `{dotted(where)}`" if where else ""
            self._mistake(node.key_lines[key], f"The key `{key[:80]}` is not known{place}.", did_you_mean(key, hints))
        values: dict[str, object] = {}
        for field in _fields(kind):
            below = fields.get(field.name)
            if below is not None:
                before = len(self._mistakes)
                value = self.bind(below, hints[field.name], (*where, field.name))
                if value is not None or len(self._mistakes) == before or field.required:
                    values[field.name] = value
            elif field.required:
                place = f"`{dotted(where)}`" if where else "The project"
                self._mistake(node.line, f"{place} has no `{field.name}`.", f"Add `{field.name}:`.")
                values[field.name] = None
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:  # an engine's own struct judges its values together
            if None not in values.values():
                self._mistake(node.line, f"`{dotted(where)}`: {error}", "Mend it.")
            return None

    def _map(self, node: Node, kind: Kind, where: Where) -> dict[str, object]:
        key_kind, value_kind = get_args(kind)
        bound: dict[str, object] = {}
        for key, below in cast("dict[str, Node]", node.value).items():
            self._scalar(Node(node.key_lines[key], key), key_kind, (*where, key))
            bound[key] = self.bind(below, value_kind, (*where, key))
        return bound

    def _scalar(self, node: Node, kind: Kind, where: Where) -> object:
        try:
            return msgspec.convert(plain(node), kind)
        except msgspec.ValidationError:
            return self._unfit(node, kind, where)

    def _unfit(self, node: Node, kind: Kind, where: Where) -> None:
        """Note what was expected. The value found is not repeated: it may be a secret in the wrong place."""
        expected = _describe(kind)
        found = "an empty list" if node.value == [] else _FOUND.get(type(node.value), "a number")
        message = f"`{dotted(where)}` is {found}, not {expected}."
        remedy = f"Write {expected}." if node.value is not None else f"Write {expected}, or remove the key."
        if isinstance(node.value, str) and "text" not in expected:
            message = f"`{dotted(where)}` is not {expected}."
            if get_origin(kind) is Literal:
                remedy = did_you_mean(node.value, get_args(kind))
        self._mistake(node.line, message, remedy)

    def _mistake(self, line: int, message: str, remedy: str) -> None:
        self._mistakes.append(Mistake(file=self._file, line=line, message=message, remedy=remedy))


def _choose(node: Node, kinds: tuple[Kind, ...]) -> Kind | None:
    """The member of a union that a value of this shape is meant for."""
    for kind in kinds:
        bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        is_map = get_origin(bare) is dict or (isinstance(bare, type) and issubclass(bare, msgspec.Struct))
        is_list = get_origin(bare) is list
        if isinstance(node.value, dict):
            fits = is_map
        elif isinstance(node.value, list):
            fits = is_list
        else:
            fits = bare is NoneType if node.value is None else not (is_map or is_list or bare is NoneType)
        if fits:
            return kind
    return None


def _may_be_empty(kind: Kind) -> bool:
    return not any(isinstance(meta, msgspec.Meta) and meta.min_length for meta in get_args(kind)[1:])


def _describe(kind: Kind) -> str:
    """What is expected, in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(
            dict.fromkeys(_describe(part) for part in get_args(kind) if part not in (NoneType, msgspec.UnsetType))
        )
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is Annotated:
        bare, *metas = get_args(kind)
        limits = [_describe_limits(meta) for meta in metas if isinstance(meta, msgspec.Meta)]
        if expects := [meta.extra["expects"] for meta in metas if isinstance(meta, msgspec.Meta) and meta.extra]:
            return str(expects[0])
        return f"{_describe(bare)}{''.join(limits)}"
    if get_origin(kind) is list:
        return "a list"
    return _WORDS.get(kind, "a map")


def _describe_limits(meta: msgspec.Meta) -> str:
    limits = [
        f"{word} {limit}"
        for word, limit in (("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le))
        if limit is not None
    ]
    if meta.min_length:
        limits.append("not empty")
    return f" ({', '.join(limits)})" if limits else ""
