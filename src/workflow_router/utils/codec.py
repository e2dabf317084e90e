"""Owns JSON in and out (RFC 8259) with limits. Refuses pickle, NaN and type-by-name; types are told by the caller.

Canonical form follows RFC 8785 for what we write: keys sorted, no spaces, UTF-8.
"""

from typing import TypeVar

import msgspec

T = TypeVar("T")

DEPTH_MAX = 64

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")
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
