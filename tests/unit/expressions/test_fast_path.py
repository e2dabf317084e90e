"""The fast path gives the results of CEL, or both fail; held against the engine itself."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_router.core.errors import ExpressionFailed
from workflow_router.core.expressions import compile_template
from workflow_router.core.expressions.paths import fast_path
from workflow_router.core.expressions.ports import Program
from workflow_router.core.expressions.program import VARIABLES, default_engine

SCOPE: dict[str, object] = {
    "event": {
        "id": "1",
        "data": {
            "text": "x",
            "n": 2.5,
            "i": -3,
            "u": 2**64 - 1,
            "none": None,
            "ok": False,
            "list": [1, 2.0, "a", None, [True], {"k": 1}],
            "a-b": {"c": [1]},
            "0": "zero",
            "for": 1,
            "": "empty",
            "é": "accent",
        },
    },
    "state": [],
}
_FAILED = object()


def outcome(program: Program, scope: dict[str, object]) -> object:
    try:
        return program.evaluate(scope)
    except ExpressionFailed:
        return _FAILED


def same(left: object, right: object) -> bool:
    """Equal, and of equal types all the way down: 1 is neither 1.0 nor true."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        ours, theirs = cast("dict[str, object]", left), cast("dict[str, object]", right)
        return ours.keys() == theirs.keys() and all(same(value, theirs[key]) for key, value in ours.items())
    if isinstance(left, list) and isinstance(right, list):
        mine, other = cast("list[object]", left), cast("list[object]", right)
        return len(mine) == len(other) and all(same(a, b) for a, b in zip(mine, other, strict=True))
    return left == right


def _path(root: str, rest: list[str]) -> str:
    return root + "".join(rest)


keys = st.sampled_from(
    ["text", "n", "i", "u", "none", "ok", "list", "a-b", "c", "0", "for", "é", "absent", "k", "data"]
)
selectors = st.one_of(
    keys.filter(str.isidentifier).filter(str.isascii).map(lambda key: f".{key}"),
    keys.map(lambda key: f'["{key}"]'),
    keys.map(lambda key: f"['{key}']"),
    st.integers(0, 7).map(lambda at: f"[{at}]"),
)
paths = st.builds(
    _path,
    st.sampled_from(["event.data", "event", "state", "run"]),
    st.lists(selectors, max_size=4),
)
constants = st.one_of(
    st.integers(-(10**17), 10**17).map(str),
    st.floats(-1e9, 1e9).map(lambda value: f"{value:.6f}"),
    st.text(st.characters(exclude_characters="\"'\\\r\n\0", exclude_categories=["Cs"]), max_size=8).map(
        lambda t: f'"{t}"'
    ),
    st.sampled_from(["true", "false", "null", "''", "007", "-0", "-0.0", '"\'"', "'\"'"]),
)


@settings(deadline=None)  # the first example pays for importing the engine
@given(st.one_of(paths, constants))
def test_fast_path_and_engine_agree(text: str) -> None:
    fast = fast_path(text, VARIABLES)
    assert fast is not None
    slow = default_engine().compile(text, VARIABLES)
    assert same(outcome(fast, SCOPE), outcome(slow, SCOPE)), text


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(json_values)
def test_values_pass_the_engine_unchanged(value: object) -> None:
    scope: dict[str, object] = {"event": {"data": value}}
    fast = fast_path("event.data", VARIABLES)
    assert fast is not None
    assert same(fast.evaluate(scope), default_engine().compile("event.data", VARIABLES).evaluate(scope))


@pytest.mark.parametrize(
    "text",
    [
        "event.data.n > 1",
        "-event.data.n",
        "event . data",
        "event.data[-1]",
        "event.data[1.0]",
        "event.data[event.id]",
        "event.data.size()",
        "event.data.`a-b`",
        "event.true",
        "event.in",
        "other.data",
        "9999999999999999999",
        "1e3",
        '"a\\n"',
        'r"a"',
    ],
)
def test_everything_else_goes_to_the_engine(text: str) -> None:
    assert fast_path(text, VARIABLES) is None


@pytest.mark.parametrize("value", [2**70, -(2**63) - 1, "a\0b"])
def test_a_path_hands_on_what_the_engine_refuses(value: object) -> None:
    """The one deliberate deviation: nothing is computed, so nothing can be lost."""
    scope: dict[str, object] = {"event": {"data": value}}
    assert compile_template("${ event.data }").render(scope) == value
    with pytest.raises(ExpressionFailed, match=r"64 bits|NUL"):
        compile_template("${ [event.data] }").render(scope)
