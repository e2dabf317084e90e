"""What is wrong with mappings, their targets and joins is told once, on its line, with a remedy."""

from pathlib import Path

import pytest

from tests.unit.settings.test_load import mistakes

CRM = "routes: {crm: {targets: [{name: a, kind: http, url: 'https://a'}]}}\n"
RULE = f"name: p\n{CRM}topics: {{t: {{}}}}\nmappings:\n  - name: m\n    on: {{type: [x]}}\n"


@pytest.mark.parametrize(
    ("more", "line", "said", "remedy"),
    [
        ("    dispatch: {route: crn}\n", 7, "There is no route `crn`", "Did you mean `crm`?"),
        ("    dispatch: {body: 1}\n", 7, "`route`", ""),
        ("    dispatch: {route: crm, body: {a: ['${ event. }']}}\n", 7, "column 7", ""),
        ("    dispatch: {route: crm, method: FETCH}\n", 7, "one of GET", ""),
        ("    dispatch: {route: crm, path: customers}\n", 5, "cannot be appended", "Start it with /"),
        ("    publish: {topic: u}\n", 7, "There is no topic `u`", "Known here: t"),
        ("    publish: {topic: t, key: '${ evnt.id }'}\n", 7, "evnt", ""),
        ("    publish: {topic: t, priority: 10}\n", 7, "priority", ""),
        ("    signal: {workflow: w, name: n}\n", 7, "`key`", ""),
        ("    signal: {workflow: w, name: n, key: '${ event.data.'}\n", 7, "", ""),
        ("    emit: {subject: s}\n", 7, "`type`", ""),
        ("    emit: {type: dev.workflow-router.run.completed}\n", 5, "the router's own", "another"),
        ("    emit: {type: y, data: '${ nobody }'}\n", 7, "nobody", ""),
        ("    start: w\n    once: '${ 1 + }'\n", 8, "", ""),
        ("    start: w\n    once: '${ \\'a\\' - 1 }'\n".replace("\\'", '"'), 8, "", ""),
        ("    start: w\n    delay: soon\n", 8, "a number and a unit", ""),
        ("    start: w\n    batch: {size: 0, within: 1s}\n", 8, "at least 1", ""),
        ("    start: w\n    throttle: {limit: 1, per: 1s, key: '${ x }'}\n", 8, "x", ""),
        ("    start: w\n    debounce: {quiet: 1s}\n    delay: 1s\n", 5, "", ""),
        ("    start: w\n    publish: {topic: t}\n", 5, "both `start` and `publish`", "a list of `targets`"),
        ("    publish: {topic: t}\n    input: 1\n", 8, "`input` is for `start` only", "publish.body"),
        ("    targets: [{publish: {topic: t}}, {publish: {topic: u}}]\n", 7, "There is no topic `u`", ""),
        ("    targets: [{start: w}, {once: a}]\n", 7, "no target", ""),
        ("    when: event.data.n + 1\n    start: w\n", 7, "", ""),
        ("    when: '[1,2].all(x, [3].all(y, [4].all(z, true)))'\n    start: w\n", 7, "", ""),
    ],
)
def test_mistakes_of_what_mappings_do(tmp_path: Path, more: str, line: int, said: str, remedy: str) -> None:
    (found,) = mistakes(tmp_path, RULE + more)
    assert (found.line, bool(found.remedy)) == (line, True), found
    assert said in found.message, found
    assert remedy in found.remedy, found


JOINED = "name: p\njoins:\n  - name: j\n    "
PARTS = "    parts: {a: {on: {type: [x]}}, b: {on: {type: [y]}}}\n"


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("kind: both\n    within: 1m\n    start: w\n" + PARTS, 4, "one of all, any"),
        ("kind: all\n    start: w\n" + PARTS, 3, "within"),
        ("kind: all\n    within: 400d\n    start: w\n" + PARTS, 3, "keeps what came"),
        ("kind: all\n    within: soon\n    start: w\n" + PARTS, 5, "within"),
        ("kind: all\n    within: 1m\n" + PARTS, 3, "no target"),
        ("kind: count\n    within: 1m\n    start: w\n    count: 0\n" + PARTS, 7, "at least 1"),
        ("kind: all\n    within: 1m\n    start: w\n    parts: {a: {on: {type: x}}}\n", 7, "type"),
        ("kind: all\n    within: 1m\n    start: w\n    parts: {a: {when: 'true'}}\n", 7, "`on`"),
        ("kind: all\n    within: 1m\n    start: w\n    parts: {a: {on: {type: [x]}, when: 'event.'}}\n", 7, ""),
        ("kind: all\n    within: 1m\n    start: w\n    parts: {a: {on: {type: [x]}, keep: '${ x }'}}\n", 7, "x"),
        ("kind: all\n    within: 1m\n    start: w\n    key: '${ x }'\n" + PARTS, 7, "x"),
        ("kind: all\n    within: 1m\n    publish: {topic: t}\n" + PARTS, 6, "There is no topic `t`"),
        ("kind: all\n    within: 1m\n    start: w\n    parts: {}\n", 3, "parts"),
        ("kind: absence\n    within: 1m\n    start: w\n    parts: {a: {on: {type: [x]}}}\n", 3, "absence"),
    ],
)
def test_mistakes_of_joins(tmp_path: Path, more: str, line: int, said: str) -> None:
    (found,) = mistakes(tmp_path, JOINED + more)
    assert (found.line, bool(found.remedy)) == (line, True), found
    assert said in found.message, found
