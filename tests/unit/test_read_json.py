"""JSON from outside: a name that stands twice is found wherever it stands, and what is refused says why."""

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_router.utils import codec
from workflow_router.utils.codec import DEPTH_MAX, NotJsonError, read_json

TEXTS = ("", "a", "b", ":", "a:b", "::", '"', '":', "\\", "\\u003a", "é:", "{", "}", '{"a":1}', "日:")


class Writer:
    """Writes JSON with names that stand twice now and then, spaces anywhere, and characters escaped or not."""

    def __init__(self, seed: int) -> None:
        self._seed = Random(seed)
        self.twice = False

    def value(self, depth: int = 3) -> str:
        kind = self._seed.randrange(6 if depth else 3)
        if kind == 0:
            return self._seed.choice(("1", "-2.5e3", "true", "null", "123456789012345678901234567890"))
        if kind < 3:
            return self.text(self._seed.choice(TEXTS))
        if kind == 3:
            return f"[{self._space()}{','.join(self.value(depth - 1) for _ in range(self._seed.randrange(4)))}]"
        names = [self._seed.choice(TEXTS) for _ in range(self._seed.randrange(4))]
        self.twice = self.twice or len(set(names)) < len(names)
        members = (f"{self.text(name)}{self._space()}:{self._space()}{self.value(depth - 1)}" for name in names)
        return "{" + f"{self._space()},".join(members) + "}"

    def text(self, text: str) -> str:
        plain = json.dumps(text, ensure_ascii=self._seed.random() < 0.5)
        if self._seed.random() < 0.2:
            plain = plain.replace(":", self._seed.choice(("\\u003a", "\\u003A")))
        return plain

    def _space(self) -> str:
        return self._seed.choice(("", "", " ", "\n\t"))


def disagrees(seed: int) -> bool:
    """Whether the reading of what a seed writes differs from what was written."""
    writer = Writer(seed)
    text = writer.value()
    try:
        return read_json(text.encode()) != json.loads(text) or writer.twice
    except NotJsonError as error:
        return not writer.twice or "stands twice" not in str(error)


@settings(max_examples=2_000, deadline=None, database=None)
@given(st.integers(0, 2**63))
def test_a_name_that_stands_twice_is_found_and_nothing_else_is_refused(seed: int) -> None:
    assert not disagrees(seed)


def _as_many_as_there_are(text: bytes) -> Callable[[object], int]:
    return lambda _: text.count(b":")


def test_a_reading_that_always_finds_its_colons_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: what the quick look says is never doubted."""
    found = 0
    for seed in range(2_000):
        text = Writer(seed).value().encode()
        monkeypatch.setattr(codec, "_colons", _as_many_as_there_are(text))
        found += disagrees(seed)
    assert found


def test_depth_is_counted_from_the_whole() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        within = opening * DEPTH_MAX + "1" + closing * DEPTH_MAX
        assert read_json(within.encode()) == json.loads(within)
        with pytest.raises(NotJsonError, match="deeper than 64"):
            read_json(f"[{within}]".encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"s": "\\ud800"}', "half of a surrogate pair"),
        (b'{"s": "a\\udc00"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b'{"s": "\\ud83d\\u0041"}', "half of a surrogate pair"),
        (b'{"s": "\\\\ud83d", "b":', "truncated"),
        (b'{"s": "\\ud83d\\ude00", "b":', "truncated"),
        (b'{"s":"\xff"}', "the byte 0xff at position 6 is no UTF-8"),
        (b'{"s":"\xed\xa0\x80"}', "position 6"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b'{"n": NaN}', "malformed"),
        (b"", "truncated"),
        (b"1 2", "trailing"),
    ],
)
def test_what_is_no_json_says_why(text: bytes, said: str) -> None:
    with pytest.raises(NotJsonError, match=said):
        read_json(text)
