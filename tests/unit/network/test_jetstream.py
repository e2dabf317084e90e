"""Bridges to a real NATS server: both ways, marks, order, refusals, and what is warned of."""

import asyncio
import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fixtures.nats import NatsServer, nats_server
from tests.fixtures.postgres import PostgresServer
from tests.unit.network.bridge_kit import STREAM, bodies, bridged, in_stream, jetstream, link, sent, until
from workflow_router import Router
from workflow_router.core.message_broker.bridge_ports import Bridge, LinkDown, LinkRefused, Outgoing
from workflow_router.core.runtime import Runtime
from workflow_router.db.open import migrate_store
from workflow_router.network.jetstream_checks import Server, judge_servers

OUT = Bridge(name="out", topic="orders", to="orders.${ message.key }", server="n")
IN = Bridge(name="in", topic="orders", source="orders.>", server="n")


@pytest.fixture
def server(tmp_path: Path) -> Generator[NatsServer, None, None]:
    with nats_server(tmp_path) as one:
        yield one


async def arrived(runtime: Runtime, topic: str, count: int) -> list[bytes]:
    async def look() -> list[bytes] | None:
        found = await bodies(runtime, topic)
        return found if len(found) >= count else None

    return await until(look)


def test_messages_go_out_in_the_order_of_their_keys_with_their_headers(server: NatsServer) -> None:
    async def main() -> None:
        router = Router("r")
        async with bridged(router, "sqlite://", (OUT, link([server]))) as runtime:
            ids = await asyncio.gather(
                *(router.publish("orders", n, key=f"k{n % 5}", headers={"ce-type": "order"}) for n in range(100))
            )
            await sent(runtime, "out", 100)
            async with jetstream(server) as js:
                found = await in_stream(js)
        for key in range(5):
            of_key = [json.loads(one.data) for one in found if one.subject == f"orders.k{key}"]
            assert of_key == list(range(key, 100, 5))
        by_id = {(one.headers or {})["wr-id"]: one for one in found}
        assert sorted(by_id) == sorted(ids)
        headers = by_id[ids[3]].headers or {}
        assert headers["ce-type"] == "order"
        assert headers["wr-key"] == "k3"
        assert headers["Nats-Msg-Id"] == f"out:{ids[3]}"

    asyncio.run(main())


def test_a_bridge_sends_what_passes_its_filter_as_a_cloudevent(server: NatsServer) -> None:
    bridge = Bridge(
        name="out", topic="orders", to="orders.eu", filter=b'{"body": {"region": ["eu"]}}', cloudevents=True
    )

    async def main() -> None:
        router = Router("r")
        async with bridged(router, "sqlite://", (bridge, link([server]))) as runtime:
            await router.publish("orders", {"region": "us"})
            message_id = await router.publish("orders", {"region": "eu"})
            await sent(runtime, "out", 1)
            async with jetstream(server) as js:
                (one,) = await in_stream(js)
        headers = one.headers or {}
        assert (headers["ce-id"], headers["ce-source"], headers["ce-specversion"]) == (
            message_id,
            "/topics/orders",
            "1.0",
        )

    asyncio.run(main())


def test_what_comes_in_becomes_exactly_one_message_with_its_attributes(server: NatsServer) -> None:
    async def main() -> None:
        router = Router("r")
        async with bridged(router, "sqlite://", (IN, link([server], source="orders.>"))) as runtime:
            async with jetstream(server) as js:
                await until(lambda: _stream_is_there(js))
                for data, headers in (
                    (b'{"n": 1}', {"wr-key": "a%20b", "ce-type": "order", "reply-run": "forged"}),
                    (b"plain text", {}),
                    (b"\xff\x00", {}),
                    (
                        b'{"specversion": "1.0", "id": "7", "type": "t", "source": "s", "data": {"x": 1}}',
                        {"Content-Type": "application/cloudevents+json"},
                    ),
                ):
                    await js.publish("orders.x", data, headers=headers)
                await arrived(runtime, "orders", 4)
            found = await runtime.broker.peek("orders")
        assert [one.body for one in found] == [b'{"n": 1}', b'"plain text"', b'"/wA="', b'{"x":1}']
        assert found[0].key == "a b"
        assert found[0].headers == {"ce-type": "order", "wr-from": "in orders.x"}
        assert found[2].headers["content-type"] == "application/octet-stream"
        assert found[3].headers["ce-id"] == "7"

    asyncio.run(main())


def test_a_key_that_the_store_could_not_keep_does_not_hold_up_a_bridge(
    server: NatsServer, postgres: PostgresServer
) -> None:
    store = postgres.dsn(postgres.create_database())

    async def main() -> None:
        await migrate_store(store)
        async with bridged(Router("r"), store, (IN, link([server], source="orders.>"))) as runtime:
            async with jetstream(server) as js:
                await until(lambda: _stream_is_there(js))
                await js.publish("orders.x", b"1", headers={"wr-key": "a%00b", "wr-correlation": "%00"})
                await js.publish("orders.x", b"2", headers={"wr-key": "c"})
                await arrived(runtime, "orders", 2)
            assert [one.key for one in await runtime.broker.peek("orders")] == ["a%00b", "c"]

    asyncio.run(main())


async def _stream_is_there(js: object) -> bool:
    try:
        await js.stream_info(STREAM)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  given as what jetstream() yields
    except Exception:  # noqa: BLE001  it is not there yet
        return False
    return True


def test_text_and_bytes_go_out_as_they_came_in() -> None:
    import msgspec

    from workflow_router.core.message_broker.bridge_ports import Incoming
    from workflow_router.core.message_broker.bridged import body_of, message_of
    from workflow_router.core.message_broker.tokens import leased

    for data in (b"plain \xc3\xa9", b"\xff\x00\x01", b'{"a": 1}', b'"\\u0000"', b"a\x00b", b""):
        message = message_of(
            IN, Incoming(origin="o", position=1, place="p", headers={}, body=data), "1", deduplication_ms=0
        )
        delivery = msgspec.structs.replace(leased("s", "1", "t.1"), body=message.body, headers=message.headers)
        assert body_of(delivery) == data


def test_a_bridge_both_ways_has_no_echo(server: NatsServer) -> None:
    both = Bridge(name="both", topic="orders", to="orders.x", source="orders.>", server="n")

    async def main() -> None:
        router = Router("r")
        async with bridged(router, "sqlite://", (both, link([server], source="orders.>"))) as runtime:
            await router.publish("orders", "ours")
            await sent(runtime, "both", 1)
            async with jetstream(server) as js:
                await js.publish("orders.x", b'"theirs"')
                await arrived(runtime, "orders", 2)
                await router.publish("orders", "last")

                async def settled() -> bool:
                    state = (await runtime.broker.bridges.states())["both"]
                    return (state.sent, state.received, state.echoes) == (2, 1, 3)

                await until(settled)
                found = [one.data for one in await in_stream(js)]
            assert sorted(await bodies(runtime, "orders")) == [b'"last"', b'"ours"', b'"theirs"']
        assert sorted(found) == [b'"last"', b'"ours"', b'"theirs"']

    asyncio.run(main())


def test_what_nats_refuses_becomes_a_dead_letter_and_the_next_of_its_key_goes(server: NatsServer) -> None:
    async def main() -> None:
        router = Router("r")
        bridge = Bridge(name="out", topic="orders", to="orders.${ message.body.place }")
        async with bridged(router, "sqlite://", (bridge, link([server]))) as runtime:
            await router.publish("orders", {"place": "a", "x": "x" * 2_000_000}, key="k")
            await router.publish("orders", {"place": "a b"}, key="k")
            await router.publish("orders", {"noplace": 1}, key="k")
            await router.publish("orders", {"place": "good"}, key="k")
            await sent(runtime, "out", 1)
            dead = await runtime.redelivery.dead_letters("out")
            assert ["max_payload" in (one.error or "") for one in dead] == [True, False, False]
            async with jetstream(server) as js:
                assert [one.subject for one in await in_stream(js)] == ["orders.good"]

    asyncio.run(main())


def test_messages_wait_for_a_server_that_is_away_and_are_not_used_up(tmp_path: Path, server: NatsServer) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def main() -> None:
        router = Router("r")
        async with bridged(router, url, (OUT, link([server]))) as runtime:
            await router.publish("orders", 0, key="a")
            await sent(runtime, "out", 1)
            server.kill()
            for n in range(1, 20):
                await router.publish("orders", n, key="a")

            async def stands_still() -> bool:
                return (await runtime.broker.bridges.states())["out"].error is not None

            await until(stands_still)
        async with bridged(router, url, (OUT, link([server]))) as runtime:  # the router restarts meanwhile, too
            server.start()
            await sent(runtime, "out", 20)
            state = (await runtime.broker.bridges.states())["out"]
            assert state.error is None
            assert state.epoch > 1
            async with jetstream(server) as js:
                assert [json.loads(one.data) for one in await in_stream(js)] == list(range(20))

    asyncio.run(main())


def test_a_message_that_is_sent_again_is_known_by_the_stream(server: NatsServer) -> None:
    async def main() -> None:
        one = link([server])
        await one.open(receiving=False)
        message = Outgoing("b:1", "orders.x", {}, b"1")
        assert await one.send(message) is True
        assert await one.send(message) is False
        with pytest.raises(LinkRefused):
            await one.send(Outgoing("b:2", "orders.*", {}, b"1"))
        with pytest.raises(LinkDown):
            await one.send(Outgoing("b:3", "elsewhere", {}, b"1"))
        await one.close()
        with pytest.raises(LinkDown):
            await one.send(message)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sync", "given", "said"),
    [
        ("always", {"system": True}, []),
        ("120s", {"system": True}, ["writes to disk every 120 s"]),
        ("120s", {"synced": False}, ["could not be asked"]),
        ("120s", {"outage_s": 7_200.0}, ["knows a message again for 3600 s only"]),
    ],
)
def test_what_a_power_cut_or_a_long_outage_would_cost_is_said(
    tmp_path: Path, sync: str, given: dict[str, object], said: list[str]
) -> None:
    async def main(server: NatsServer) -> list[str]:
        one = link([server])
        await one.open(receiving=False)  # which creates the stream
        await one.close()
        options = {**given, **({"system": server.system_url} if given.get("system") else {})}
        two = link([server], **options)
        warnings = await two.open(receiving=False)
        await two.close()
        return list(warnings)

    with nats_server(tmp_path, sync=sync) as server:
        warnings = asyncio.run(main(server))
    assert len(warnings) == len(said)
    assert all(part in warning for part, warning in zip(said, warnings, strict=True))


def test_a_server_without_jetstream_is_not_warned_of() -> None:
    assert judge_servers([Server.of(b'{"data": {"server_name": "leaf"}}'), Server.of(b"no json")], synced=False) == []
