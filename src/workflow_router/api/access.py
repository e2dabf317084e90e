"""Owns who may call: holders of a key where keys are configured, else whoever is on this machine.

Refuses web pages: without keys, a browser could be made to call on behalf of a page (cross-site request, DNS
rebinding), so a foreign Origin and a Host that is not ours are turned away.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping

from workflow_router.api.asgi import Headers
from workflow_router.core.errors import Forbidden, Unauthorized

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Access:
    """Decides who calls.

    Args:
        keys: SHA-256 of each key, in hex, to its name; None lets in whoever reaches the port.
        hosts: names under which the port may be called where there are no keys.
    """

    def __init__(self, keys: Mapping[str, str] | None, hosts: Collection[str] = LOOPBACK) -> None:
        self._keys = None if keys is None else [(bytes.fromhex(digest), name) for digest, name in keys.items()]
        self._hosts = frozenset(hosts)

    def identify(self, headers: Headers) -> str | None:
        """Name of the caller's key; None where no keys are configured. Raises Unauthorized, Forbidden."""
        if self._keys is None:
            self._refuse_pages(headers)
            return None
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        if scheme.lower() == b"bearer":
            digest = hashlib.sha256(token.strip()).digest()
            found = None
            for known, name in self._keys:  # all of them, so that the time tells nothing
                if hmac.compare_digest(known, digest):
                    found = name
            if found is not None:
                return found
        raise Unauthorized("This needs a key.", remedy="Send the header Authorization: Bearer KEY.")

    def _refuse_pages(self, headers: Headers) -> None:
        host = origin = ""
        for name, value in headers:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
        if host and _without_port(host) not in self._hosts:
            raise Forbidden("The Host header names another host.", remedy="Call 127.0.0.1, or configure keys.")
        if origin and origin.partition("://")[2] != host:
            raise Forbidden("A page of another site may not call this.", remedy="Call it from a program.")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
