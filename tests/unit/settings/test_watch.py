"""A served `router.yaml` that changes is taken up; one with mistakes changes nothing."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from workflow_router import Event
from workflow_router.app import run
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
