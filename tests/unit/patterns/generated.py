"""Owns random patterns and events from few names and values, so that they meet; every operator and extension occurs."""

from collections.abc import Callable
from random import Random
from typing import Any

Json = dict[str, Any]

NAMES = ("a", "b", "c", "data", "a.b", 'q"')
STRINGS = ("", "a", "A", "ab", "aB", "abc", "abcab", "b*", "\\", "1", "10.0.0.7", "10.1.0.7", "::1", "日本")
SCALARS = (*STRINGS, 0, 1, 1.0, -1, 2.5, 7, 10**23, 1e23, 2**53 + 1, 2**60, float(2**60), True, False, None)
COMPARED = (-1, 0, 1, 2, 2.5, 7, 1e23)
WILDCARDS = ("*", "a*", "*b", "a*b", "*b*", "a*c*", "\\*", "b\\*", "*\\\\", "", "a*b*b", "*a*a*", "*b*a*", "ab*ab")
BLOCKS = ("10.0.0.0/8", "10.0.0.9/24", "0.0.0.0/0", "::/0", "::1/127")


class Maker:
    """Draws from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = Random(seed)
        self.pick = self.seed.choice

    def event(self, depth: int = 3) -> Json:
        """An event, or an object in one."""
        return {name: self._value(depth) for name in NAMES if self._often(0.65 if name in ("a", "b") else 0.35)}

    def pattern(self, depth: int = 2) -> Json:
        """A pattern, or an object in one."""
        found: Json = {}
        for _ in range(self.pick((1, 1, 2, 2, 3))):
            name = self.pick(("a", "a", "a", "b", "b", "b", *NAMES))
            nested = depth and self._often(0.35)
            found[name] = self.pattern(depth - 1) if nested else self._several(self._alternative, 2)
        if depth and self._often(0.4):
            name = self.pick(("$or", "$and", "$not"))
            inner = [self.pattern(depth - 1), self.pattern(depth - 1)]
            found = {**(found if self._often(0.6) else {}), name: inner[0] if name == "$not" else inner}
        return found

    def _often(self, share: float) -> bool:
        return self.seed.random() < share

    def _several(self, one: Callable[[], Any], most: int) -> list[Any]:
        return [one() for _ in range(self.seed.randint(1, most))]

    def _value(self, depth: int) -> Any:
        if not depth or self._often(0.5):
            return self.pick(SCALARS)
        if self._often(0.5):
            return self.event(depth - 1)
        return [self._value(depth - 1) for _ in range(self.seed.randint(0, 3))]

    def _alternative(self) -> Any:
        if self._often(0.35):
            return self.pick(SCALARS)
        if self._often(0.15):
            return {"exists": False}
        if self._often(0.1):
            return {"all-of": self._several(lambda: self.pick((self.pick(SCALARS), self._operator())), 3)}
        return self._operator()

    def _operator(self) -> Json:
        string, end = self.pick(STRINGS), self.pick(("a", "ab", "abc", "B", "1"))
        kinds: tuple[Json, ...] = (
            {"exactly": string},
            {self.pick(("prefix", "suffix", "equals-ignore-case")): string},
            {self.pick(("prefix", "suffix")): {"equals-ignore-case": string}},
            {"wildcard": self.pick(WILDCARDS)},
            {"numeric": self._numeric()},
            {"cidr": self.pick(BLOCKS)},
            {"anything-but": self.pick((string, self.pick(COMPARED), [string, end]))},
            {"anything-but": {self.pick(("prefix", "suffix")): self.pick((end, [end, "b"]))}},
            {"anything-but": {"wildcard": self.pick(WILDCARDS)}},
            {"anything-but": {"equals-ignore-case": [end, string]}},
            {"exists": True},
        )
        return self.pick(kinds)

    def _numeric(self) -> list[Any]:
        low, high = sorted((self.pick(COMPARED), self.pick(COMPARED)))
        if low == high or self._often(0.5):
            return [self.pick(("=", "<", "<=", ">", ">=")), low]
        return [self.pick((">", ">=")), low, self.pick(("<", "<=")), high]
