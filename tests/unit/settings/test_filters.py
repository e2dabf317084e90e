"""Filters of CloudEvents Subscriptions beside patterns, in `router.yaml`, in Python and over the API's compiler."""

import re
from pathlib import Path

import msgspec
import pytest

from workflow_router import Router
from workflow_router.core.errors import InvalidInput, InvalidProject
from workflow_router.core.patterns import Pattern
from workflow_router.settings import load_project
from workflow_router.settings.convert import mapping_of
from workflow_router.settings.model import RouterFile
from workflow_router.settings.model import Topic as TopicRule
from workflow_router.settings.rules import rule_compiler

HEAD = "name: shop\npython: []\ntopics: {orders: {}}\nmappings:\n"
EXACT = Pattern.parse({"type": ["order.placed"]})


def loaded(folder: Path, mapping: str) -> Pattern:
    (folder / "router.yaml").write_text(f"{HEAD}  - {{name: m, publish: {{topic: orders}}, {mapping}}}\n")
    return mapping_of(load_project(folder).router.mappings[0]).pattern


def test_a_file_may_say_filters(tmp_path: Path) -> None:
    assert loaded(tmp_path, "filters: [{exact: {type: order.placed}}]") == EXACT
    assert loaded(tmp_path, "on: {type: [order.placed]}") == EXACT
    assert loaded(tmp_path, "filters: []").matches({"type": "anything"})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("filters: [{sql: \"type = 'a'\"}]", "`mappings\\[0\\].filters\\[0\\].sql`: The dialect sql is not supported"),
        ("filters: [{exact: {type: a}}], on: {type: [a]}", "has on and filters"),
        ("when: 'true'", "has no `on`"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, mapping: str, message: str) -> None:
    with pytest.raises(InvalidProject) as caught:
        loaded(tmp_path, mapping)
    (mistake,) = caught.value.mistakes
    assert mistake.line == 5
    assert re.search(message, mistake.message)


def test_code_and_rules_may_say_filters() -> None:
    router = Router("shop")
    router.on(filters=[{"exact": {"type": "order.placed"}}], publish={"topic": "orders"}, name="m")
    assert router.mappings[0].pattern == EXACT
    with pytest.raises(InvalidInput, match="neither"):
        router.on(publish={"topic": "orders"}, name="n")
    compile_rule = rule_compiler(RouterFile(name="shop", topics={"orders": TopicRule()}), [])
    rule = {"filters": [{"exact": {"type": "order.placed"}}], "publish": {"topic": "orders"}}
    assert compile_rule("m", rule).pattern == EXACT
    with pytest.raises(InvalidInput, match="sql is not supported"):
        compile_rule("m", {**rule, "filters": [{"sql": "TRUE"}]})


def test_a_version_says_only_what_was_written(tmp_path: Path) -> None:
    """So that a field which a later release adds does not make a new version of every mapping."""
    loaded(tmp_path, "on: {type: [order.placed]}")
    mapping = mapping_of(load_project(tmp_path).router.mappings[0])
    assert msgspec.json.decode(mapping.specification) == {
        "name": "m",
        "on": {"type": ["order.placed"]},
        "publish": {"body": "${ event.data }", "key": None, "topic": "orders"},
    }
