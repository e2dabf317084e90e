"""Owns JSON in and out (RFC 8259) with limits. Refuses pickle, NaN and type-by-name; types are told by the caller.

Canonical form follows RFC 8785 for what we write: keys sorted, no spaces, UTF-8.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

T = TypeVar("T")

DEPTH_MAX = 64


@runtime_checkable
class _Model(Protocol):
    """What Pydantic models offer; asked for by shape, so that Pydantic need not be installed."""

    def model_dump(self, *, mode: str) -> object: ...

    @classmethod
    def model_validate(cls, obj: object) -> object: ...


def _encode_other(value: object) -> object:
    if isinstance(value, _Model):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form; return dataclasses, structs, models or plain data.")


def _decode_other(kind: type, value: object) -> object:
    if isinstance(kind, _Model):
        return kind.model_validate(value)
    raise TypeError(f"{kind.__name__} cannot be read from JSON; use dataclasses, structs, models or plain data.")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)
_canonical = msgspec.json.Encoder(order="sorted", enc_hook=_encode_other)
_decoder = msgspec.json.Decoder()


def to_json(value: object) -> bytes:
    """Encode a value of plain data, dataclass or msgspec struct. Raises TypeError for what has no JSON form."""
    return _encoder.encode(value)


def to_canonical_json(value: object) -> bytes:
    """Encode with sorted keys, so that equal values have equal bytes."""
    return _canonical.encode(value)


def from_json(text: bytes | str) -> object:
    """Decode to plain Python data. Raises `msgspec.DecodeError` where the text is not JSON."""
    return _decoder.decode(text)


def typed_from_json(text: bytes, kind: type[T]) -> T:
    """Decode to `kind`. Raises `msgspec.ValidationError` naming the path of the field that does not fit."""
    return msgspec.json.decode(text, type=kind)


class Codec:
    """JSON of one type: dataclasses, msgspec structs, Pydantic models, enums, dates and plain data.

    Args:
        kind: the type as annotated; None (no annotation) reads plain data.
    """

    __slots__ = ("_decoder",)

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.json.Decoder(kind, dec_hook=_decode_other)

    def encode(self, value: object) -> bytes:
        """JSON of the value. Raises TypeError where it has none."""
        return _encoder.encode(value)

    def decode(self, text: bytes) -> object:
        """The value of the JSON text. Raises `msgspec.ValidationError` naming the field that does not fit."""
        return self._decoder.decode(text)


def depth_exceeds(text: bytes, limit: int = DEPTH_MAX) -> bool:
    """Whether JSON text nests deeper than `limit`, without decoding it; brackets inside strings do not count.

    The common case is answered by counting opening brackets: no more of them than the limit means no deeper nesting.
    """
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    depth = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            if depth > limit:
                return True
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return False
