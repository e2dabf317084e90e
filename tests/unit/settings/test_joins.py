"""What a project says of joins is what they do."""

from pathlib import Path

from workflow_router.settings import load_project
from workflow_router.settings.convert import joins_of

JOIN = """\
name: shop
python: []
topics: {ready: {}}
joins:
  - name: ready
    kind: all
    parts: {paid: {on: {type: [paid]}}, packed: {on: {type: [packed]}, key: "${ event.data.of }"}}
    key: ${ event.data.order }
    within: 7d
    publish: {topic: ready}
"""


def test_a_part_without_a_key_of_its_own_has_that_of_its_join(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(JOIN, encoding="utf-8")
    data = {"order": "A", "of": "B"}
    keys: dict[str, object] = {}
    for mapping in joins_of(load_project(tmp_path)):
        key = mapping.targets[0].key
        keys[mapping.name] = None if key is None else key.render({"event": {"data": data}})
    assert keys["ready.paid"] == "A"
    assert keys["ready.packed"] == "B"
