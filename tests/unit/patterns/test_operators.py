"""Each operator alone, at its edges."""

import math
from typing import Any

import pytest

from workflow_router.core.patterns import Pattern, PatternIndex

MISSING: dict[str, Any] = {}
FINAL_SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}"
DOTLESS_I = "\N{LATIN SMALL LETTER DOTLESS I}"


def one(value: object) -> dict[str, object]:
    """An event with one field."""
    return {"f": value}


CASES: list[tuple[object, list[object], list[object]]] = [
    ("a", ["a", ["b", "a"], [["a"]]], ["A", "", None, 1, ["b"], [], {"a": "a"}]),
    (1, [1, 1.0, [1]], [True, "1", 2, 1.5]),
    (0, [0, -0.0], [False, None, ""]),
    (True, [True], [1, "true", False]),
    (False, [False], [0, None]),
    (None, [None, [None]], [False, "null", [], {}]),
    (1e23, [1e23, 10**23], [99999999999999991611392]),
    (2**60, [2**60], [float(2**60), 2**60 + 1]),
    ("10.0.0.1", ["10.0.0.1"], ["010.0.0.1", "10.0.0.2"]),
    ("::1", ["::1"], ["0:0:0:0:0:0:0:1"]),
    ({"exactly": "a"}, ["a"], ["b", None]),
    ({"prefix": ""}, ["", "x"], [1, None, True]),
    ({"prefix": "ab"}, ["ab", "abc"], ["a", "xab", "AB", 12]),
    ({"suffix": ""}, ["", "x"], [1, None]),
    ({"suffix": "ab"}, ["ab", "xab"], ["b", "abx"]),
    ({"suffix": "雨"}, ["大雨"], ["雨大"]),
    ({"equals-ignore-case": "Ab"}, ["ab", "AB", "aB"], ["abc", "", 1]),
    ({"equals-ignore-case": "straße"}, ["STRASSE", "straße", "STRAßE"], ["strasse"]),
    ({"equals-ignore-case": "strasse"}, ["STRASSE"], ["straße"]),
    ({"equals-ignore-case": FINAL_SIGMA}, [FINAL_SIGMA, FINAL_SIGMA.upper()], [FINAL_SIGMA.upper().lower()]),
    ({"equals-ignore-case": "k"}, ["k", "K"], ["\N{KELVIN SIGN}"]),
    ({"equals-ignore-case": "\N{KELVIN SIGN}"}, ["k", "\N{KELVIN SIGN}"], ["K"]),
    ({"equals-ignore-case": DOTLESS_I}, [DOTLESS_I, "I"], ["i"]),
    ({"equals-ignore-case": "😀a"}, ["😀A"], ["😀"]),
    ({"equals-ignore-case": "\N{DESERET SMALL LETTER LONG I}"}, ["𐐨"], ["𐐀"]),
    ({"prefix": {"equals-ignore-case": "Äb"}}, ["äBc", "ÄB"], ["ä", "aB"]),
    ({"prefix": {"equals-ignore-case": "ßx"}}, ["SSX", "ßXy"], ["sx"]),
    ({"suffix": {"equals-ignore-case": "Äb"}}, ["xäB"], ["äBx"]),
    ({"suffix": {"equals-ignore-case": "xß"}}, ["yXSS", "xß"], ["ss"]),
    ({"suffix": {"equals-ignore-case": ""}}, ["", "y"], [1]),
    ({"wildcard": "*"}, ["", "x", "*"], [1, None]),
    ({"wildcard": ""}, [""], ["x"]),
    ({"wildcard": "a*a"}, ["aa", "aba"], ["a", "ab"]),
    ({"wildcard": "*ab*ab*"}, ["abab", "xabyabz"], ["aab", "ab"]),
    ({"wildcard": "*a*a*b*"}, ["aab", "aaaaab"], ["abb", "aaaa"]),
    ({"wildcard": "a*ab"}, ["aab", "axab"], ["ab"]),
    ({"wildcard": "*\n*"}, ["a\nb"], ["ab"]),
    ({"wildcard": r"\**\\"}, ["*x\\", "*\\"], ["x\\", "*x"]),
    ({"anything-but": "a"}, ["b", 1, None, True, ["a", "b"]], ["a", ["a"], [], {}]),
    ({"anything-but": 1}, [2, "1", True, None, 2**53 + 1], [1, 1.0]),
    ({"anything-but": [1, 2.5]}, [3, "2.5"], [1, 2.5]),
    ({"anything-but": {"prefix": "a"}}, ["b", 5, True, None], ["a", "ab"]),
    ({"anything-but": {"suffix": ["a", "b"]}}, ["c", 5], ["xa", "b"]),
    ({"anything-but": {"equals-ignore-case": ["a", ""]}}, ["b", 5], ["A", ""]),
    ({"anything-but": {"wildcard": ["a*", "*b"]}}, ["c", 5], ["ax", "xb"]),
    ({"numeric": ["=", 5]}, [5, 5.0], ["5", True, 5.5, None]),
    ({"numeric": [">", 0]}, [1e-320, 1, 1e308], [0, -0.0, math.inf, math.nan, True]),
    ({"numeric": [">=", 0]}, [0, -0.0], [-5e-324]),
    ({"numeric": ["<", 0.1]}, [0.09999999999999999, -1e308], [0.1, -math.inf]),
    ({"numeric": ["<=", 5]}, [5, -7], [5.000000000000001]),
    ({"numeric": [">", 1, "<=", 2]}, [1.5, 2], [1, 2.5]),
    ({"numeric": [">", 0]}, [2**53], [2**53 + 1, 10**400]),
    ({"cidr": "10.0.0.9/24"}, ["10.0.0.0", "10.0.0.255", "010.0.0.1"], ["10.0.1.0", "10.0.0", "10.0.0.256", 10, "::1"]),
    (
        {"cidr": "0.0.0.0/0"},
        ["255.255.255.255"],
        ["::1", "::ffff:1.2.3.4", "", "a.b.c.d", "1.2.3.4.5", "\N{ARABIC-INDIC DIGIT ONE}.2.3.4"],
    ),
    ({"cidr": "10.0.0.0/31"}, ["10.0.0.1"], ["10.0.0.2"]),
    ({"cidr": "2001:db8::/33"}, ["2001:db8:7fff::1", "2001:DB8::"], ["2001:db8:8000::", "2001:db9::", "10.0.0.1"]),
    ({"cidr": "::/0"}, ["::", "1:2:3:4:5:6:7:8"], ["1.2.3.4", "1::2::3", ":::", "g::", "::1%eth0"]),
    ({"exists": True}, [1, None, "", [1], False], [[], {}, {"x": 1}, [[]], [{}]]),
    ({"exists": False}, [[], {}, {"x": 1}, [[], {}]], [1, None, [None]]),
    ({"all-of": ["a", {"prefix": "b"}]}, ["a", ["a", "bc"], [["a"], "b"]], [["a", "c"], [], {}, "c"]),
]


@pytest.mark.parametrize(("alternative", "passing", "failing"), CASES, ids=[repr(case[0]) for case in CASES])
def test_operator(alternative: object, passing: list[object], failing: list[object]) -> None:
    pattern = Pattern.parse({"f": [alternative]})
    index = PatternIndex[int]()
    index.add(1, pattern)
    for value in passing:
        assert pattern.matches(one(value)), value
        assert index.matching_value(one(value)) == [1], value
    for value in failing:
        assert not pattern.matches(one(value)), value
        assert index.matching_value(one(value)) == [], value
    assert pattern.matches(MISSING) == (alternative == {"exists": False})


def test_alternatives_are_alternatives() -> None:
    pattern = Pattern.parse({"f": ["a", 1, {"prefix": "b"}, {"exists": False}]})
    assert all(map(pattern.matches, ({"f": "a"}, {"f": 1}, {"f": "bx"}, {}, {"f": ["x", 1]})))
    assert not any(map(pattern.matches, ({"f": "c"}, {"f": True}, {"f": ["c"]})))


def test_or_is_a_field_where_it_holds_expressions() -> None:
    assert Pattern.parse({"$or": [{"cidr": "10.0.0.0/24"}]}).matches({"$or": "10.0.0.9"})
    assert Pattern.parse({"$or": {"a": [1], "b": [2]}}).matches({"$or": {"a": 1, "b": 2}})
    assert Pattern.parse({"d": {"$or": [{"numeric": [">", 0]}, {"prefix": "x"}]}}).matches({"d": {"$or": "xy"}})
    assert Pattern.parse({"$or": ["a", "b"]}).matches({"$or": "b"})


def test_mixed_alternatives_in_arrays_mean_one_or_the_other() -> None:
    pattern = Pattern.parse({"items": {"note": [{"exists": False}, "x"]}})
    assert pattern.matches({"items": [{"note": "y"}, {"note": "x"}]})
    assert pattern.matches({"items": [{}, {"id": 1}]})
    assert not pattern.matches({"items": [{"note": "y"}, {}]})


def test_order_of_names_does_not_matter() -> None:
    event = {"items": [{"b": 1}, {"a": 5, "z": 5}]}
    for absent in ("a", "z"):
        assert Pattern.parse({"items": {"b": [1], absent: [{"exists": False}]}}).matches(event)


def test_pattern_is_a_value() -> None:
    pattern = Pattern.parse('{"a": [1], "b": {"c": ["x"]}}')
    same = Pattern.parse({"b": {"c": ["x"]}, "a": [1]})
    assert pattern == same
    assert hash(pattern) == hash(same)
    assert pattern != Pattern.parse({"a": [2]})
    assert pattern.source == {"a": [1], "b": {"c": ["x"]}}
    pattern.source["a"] = [2]
    assert pattern.source["a"] == [1]
    assert Pattern.parse(pattern.source) == pattern


def test_later_changes_to_the_source_change_nothing() -> None:
    source: dict[str, Any] = {"a": [1]}
    pattern = Pattern.parse(source)
    source["a"].append(2)
    assert not pattern.matches({"a": 2})
    assert pattern.source == {"a": [1]}
