"""Owns the making of ids: UUIDv7 (RFC 9562), so that ids sort by time and inserts stay at the right edge of an index.

Refuses global state: time and randomness are passed in, so a seeded simulation makes the same ids.
"""

import os
import random
from collections.abc import Callable

from workflow_router.utils.clock import Clock

_VARIANT = 0b10 << 14
_LAST = (1 << 48) - 1
_RANDOM_B_BITS = 62
_RANDOM_A_MAX = 0xFFF


class Ids:
    """A generator of UUIDv7 strings that strictly increase within this process, also within one millisecond.

    The 12 bits of `rand_a` are a counter within the millisecond (RFC 9562, method 1); 62 bits stay random.
    """

    def __init__(self, clock: Clock, randbits: Callable[[int], int] | None = None) -> None:
        self._clock = clock
        self._randbits = randbits or random.Random(os.urandom(32)).getrandbits  # noqa: S311  ids are unique, not secret
        self._last_ms = 0
        self._counter = 0
        self._prefix = ""

    def new(self) -> str:
        """A new id, 36 characters."""
        now = self._clock.now_ms()
        if now > self._last_ms:
            self._begin(now)
        else:
            self._counter += 1
            if self._counter > _RANDOM_A_MAX:  # the counter borrows from the next millisecond rather than repeat
                self._begin(self._last_ms + 1)
        rest = self._randbits(_RANDOM_B_BITS)
        return f"{self._prefix}{self._counter:03x}-{_VARIANT | rest >> 48:04x}-{rest & _LAST:012x}"

    def _begin(self, now_ms: int) -> None:
        self._last_ms, self._counter = now_ms, 0
        text = f"{now_ms:012x}"
        self._prefix = f"{text[:8]}-{text[8:]}-7"  # most ids share their millisecond with others


def time_of(text: str) -> int | None:
    """When an id was made, milliseconds since the epoch; None for what is no UUIDv7."""
    try:
        number = int(text.replace("-", ""), 16)
    except ValueError:
        return None
    return number >> 80 if len(text) == 36 and (number >> 76) & 0xF == 7 else None
