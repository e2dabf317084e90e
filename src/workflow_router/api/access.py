"""Owns who calls: the holder of a key or token, or, where no credential is configured, whoever is on this machine.

Refuses web pages: without credentials, a browser could be made to call on behalf of a page (cross-site request, DNS
rebinding), so a foreign Origin and a Host that is not ours are turned away. A credential that is shown is always
checked: a wrong one never counts as none.
"""

import hashlib
from collections.abc import Collection, Mapping

from workflow_router.api.asgi import Headers
from workflow_router.core.access.keys import PREFIX, AccessKeys
from workflow_router.core.access.model import EVERYTHING, LOCAL, Identity
from workflow_router.core.access.ports import Tokens
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.dispatch_route.live import PREFIX as VIRTUAL
from workflow_router.core.dispatch_route.live import Key, Live
from workflow_router.core.errors import Forbidden, Unauthorized

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_JWT = "eyJ"  # how the header of a JSON Web Token begins: `{"` in base64
_SHOWN = frozenset({b"authorization", b"x-api-key"})
_VIRTUAL_SCOPES = frozenset({"dispatch", "dispatches:read"})


class Access:
    """Decides who calls.

    Args:
        live: the virtual keys of the gateway.
        keys: the API keys that were made while the router runs.
        refusals: is told of whom was refused what.
        configured: SHA-256 of each key of `router.yaml`, in hex, to its name; they may do everything.
        tokens: checks tokens of an issuer, where there is one.
        hosts: names under which the port may be called where there are no credentials.
    """

    def __init__(
        self,
        live: Live,
        keys: AccessKeys,
        refusals: Refusals,
        configured: Mapping[str, str] | None = None,
        tokens: Tokens | None = None,
        hosts: Collection[str] = LOOPBACK,
    ) -> None:
        self._live = live
        self.keys = keys
        self.refusals = refusals
        self._configured = {digest: _of_settings(name) for digest, name in (configured or {}).items()}
        self._tokens = tokens
        self._hosts = frozenset(hosts)

    @property
    def asks(self) -> bool:
        """Whether callers have to show a credential. Once they have to, that stays so until the process ends."""
        return bool(self._configured) or self.keys.any or self._tokens is not None

    async def identify(self, headers: Headers) -> Identity:
        """Who calls. Raises Unauthorized, Forbidden."""
        token = token_of(headers)
        if self._configured and token:
            # By the digest in a table: nobody can choose a digest, so how long it takes to find one tells nothing.
            found = self._configured.get(hashlib.sha256(token.encode("latin-1")).hexdigest())
            if found is not None:
                return found
        if token.startswith(PREFIX):
            return self.keys.identify(token)
        if token.startswith(VIRTUAL):
            return _of_virtual(self.virtual_key(token))
        if self._tokens is not None and token.startswith(_JWT):
            return await self._tokens.identify(token)
        if not self.asks:  # what is shown then is none of ours: clients of model providers always send something
            self._refuse_pages(headers)
            return LOCAL
        raise Unauthorized(
            "There is no such key." if token else "This needs a key.",
            remedy="Send the header Authorization: Bearer KEY.",
        )

    def virtual_key(self, token: str) -> Key:
        """The virtual key that was shown. Raises Unauthorized."""
        key = self._live.key_of(token)
        if key is None:
            raise Unauthorized("There is no such key.", remedy="Send one made with `wr keys create`.")
        return key

    async def admit(self, headers: Headers) -> Identity | None:
        """Let a caller of the gateway in; None for the holder of a virtual key. It needs a key once there are some.

        Raises Unauthorized, Forbidden.
        """
        token = token_of(headers)
        if token.startswith(VIRTUAL):
            self.virtual_key(token)
            return None
        identity = await self.identify(headers)
        if identity is LOCAL and self._live.asks_for_keys:
            raise Unauthorized("This needs a key.", remedy="Send the header Authorization: Bearer KEY.")
        if not identity.may("dispatch"):
            raise Forbidden("This needs the scope dispatch.", remedy="Use a credential that has it.", needs="dispatch")
        return identity

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


def token_of(headers: Headers) -> str:
    """What was shown as a credential: the bearer token, or `x-api-key` as Anthropic's clients send it."""
    token = ""
    for name, value in headers:
        if name not in _SHOWN:
            continue
        text = value.decode("latin-1")
        if name == b"authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
        if name == b"x-api-key":
            token = text.strip()
    return token


def _of_settings(name: str) -> Identity:
    return Identity(id=f"settings:{name}", kind="settings key", name=name, roles=("admin",), scopes=EVERYTHING)


def _of_virtual(key: Key) -> Identity:
    return Identity(
        id=f"virtual:{key.name}", kind="virtual key", name=key.name, tenant=key.tenant, scopes=_VIRTUAL_SCOPES
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
