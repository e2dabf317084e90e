"""Duplicate keys are found, at any depth and however they are written; nothing else is taken for one."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.patterns.document import duplicate_key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"a": 1, "a": 2}', "a"),
        (b'{"a":1,"a":1}', "a"),
        (b'{"x": [{"b": {"c": 1, "d": {}, "c": 2}}]}', "c"),
        (b'{"a": 1, "\\u0061": 2}', "a"),
        (b'{"a:": ":", "a\\u003a": 2}', "a:"),
        (b'{"": 1, "" : 2}', ""),
        (b'{"a": {"k": 1, "k": 2}, "a": 3, "z": "\\u003a\\u003A"}', "k"),
        (b'{"a": {"a": 1}, "b": "\\u003a:", "c": "a\\\\u003a"}', None),
        (b'{"a": 1, "A": 2, " a": 3}', None),
        (b"[]", None),
        (b'"::"', None),
    ],
)
def test_duplicate_key(text: bytes, key: str | None) -> None:
    assert duplicate_key(text) == key


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": NaN}', b'{"a": 1} x'])
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        duplicate_key(text)


def test_too_deep() -> None:
    with pytest.raises(RecursionError):
        duplicate_key(b"[" * 10_000 + b"]" * 10_000)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.text(alphabet=':"\\u03aé', max_size=8) | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet=':"a\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_JSON, st.booleans(), st.sampled_from([None, 1]))
def test_documents_without_duplicates_pass(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert duplicate_key(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) is None


@given(_JSON, _JSON, st.text(alphabet=':"a', max_size=3))
def test_any_duplicate_is_found(one: Any, other: Any, key: str) -> None:
    name = json.dumps(key)
    assert duplicate_key(f'{{{name}: {json.dumps(one)}, "unlike": 0, {name}: {json.dumps(other)}}}'.encode()) == key
