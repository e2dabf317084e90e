"""The management API: runs, approvals, messages, dispatches, audit and counts, over a router that works."""

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest

from tests.acceptance.api_kit import Door, served
from workflow_router import Router
from workflow_router.core.dispatch_route.model import Call, Caller, Route, Target
from workflow_router.core.dispatch_route.model import Retry as RouteRetry
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.message_broker.ports import Subscription


def office() -> Router:
    router = Router("office")

    @router.step
    async def double(n: int) -> int:
        return n * 2

    @router.workflow
    async def count(n: int) -> dict[str, int]:
        """Doubles a number."""
        return {"n": await double(n)}

    @router.workflow
    async def ask(amount: int) -> str:
        answer = await router.approve("refund", context={"amount": amount}, roles=["lead"], quorum=2)
        return f"{answer.status} by {', '.join(decision.by for decision in answer.decisions)}"

    @router.workflow
    async def hang(n: int) -> None:
        await router.approve("never")

    @router.workflow
    async def listen(n: int) -> list[object]:
        return [await router.receive("word") for _ in range(n)]

    assert (count.name, ask.name, hang.name, listen.name) == ("count", "ask", "hang", "listen")
    return router


async def start(door: Door, workflow: str, given: object) -> str:
    answer = await door.call("POST", "/api/runs", {"workflow": workflow, "input": given})
    assert answer.status == 201, answer.body
    return answer.json["id"]


def test_runs_are_started_listed_page_by_page_and_shown_with_their_steps() -> None:
    async def main() -> None:
        async with served(office()) as door:
            ids = [await start(door, "count", n) for n in range(5)]
            for run_id in ids:
                await door.runtime.engine.ended(run_id)
            shown = await door.get(f"/api/runs/{ids[3]}")
            assert (shown["status"], shown["input"], shown["output"]) == ("completed", 3, {"n": 6})
            assert [(step["key"], step["name"], step["output"]) for step in shown["steps"]] == [("0", "double", 6)]
            assert shown["error"] is None

            seen: list[str] = []
            path = "/api/runs?limit=2&workflow=count"
            while True:
                page = await door.get(path)
                seen += [run["id"] for run in page["runs"]]
                if page["next"] is None:
                    break
                path = f"/api/runs?limit=2&workflow=count&before={page['next']}"
            assert seen == ids[::-1]
            assert (await door.get("/api/runs?status=faulted"))["runs"] == []
            assert (await door.get("/api/state"))["runs"] == {"count": {"completed": 5}}
            workflows = await door.get("/api/workflows")
            assert {"name": "count", "version": "1", "versions": ["1"], "description": "Doubles a number."} in workflows

    asyncio.run(main())


def test_a_run_with_an_id_is_started_once_and_bad_starts_start_nothing() -> None:
    async def main() -> None:
        async with served(office()) as door:
            for _ in range(2):
                answer = await door.call("POST", "/api/runs", {"workflow": "count", "input": 1, "id": "order-7"})
                assert (answer.status, answer.json) == (201, {"id": "order-7"})
            bad: list[tuple[Any, int, str, str]] = [
                ({"workflow": "missing"}, 404, "not-found", "no workflow missing"),
                ({"workflow": "count", "input": "x"}, 400, "invalid-input", "does not fit the workflow count"),
                ({"workflow": "count", "extra": 1}, 400, "invalid-input", "extra"),
                ({"workflow": 5}, 400, "invalid-input", "$.workflow"),
                ({}, 400, "invalid-input", "workflow"),
                ([], 400, "invalid-input", "object"),
                ({"workflow": "count", "input": 1, "id": "a b"}, 400, "invalid-input", "$.id"),
                ({"workflow": "count", "input": 1, "id": "x" * 201}, 400, "invalid-input", "$.id"),
                (b'{"workflow":"count","workflow":"ask"}', 400, "invalid-input", "stands twice"),
                (b"{", 400, "invalid-input", "not JSON"),
                (b"", 400, "invalid-input", "not JSON"),
                (b'{"workflow":"count","input":' + b"[" * 70 + b"]" * 70 + b"}", 400, "invalid-input", "deeper"),
            ]
            for body, status, kind, reason in bad:
                answer = await door.call("POST", "/api/runs", body, {"content-type": "application/json"})
                assert reason in answer.problem(status, kind), (body, answer.body)
            plain = await door.call("POST", "/api/runs", b'{"workflow":"count"}', {"content-type": "text/plain"})
            plain.problem(415, "unsupported-media-type")
            assert len((await door.get("/api/runs"))["runs"]) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "status=lost", "nonsense=1", "limit=", "a=%ff", "&" * 40],
)
def test_a_query_that_does_not_fit_is_refused(query: str) -> None:
    async def main() -> None:
        async with served(office()) as door:
            answer = await door.call("GET", f"/api/runs?{query}")
            answer.problem(400, "invalid-input")

    asyncio.run(main())


def test_a_run_is_cancelled_once_and_resumed_only_if_suspended() -> None:
    async def main() -> None:
        async with served(office()) as door:
            run_id = await start(door, "hang", 1)
            (await door.call("POST", f"/api/runs/{run_id}/resume")).problem(409, "conflict")
            cancelled = await door.call("POST", f"/api/runs/{run_id}/cancel")
            assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
            (await door.call("POST", f"/api/runs/{run_id}/cancel")).problem(409, "conflict")
            for verb in ("cancel", "resume"):
                (await door.call("POST", f"/api/runs/none/{verb}")).problem(404, "not-found")

    asyncio.run(main())


def test_signals_are_sent_once_by_id_in_order_and_only_to_runs_that_go_on() -> None:
    async def main() -> None:
        async with served(office()) as door:
            run_id = await start(door, "listen", 3)
            path = f"/api/runs/{run_id}/signals/word"
            for _ in range(2):
                sent = await door.call("POST", path, {"value": {"n": 1}, "id": "first"})
                assert (sent.status, sent.json) == (201, {"id": "first"})
            assert (await door.call("POST", f"/api/runs/{run_id}/signals/other", {"value": 9})).status == 201
            assert (await door.call("POST", path, {})).status == 201
            (await door.call("POST", path, {"value": 1, "extra": 1})).problem(400, "invalid-input")
            assert (await door.call("POST", path, {"value": "last"})).status == 201
            assert (await door.runtime.engine.ended(run_id)).output == b'[{"n":1},null,"last"]'
            (await door.call("POST", path, {"value": "late"})).problem(409, "conflict")
            (await door.call("POST", "/api/runs/none/signals/word", {})).problem(404, "not-found")

    asyncio.run(main())


async def open_approval(door: Door) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while not (found := await door.get("/api/approvals?status=open")):  # noqa: ASYNC110  it is asked over HTTP
            await asyncio.sleep(0.01)
    return found[0]


def test_people_decide_and_the_run_goes_on() -> None:
    async def main() -> None:
        async with served(office()) as door:
            run_id = await start(door, "ask", 120)
            asked = await open_approval(door)
            assert (asked["run"], asked["name"], asked["context"]) == (run_id, "refund", {"amount": 120})
            assert (asked["form"], asked["decisions"], asked["quorum"]) == ({"type": "object"}, [], 2)
            path = f"/api/approvals/{asked['id']}"
            ann = {"by": "ann", "approved": True, "roles": ["lead"], "values": {"comment": "ok"}, "reason": "fair"}
            (await door.call("POST", path, {**ann, "roles": []})).problem(403, "forbidden")
            (await door.call("POST", path, {**ann, "by": ""})).problem(400, "invalid-input")
            (await door.call("POST", path, {**ann, "time_ms": 1})).problem(400, "invalid-input")
            first = await door.call("POST", path, ann)
            assert (first.status, first.json["status"]) == (200, "open")
            (await door.call("POST", path, ann)).problem(409, "conflict")
            second = await door.call("POST", path, {**ann, "by": "bob"})
            assert (second.json["status"], len(second.json["decisions"])) == ("approved", 2)
            assert second.json["decisions"][0]["values"] == {"comment": "ok"}
            assert (await door.runtime.engine.ended(run_id)).output == b'"approved by ann, bob"'
            assert (await door.get(path))["status"] == "approved"
            assert await door.get("/api/approvals?status=open") == []
            (await door.call("POST", path, {**ann, "by": "eve"})).problem(409, "conflict")
            (await door.call("POST", "/api/approvals/none", ann)).problem(404, "not-found")
            (await door.call("GET", "/api/approvals/none")).problem(404, "not-found")

    asyncio.run(main())


def test_messages_are_published_pulled_given_back_and_redriven() -> None:
    async def main() -> None:
        async with served(office()) as door:
            published = await door.call(
                "POST",
                "/api/topics/orders/messages",
                [{"body": {"n": 1}, "key": "a"}, {"body": 2, "headers": {"h": "v"}}],
            )
            assert published.status == 201
            first, second = published.json["ids"]
            one, two = (await door.call("POST", "/api/subscriptions/audit/pull", {})).json
            assert [one["message_id"], two["message_id"]] == [first, second]
            assert (one["body"], one["key"], two["body"], two["headers"]) == ({"n": 1}, "a", 2, {"h": "v"})

            lease = {"message_id": first, "token": one["token"]}
            extended = await door.call("POST", "/api/subscriptions/audit/extend", {**lease, "lease_ms": 60_000})
            assert (extended.status, extended.json) == (200, {"message_id": first})
            assert (await door.call("POST", "/api/subscriptions/audit/ack", lease)).status == 200
            for verb, more in (("ack", {}), ("nack", {}), ("extend", {"lease_ms": 5})):
                answer = await door.call("POST", f"/api/subscriptions/audit/{verb}", {**lease, **more})
                answer.problem(409, "conflict")

            for attempt, again in ((1, True), (2, False)):
                back = {"message_id": second, "token": two["token"], "attempt": attempt, "error": "no", "delay_ms": 0}
                assert (await door.call("POST", "/api/subscriptions/audit/nack", back)).status == 200
                pulled = (await door.call("POST", "/api/subscriptions/audit/pull", {"limit": 1})).json
                assert bool(pulled) is again
                two = pulled[0] if pulled else two
            (dead,) = await door.get("/api/subscriptions/audit/dead-letters")
            assert (dead["message_id"], dead["error"], dead["status"]) == (second, "no", "dead")
            redriven = await door.call("POST", "/api/subscriptions/audit/redrive", {"message_id": second})
            assert redriven.status == 200
            (await door.call("POST", "/api/subscriptions/audit/redrive", {"message_id": second})).problem(
                409, "conflict"
            )
            (topic,) = await door.get("/api/topics")
            assert (topic["name"], topic["subscriptions"]) == ("orders", ["audit"])
            assert (topic["counts"]["published"], topic["counts"]["acked"], topic["counts"]["ready"]) == (2, 1, 1)

    asyncio.run(main())


def test_a_pull_waits_for_the_first_message() -> None:
    async def main() -> None:
        async with served(office()) as door:
            waiting = asyncio.create_task(door.call("POST", "/api/subscriptions/audit/pull", {"wait_s": 20}))
            await asyncio.sleep(0.05)
            await door.call("POST", "/api/topics/orders/messages", {"body": None})
            async with asyncio.timeout(5):
                (message,) = (await waiting).json
            assert message["body"] is None

    asyncio.run(main())


def test_topics_and_subscriptions_that_are_not_there_or_not_for_pulling() -> None:
    started = Subscription(name="count", topic="orders", start="count")

    async def main() -> None:
        async with served(office(), subscriptions=[started]) as door:
            (await door.call("POST", "/api/topics/none/messages", {"body": 1})).problem(404, "not-found")
            (await door.call("POST", "/api/topics/none/messages", [])).problem(404, "not-found")
            (await door.call("POST", "/api/topics/orders/messages", {})).problem(400, "invalid-input")
            (await door.call("POST", "/api/topics/orders/messages", [{"body": 1}] * 1_001)).problem(
                400, "invalid-input"
            )
            lease = {"message_id": "m", "token": "t"}
            for verb, body in (
                ("pull", {}),
                ("ack", lease),
                ("nack", lease),
                ("extend", {**lease, "lease_ms": 1}),
                ("redrive", {"message_id": "m"}),
            ):
                (await door.call("POST", f"/api/subscriptions/none/{verb}", body)).problem(404, "not-found")
            (await door.call("GET", "/api/subscriptions/none/dead-letters")).problem(404, "not-found")
            (await door.call("POST", "/api/subscriptions/count/pull", {})).problem(409, "conflict")
            (shown,) = await door.get("/api/subscriptions")
            assert (shown["name"], shown["start"], shown["filter"]) == ("count", "count", None)

    asyncio.run(main())


def test_routes_show_health_and_dispatches_why_they_went_where() -> None:
    target = Target(name="main", kind="http", url="http://127.0.0.1:9", key="env:SECRET_KEY_NAME", allow_private=True)
    route = Route(name="billing", targets=(target,), retry=RouteRetry(attempts=1))

    async def main() -> None:
        async with served(office(), routes=[route]) as door:
            with pytest.raises(DispatchFailed):
                await door.runtime.dispatch("billing", Call(path="/pay"), Caller())
            (dispatch,) = await door.get("/api/dispatches")
            assert (dispatch["route"], dispatch["status"]) == ("billing", "failed")
            assert [attempt["target"] for attempt in dispatch["attempts"]] == ["main"]
            assert dispatch["considered"][0]["picked"] is True
            shown = await door.get(f"/api/dispatches/{dispatch['id']}")
            assert dispatch.items() <= shown.items()
            assert "main gave no answer" in " ".join(shown["explanation"])
            assert await door.get("/api/dispatches?run=none") == []
            (await door.call("GET", "/api/dispatches/none")).problem(404, "not-found")
            (shown,) = await door.get("/api/routes")
            assert (shown["name"], shown["targets"][0]["ready"]) == ("billing", True)
            assert "SECRET_KEY_NAME" not in json.dumps(shown)
            models = await door.get("/v1/models")
            assert models["object"] == "list"

    asyncio.run(main())


def test_the_audit_log_can_be_verified_from_outside() -> None:
    """By the standards alone: none of our code checks it."""

    def canonical(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def leaf(entry: dict[str, Any]) -> bytes:
        claimed, salt = entry.pop("hash"), entry.pop("salt", None)
        told = entry["transition"]
        private = {name: told.pop(name) for name in ("actor", "detail") if name in told}
        assert (salt is None) == (not private)
        if salt is not None:
            assert hashlib.sha256(bytes.fromhex(salt) + canonical(private)).hexdigest() == entry["private"]
        digest = hashlib.sha256(b"\x00" + canonical(entry)).hexdigest()
        assert digest == claimed
        return bytes.fromhex(digest)

    def root(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()

    async def main() -> None:
        async with served(office()) as door:
            run_id = await start(door, "count", 1)
            await door.runtime.engine.ended(run_id)
            head, leaves = await door.get("/api/audit/head"), list[bytes]()
            while entries := await door.get(f"/api/audit?after={len(leaves)}&limit=2"):
                leaves += [leaf(entry) for entry in entries]
            assert (len(leaves), root(leaves).hex()) == (head["position"], head["root"])
            made = (await door.call("POST", "/api/audit/checkpoint", {})).json
            assert made["note"].split("\n")[2] == base64.b64encode(root(leaves)).decode()
            assert await door.get("/api/audit/checkpoint") == made
            event = (await door.send(type="none")).json["id"]
            tree = await door.get(f"/api/audit?correlation={event}")
            assert [entry["transition"]["kind"] for entry in tree] == ["event.accepted"]
            grown = await door.get("/api/audit/consistency?first=2")
            assert (grown["second"], grown["first_root"]) == (len(leaves) + 1, root(leaves[:2]).hex())
            (await door.call("GET", "/api/audit/consistency?first=99")).problem(400, "invalid-input")
            (await door.call("GET", "/api/audit/99/proof")).problem(400, "invalid-input")
            (await door.call("GET", "/api/audit/x/proof")).problem(400, "invalid-input")
            redacted = (await door.call("POST", "/api/audit/1/redact", {"reason": "asked to", "by": "dpo"})).json
            assert "actor" not in redacted["transition"]
            (found,) = await door.get("/api/audit?kind=audit.redacted&actor=dpo")
            assert found["transition"]["detail"] == {"reason": "asked to"}

    asyncio.run(main())


def test_mappings_are_shown_as_they_were_written() -> None:
    router = office()
    router.on({"type": ["t"]}, start="count", name="one", input={"n": "${ event.data.n }"})

    async def main() -> None:
        async with served(router) as door:
            (mapping,) = await door.get("/api/mappings")
            assert (mapping["name"], mapping["version"], mapping["rule"]["on"]) == ("one", 1, {"type": ["t"]})

    asyncio.run(main())


def test_metrics_count_by_endpoint_and_never_by_what_callers_send() -> None:
    async def main() -> None:
        async with served(office()) as door:
            for path in ("/api/runs/a", "/api/runs/b", "/a", "/b", '/c"}%0A'):
                await door.call("GET", path)
            answer = await door.call("GET", "/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            lines = answer.body.decode().splitlines()
            requests = [line for line in lines if line.startswith("workflow_router_http_requests_total{")]
            name = "workflow_router_http_requests_total"
            assert requests == [
                f'{name}{{method="",endpoint="other",status="404"}} 3',
                f'{name}{{method="GET",endpoint="/api/runs/{{run_id}}",status="404"}} 2',
            ]
            assert "workflow_router_backlog 0.0" in lines
            families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
            assert len(families) == len(set(families)) >= 5

    asyncio.run(main())


def test_readiness_ends_before_the_process_does() -> None:
    async def main() -> None:
        async with served(office()) as door:
            assert await door.get("/readyz") == {"status": "ready"}
            door.api.close()
            answer = await door.call("GET", "/readyz")
            answer.problem(503, "store-unavailable")
            assert answer.headers["retry-after"] == "1"
            assert await door.get("/healthz") == {"status": "ok"}

    asyncio.run(main())
