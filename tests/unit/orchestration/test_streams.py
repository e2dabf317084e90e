"""Durable streams: numbered, in order, once each; what failed attempts wrote is void; bounded; rejoined."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from workflow_router import InvalidInput, Retry, Router, StepFailed, embed
from workflow_router.core.errors import NotFound, StreamTooLong
from workflow_router.core.orchestration.replay import replay
from workflow_router.core.orchestration.stream_ports import StreamLimits
from workflow_router.core.orchestration.streams import StreamItem
from workflow_router.utils.codec import from_json


async def read(router: Router, run_id: str, name: str = "tokens", after: int = 0) -> list[StreamItem]:
    return [item async for item in router.read_stream(run_id, name, after=after)]


def kept(items: list[StreamItem]) -> list[Any]:
    """What counts of a stream, as the page tells readers to find it."""
    chunks: list[StreamItem] = []
    for item in items:
        if item.kind == "chunk":
            chunks.append(item)
        elif item.kind == "reset":
            chunks = [one for one in chunks if one.step != item.step or one.number < (item.since or 0)]
    return [one.value for one in chunks]


def test_chunks_are_read_while_they_are_written_and_from_any_number_on() -> None:
    async def main() -> None:
        router, go = Router(), asyncio.Event()

        @router.step
        async def say(count: int) -> int:
            stream = router.stream("tokens")
            for number in range(count):
                await stream.write({"n": number})
                if number == 1:
                    await go.wait()
            return count

        @router.workflow
        async def talk(count: int) -> int:
            await router.stream("tokens").write("begin")
            said = await say(count)
            await router.stream("other").write(said)
            return said

        assert talk
        async with embed(router) as runtime:
            run_id = await router.start("talk", 1_500)
            items: list[StreamItem] = []
            async for item in router.read_stream(run_id, "tokens"):
                items.append(item)
                if item.number == 3:
                    assert (await runtime.engine.find(run_id)).status == "running"
                    go.set()
            assert [item.number for item in items] == [*range(1, 1_502), 1_501]
            assert kept(items) == ["begin", *({"n": number} for number in range(1_500))]
            assert (items[-1].kind, items[-1].status) == ("end", "completed")
            assert [item.number for item in await read(router, run_id, after=1_499)] == [1_500, 1_501, 1_501]
            found = await runtime.engine.streams.of(run_id)
            assert [(one.name, one.last) for one in found] == [("other", 1), ("tokens", 1_501)]
            history = await runtime.store.read(lambda tx: tx.runs.history(run_id))
            assert [step.kind for step in history] == ["stream", "step", "stream"]
            assert await replay(runtime.workflows, await runtime.engine.find(run_id), history) is None
            entries = await runtime.store.read(lambda tx: tx.streams.entries(run_id, "tokens", after=0, limit=5_000))
            assert len(entries) < 300  # chunks that wait for a commit share the next one
            with pytest.raises(NotFound):
                await read(router, "nobody")

    asyncio.run(main())


def test_what_a_failed_attempt_wrote_is_void() -> None:
    async def main() -> None:
        router = Router()
        tries: list[int] = []

        async def committed(chunk: str) -> None:
            async for item in router.read_stream("talking", "tokens"):
                if item.value == chunk:
                    return

        @router.step(retry=Retry(attempts=3, first_s=0.001))
        async def say(name: str) -> str:
            tries.append(1)
            stream = router.stream("tokens")
            await stream.write(f"{name}{len(tries)}a")
            await committed(f"{name}{len(tries)}a")
            if len(tries) == 2:
                raise ValueError("it broke")
            await stream.write(f"{name}{len(tries)}b")
            if len(tries) == 1:
                raise ValueError("it broke")
            return name

        @router.step(retry=Retry(attempts=1), deadline_s=0.05)
        async def late() -> None:
            await router.stream("tokens").write("late")
            await asyncio.Event().wait()

        @router.workflow
        async def talk() -> str:
            try:
                await late()
            except StepFailed:
                await router.stream("tokens").write("between")
            return await say("x")

        assert talk
        async with embed(router) as runtime:
            run_id = await router.start("talk", run_id="talking")
            items = await read(router, run_id)
            assert [item.kind for item in items].count("reset") == 3
            assert kept(items) == ["between", "x3a", "x3b"]
            assert (await runtime.engine.ended(run_id)).output == b'"x"'

    asyncio.run(main())


def test_what_died_with_its_process_is_void(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/s.db"
        lives: list[int] = []

        def router_of() -> Router:
            router = Router()

            @router.step
            async def say() -> None:
                lives.append(1)
                stream = router.stream("tokens")
                for number in range(3):
                    await stream.write(f"{len(lives)}.{number}")
                if len(lives) == 1:
                    await asyncio.Event().wait()

            @router.workflow
            async def talk() -> None:
                await router.stream("tokens").write("first")
                await say()

            assert talk
            return router

        router = router_of()
        seen: list[StreamItem] = []
        async with embed(router, store=url):
            run_id = await router.start("talk")
            async for item in router.read_stream(run_id, "tokens"):
                seen.append(item)
                if item.number == 3:
                    break
        router = router_of()
        async with embed(router, store=url):
            seen += await read(router, run_id, after=seen[-1].number)
        assert kept(seen) == ["first", "2.0", "2.1", "2.2"]
        assert [item.number for item in seen[:-1]] == list(range(1, len(seen)))

    asyncio.run(main())


def test_a_stream_ends_by_itself_and_plain_functions_write_too() -> None:
    async def main() -> None:
        router, hold = Router(), asyncio.Event()

        @router.step
        def plain(count: int) -> int:
            for number in range(count):
                router.stream("tokens").put(number)
            return count

        @router.step(retry=Retry(attempts=1))
        async def after_end() -> None:
            await router.stream("tokens").end()
            await router.stream("tokens").write("late")

        @router.step
        async def blocking() -> str:
            try:
                router.stream("tokens").put(1)
            except InvalidInput as error:
                return error.message
            return ""

        @router.workflow
        async def talk() -> list[str]:
            said = [await blocking()]
            await plain(3)
            for write in (after_end, lambda: router.stream("tokens").write("late")):
                try:
                    await write()
                except StepFailed as failed:
                    said.append(str(failed.context["error_type"]))
            await router.stream("own").end()
            await hold.wait()
            return said

        assert talk
        async with embed(router) as runtime:
            run_id = await router.start("talk")
            items = await read(router, run_id)  # while the run goes on
            assert (kept(items), items[-1].status) == ([0, 1, 2], "ended")
            assert [item.kind for item in await read(router, run_id, "own")] == ["end"]
            hold.set()
            ended = await runtime.engine.ended(run_id)
            assert ended.error is None, ended.error
            assert ended.output == b'["`put` would block the event loop.","conflict","conflict"]'
            with pytest.raises(InvalidInput):
                await router.stream("tokens").write("outside")

    asyncio.run(main())


def test_streams_are_bounded() -> None:
    async def main() -> None:
        router = Router()
        tries: list[str] = []

        @router.step(retry=Retry(attempts=3, first_s=0.001))
        async def say(name: str, count: int, size: int) -> None:
            tries.append(name)
            for _ in range(count):
                await router.stream(name).write("x" * size)

        @router.workflow
        async def talk() -> list[str]:
            said: list[str] = []
            for name, count, size in (("wide", 1, 200), ("long", 50, 90), ("a/b", 1, 1), ("third", 1, 1)):
                try:
                    await say(name, count, size)
                except StepFailed as failed:
                    said.append(str(failed.context["error_type"]))
            for name, size in (("wide", 200), ("long", 90), ("fourth", 1)):
                try:
                    await router.stream(name).write("x" * size)
                except StepFailed as failed:
                    said.append(str(failed.context["error_type"]))
            return said

        assert talk
        async with embed(router) as runtime:
            runtime.engine.streams.limits = StreamLimits(chunk_max_bytes=100, max_bytes=1_000, max_streams=2)
            run_id = await router.start("talk")
            ended = await runtime.engine.ended(run_id)
            too_long = StreamTooLong.type
            assert ended.output is not None
            refused = from_json(ended.output)
            assert refused == [
                too_long,
                too_long,
                "invalid-input",
                too_long,
                too_long,
            ]
            assert tries.count("wide") == tries.count("long") == 1  # it would be as long again
            assert kept(await read(router, run_id, "long")) == ["x" * 90]  # of the workflow itself
            sizes = {one.name: one.bytes for one in await runtime.engine.streams.of(run_id)}
            assert max(sizes.values()) <= 1_000

    asyncio.run(main())
