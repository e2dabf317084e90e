"""Owns who calls: the holder of a key or token, or, where no credential is configured, whoever is on this machine.

Refuses web pages: without credentials, a browser could be made to call on behalf of a page (cross-site request, DNS
rebinding), so a foreign Origin and a Host that is not ours are turned away. A credential that is shown is always
checked: a wrong one never counts as none.
"""

import hashlib
from collections.abc import Collection, Mapping

import msgspec

from workflow_router.api.asgi import Headers
from workflow_router.core.access.keys import PREFIX, AccessKeys
from workflow_router.core.access.model import EVERYTHING, LOCAL, Identity
from workflow_router.core.access.ports import Tokens
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.access.sessions import Session, Sessions, SignIn
from workflow_router.core.dispatch_route.live import PREFIX as VIRTUAL
from workflow_router.core.dispatch_route.live import Key, Live
from workflow_router.core.errors import Forbidden, Unauthorized

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_JWT = "eyJ"  # how the header of a JSON Web Token begins: `{"` in base64
COOKIE = "wr_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ORIGINS = frozenset({b"sec-fetch-site", b"origin", b"host"})
_SHOWN = frozenset({b"authorization", b"x-api-key"})
_VIRTUAL_SCOPES = frozenset({"dispatch", "dispatches:read"})


class Access:
    """Decides who calls.

    Args:
        live: the virtual keys of the gateway.
        keys: the API keys that were made while the router runs.
        refusals: is told of whom was refused what.
        sessions: of browsers that have shown a credential.
        configured: SHA-256 of each key of `router.yaml`, in hex, to its name; they may do everything.
        tokens: checks tokens of an issuer, where there is one.
        hosts: names under which the port may be called where there are no credentials.
    """

    def __init__(
        self,
        live: Live,
        keys: AccessKeys,
        refusals: Refusals,
        sessions: Sessions,
        configured: Mapping[str, str] | None = None,
        tokens: Tokens | None = None,
        hosts: Collection[str] = LOOPBACK,
    ) -> None:
        self._live = live
        self.keys = keys
        self.refusals = refusals
        self.sessions = sessions
        self.login: SignIn | None = None
        self._configured = {digest: _of_settings(name) for digest, name in (configured or {}).items()}
        self._tokens = tokens
        self._hosts = frozenset(hosts)

    @property
    def asks(self) -> bool:
        """Whether callers have to show a credential. Once they have to, that stays so until the process ends."""
        return bool(self._configured) or self.keys.any or self._tokens is not None

    async def identify(self, headers: Headers, method: str | None = None) -> Identity:
        """Who calls. Raises Unauthorized, Forbidden.

        Args:
            method: of the request; None where a browser's session does not count.
        """
        token = token_of(headers)
        if not token and method is not None and self.asks and (given := cookie_of(headers)):
            refuse_other_sites(headers, method)
            return self.of_session(self.sessions.find(given))
        if token or self.asks:
            known = await self.of_token(token)
            if known is not None:
                return known
        if not self.asks:  # what is shown then is none of ours: clients of model providers always send something
            self._refuse_pages(headers)
            return LOCAL
        raise Unauthorized(
            "There is no such key." if token else "This needs a key.",
            remedy="Send the header Authorization: Bearer KEY.",
        )

    async def of_token(self, token: str) -> Identity | None:
        """Whose key or token it is; None for one that is not of a kind that is known here. Raises Unauthorized."""
        if self._configured and token:
            # By the digest in a table: nobody can choose a digest, so how long it takes to find one tells nothing.
            found = self._configured.get(hashlib.sha256(token.encode("latin-1", "replace")).hexdigest())
            if found is not None:
                return found
        if token.startswith(PREFIX):
            return self.keys.identify(token)
        if token.startswith(VIRTUAL):
            return _of_virtual(self.virtual_key(token))
        if self._tokens is not None and token.startswith(_JWT):
            return await self._tokens.identify(token)
        return None

    def of_session(self, session: Session) -> Identity:
        """Who a session stands for now: whoever its credential does. Raises Unauthorized where that opens nothing."""
        who = session.identity
        match who.kind:
            case "access key":
                return self.keys.current(who.id)
            case "settings key" if who in self._configured.values():
                return who
            case "token" if self._tokens is not None:
                return msgspec.structs.replace(who, scopes=self.keys.roles.scopes(who.roles))
            case _:
                raise Unauthorized("The session's credential opens nothing any more.", remedy="Sign in again.")

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


def cookie_of(headers: Headers, cookie: str = COOKIE) -> str | None:
    """What a browser sends of a cookie: that of its session, unless another is named."""
    for name, value in headers:
        if name == b"cookie":
            for one in value.decode("latin-1").split(";"):
                key, _, found = one.strip().partition("=")
                if key == cookie:
                    return found
    return None


def refuse_other_sites(headers: Headers, method: str) -> None:
    """Raise Forbidden where a page of another site made the browser send this; its cookie proves nothing then.

    Browsers say where a request comes from: `Sec-Fetch-Site`, and `Origin` wherever something is changed. What says
    neither changes nothing. Cookies that are `SameSite=Strict` are not sent by other sites; those of the same site are
    other origins all the same.
    """
    given = {name: value.decode("latin-1").lower() for name, value in headers if name in _ORIGINS}
    site, origin, host = (given.get(name) for name in (b"sec-fetch-site", b"origin", b"host"))
    if origin is not None:
        own = host is not None and origin.partition("://")[2] == host
    elif site is not None:
        own = site == "same-origin" or (site == "none" and method in _SAFE)
    else:
        own = method in _SAFE
    if not own:
        raise Forbidden("A page of another site may not call this.", remedy="Open the console at its own address.")


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
