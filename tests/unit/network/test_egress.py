"""Which addresses may be reached, as a table, and that a name is looked up once and connected to as checked."""

import asyncio

import pytest

from tests.fixtures.raw_server import always, answer, serving
from workflow_router.core.dispatch_route.model import Timeouts
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.network.egress import addresses, literal, refusal
from workflow_router.network.http import HttpTransport


def outgoing(url: str, *, allow_private: bool = False) -> Outgoing:
    return Outgoing(
        method="GET",
        url=url,
        headers=(),
        body=b"",
        timeouts=Timeouts(),
        allow_private=allow_private,
        answer_max_bytes=1_000_000,
    )


@pytest.mark.parametrize(
    ("address", "reason", "reason_if_private_is_allowed"),
    [
        ("93.184.216.34", None, None),
        ("2606:2800:220:1:248:1893:25c8:1946", None, None),
        ("127.0.0.1", "private", None),
        ("127.255.255.254", "private", None),
        ("10.1.2.3", "private", None),
        ("172.16.0.1", "private", None),
        ("172.32.0.1", None, None),
        ("192.168.1.1", "private", None),
        ("100.64.0.1", "private", None),
        ("::1", "private", None),
        ("fc00::1", "private", None),
        ("fd12::1", "private", None),
        ("169.254.1.1", "link-local", "link-local"),
        ("169.254.169.254", "metadata", "metadata"),
        ("100.100.100.200", "metadata", "metadata"),
        ("fd00:ec2::254", "metadata", "metadata"),
        ("fe80::1", "link-local", "link-local"),
        ("fe80::1%eth0", "link-local", "link-local"),
        ("0.0.0.0", "unspecified", "unspecified"),  # noqa: S104  judged here, not bound to
        ("0.1.2.3", "reserved", "reserved"),
        ("::", "unspecified", "unspecified"),
        ("224.0.0.1", "multicast", "multicast"),
        ("ff02::1", "multicast", "multicast"),
        ("240.0.0.1", "reserved", "reserved"),
        ("255.255.255.255", "reserved", "reserved"),
        ("192.0.2.1", "reserved", "reserved"),
        ("198.18.0.1", "reserved", "reserved"),
        ("2001:db8::1", "reserved", "reserved"),
        ("::ffff:127.0.0.1", "private", None),
        ("::ffff:169.254.169.254", "metadata", "metadata"),
        ("::ffff:a9fe:a9fe", "metadata", "metadata"),
        ("::ffff:93.184.216.34", None, None),
        ("::127.0.0.1", "private", None),
        ("64:ff9b::7f00:1", "private", None),
        ("64:ff9b::a9fe:a9fe", "metadata", "metadata"),
        ("2002:7f00:1::1", "private", None),
        ("2002:a9fe:a9fe::1", "metadata", "metadata"),
        ("2001:0:4136:e378:8000:63bf:8000:fffe", "private", None),
        ("not an address", "malformed", "malformed"),
    ],
)
def test_addresses_are_judged(address: str, reason: str | None, reason_if_private_is_allowed: str | None) -> None:
    assert refusal(address, allow_private=False) == reason
    assert refusal(address, allow_private=True) == reason_if_private_is_allowed


def test_literals_are_recognised() -> None:
    assert literal("[::1]") == "::1"
    assert literal("127.0.0.1") == "127.0.0.1"
    assert literal("localhost") is None
    assert literal("127.1") is None


def test_a_name_with_one_forbidden_address_is_refused() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(TransportFailed, match=r"refused: example\.com is at the private address 10\.0\.0\.1"):
        asyncio.run(addresses("example.com", 80, allow_private=False, lookup=lookup))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "017700000001"],
)
def test_no_spelling_of_a_private_address_is_reached(host: str) -> None:
    async def main() -> None:
        async with serving(always(answer(b"secret"))) as server:
            transport = HttpTransport()
            try:
                with pytest.raises(TransportFailed) as failed:
                    await transport.send(outgoing(f"http://{host}:{server.port}/"))
            finally:
                await transport.close()
            assert failed.value.kind in {"refused", "connect"}
            assert not failed.value.sent
            assert server.connections == 0

    asyncio.run(main())


def test_rebinding_meets_the_address_that_was_checked() -> None:
    """The name's answer changes after the check. One look-up serves check and connection; the next is checked again."""
    asked: list[str] = []

    async def main() -> None:
        async with serving(always(answer(b"public")), host="127.0.0.2") as first:

            async def lookup(host: str, port: int) -> list[str]:
                asked.append(host)
                return ["127.0.0.2"] if len(asked) == 1 else ["169.254.169.254"]

            transport = HttpTransport(lookup)
            try:
                reply = await transport.send(outgoing(f"http://rebind.test:{first.port}/", allow_private=True))
                assert await reply.chunk() == b"public"
                assert asked == ["rebind.test"]
                with pytest.raises(TransportFailed, match=r"refused: rebind\.test is at the metadata address"):
                    await transport.send(outgoing(f"http://rebind.test:{first.port + 1}/", allow_private=True))
            finally:
                await transport.close()
            assert first.connections == 1
            assert first.requests[0].header("host") == f"rebind.test:{first.port}"

    asyncio.run(main())


def test_a_connection_of_a_private_target_serves_no_other() -> None:
    async def main() -> None:
        async with serving(always(answer(b"ok"))) as server:

            async def lookup(host: str, port: int) -> list[str]:
                return ["127.0.0.1"]

            transport = HttpTransport(lookup)
            try:
                reply = await transport.send(outgoing(f"http://name.test:{server.port}/", allow_private=True))
                assert await reply.chunk() == b"ok"
                assert await reply.chunk() == b""
                with pytest.raises(TransportFailed, match="private address"):
                    await transport.send(outgoing(f"http://name.test:{server.port}/"))
            finally:
                await transport.close()
            assert len(server.requests) == 1

    asyncio.run(main())
