"""The picture of `wr top` fits whatever the window is, shows what matters first, and says what it cannot show."""

import pytest

from workflow_router.cli.top.facts import Facts, Row, gist
from workflow_router.cli.top.view import picture

TOOK: Row = {"count": 9, "p50_ms": 118, "p95_ms": 2_030, "p99_ms": 378_000}
BUDGET: Row = {
    "name": "team",
    "unit": "money",
    "amount": 10**9,
    "window": "month",
    "subject": "key x",
    "used": 9 * 10**8,
    "subjects": 2,
}
MINUTE: Row = {"at_ms": 0, "events": 3, "completed": 2, "faulted": 1, "answered": 4, "failed": 0}


def facts(rows: int) -> Facts:
    name = "a-long-name-\x1b[2J漢字"
    return Facts(
        url="http://127.0.0.1:8787",
        at_s=0.0,
        position=7,
        state={"runs": {"ship": {"waiting": rows, "faulted": 1}}},
        hour={"minutes": [MINUTE] * 61, "calls": TOOK, "runs": TOOK},
        needs=[
            {"what": "asked", "name": f"{name}{at}", "why": "it is dear", "command": "wr", "since_ms": 1}
            for at in range(rows)
        ],
        targets=[
            {
                "route": name,
                "target": f"t{at}",
                "ready": at % 2 == 0,
                "reason": "breaker open",
                "in_flight": 1,
                "waiting": 0,
                "calls": 12_345,
                "failed": 3,
                "p50_ms": 118,
                "p95_ms": None,
                "cost": 10_708_000,
            }
            for at in range(rows)
        ],
        subscriptions=[
            {"topic": "t", "name": name, "lag": 1_000_000, "age_ms": 9, "leased": 1, "dead": 2, "stuck": True}
        ]
        * rows,
        budgets=[BUDGET] * rows,
        hidden=["holds"],
    )


@pytest.mark.parametrize("rows", [0, 1, 3, 50])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (20, 4), (200, 60), (120, 200)])
def test_it_fits(rows: int, width: int, height: int) -> None:
    lines = picture(facts(rows), width, height, problem="away", keys="q quits")
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert not any("\x1b" in line.plain for line in lines)


def test_every_part_is_there_at_80_by_24_and_says_what_it_leaves_out() -> None:
    text = "\n".join(line.plain for line in picture(facts(50), 80, 24))
    for part in (
        "50 waiting",
        "1 faulted",
        "183 in the last hour",
        "p95 2.03 s",
        "it is dear",
        "90%",
        "1,000,000",
        "out",
    ):
        assert part in text, part
    for heading in ("NEEDS A PERSON", "TARGETS", "TOPICS", "BUDGETS"):
        assert f"{heading} " in text
    assert text.count(" of 50") == 4
    assert "Not for this key: holds." in text


def test_all_is_there_where_there_is_no_height() -> None:
    lines = picture(facts(50), 80, None)
    assert sum("it is dear" in line.plain for line in lines) == 50


def test_a_gist_is_what_an_object_says() -> None:
    assert gist({"a": "one", "b": ["two", "one"], "c": {"d": 1}, "e": 3, "f": ""}) == "one · two · 3"
    assert gist({}) == "{}"
    assert gist("plain\x1b[2J") == "plain\\x1b[2J"
