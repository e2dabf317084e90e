"""Owns which addresses a call may leave for. Refuses to connect: it looks a name up once and says what may be used.

Only global unicast addresses are reached, unless the target allows private ones. Link-local, multicast, unspecified and
reserved addresses and the metadata services of clouds are never reached. An IPv6 address that carries an IPv4 address
(mapped, compatible, 6to4, Teredo, NAT64) is judged by that one.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from workflow_router.core.dispatch_route.ports import TransportFailed

Lookup = Callable[[str, int], Awaitable[list[str]]]

_PRIVATE = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
_METADATA = frozenset(ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254"))
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


async def system_lookup(host: str, port: int) -> list[str]:
    """Addresses by the system's resolver, in its order. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses(host: str, port: int, *, allow_private: bool, lookup: Lookup) -> list[str]:
    """Look `host` up once and return its addresses, all of which may be reached.

    Raises TransportFailed where one of them may not: a name that mixes both kinds is not to be trusted with either.
    """
    found = await lookup(host, port)
    for address in found:
        check(host, address, allow_private=allow_private)
    return found


def check(host: str, address: str, *, allow_private: bool) -> None:
    """Raise TransportFailed where `address`, which `host` stands for, may not be reached."""
    reason = refusal(address, allow_private=allow_private)
    if reason is not None:
        hint = "; set allow_private on the target if it is meant" if reason == "private" else ""
        raise TransportFailed("refused", f"{host} is at the {reason} address {address}{hint}", sent=False)


@lru_cache(maxsize=1024)
def literal(host: str) -> str | None:
    """The address that `host` is, if it is one."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def refusal(address: str, *, allow_private: bool) -> str | None:
    """Why `address` may not be reached, in a word; None where it may."""
    try:
        outer = ip_address(address)
    except ValueError:
        return "malformed"
    ip = _carried(outer)
    if ip in _METADATA:
        return "metadata"
    if ip.is_multicast or ip.is_unspecified or ip.is_link_local:
        return "multicast" if ip.is_multicast else "unspecified" if ip.is_unspecified else "link-local"
    if any(ip in network for network in _PRIVATE):
        return None if allow_private else "private"
    return None if ip.is_global else "reserved"


def _carried(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip
