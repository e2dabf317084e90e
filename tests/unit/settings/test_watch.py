"""A served `router.yaml` that changes is taken up; one with mistakes changes nothing."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from workflow_router import Event
from workflow_router.app import open_project, run
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.settings import load_project, watch
from workflow_router.settings.convert import mappings_of

HEAD = "name: shop\npython: []\ntopics: {orders: {}}\nmappings:\n"


def write(folder: Path, *types: str) -> None:
    rule = "  - {{name: m{at}, on: {{type: [{kind}]}}, publish: {{topic: orders}}}}"
    lines = [rule.format(at=at, kind=kind) for at, kind in enumerate(types)]
    (folder / "router.yaml").write_text(HEAD + "\n".join(lines) + "\n")


def test_a_changed_file_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "WATCH_S", 0.01)
    write(tmp_path, "a", "b")
    project = load_project(tmp_path)

    async def main() -> None:
        applied = asyncio.Event()
        async with run([], mappings=mappings_of(project), topics=["orders"]) as runtime:

            async def matched(kind: str) -> list[str]:
                return (await runtime.accept(Event(id=runtime.ids.new(), source="/s", type=kind))).matched

            async def apply(mappings: Iterable[Mapping]) -> None:
                await runtime.ingest.set_mappings(mappings, author="file")
                applied.set()

            async with watch.watched(project, [], apply), asyncio.timeout(10):
                unchanged = runtime.ingest.matcher.slot("m0")
                write(tmp_path, "a", "changed")
                await applied.wait()
                assert (await matched("a"), await matched("b"), await matched("changed")) == (["m0@1"], [], ["m1@2"])
                assert runtime.ingest.matcher.slot("m0") is unchanged
                (tmp_path / "router.yaml").write_text("name: [")
                while "cannot be put in force" not in caplog.text:  # noqa: ASYNC110  the poll is the subject
                    await asyncio.sleep(0.01)
                assert await matched("changed") == ["m1@2"]
                applied.clear()
                write(tmp_path, "a")
                await applied.wait()
                assert (await matched("changed"), await matched("a")) == ([], ["m0@1"])

    asyncio.run(main())


PROJECT = """\
name: shop
topics: {orders: {}}
schedules: [{name: nightly, cron: "0 3 * * *", start: note}]
classes: {ticket: {on: {type: [ticket]}, into: {a: x, b: y}, rules: [{into: a, when: "true"}]}}
joins:
  - {name: both, kind: any, within: 60s, parts: {a: {on: {type: [a]}}}, start: note}
mappings:
  - {name: one, on: {type: [one]}, start: note}
"""
MODULE = """\
from workflow_router import Router

router = Router("shop")


@router.workflow
async def note(given: object) -> None: ...


router.on({"type": ["code"]}, start=note, name="in_code")
"""
STANDING = {"class.ticket", "schedule.nightly", "in_code"}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  the poll of a file is the subject
            await asyncio.sleep(0.01)


def test_a_change_keeps_what_comes_of_other_parts_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Joins are taken up as mappings are; classes, schedules and what the code declares stay as they were."""
    monkeypatch.setattr(watch, "WATCH_S", 0.01)
    file = tmp_path / "router.yaml"
    file.write_text(PROJECT)
    (tmp_path / "workflows.py").write_text(MODULE)

    async def main() -> None:
        async with open_project(load_project(tmp_path), store="sqlite://") as (runtime, _):

            def names() -> set[str]:
                return {one.name for one in runtime.ingest.mappings}

            assert names() == STANDING | {"one", "both", "both.a"}
            file.write_text(PROJECT.replace("name: one", "name: two"))
            await until(lambda: "two" in names())
            assert names() == STANDING | {"two", "both", "both.a"}
            file.write_text(PROJECT.replace("{a: {on: {type: [a]}}}", "{z: {on: {type: [z]}}}"))
            await until(lambda: "both.z" in names())
            assert names() == STANDING | {"one", "both", "both.z"}
            (accepted,) = [await runtime.accept(Event(id="1", source="/s", type="ticket", data=b"{}"))]
            assert accepted.matched == ["class.ticket@1"]
            file.write_text(PROJECT.replace("classes: {ticket: {on: {type: [ticket]}", "classes: {c: {on: {type: [c]}"))
            await until(lambda: "both.a" in names())
            assert "class.ticket" in names()

    asyncio.run(main())
    assert "cannot be put in force" not in caplog.text


def test_a_change_that_needs_what_does_not_run_yet_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "WATCH_S", 0.01)
    file = tmp_path / "router.yaml"
    file.write_text(PROJECT)
    (tmp_path / "workflows.py").write_text(MODULE)

    async def main() -> None:
        async with open_project(load_project(tmp_path), store="sqlite://") as (runtime, _):
            before = runtime.ingest.mappings
            more = "  - {name: new, on: {type: [new]}, publish: {topic: fresh}}\n"
            file.write_text(PROJECT.replace("orders: {}", "orders: {}, fresh: {}") + more)
            await until(lambda: "cannot be put in force" in caplog.text)
            assert "There is no topic `fresh`" in caplog.text and "restart" in caplog.text
            assert runtime.ingest.mappings == before

    asyncio.run(main())
