"""Owns sessions: that somebody has shown a credential, for a browser that is not to keep the credential itself.

A session is 256 random bits, of which the SHA-256 is stored. It is worth what its credential is worth at the time: who
that still is, is asked at each use. Refuses to outlive a day's work, and its credential.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.access.model import Identity
from workflow_router.core.access.ports import Attempt, Login
from workflow_router.core.errors import Overloaded, Unauthorized
from workflow_router.core.follow import Follower
from workflow_router.core.limits.ports import LiveRule
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json

KIND = "session"
PREFIX = "wrs_"
LASTS_MS = 12 * 3_600_000
SESSIONS_MAX = 10_000
SWEEP_MAX = 100
ID_BYTES, SECRET_BYTES = 9, 32


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session.

    Attributes:
        digest: SHA-256 of what the browser holds, in hex.
        identity: who it was; of a key only its id counts, and who that is now.
    """

    id: str
    digest: str
    identity: Identity
    expires_ms: int


class SignIn(msgspec.Struct, frozen=True):
    """How people sign in at an issuer.

    Attributes:
        url: where browsers reach the router, without a slash at its end.
        lasts_ms: how long a session lasts that begins so.
    """

    login: Login
    url: str
    lasts_ms: int

    @staticmethod
    def attempt() -> Attempt:
        """A new sign-in."""
        return Attempt(*(secrets.token_urlsafe(SECRET_BYTES) for _ in range(3)))


_decode = msgspec.json.Decoder(Session).decode


class Sessions:
    """The sessions of a store."""

    def __init__(self, store: Store, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._clock = clock
        self._by_id: dict[str, Session] = {}
        self._seen = -1
        self._follower = Follower("sessions", self.refresh, sleep)

    async def open(self) -> None:
        """Learn the sessions, and watch for changes of other processes."""
        await self.refresh()
        self._follower.open(self._store.poll_s)

    async def close(self) -> None:
        """Stop watching."""
        await self._follower.close()

    async def refresh(self) -> None:
        """See what has changed."""
        found = await self._store.read(lambda tx: tx.live_rules.change(KIND))
        if found != self._seen:
            rules = await self._store.read(lambda tx: tx.live_rules.all(KIND))
            self._seen = found
            self._by_id = {rule.name: _decode(rule.specification) for rule in rules}

    async def begin(self, identity: Identity, lasts_ms: int = LASTS_MS) -> tuple[Session, str]:
        """Begin a session; what is returned with it is for the browser alone. Raises Overloaded."""
        now_ms = self._clock.now_ms()
        over = [one.id for one in self._by_id.values() if one.expires_ms <= now_ms][:SWEEP_MAX]
        if len(self._by_id) - len(over) >= SESSIONS_MAX:
            raise Overloaded(f"There are {SESSIONS_MAX} sessions already.", remedy="Send a key instead.")
        own_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        given = f"{PREFIX}{own_id}_{secret}"
        until_ms = min(now_ms + lasts_ms, identity.expires_ms or now_ms + lasts_ms)
        made = Session(id=own_id, digest=_digest(given), identity=identity, expires_ms=until_ms)
        rule = LiveRule(own_id, to_json(made))

        async def unit(tx: Transaction) -> None:
            for one in over:
                await tx.live_rules.remove(KIND, one, actor=None)
            await tx.live_rules.put(KIND, rule, did="opened", actor=identity.name)

        await self._store.commit(unit)
        await self.refresh()
        return made, given

    def find(self, given: str) -> Session:
        """The session of this browser. Raises Unauthorized for one that is over."""
        known = self._by_id.get(given.removeprefix(PREFIX).partition("_")[0])
        digest = known.digest if known else "0" * 64
        if not hmac.compare_digest(digest, _digest(given)) or known is None or known.expires_ms <= self._clock.now_ms():
            raise Unauthorized("The session is over.", remedy="Sign in again.")
        return known

    async def end(self, session: Session) -> None:
        """Let a session be over."""
        await self._store.commit(lambda tx: tx.live_rules.remove(KIND, session.id, actor=session.identity.name))
        await self.refresh()


def _digest(given: str) -> str:
    return hashlib.sha256(given.encode("latin-1", "replace")).hexdigest()
