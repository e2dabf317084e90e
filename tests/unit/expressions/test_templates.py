"""Templates: which data comes out, and where mistakes are said to stand."""

import pytest

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions import compile_template

DATA: dict[str, object] = {"number": 7, "ratio": 1.5, "title": "Mend it", "tags": ["a", "b"], "none": None, "ok": True}
SCOPE: dict[str, object] = {"event": {"type": "t", "data": DATA}, "message": {"body": {"x": 1}}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${ event.data }", DATA),
        ("${event.data.number}", 7),
        ("${ event.data.tags }", ["a", "b"]),
        ("${ event.data.none }", None),
        ("plain", "plain"),
        ("", ""),
        (3, 3),
        (None, None),
        ({}, {}),
        ("#${ event.data.number }: ${ event.data.title }", "#7: Mend it"),
        (
            "${ event.data.tags } ${ event.data.ok } ${ event.data.none } ${ event.data.ratio }",
            '["a","b"] true null 1.5',
        ),
        ("$${ event.data.number }", "${ event.data.number }"),
        ("cost: $5 $ $$", "cost: $5 $ $$"),
        ("$$${ event.data.number }", "$${ event.data.number }"),
        ("${ event.data.number }$${", "7${"),
        ("${ '}' }", "}"),
        ("${ {'a': {'b': event.data.number}} }", {"a": {"b": 7}}),
        ("${ event.data.tags.map(t, t + '!') }", ["a!", "b!"]),
        ({"$${k}": ["${ event.data.number + 1 }", {"deep": "${ message.body.x }"}]}, {"${k}": [8, {"deep": 1}]}),
        ("${ timestamp('2026-01-31T12:00:00Z') }", "2026-01-31T12:00:00Z"),
        ("${ duration('90.5s') }", "90.5s"),
        ("${ duration('-1500ms') }", "-1.5s"),
        ("${ b'abc' }", "YWJj"),
        ("${ 3u }", 3),
        ("${ double(event.data.number) }", 7.0),
    ],
)
def test_templates_render_to_plain_data(template: object, expected: object) -> None:
    rendered = compile_template(template).render(SCOPE)
    assert rendered == expected
    assert type(rendered) is type(expected)


def test_maps_from_the_engine_come_in_a_fixed_order() -> None:
    rendered = compile_template("${ {'c': 1, 'a': 2, 'b': 3} }").render({})
    assert isinstance(rendered, dict)
    assert list(rendered) == ["a", "b", "c"]  # pyright: ignore[reportUnknownArgumentType]  any JSON


@pytest.mark.parametrize(
    ("template", "where", "said"),
    [
        ({"a": [{"b": "${ event.data.q }"}]}, ("a", 0, "b"), "At a[0].b: "),
        ({"a": "x ${ event.data.q + 1 } y"}, ("a",), "'q' is missing"),
        ("${ 0.0 / 0.0 }", (), "not a finite number"),
        ("${ type(1) }", (), "no JSON form"),
        ("${ {1: 2} }", (), "keys that are no text"),
    ],
)
def test_a_failure_says_at_which_leaf(template: object, where: tuple[str | int, ...], said: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        compile_template(template).render(SCOPE)
    assert said in caught.value.message
    assert caught.value.context["where"] == where


@pytest.mark.parametrize(
    ("template", "where", "said"),
    [
        ({"n": "${ event.data. }"}, ("n",), "At n: Expression"),
        ({"n": ["${ event.data.x"]}, ("n", 0), "has no end"),
        ({"n": "${}"}, ("n",), "empty"),
        ({"${ event.type }": 1}, (), "Keys are constant"),
        ({1: 2}, (), "Keys are constant"),
        ({"n": {1, 2}}, ("n",), "holds set"),
        (["${ event.data.x }"] * 257, (256,), "more than 256"),
        ([1] * 10_001, (9_999,), "too large"),
    ],
)
def test_a_mistake_says_at_which_leaf(template: object, where: tuple[str | int, ...], said: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_template(template)
    assert said in str(caught.value)
    assert caught.value.context["where"] == where


def test_deep_templates_are_refused() -> None:
    template: object = "x"
    for _ in range(40):
        template = [template]
    with pytest.raises(InvalidExpression, match="nested 32 deep"):
        compile_template(template)


def test_many_copies_of_a_large_input_are_refused() -> None:
    scope: dict[str, object] = {"event": {"data": {"blob": "x" * 900_000}}}
    assert compile_template("${ event.data }").render(scope) == {"blob": "x" * 900_000}
    for template in (["${ event.data }"] * 2, "${ event.data.blob }${ event.data.blob }"):
        with pytest.raises(ExpressionFailed, match="larger than 1048576 bytes"):
            compile_template(template).render(scope)
