"""Owns JSON in and out (RFC 8259) with limits. Refuses pickle, NaN and type-by-name; types are told by the caller."""

import json
import re
from collections.abc import Coroutine, Iterable
from decimal import Decimal
from math import isfinite
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import msgspec

T = TypeVar("T")

DEPTH_MAX = 64
EXACT_MAX = 2**53


@runtime_checkable
class _Model(Protocol):
    """What Pydantic models offer; asked for by shape, so that Pydantic need not be installed."""

    def model_dump(self, *, mode: str) -> object: ...

    @classmethod
    def model_validate(cls, obj: object) -> object: ...


def _encode_other(value: object) -> object:
    if isinstance(value, _Model):
        return value.model_dump(mode="json")
    if isinstance(value, Coroutine):
        value.close()  # which this error tells better than a warning from the garbage collector
        raise TypeError("coroutine has no JSON form; an `await` is missing before the call that made it.")
    raise TypeError(f"{type(value).__name__} has no JSON form; return dataclasses, structs, models or plain data.")


def _decode_other(kind: type, value: object) -> object:
    if kind is object:
        return value
    if isinstance(kind, _Model):
        return kind.model_validate(value)
    raise TypeError(f"{kind.__name__} cannot be read from JSON; use dataclasses, structs, models or plain data.")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)
_canonical = msgspec.json.Encoder(order="sorted", enc_hook=_encode_other)
_decoder = msgspec.json.Decoder()


def to_json(value: object) -> bytes:
    """Encode a value of plain data, dataclass or msgspec struct. Raises TypeError for what has no JSON form."""
    return _encoder.encode(value)


def given_to_json(value: object) -> bytes:
    """The same of what code of others gave. Raises TypeError also for NaN and infinity, which would become null."""
    text = _encoder.encode(value)
    if b"null" in text and not _is_finite(msgspec.to_builtins(value, enc_hook=_encode_other)):
        raise TypeError("NaN and infinity have no JSON form; give None, or a text.")
    return text


def _is_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, object]", value).values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_finite, cast("Iterable[object]", value)))
    return not isinstance(value, float) or isfinite(value)


def to_canonical_json(value: object) -> bytes:
    """Encode so that equal values have equal bytes, whoever writes them: RFC 8785 (JCS).

    Raises:
        ValueError: a whole number beyond 2 ** 53, which that form cannot tell from its neighbours; NaN or infinity.
    """
    if _is_simple(value):
        return _canonical.encode(value)
    plain: object = msgspec.to_builtins(value, enc_hook=_encode_other)
    return _canonical.encode(plain) if _is_simple(plain) else _canonical_text(plain).encode()


def _is_simple(value: object) -> bool:
    """Whether sorting the names is all there is to the canonical form."""
    kind = type(value)
    if kind is dict:  # a loop, and no call for text and numbers: each audit entry passes here
        for name, below in cast("dict[str, object]", value).items():
            if type(name) is not str or not name.isascii():
                return False
            if type(below) is str or (type(below) is int and -EXACT_MAX <= below <= EXACT_MAX):
                continue
            if not _is_simple(below):
                return False
        return True
    if kind is list:
        return all(type(below) is str or _is_simple(below) for below in cast("list[object]", value))
    return kind is str or value is None or kind is bool or (kind is int and abs(cast("int", value)) <= EXACT_MAX)


def _canonical_text(value: object) -> str:
    if isinstance(value, dict):
        fields = sorted(cast("dict[str, object]", value).items(), key=lambda field: field[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_canonical_text(name)}:{_canonical_text(below)}" for name, below in fields) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical_text, cast("list[object]", value))) + "]"
    if isinstance(value, float):
        return _canonical_number(value)
    if isinstance(value, int) and abs(value) > EXACT_MAX:
        raise ValueError(f"{value} is beyond 2 ** 53 and has no canonical form.")
    return _encoder.encode(value).decode()


def _canonical_number(value: float) -> str:
    """As ECMAScript writes it: the shortest digits that read back the same, with an exponent where it is far off."""
    if not isfinite(value):
        raise ValueError(f"{value} has no JSON form.")
    if value == 0:
        return "0"
    sign, mantissa, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, mantissa)).rstrip("0")
    point = len(mantissa) + cast("int", exponent)  # where the decimal point stands, counted from the first digit
    if 0 < point <= 21:
        text = digits.ljust(point, "0") if len(digits) <= point else f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        text = f"{digits[0]}{fraction}e{point - 1:+d}"
    return f"-{text}" if sign else text


def told(error: BaseException, length_max: int = 2_000) -> str:
    """The words of an exception, as JSON can carry them; whatever they hold, and also where it has none to give."""
    try:
        words = str(error)[:length_max]
    except Exception as odd:  # noqa: BLE001  code of others, which must not hide that something failed
        return f"(its message cannot be read: {type(odd).__name__})"
    return words.encode("utf-8", "backslashreplace").decode()


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
        return given_to_json(value)

    def decode(self, text: bytes) -> object:
        """The value of the JSON text. Raises `msgspec.ValidationError` naming the field that does not fit."""
        return self._decoder.decode(text)


class NotJsonError(ValueError):
    """Text from outside that is not JSON as we take it; the message says why, as the end of a sentence."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJsonError(f"the name {name[:60]!r} stands twice in one object")
            seen.add(name)
    return found


_WHOLE = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _why(text: bytes, error: Exception) -> str:
    """What is wrong with text that could not be decoded, as precisely as that can be told afterwards."""
    try:
        text.decode()
    except UnicodeDecodeError as odd:
        return f"the byte {text[odd.start]:#04x} at position {odd.start} is no UTF-8"
    if _HALF.search(_WHOLE.sub(b"", text)) is not None:
        return "it holds half of a surrogate pair"
    return str(error)[:200].removesuffix(".")


_find_twice = json.JSONDecoder(object_pairs_hook=_once).decode


def _colons(value: object) -> int:
    """How many colons the text has that a decoded value came from, if each name stood in it once.

    One follows each name, and the others stand within strings. Raises NotJsonError where it nests too deep.
    """
    found, level = 0, [value]
    for _ in range(DEPTH_MAX):
        inner: list[object] = []
        for one in level:
            if type(one) is dict:
                fields = cast("dict[str, object]", one)
                found += len(fields)
                for name in fields:
                    if ":" in name:
                        found += name.count(":")
                below: Iterable[object] = fields.values()
            elif type(one) is list:
                below = cast("list[object]", one)
            else:
                below = (one,) if type(one) is str else ()
            for each in below:
                kind = type(each)
                if kind is str:
                    if ":" in cast("str", each):
                        found += cast("str", each).count(":")
                elif kind is dict or kind is list:
                    inner.append(each)
        if not inner:
            return found
        level = inner
    raise NotJsonError(f"it nests deeper than {DEPTH_MAX} levels")


def read_json(text: bytes) -> object:
    """Decode JSON from outside. Raises `NotJsonError` for what is not JSON, too deep, or could be read in two ways.

    A name that stands twice in one object is refused: parsers differ in which value they take (RFC 8259, section 4).
    """
    try:
        value = _decoder.decode(text)
        # A name that stands twice leaves fewer colons than there are; where that is uncertain a slower reading decides.
        if b"\\u003" in text or _colons(value) != text.count(b":"):
            _find_twice(text.decode())
    except NotJsonError:
        raise
    except RecursionError:
        raise NotJsonError(f"it nests deeper than {DEPTH_MAX} levels") from None
    except (msgspec.MsgspecError, ValueError) as error:  # the latter for bytes that are not UTF-8
        raise NotJsonError(_why(text, error)) from None
    return value
