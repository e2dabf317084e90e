"""Owns undoing a content coding (gzip, deflate: RFC 9110 section 8.4.1) in bounded pieces. Refuses every other coding.

Requests ask for `identity`, so this serves targets that compress all the same.
"""

import zlib

PIECE_MAX_BYTES = 256 * 1024

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class FalseCodingError(ValueError):
    """The content is not coded as its headers say; the message says how, as the end of a sentence."""


class Decompress:
    """Takes coded bytes in, gives plain ones out, never more than PIECE_MAX_BYTES at once. Raises FalseCodingError."""

    def __init__(self, coding: str) -> None:
        if coding.strip().lower() not in _CODINGS:
            raise FalseCodingError(f"coded as {coding[:40]!r}, which nobody asked for")
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._coded = b""
        self._begun = False

    def feed(self, coded: bytes) -> None:
        """Take in the next bytes; those before must have been read."""
        self._coded += coded
        self._begun = True

    def read(self) -> bytes:
        """The next plain bytes; empty where more has to be fed first."""
        if not self._begun:
            return b""
        try:
            plain = self._inflate.decompress(self._coded, PIECE_MAX_BYTES)
        except zlib.error:
            raise FalseCodingError("coded otherwise than it says") from None
        self._coded = self._inflate.unconsumed_tail
        if self._inflate.unused_data:
            raise FalseCodingError("longer than its coding")
        return plain

    @property
    def whole(self) -> bool:
        """Whether nothing is missing at the end; content that never began is whole."""
        return self._inflate.eof or not self._begun
