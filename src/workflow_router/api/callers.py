"""Owns who asks at the gateway: the holder of a virtual key, of an API key, or whoever is on this machine.

Refuses what a caller says of itself where its key says it: tenant and priority are the key's; a caller may name the
agent it is (if its key names none), lower its priority and shorten its wait.
"""

from collections.abc import Iterable

import msgspec

from workflow_router.core.access.model import Identity
from workflow_router.core.dispatch_route.live import PREFIX, Key, Live
from workflow_router.core.dispatch_route.model import Caller, Headers
from workflow_router.core.errors import InvalidInput, Unauthorized
from workflow_router.core.model import DEFAULT_TENANT

AGENT, PRIORITY, WAIT = "x-router-agent", "x-router-priority", "x-router-wait-s"
_NAME_MAX = 100


def token_of(headers: Iterable[tuple[str, str]]) -> str:
    """What was shown as a key: the bearer token, or `x-api-key` as the messages API has it."""
    token = ""
    for name, value in headers:
        if name == "authorization" and value[:7].lower() == "bearer ":
            return value[7:].strip()
        if name == "x-api-key":
            token = value.strip()
    return token


class Callers:
    """Tells who asks."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def key_of(self, headers: Headers) -> Key | None:
        """The virtual key that was shown. Raises Unauthorized for one that opens nothing (any more)."""
        token = token_of(headers)
        if not token.startswith(PREFIX):
            return None
        key = self._live.key_of(token)
        if key is None:
            raise Unauthorized("There is no such key.", remedy="Send one made with `wr keys create`.")
        return key

    def identify(self, headers: Headers, identity: Identity | None = None) -> Caller:
        """Who asks; `identity` is that of a caller who showed no virtual key. Raises Unauthorized, InvalidInput."""
        key = None if identity is not None else self.key_of(headers)
        said = {name: value for name, value in headers if name.startswith("x-router-")}
        agent = said.get(AGENT)
        if key is None:
            known = _ANYBODY if identity is None or identity.kind == "local" else _of(identity)
            if not said:
                return known
            return msgspec.structs.replace(
                known, agent=_short(agent), priority=min(_number(said, PRIORITY, 0), 0), wait_s=_wait(said)
            )
        return Caller(
            tenant=key.tenant,
            caller=key.name,
            key=key.name,
            agent=key.agent or _short(agent),
            priority=min(_number(said, PRIORITY, key.priority), key.priority),
            wait_s=_wait(said),
        )


_ANYBODY = Caller()


def _of(identity: Identity) -> Caller:
    return Caller(tenant=identity.tenant or DEFAULT_TENANT, caller=identity.name)


def _short(agent: str | None) -> str | None:
    if agent is not None and not 0 < len(agent) <= _NAME_MAX:
        raise InvalidInput(f"{AGENT} is empty or longer than {_NAME_MAX} characters.", remedy="Send a name.")
    return agent


def _number(said: dict[str, str], name: str, otherwise: int) -> int:
    text = said.get(name)
    if text is None:
        return otherwise
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 100):
        raise InvalidInput(f"{name} is no number from -100 to 100.", remedy="Send one, or leave it out.")
    return int(text)


def _wait(said: dict[str, str]) -> float | None:
    text = said.get(WAIT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3_600:
        raise InvalidInput(f"{WAIT} is no number of seconds from 0 to 3600.", remedy="Send one, or leave it out.")
    return seconds
