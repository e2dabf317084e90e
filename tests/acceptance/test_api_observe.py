"""The stream of transitions: live, resumable, filtered, bounded, and ended when the server is."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.acceptance.api_kit import EVENT, STRUCTURED, Door, served
from workflow_router import Router
from workflow_router.api import lately

Entry = dict[str, Any]


def router() -> Router:
    made = Router("r")

    @made.workflow
    async def noop(n: int) -> int:
        return n

    made.on({"type": ["go"]}, start=noop, input="${ 1 }")
    return made


class Stream:
    """A reader of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, str, Entry] | str | None:
        """Id, name and data of the next event; the text of a comment; None at the end."""
        async with asyncio.timeout(5):
            lines: list[str] = []
            while True:
                line = await self.response.content.readline()
                if not line:
                    return None
                if line == b"\n":
                    break
                lines.append(line.decode().rstrip("\n"))
        if lines[0].startswith(":"):
            return lines[0]
        fields = dict(line.split(": ", 1) for line in lines)
        return fields["id"], fields["event"], json.loads(fields["data"])

    async def take(self, count: int) -> list[Entry]:
        """The data of the next events."""
        taken: list[Entry] = []
        while len(taken) < count:
            one = await self.next()
            assert one is not None
            if not isinstance(one, str):
                assert (int(one[0]), one[1]) == (one[2]["position"], one[2]["transition"]["kind"])
                taken.append(one[2])
        return taken


@asynccontextmanager
async def observing(
    door: Door, query: str = "", headers: Mapping[str, str] | None = None
) -> AsyncGenerator[Stream, None]:
    async with door.session.get(f"{door.url}/api/observe{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream"
        stream = Stream(response)
        assert await stream.next() == ": observing"
        yield stream


def test_transitions_are_seen_as_they_are_committed() -> None:
    async def main() -> None:
        async with served(router()) as door, observing(door) as stream:
            event = (await door.send(type="go")).json
            kinds = [entry["transition"]["kind"] for entry in await stream.take(3)]
            assert kinds == ["event.accepted", "run.started", "run.completed"]
            assert event["runs"]

    asyncio.run(main())


def test_who_comes_back_with_the_last_id_has_missed_nothing() -> None:
    async def main() -> None:
        async with served(router()) as door:
            seen: list[int] = []
            for number in range(6):
                headers = {"last-event-id": str(seen[-1])} if seen else None
                async with observing(door, "?after=0", headers) as stream:
                    await door.send(id=str(number), type="go")
                    seen += [entry["position"] for entry in await stream.take(2)]
            head = (await door.get("/api/audit/head"))["position"]
            assert seen == list(range(1, 13))
            assert head >= 12
            async with observing(door, f"?after={head}") as stream:
                await door.send(id="more", type="x")
                assert (await stream.take(1))[0]["position"] == head + 1

    asyncio.run(main())


def test_many_transitions_reach_a_reader_in_order_and_whole() -> None:
    async def main() -> None:
        async with served(router()) as door, observing(door, "?after=0") as stream:
            await asyncio.gather(*(door.send(id=str(number), type="go") for number in range(400)))
            positions = [entry["position"] for entry in await stream.take(1_000)]
            assert positions == list(range(1, 1_001))

    asyncio.run(main())


def test_a_pattern_chooses_what_is_seen() -> None:
    pattern = quote(json.dumps({"type": [{"suffix": "run.completed"}]}))

    async def main() -> None:
        async with served(router()) as door, observing(door, f"?after=0&pattern={pattern}") as stream:
            for number in range(3):
                await door.send(id=str(number), type="go")
            assert {entry["transition"]["kind"] for entry in await stream.take(3)} == {"run.completed"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "headers", "kind"),
    [
        ("?after=-1", {}, "invalid-input"),
        ("?after=x", {}, "invalid-input"),
        ("", {"last-event-id": "x"}, "invalid-input"),
        ("", {"last-event-id": "9" * 30}, "invalid-input"),
        ("?pattern=%7B", {}, "invalid-pattern"),
        ("?pattern=%7B%7D", {}, "invalid-pattern"),
    ],
)
def test_what_cannot_be_observed_is_said_at_once(query: str, headers: dict[str, str], kind: str) -> None:
    async def main() -> None:
        async with served(router()) as door:
            (await door.call("GET", f"/api/observe{query}", None, headers)).problem(400, kind)

    asyncio.run(main())


def test_a_quiet_stream_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_router.api.stream.HEARTBEAT_S", 0.01)

    async def main() -> None:
        async with served(router()) as door, observing(door) as stream:
            for _ in range(3):
                assert await stream.next() == ": still here"

    asyncio.run(main())


def test_observers_are_few_and_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_router.api.endpoints.state.OBSERVERS_MAX", 2)

    async def main() -> None:
        async with served(router()) as door:
            async with observing(door), observing(door):
                (await door.call("GET", "/api/observe")).problem(429, "overloaded")
            async with asyncio.timeout(5):
                while b"workflow_router_observers 0.0" not in (await door.call("GET", "/metrics")).body:  # noqa: ASYNC110  it is asked over HTTP
                    await asyncio.sleep(0.01)
            async with observing(door):
                pass

    asyncio.run(main())


def test_streams_end_when_the_server_is_about_to_stop() -> None:
    async def main() -> None:
        async with served(router()) as door, observing(door) as stream:
            door.api.close()
            assert await stream.next() is None

    asyncio.run(main())


def test_a_digest_says_what_changed_and_the_hour_counts_it() -> None:
    async def main() -> None:
        async with served(router()) as door:
            async with door.session.get(f"{door.url}/api/observe/digest") as response:
                stream = Stream(response)
                assert await stream.next() == ": observing"
                await door.call("POST", "/events", {**EVENT, "type": "go"}, STRUCTURED)
                kinds: dict[str, int] = {}
                runs: set[str] = set()
                while "run.completed" not in kinds:
                    found = await stream.next()
                    assert isinstance(found, tuple)
                    kinds.update(found[2]["kinds"])
                    runs.update(found[2]["runs"])
                    assert found[2]["latest"][-1]["position"] == found[2]["position"]
            assert kinds == {"event.accepted": 1, "run.started": 1, "run.completed": 1}
            (listed,) = (await door.call("GET", "/api/runs")).json["runs"]
            assert runs == {listed["id"]}
            hour = (await door.call("GET", "/api/state/hour")).json
            assert sum(one["completed"] for one in hour["minutes"]) == 1
            assert hour["runs"]["count"] == 1

    asyncio.run(main())


def test_what_is_slow_to_count_is_counted_once_in_a_while_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "SLOW_S", 0.0)
    monkeypatch.setattr(lately, "SHARE", 1e9)

    async def main() -> None:
        async with served(router()) as door:
            before = (await door.call("GET", "/api/state")).json["events"]
            await door.call("POST", "/events", {**EVENT, "type": "go"}, STRUCTURED)
            assert (await door.call("GET", "/api/state")).json["events"] == before
            monkeypatch.setattr(lately, "SLOW_S", 9.0)
            assert (await door.call("GET", "/api/events?type=go&mapping=noop")).json["next"] is None

    asyncio.run(main())
