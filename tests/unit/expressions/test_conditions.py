"""Conditions: what CEL says of JSON data, and what is refused with which sentence."""

import pytest

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions import compile_condition

SCOPE: dict[str, object] = {
    "event": {
        "type": "com.example.opened",
        "data": {
            "n": 2.5,
            "whole": 3,
            "open": True,
            "none": None,
            "text": "x",
            "labels": [{"name": "bug"}, {"name": "ui"}],
            "a-b": {"c": [1]},
            "unsigned": 2**63,
            "huge": 2**70,
        },
    }
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.n >= 2", True),
        ("event.data.whole >= 2", True),
        ("event.data.n >= 3", False),
        ("event.data.whole >= 2.5", True),
        ("event.data.whole == 3.0", True),
        ("event.data.unsigned > 9223372036854775807", True),
        ("event.data.none == null", True),
        ("event.data.open", True),
        ("!event.data.open", False),
        ("true", True),
        ("has(event.data.absent)", False),
        ("has(event.data.absent) && event.data.absent > 2", False),
        ('event.type.startsWith("com.")', True),
        ('event.data.labels.exists(l, l.name == "bug")', True),
        ("event.data.labels.all(l, event.data.labels.exists(m, m.name == l.name))", True),
        ('"ui" in event.data.labels.map(l, l.name)', True),
        ('event.data["a-b"].c[0] == 1', True),
        ("event.data.`a-b`.c[0] == 1", True),
        ('event.data.text.matches("^x$")', True),
        ('matches(event.data.text, r"^\\d{4}$")', False),
        ("event.data.whole > 2 // so it is\n && true", True),
        ('"}" != "{" && \'"\' == "\\""', True),
        ("[event.data.text].all(event, event == 'x')", True),
        ('{"a": event.data.whole} == {"a": 3.0}', True),
        ("event.data.open == 1", False),
    ],
)
def test_conditions_follow_cel(text: str, expected: bool) -> None:
    assert compile_condition(text).holds(SCOPE) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("event.data.absent", "`event.data` has no 'absent'"),
        ("event.data.absent == 1", "'absent' is missing"),
        ("event.data.labels[7].name == 'x'", "an index is outside its list"),
        ("event.data.text.more == 1", "selects a field of what is no map"),
        ("event.data.text[0] == 1", "indexes what is neither map nor list"),
        ("event.data.n + 1 > 2", "no operation +(double, int)"),
        ("event.data.whole / 0 == 1", "divides by zero"),
        ("event.data.whole * 9223372036854775807 > 1", "overflows 64 bits"),
        ("event.data.huge > 1", "does not fit into 64 bits"),
        ("event.data.text && true", "neither true nor false"),
        ("event.data.text", "neither true nor false"),
        ("event.data.whole", "neither true nor false"),
        ('timestamp(event.data.text) > timestamp("2026-01-01T00:00:00Z")', "no RFC 3339 timestamp"),
        ('event.data.text.matches("(")', "not valid RE2"),
        ("state.x == 1", "a variable it reads is not here"),
        ("state", "there is no `state` here"),
    ],
)
def test_what_cannot_be_evaluated_fails_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        compile_condition(text).holds(SCOPE)
    assert said in caught.value.message
    assert caught.value.remedy
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("1 +", "column 4"),
        ("event.data.n >\n> 2", "line 2, column 1"),
        ("evnt.type == 'x'", "nothing is called 'evnt'"),
        ('event.type == "x', "column 15"),
        ("event.type = 'x'", "nothing can start with `= 'x'`"),
        ('1 == "a"', "no operation '=='"),
        ("3", "never true or false"),
        ("'yes'", "never true or false"),
        ("1 + 1", "never true or false"),
        ("google.protobuf.Struct{} == null", "protobuf message"),
        ("event.type.matches(event.data.text)", "not a constant"),
        (f"event.type.matches('{'x' * 300}')", "longer than 256"),
        ("[1].all(x, [1].all(y, [1].all(z, true)))", "nest deeper than 2"),
        ("event.type == '" + "x" * 2000 + "'", "the limit is 2000"),
    ],
)
def test_what_does_not_compile_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_condition(text)
    assert said in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["event.a and event.b", "event.a or event.b", "not event.a"])
def test_words_of_other_languages_are_recognised(text: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_condition(text)
    assert "CEL writes && for and" in refused.value.remedy


def test_a_place_can_offer_fewer_variables() -> None:
    with pytest.raises(InvalidExpression, match=r"nothing is called 'event'|no `event` here"):
        compile_condition("event.type == 'x'", variables=("message",))
    with pytest.raises(InvalidExpression, match="event"):
        compile_condition("event.open", variables=("message",))


def test_errors_repeat_nothing_of_the_data() -> None:
    scope: dict[str, object] = {"event": {"data": {"key": "s3cret", "huge": 2**70, "list": ["s3cret", (1,)]}}}
    for text in (
        "event.data.key + 1 == 1",
        "event.data[event.data.key] == 1",
        "event == null",
        "timestamp(event.data.key) == timestamp(event.data.key)",
        "int(event.data.key) == 1",
        "event.data.list == []",
        "event.data.key ? true : false",
    ):
        with pytest.raises((ExpressionFailed, InvalidExpression)) as caught:
            compile_condition(text).holds(scope)
        assert "s3cret" not in str(caught.value), text


def test_only_what_an_expression_reads_is_given_to_the_engine() -> None:
    """A number CEL cannot hold does no harm in a part that is not read."""
    assert compile_condition("event.data.whole == 3 && event.data['n'] > 1").holds(SCOPE)
    with pytest.raises(ExpressionFailed):
        compile_condition("event.data == null").holds(SCOPE)
    with pytest.raises(ExpressionFailed):
        compile_condition(".event == null").holds(SCOPE)
    assert compile_condition("event.data.labels.map(event, event.name).size() == 2").holds(SCOPE)


def test_text_with_nul_is_refused_rather_than_cut() -> None:
    condition = compile_condition('event.role == "admin"')
    for role in ("admin\0x", "admin\\u0000"):
        scope: dict[str, object] = {"event": {"role": role}}
        if "\0" in role:
            with pytest.raises(ExpressionFailed, match="NUL"):
                condition.holds(scope)
        else:
            assert not condition.holds(scope)
    with pytest.raises(ExpressionFailed, match="NUL"):
        compile_condition('event.roles == {"admin": 1}').holds({"event": {"roles": {"admin\0": 1}}})


def test_environment_and_clock_are_out_of_reach() -> None:
    for text in ("$ENV == 'x'", "env.HOME == ''", "now() > timestamp('2026-01-01T00:00:00Z')"):
        with pytest.raises(InvalidExpression):
            compile_condition(text)
