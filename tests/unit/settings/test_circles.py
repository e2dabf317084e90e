"""`wr check` refuses mappings that are certain to bring their own events about, and only those."""

from pathlib import Path

import pytest

from workflow_router.app.project import check

HEAD = """name: p
topics: {orders: {}, others: {}}
sources:
  orders: {topic: orders, type: shop.order}
  others: {topic: others}
  runs: {lifecycle: [run.completed, run.faulted]}
mappings:
"""
CODE = """from workflow_router import Router
router = Router("p")
@router.workflow
async def work(given: object) -> None: ...
@router.workflow
async def other(given: object) -> None: ...
"""
ENDED = "{type: [dev.workflow-router.run.completed]}"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("on: {type: [shop.order]}, publish: {topic: orders}", "publishes to the topic orders"),
        ("on: {source: [/topics/others]}, publish: {topic: others}", "publishes to the topic others"),
        ("on: {source: [{prefix: /topics/}]}, targets: [{publish: {topic: others}}]", "publishes to the topic o"),
        (f"on: {ENDED}, start: work", "starts a run whenever one has run.completed, so also of work itself"),
        ("on: {type: [dev.workflow-router.run.faulted], data: {workflow: [work]}}, start: work", "run.faulted"),
        ("on: {type: [shop.order]}, publish: {topic: others}", ""),
        ("on: {type: [shop.order], data: {n: [1]}}, publish: {topic: orders}", ""),
        ("on: {type: [shop.order]}, when: event.data.n > 1, publish: {topic: orders}", ""),
        (f"on: {ENDED}, publish: {{topic: orders}}", ""),
        ("on: {type: [dev.workflow-router.run.completed], data: {workflow: [work]}}, start: other", ""),
        ("on: {type: [com.example.x]}, start: work", ""),
    ],
)
def test_a_certain_circle_is_a_mistake_with_its_line(tmp_path: Path, mapping: str, said: str) -> None:
    (tmp_path / "router.yaml").write_text(f"{HEAD}  - {{name: m, {mapping}}}\n")
    (tmp_path / "workflows.py").write_text(CODE)
    found = check(tmp_path)
    if said:
        assert len(found) == 1, found
        assert said in found[0].message and found[0].line == 8 and found[0].remedy
    else:
        assert found == []
