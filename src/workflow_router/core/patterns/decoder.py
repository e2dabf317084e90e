"""Owns the decoding of events into the members that patterns name, and nothing else of them.

From a set of paths it builds nested msgspec structs; what no pattern names is skipped by the parser, not built. A
member may turn out to be anything, so every struct stands in a union with arrays and values, and one that is missing is
a phantom: an instance that has nothing. Refuses text that is not JSON. No source is generated: structs are made with
`defstruct`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET

from workflow_router.core.errors import InvalidEvent
from workflow_router.core.patterns.tree import Path
from workflow_router.core.patterns.values import Record, attribute

MEMBERS_MAX = 96  # a struct looks members up one by one; an object with more of them is decoded whole

_Trie = dict[str, "_Trie"]


class _Shape(NamedTuple):
    """How a member is decoded, and what stands for it where it is missing."""

    kind: object
    missing: object
    struct: type[Record] | None


class Decoder:
    """Decodes whole documents, or envelopes: attributes beside the JSON text of `data`."""

    __slots__ = ("_data", "_make", "_names", "_no_data", "_shapes", "decode")

    def __init__(self) -> None:
        self._shapes: dict[object, _Shape] = {}
        self.rebuild(())

    def rebuild(self, paths: Iterable[Path]) -> None:
        """Decode these paths from now on. The structs of objects whose members did not change are kept."""
        trie: _Trie = {}
        for path in paths:
            owner = trie
            for key in path:
                owner = owner.setdefault(key, {})
        data = trie.pop("data", None)
        if data is not None:
            trie["data"] = data  # last, as `envelope` passes it
        kept, self._shapes = self._shapes, {}
        root = self._shape(trie, kept)
        shapes = [(key, self._shape(inner, kept)) for key, inner in trie.items()]
        self._names = [(key, shape.missing) for key, shape in shapes if key != "data"]
        self._make: Callable[..., object] | None = root.struct
        self.decode: Callable[[bytes], object] = msgspec.json.Decoder(root.struct or dict[str, Any]).decode
        self._data: Callable[[bytes], object] | None = None
        self._no_data: object = UNSET
        if data is not None:
            self._data = msgspec.json.Decoder(shapes[-1][1].kind).decode
            self._no_data = shapes[-1][1].missing

    def document(self, text: bytes) -> object:
        """Decode a JSON object. Raises `InvalidEvent` where it is none."""
        try:
            return self.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidEvent(f"The event is not a JSON object: {error}.") from None

    def envelope(self, attributes: Mapping[str, str | int | bool], data: bytes | None) -> object:
        """Put attributes and the JSON text of `data` together. Raises `InvalidEvent` where `data` is no JSON."""
        content = self._no_data
        if data is not None and self._data is not None:
            try:
                content = self._data(data)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise InvalidEvent(f"The event's data is not JSON: {error}.") from None
        if self._make is None:
            return {**attributes, "data": content}
        values = [attributes.get(name, missing) for name, missing in self._names]
        if self._data is not None:
            values.append(content)
        return self._make(*values)

    def _shape(self, trie: _Trie, kept: dict[object, _Shape]) -> _Shape:
        if not trie or len(trie) > MEMBERS_MAX or any(map(_awkward, trie)):
            return _Shape(Any, UNSET, None)
        inner = [(key, self._shape(below, kept)) for key, below in trie.items()]
        signature = tuple((key, shape.struct) for key, shape in inner)
        shape = self._shapes.get(signature) or kept.get(signature) or _made(inner)
        self._shapes[signature] = shape
        return shape


def _made(members: list[tuple[str, _Shape]]) -> _Shape:
    struct = msgspec.defstruct(
        "Named",
        [(attribute(key), shape.kind, shape.missing) for key, shape in members],
        bases=(Record,),
        rename={attribute(key): key for key, _ in members},
        frozen=True,
        gc=False,
    )
    phantom = msgspec.defstruct("Missing", [], bases=(struct,), frozen=True, gc=False, namespace={"phantom": True})
    scalar = str | int | float | bool | None
    nested = struct | list[Any] | scalar
    kind = struct | list[struct | list[nested] | scalar] | scalar
    return _Shape(kind, phantom(), cast(type[Record], struct))


def _awkward(key: str) -> bool:
    """Whether msgspec refuses the name."""
    return "\\" in key or '"' in key or any(character < " " for character in key)
