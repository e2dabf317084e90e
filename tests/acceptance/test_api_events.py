"""Events and webhooks over HTTP: taken in once, refused with a reason, and nothing half-written."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.acceptance.api_kit import BATCH, EVENT, SECRET, STRUCTURED, Door, github, served
from workflow_router import Router

DATA = Path(__file__).parents[2] / "../shared/data/github-webhooks.jsonl"


def shop() -> Router:
    router = Router("shop")

    @router.workflow
    async def ship(order: dict[str, int]) -> int:
        return order["n"] * 2

    router.on({"type": ["com.example.order"]}, start=ship, name="orders")
    router.on({"type": [{"prefix": "com.github.issues"}]}, start="ship", name="issues", input={"n": 1})
    return router


def test_an_event_in_each_mode_starts_its_run_in_one_go() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            first = await door.send(data={"n": 4})
            assert first.status == 202
            assert set(first.json) == {"id", "duplicate", "matched", "runs"}
            assert (first.json["duplicate"], first.json["matched"]) == (False, ["orders@1"])
            (run,) = first.json["runs"]
            assert (await door.runtime.engine.ended(run)).output == b"8"

            headers = {f"ce-{name}": value for name, value in EVENT.items()} | {"content-type": "application/json"}
            second = await door.call("POST", "/events", b'{"n":5}', {**headers, "ce-id": "2"})
            third = await door.call("POST", "/events", [{**EVENT, "id": "3", "data": {"n": 6}}, EVENT], BATCH)
            assert [second.status, third.status] == [202, 202]
            assert [one["duplicate"] for one in third.json] == [False, True]
            assert third.json[1]["id"] == first.json["id"]
            for answer, output in ((second.json, b"10"), (third.json[0], b"12")):
                assert (await door.runtime.engine.ended(answer["runs"][0])).output == output

    asyncio.run(main())


def test_a_duplicate_starts_nothing_and_an_unmatched_event_is_kept() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            answers = await asyncio.gather(*(door.send(data={"n": 1}) for _ in range(20)))
            assert {answer.status for answer in answers} == {202}
            assert len({answer.json["id"] for answer in answers}) == 1
            assert sorted(answer.json["duplicate"] for answer in answers) == [False, *[True] * 19]
            other = await door.send(id="2", type="com.example.unknown", data=[1.50])
            assert (other.status, other.json["matched"], other.json["runs"]) == (202, [], [])
            state = await door.get("/api/state")
            assert state["events"] == {"accepted": 2, "unmapped": 1}
            kept = await door.get(f"/api/events/{other.json['id']}")
            assert kept["event"] == {**EVENT, "id": "2", "type": "com.example.unknown", "data": [1.5]}
            page = await door.get("/api/events?limit=1")
            assert [one["event_id"] for one in page["events"]] == ["2"]
            rest = await door.get(f"/api/events?before={page['next']}")
            assert ([one["event_id"] for one in rest["events"]], rest["next"]) == (["1"], None)

    asyncio.run(main())


REFUSED: list[tuple[bytes, dict[str, str], int, str, str]] = [
    (b"{", STRUCTURED, 400, "invalid-event", "not JSON"),
    (b"", STRUCTURED, 400, "invalid-event", "not JSON"),
    (b"\xff\xfe", STRUCTURED, 400, "invalid-event", "not JSON"),
    (b"[]", STRUCTURED, 400, "invalid-event", "not a JSON object"),
    (b"{}", STRUCTURED, 400, "invalid-event", "no specversion"),
    (b"{}", BATCH, 400, "invalid-event", "not a JSON array"),
    (json.dumps([EVENT, {**EVENT, "id": 5}]).encode(), BATCH, 400, "invalid-event", "Event 2 of the batch"),
    (b'{"id":"1","id":"2"}', STRUCTURED, 400, "invalid-event", "stands twice"),
    (b'{"data":' + b"[" * 100 + b"]" * 100 + b"}", STRUCTURED, 400, "invalid-event", "deeper than 64"),
    (b"[" * 60_000, STRUCTURED, 400, "invalid-event", "JSON"),
    (json.dumps({**EVENT, "time": "now"}).encode(), STRUCTURED, 400, "invalid-event", "RFC 3339"),
    (json.dumps(EVENT).encode(), {"content-type": "application/json"}, 415, "unsupported-media-type", "cloudevents"),
    (json.dumps(EVENT).encode(), {"content-type": "text/plain"}, 415, "unsupported-media-type", "cloudevents"),
    (b"<e/>", {"content-type": "application/cloudevents+xml"}, 415, "unsupported-media-type", "+json"),
    (b"x" * 65_537, STRUCTURED, 413, "payload-too-large", "65536 bytes"),
    (b"{}", {"ce-id": "1", "content-type": "application/json"}, 400, "invalid-event", "no specversion"),
]


def test_what_is_no_event_gets_its_status_and_reason_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            before = await door.get("/api/audit/head")
            for body, headers, status, kind, reason in REFUSED:
                answer = await door.call("POST", "/events", body, headers)
                assert reason in answer.problem(status, kind), (body[:60], answer.body)
            assert await door.get("/api/audit/head") == before
            assert (await door.get("/api/state"))["events"] == {"accepted": 0, "unmapped": 0}
            metrics = (await door.call("GET", "/metrics")).body.decode()
            assert f'workflow_router_events_total{{outcome="refused"}} {len(REFUSED)}\n' in metrics

    asyncio.run(main())


async def _pieces(count: int) -> AsyncGenerator[bytes, None]:
    for _ in range(count):
        yield b" " * 8_192


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_long() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            for path in ("/events", "/webhooks/github", "/api/runs"):
                headers = {"content-type": "application/json" if path == "/api/runs" else STRUCTURED["content-type"]}
                answer = await door.call("POST", path, _pieces(9), headers)
                answer.problem(413, "payload-too-large")
                assert answer.headers["connection"] == "close"
            assert (await door.send(data={"n": 1})).status == 202

    asyncio.run(main())


def test_a_full_router_says_when_to_come_back_and_has_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(shop()) as door:
            monkeypatch.setattr("workflow_router.core.runtime.BACKLOG_MAX", -1)
            answer = await door.send(data={"n": 1})
            answer.problem(429, "overloaded")
            assert answer.headers["retry-after"] == "1"
            monkeypatch.undo()
            assert (await door.send(data={"n": 1})).json["duplicate"] is False

    asyncio.run(main())


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"type": "dev.workflow-router.join.completed"}, "dev.workflow-router.join.completed"),
        ({"type": "dev.workflow-router.run.completed"}, "dev.workflow-router.run.completed"),
        ({"type": "dev.workflow-router.schedule.due"}, "dev.workflow-router.schedule.due"),
        ({"routerchain": ""}, "routerchain"),
        ({"routerchain": "orders"}, "routerchain"),
        ({"source": "/webhooks/github"}, "/webhooks/github"),
        ({"source": "/schedules/nightly", "id": "2026-11-23T00:00:00Z"}, "/schedules/nightly"),
        ({"source": "/joins/both"}, "/joins/both"),
        ({"source": "/topics/orders"}, "/topics/orders"),
        ({"source": "/workflow-router"}, "/workflow-router"),
    ],
)
def test_nobody_outside_speaks_in_the_routers_name(members: dict[str, str], named: str) -> None:
    async def main() -> None:
        async with served(shop()) as door:
            event = {**EVENT, **members}
            headers = {f"ce-{name}": value for name, value in event.items()} | {"content-type": "application/json"}
            batch = [{**EVENT, "id": "2", "data": {"n": 1}}, event]
            for body, sent in ((event, STRUCTURED), (b"{}", headers), (batch, BATCH)):
                answer = await door.call("POST", "/events", body, sent)
                assert named in answer.problem(400, "invalid-event")
            assert (await door.get("/api/events"))["events"] == []
            near = await door.send(type="routers.order", routerchains="orders")
            assert near.status == 202

    asyncio.run(main())


# --- webhooks -------------------------------------------------------------------------------------------------------

ISSUE = b'{"action":"opened","issue":{"number":3},"repository":{"url":"https://api.github.com/repos/a/b"}}'


def test_a_signed_webhook_is_taken_in_once() -> None:
    async def main() -> None:
        async with served(shop()) as door:
            first = await door.call("POST", "/webhooks/github", ISSUE, github(ISSUE, "d-1"))
            again = await door.call("POST", "/webhooks/github", ISSUE, github(ISSUE, "d-1"))
            assert (first.status, first.json["matched"], len(first.json["runs"])) == (202, ["issues@1"], 1)
            assert (again.status, again.json["duplicate"], again.json["id"]) == (202, True, first.json["id"])
            kept = (await door.get(f"/api/events/{first.json['id']}"))["event"]
            assert (kept["type"], kept["id"], kept["subject"]) == ("com.github.issues.opened", "d-1", "3")
            assert kept["data"] == json.loads(ISSUE)
            other = await door.call("POST", "/webhooks/github", b"{}", github(b"{}", "d-2", "star"))
            assert (other.status, other.json["matched"]) == (202, [])

    asyncio.run(main())


def test_webhooks_that_are_forged_malformed_or_of_nobody_are_refused() -> None:
    async def main() -> None:
        async with served(shop()) as door:

            async def post(body: bytes, headers: dict[str, str], source: str = "github") -> str:
                answer = await door.call("POST", f"/webhooks/{source}", body, headers)
                assert await _accepted(door) == 0
                return answer.problem(*expected)

            expected = (401, "unauthorized")
            await post(ISSUE, github(ISSUE, "d-1", secret="wrong"))
            await post(ISSUE + b" ", github(ISSUE, "d-1"))
            await post(ISSUE, {})
            expected = (400, "invalid-event")
            assert "not JSON" in await post(b"{]", github(b"{]", "d-1"))
            no_event = github(ISSUE, "d-1")
            del no_event["x-github-event"]
            assert "x-github-event is missing" in await post(ISSUE, no_event)
            expected = (404, "not-found")
            await post(ISSUE, github(ISSUE, "d-1"), source="gitlab")
            await post(ISSUE, github(ISSUE, "d-1"), source="github%2F")
            expected = (413, "payload-too-large")
            await post(b" " * 65_537, {})

    asyncio.run(main())


def test_slack_gets_its_challenge_back_if_it_is_slack() -> None:
    body = b'{"type":"url_verification","challenge":"3eZbrw1a"}'

    async def main() -> None:
        async with served(shop()) as door:
            moment = str(door.runtime.clock.now_ms() // 1000)
            signed = hmac.new(SECRET.encode(), f"v0:{moment}:".encode() + body, hashlib.sha256).hexdigest()
            headers = {"x-slack-request-timestamp": moment, "x-slack-signature": f"v0={signed}"}
            answer = await door.call("POST", "/webhooks/slack", body, headers)
            assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1a"})
            headers["x-slack-signature"] = f"v0={signed[::-1]}"
            (await door.call("POST", "/webhooks/slack", body, headers)).problem(401, "unauthorized")
            assert await _accepted(door) == 0

    asyncio.run(main())


def test_a_webhook_does_not_speak_in_the_routers_name() -> None:
    body = b'{"type":"join.completed"}'
    headers = {"x-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}

    async def main() -> None:
        async with served(shop(), senders={"dev.workflow-router": "hmac", "shop": "hmac"}) as door:
            refused = await door.call("POST", "/webhooks/dev.workflow-router", body, headers)
            assert "'dev.workflow-router.join.completed'" in refused.problem(400, "invalid-event")
            assert await _accepted(door) == 0
            assert (await door.call("POST", "/webhooks/shop", body, headers)).status == 202

    asyncio.run(main())


async def _accepted(door: Door) -> int:
    return (await door.get("/api/state"))["events"]["accepted"]


@pytest.mark.skipif(not DATA.exists(), reason="the real payloads are not beside this checkout")
def test_every_real_github_webhook_is_accounted_for() -> None:
    payloads = [json.loads(line) for line in DATA.read_bytes().splitlines()]
    bodies = [(one["event"], json.dumps(one["payload"]).encode()) for one in payloads]

    async def main() -> None:
        async with served(shop()) as door:
            answers = await asyncio.gather(
                *(
                    door.call("POST", "/webhooks/github", body, github(body, f"d-{number}", event))
                    for number, (event, body) in enumerate(bodies)
                )
            )
            assert {answer.status for answer in answers} == {202}
            matched = [answer for answer in answers if answer.json["matched"]]
            issues = [event for event, _ in bodies if event == "issues"]
            assert len(matched) == len(issues) > 0
            state = await door.get("/api/state")
            assert state["events"] == {"accepted": 238, "unmapped": 238 - len(issues)}
            assert sum(state["runs"]["ship"].values()) == len(issues)
            for answer, one in zip(answers, payloads, strict=True):
                assert (await door.get(f"/api/events/{answer.json['id']}"))["event"]["data"] == one["payload"]

    asyncio.run(main())
