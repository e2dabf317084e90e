"""Owns the decoding of events into the members that patterns name, and nothing else of them.

From a set of paths it builds nested msgspec structs; what no pattern names is skipped by the parser, not built. A
member may turn out to be anything, so every struct stands in a union with arrays and values, and one that is missing is
a phantom: an instance that has nothing. Refuses text that is not JSON. No source is generated: structs are made with
`defstruct`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET

from workflow_router.core.errors import InvalidEvent
from workflow_router.core.patterns.tree import Path
from workflow_router.core.patterns.values import Record, attribute

MEMBERS_MAX = 96  # a struct looks members up one by one; an object with more of them is decoded whole
_AWKWARD = re.compile(r'[\\"\x00-\x1f]')  # msgspec refuses such a name


class _Shape(NamedTuple):
    """How a member is decoded, and what stands for it where it is missing."""

    kind: object
    missing: object
    struct: type[Record] | None


_WHOLE = _Shape(Any, UNSET, None)


class _Member:
    """A named member of events and those named in it, with how often; its shape is kept until they change."""

    __slots__ = ("_shape", "members", "uses")

    def __init__(self) -> None:
        self.members: dict[str, _Member] = {}
        self.uses = 0
        self._shape: _Shape | None = None

    def name(self, path: Path) -> None:
        """Name the member at a path once more."""
        self.uses += 1
        if path:
            inner = self.members.get(path[0])
            if inner is None:
                inner = self.members[path[0]] = _Member()
            inner.name(path[1:])
            self._shape = None

    def forget(self, path: Path) -> None:
        """Take back that a path was named."""
        self.uses -= 1
        if path:
            inner = self.members[path[0]]
            inner.forget(path[1:])
            if not inner.uses:
                del self.members[path[0]]
            self._shape = None

    def shape(self) -> _Shape:
        """How to decode it. An object with too many or awkward names is decoded whole."""
        if self._shape is None:
            names = self.members
            whole = not names or len(names) > MEMBERS_MAX or any(map(_AWKWARD.search, names))
            self._shape = _WHOLE if whole else _made([(key, inner.shape()) for key, inner in names.items()])
        return self._shape


class Decoder:
    """Decodes whole documents, or envelopes: attributes beside the JSON text of `data`."""

    __slots__ = ("_data", "_decode", "_make", "_names", "_no_data", "_root", "_stale")

    def __init__(self) -> None:
        self._root = _Member()
        self._root.name(("data",))  # always there, and always first, so that `envelope` knows where it goes
        self._stale = True

    def name(self, path: Path) -> None:
        """Decode what is at this path from now on."""
        self._root.name(path)
        self._stale = True

    def forget(self, path: Path) -> None:
        """Undo one `name`."""
        self._root.forget(path)
        self._stale = True

    def document(self, text: bytes) -> object:
        """Decode a JSON object. Raises `InvalidEvent` where it is none."""
        if self._stale:
            self._rebuild()
        try:
            return self._decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidEvent(f"The event is not a JSON object: {error}.") from None

    def envelope(self, attributes: Mapping[str, str | int | bool], data: bytes | None) -> object:
        """Put attributes and the JSON text of `data` together. Raises `InvalidEvent` where `data` is no JSON."""
        if self._stale:
            self._rebuild()
        content = self._no_data
        if data is not None:
            try:
                content = self._data(data)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise InvalidEvent(f"The event's data is not JSON: {error}.") from None
        if self._make is None:
            return {**attributes, "data": content}
        return self._make(content, *[attributes.get(name, missing) for name, missing in self._names])

    def _rebuild(self) -> None:
        struct = self._root.shape().struct
        data, *others = [(key, inner.shape()) for key, inner in self._root.members.items()]
        self._decode: Callable[[bytes], object] = msgspec.json.Decoder(struct or dict[str, Any]).decode
        self._make: Callable[..., object] | None = struct
        self._names = [(key, shape.missing) for key, shape in others]
        self._data: Callable[[bytes], object] = msgspec.json.Decoder(data[1].kind).decode
        self._no_data = data[1].missing
        self._stale = False


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
