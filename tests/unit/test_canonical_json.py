"""Canonical JSON: the examples of RFC 8785."""

import json
import struct
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.utils.codec import to_canonical_json

# Appendix B: the bits of a number, and how it is written.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_the_standard_has_them(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert to_canonical_json([number]).decode() == f"[{text}]"


def test_names_are_sorted_by_their_utf_16_units() -> None:
    named = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert to_canonical_json(named).decode() == (
        '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'
    )


def test_values_are_written_as_the_standard_has_them() -> None:
    named = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert to_canonical_json(named).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize("number", [2**53 + 1, -(2**60), float("inf"), float("nan")])
def test_numbers_without_a_canonical_form_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r"no (canonical|JSON) form"):
        to_canonical_json({"n": {"in": [number]}})


def _by_the_book(value: object) -> str:
    if isinstance(value, dict):
        fields = sorted(
            cast("dict[str, object]", value).items(), key=lambda field: field[0].encode("utf-16-be", "surrogatepass")
        )
        return (
            "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_by_the_book(one)}" for name, one in fields) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_by_the_book, cast("list[object]", value))) + "]"
    return json.dumps(value, ensure_ascii=False)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text()
        | st.from_regex(r"\d{15,18}", fullmatch=True),
        lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_has_no_fraction_is_written_as_a_plain_reading_of_the_standard_has_it(value: object) -> None:
    assert to_canonical_json(value).decode() == _by_the_book(value)
