"""A project that is bridged to a real NATS server: declared in `router.yaml`, seen by its doors and by `wr`."""

import asyncio
import json
from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from tests.fixtures.nats import NatsServer, nats_server
from tests.fixtures.serving import request, served, wr
from tests.unit.network.bridge_kit import in_stream, jetstream, until
from workflow_router.core.errors import InvalidProject
from workflow_router.settings import bridges_of, load_project

JSON = {"content-type": "application/json"}
FILE = """\
name: shop
topics: {orders: {}, answers: {}}
bridges:
  - name: orders-out
    topic: orders
    servers: {env: NATS_URL}
    system: {env: NATS_SYSTEM}
    stream: ORDERS
    create: true
    send: orders.${ message.key }
  - name: answers-in
    topic: answers
    servers: {env: NATS_URL}
    stream: ORDERS
    receive: orders.>
    synced: true
"""


def test_a_declared_bridge_is_seen_by_its_doors(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "router.yaml").write_text(FILE)
    with nats_server(tmp_path, sync="120s") as server:
        environ = {"NATS_URL": server.url, "NATS_SYSTEM": server.system_url}
        with served(folder, environ) as url:
            body = json.dumps([{"body": n, "key": "eu"} for n in range(3)]).encode()
            assert request(url, "POST", "/api/topics/orders/messages", body, JSON)[0] < 300

            async def main() -> None:
                async def look() -> bool:
                    out, back = json.loads(request(url, "GET", "/api/bridges")[1])
                    return (out["sent"], back["received"]) == (3, 3)

                await until(look)
                async with jetstream(server) as js:
                    assert [one.data for one in await in_stream(js)] == [b"0", b"1", b"2"]

            asyncio.run(main())
            out, _ = json.loads(request(url, "GET", "/api/bridges")[1])
            assert (out["name"], out["lag"], out["error"], out["dead"]) == ("orders-out", 0, None, 0)
            assert "writes to disk every 120 s" in out["warnings"][0]
            assert b'workflow_router_bridge_sent{bridge="orders-out"} 3' in request(url, "GET", "/metrics")[1]
            assert request(url, "GET", "/api/bridges/none")[0] == 404
            assert request(url, "POST", "/api/subscriptions/orders-out/pull", b"{}", JSON)[0] == 409
            assert "orders-out" in wr("bridges", url=url).stdout
            assert json.loads(wr("bridges", "show", "orders-out", "--json", url=url).stdout)["sent"] == 3
            _meets_an_outage(server, url)


def _meets_an_outage(server: NatsServer, url: str) -> None:
    server.kill()
    request(url, "POST", "/api/topics/orders/messages", b'[{"body": 3, "key": "eu"}]', JSON)

    async def look() -> bool:
        found = json.loads(request(url, "GET", "/api/bridges/orders-out")[1])
        return found["error"] is not None and found["lag"] + found["in_flight"] == 1

    asyncio.run(until(look))
    shown = wr("bridges", url=url).stdout
    assert "NATS" in shown
    assert "app:app" not in shown  # no password in an error


FROM_NATS = """\
name: shop
topics: {orders: {}}
bridges:
  - {name: in, topic: orders, servers: {env: NATS_URL}, stream: ORDERS, receive: orders.>, synced: true}
sources:
  orders: {topic: orders, type: '${ message.headers["wr-from"].endsWith(".paid") ? "shop.paid" : "shop.open" }'}
mappings:
  - name: paid
    on: {type: [shop.paid], data: {total: [{numeric: [">", 10]}]}}
    start: pack
    input: ${ event.data.total }
"""
PACK = """\
from workflow_router import Router

router = Router("shop")


@router.workflow
async def pack(total: int) -> int:
    return total + 1
"""


def test_what_is_published_to_a_subject_elsewhere_becomes_an_event_and_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "router.yaml").write_text(FROM_NATS)
    (folder / "workflows.py").write_text(PACK)
    with nats_server(tmp_path) as server:

        async def make() -> None:
            async with jetstream(server) as js:
                await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"]))  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped

        asyncio.run(make())
        with served(folder, {"NATS_URL": server.url}) as url:
            asyncio.run(_sends_from_elsewhere(server, url))


async def _sends_from_elsewhere(server: NatsServer, url: str) -> None:
    async with jetstream(server) as js:
        for subject, total in (("orders.paid", 7), ("orders.open", 70), ("orders.paid", 41)):
            await js.publish(subject, json.dumps({"total": total}).encode())

    async def ended() -> object:
        runs = json.loads(request(url, "GET", "/api/runs")[1])["runs"]
        return [one for one in runs if one["status"] == "completed"]

    (run,) = await until(ended)
    shown = json.loads(request(url, "GET", f"/api/runs/{run['id']}")[1])
    assert shown["output"] == 42
    events = json.loads(request(url, "GET", "/api/events")[1])["events"]
    assert sorted((one["type"], one["matched"]) for one in events) == [
        ("shop.open", []),
        ("shop.paid", []),
        ("shop.paid", ["paid@1"]),
    ]


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("{name: b, topic: orders, servers: 'nats://h', stream: S}", "goes nowhere"),
        ("{name: b, topic: other, servers: 'nats://h', stream: S, send: x}", "no topic `other`"),
        ("{name: b, topic: orders, servers: 'nats://h', stream: a.b, send: x}", "not a name of letters"),
        ("{name: b, topic: orders, servers: 'nats://h', stream: S, send: '${ nothing.x }'}", "nothing"),
        ("{name: s, topic: orders, servers: 'nats://h', stream: S, send: x}", "is a subscription, too"),
        ("{name: b, topic: orders, servers: {file: a, env: B}, stream: S, send: x}", "names 2 of env, file"),
        ("{name: b, topic: orders, servers: 'nats://h', stream: S, send: x, filter: {body: {a: 1}}}", "filter"),
        ("{name: b, topic: orders, servers: 'nats://h', stream: S, send: x, begin: '2026-02-31T00:00:00Z'}", "no time"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, said: str, mistake: str) -> None:
    (tmp_path / "router.yaml").write_text(
        f"name: x\ntopics: {{orders: {{}}}}\nsubscriptions: [{{name: s, topic: orders}}]\nbridges:\n  - {said}\n"
    )
    with pytest.raises(InvalidProject) as caught:
        load_project(tmp_path)
    (one,) = caught.value.mistakes
    assert mistake in one.message
    assert one.line == 5


def test_a_password_in_the_file_is_warned_of_and_subjects_follow_what_is_sent(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(
        FILE.replace(
            "servers: {env: NATS_URL}\n    system: {env: NATS_SYSTEM}", "servers: 'nats://a:b@h, nats://h2'", 1
        )
    )
    project = load_project(tmp_path, environ={"NATS_URL": "nats://h3"})
    assert ["holds a password" in one.message for one in project.warnings] == [True]
    (bridge, _, out), (_, _, received) = bridges_of(project, environ={"NATS_URL": "nats://h3"})
    assert (out.servers, out.subjects, out.durable) == (("nats://a:b@h", "nats://h2"), ("orders.>",), "shop-orders-out")
    assert bridge.to == "orders.${ message.key }"
    assert (received.servers, received.subjects) == (("nats://h3",), ())
