"""An explanation says of each field what was asked and what was found, and how near the event came."""

from workflow_router.core.patterns import Pattern


def test_what_failed_is_told() -> None:
    pattern = Pattern.parse({"type": ["order"], "data": {"total": [{"numeric": [">", 100]}], "tags": ["vip", "gold"]}})
    explained = pattern.explain({"type": "order", "data": {"total": 80, "tags": ["gold", "new"]}})
    assert not explained.matched
    assert explained.near
    assert explained.failed == 1
    assert explained.lines() == [
        "does not match, but came near",
        'ok   type: expected ["order"], found "order"',
        'FAIL data.total: expected [{"numeric":[">",100]}], found 80',
        'ok   data.tags: expected ["vip","gold"], found "gold", "new"',
    ]


def test_a_match_is_told() -> None:
    explained = Pattern.parse({"a": [1], "b": [{"exists": False}]}).explain({"a": 1})
    assert explained.matched
    assert not explained.near
    assert explained.lines() == [
        "matches",
        "ok   a: expected [1], found 1",
        'ok   b: expected [{"exists":false}], found nothing',
    ]


def test_far_is_not_near() -> None:
    assert not Pattern.parse({"a": [1]}).explain({"a": 2}).near
    assert not Pattern.parse({"a": [1], "b": [2], "c": [3]}).explain({"a": 1}).near


def test_the_nearest_alternative_is_told() -> None:
    pattern = Pattern.parse({"a": [1], "$or": [{"b": [1], "c": [1]}, {"d": [1]}]})
    explained = pattern.explain({"a": 1, "d": 2})
    assert [(finding.path, finding.ok) for finding in explained.findings] == [("a", True), ("d", False)]
    assert explained.near


def test_values_in_different_elements_are_told() -> None:
    pattern = Pattern.parse({"people": {"first": ["Anna"], "last": ["Jones"]}})
    event = {"people": [{"first": "Anna", "last": "Smith"}, {"first": "Peter", "last": "Jones"}]}
    explained = pattern.explain(event)
    assert [finding.ok for finding in explained.findings] == [True, True, False]
    assert "same element" in explained.lines()[-1]
    assert explained.near


def test_extensions_are_told() -> None:
    pattern = Pattern.parse({"$and": [{"tags": ["a"]}, {"tags": ["b"]}], "$not": {"state": ["test"]}})
    explained = pattern.explain({"tags": ["a"], "state": "test"})
    assert [(finding.path, finding.ok) for finding in explained.findings] == [
        ("tags", True),
        ("tags", False),
        ("$not", False),
    ]


def test_what_cannot_be_written_is_shown_all_the_same() -> None:
    assert Pattern.parse({"a": ["x"]}).explain({"a": "\ud800"}).findings[0].found == ("'\\ud800'",)
    many = Pattern.parse({"a": ["x"]}).explain({"a": list(range(100))}).findings[0].found
    assert many == tuple(map(str, range(10)))
