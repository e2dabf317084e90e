"""Owns the limits and keys that are declared while the router runs, beside those of the project.

What is asked on every call is kept in memory; a change by another process is seen by its number within a second.
Refuses to store a key: its SHA-256 is stored, and the key is shown once.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from workflow_router.core.dispatch_route.ledger import Ledger
from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from workflow_router.core.follow import Follower
from workflow_router.core.limits.model import Limit, Usage
from workflow_router.core.limits.ports import LiveRule
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json

LIMIT, KEY = "limit", "key"
PREFIX = "wr-"
KEYS_MAX = 100_000
LIMITS_MAX = 1_000

_limit = msgspec.json.Decoder(Limit)


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A virtual key.

    Attributes:
        hashes: SHA-256 of the key, in hex, by the time from which it no longer counts (0 is never); more than one while
            a rotated key's grace lasts.
        shown: the first characters of the newest key, to tell keys apart.
        routes: the routes it opens; empty opens all.
        expires_ms: from when on it opens nothing; None never.
        priority: of its calls where calls wait; they may lower it themselves.
    """

    name: str
    hashes: dict[str, int]
    shown: str
    tenant: str = "default"
    agent: str | None = None
    routes: tuple[str, ...] = ()
    created_ms: int = 0
    expires_ms: int | None = None
    priority: int = 0
    revoked: bool = False


_key = msgspec.json.Decoder(Key)


class Live:
    """Limits and keys in force. A limit that was declared over the API goes before the project's of the same name."""

    def __init__(
        self, store: Store, clock: Clock, ledger: Ledger, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._declared: dict[str, Limit] = {}
        self._limits: dict[str, Limit] = {}
        self._keys: dict[str, Key] = {}
        self._by_hash: dict[str, Key] = {}
        self._seen = (-1, -1)
        self._follower = Follower("limits and keys", self.refresh, sleep)

    async def open(self, declared: Iterable[Limit]) -> None:
        """Put in force what the project and the store say, and watch for changes of other processes."""
        self._declared = {limit.name: limit for limit in declared}
        await self.refresh()
        self._follower.open(self._store.poll_s)

    async def close(self) -> None:
        """Stop watching."""
        await self._follower.close()

    async def refresh(self) -> None:
        """See what has changed."""

        async def unit(tx: Transaction) -> tuple[tuple[int, int], list[LiveRule], list[LiveRule]]:
            seen = await tx.live_rules.change(LIMIT), await tx.live_rules.change(KEY)
            if seen == self._seen:
                return seen, [], []
            return seen, await tx.live_rules.all(LIMIT), await tx.live_rules.all(KEY)

        seen, limits, keys = await self._store.read(unit)
        if seen == self._seen:
            return
        self._seen = seen
        self._limits = {rule.name: _limit.decode(rule.specification) for rule in limits}
        self._keys = {rule.name: _key.decode(rule.specification) for rule in keys}
        self._by_hash = {digest: key for key in self._keys.values() for digest in key.hashes}
        self._ledger.set_limits((self._declared | self._limits).values())

    # --- limits -----------------------------------------------------------------------------------------------------

    @property
    def limits(self) -> list[tuple[Limit, bool]]:
        """The limits in force, by name, and whether each was declared over the API."""
        joined = self._declared | self._limits
        return [(joined[name], name in self._limits) for name in sorted(joined)]

    async def usage(self, limit: Limit) -> list[Usage]:
        """The counters of a limit."""
        window = limit.window
        prefix = f"{limit.name}|{limit.unit}|{window.kind}{window.span_s}|"
        return await self._store.read(lambda tx: tx.limits.usage(prefix, limit=100))

    async def set_limit(self, limit: Limit, *, actor: str | None = None) -> None:
        """Declare a limit; its counters go on where unit and window stay. Raises Conflict where there are too many."""
        if limit.name not in self._limits and len(self._limits) >= LIMITS_MAX:
            raise Conflict(f"There are {LIMITS_MAX} limits already.", remedy="Remove some, or use `per`.")
        rule = LiveRule(limit.name, to_json(limit))
        await self._store.commit(lambda tx: tx.live_rules.put(LIMIT, rule, did="set", actor=actor))
        await self.refresh()

    async def remove_limit(self, name: str, *, actor: str | None = None) -> None:
        """Take back a limit that was declared over the API. Raises NotFound."""
        if not await self._store.commit(lambda tx: tx.live_rules.remove(LIMIT, name, actor=actor)):
            where = "It stands in router.yaml." if name in self._declared else "List them with GET /api/limits."
            raise NotFound(f"No limit {name!r} was declared over the API.", remedy=where)
        await self.refresh()

    # --- keys -------------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> list[Key]:
        """The keys, by name; also those that open nothing any more."""
        return [self._keys[name] for name in sorted(self._keys)]

    def key(self, name: str) -> Key:
        """The key of this name. Raises NotFound."""
        return self._known(name)

    def check(self, name: str | None, route: str) -> None:
        """Raise Forbidden where the key of this name does not open the route."""
        key = None if name is None else self._keys.get(name)
        if key is not None and key.routes and route not in key.routes:
            raise Forbidden(f"The key {key.name} does not open the route {route!r}.", remedy="Use one it opens.")

    @property
    def asks_for_keys(self) -> bool:
        """Whether there are keys, so that callers have to show one."""
        return bool(self._keys)

    def key_of(self, given: str) -> Key | None:
        """The key that was shown, if it is one of ours. Raises Unauthorized for one that no longer opens anything."""
        if not given.startswith(PREFIX):
            return None
        digest = _digest(given)
        key = self._by_hash.get(digest)
        if key is None:
            return None
        now_ms = self._clock.now_ms()
        until_ms = key.hashes[digest]
        if key.revoked or (until_ms and until_ms <= now_ms) or (key.expires_ms or now_ms + 1) <= now_ms:
            why = "was revoked" if key.revoked else "has expired"
            raise Unauthorized(f"The key {key.name} {why}.", remedy="Ask for a new one.")
        return key

    async def create_key(self, key: Key, *, actor: str | None = None) -> str:
        """Make a key; what is returned is shown this once. Raises Conflict, InvalidInput."""
        if key.name in self._keys:
            raise Conflict(f"There is a key {key.name!r} already.", remedy="Rotate it, or choose another name.")
        if len(self._keys) >= KEYS_MAX:
            raise Conflict(f"There are {KEYS_MAX} keys already.", remedy="Use fewer.")
        if not key.name or len(key.name) > 100:
            raise InvalidInput("A key needs a name of at most 100 characters.", remedy="Give it one.")
        fresh = _fresh()
        made = msgspec.structs.replace(
            key, hashes={_digest(fresh): 0}, shown=fresh[:10], created_ms=self._clock.now_ms(), revoked=False
        )
        await self._put(made, "created", actor)
        return fresh

    async def revoke_key(self, name: str, *, actor: str | None = None) -> None:
        """Let a key open nothing from now on. Raises NotFound."""
        await self._put(msgspec.structs.replace(self._known(name), revoked=True), "revoked", actor)

    async def rotate_key(self, name: str, *, grace_s: float, actor: str | None = None) -> str:
        """Make a new key of the same name and rights; the old one counts for `grace_s` more. Raises as it says."""
        known = self._known(name)
        if known.revoked:
            raise Conflict(f"The key {name!r} was revoked.", remedy="Create another one.")
        fresh, now_ms = _fresh(), self._clock.now_ms()
        until_ms = now_ms + max(round(grace_s * 1000), 1)
        old = {
            digest: min(until or until_ms, until_ms)
            for digest, until in known.hashes.items()
            if not until or until > now_ms
        }
        made = msgspec.structs.replace(known, hashes={**old, _digest(fresh): 0}, shown=fresh[:10])
        await self._put(made, "rotated", actor)
        return fresh

    def _known(self, name: str) -> Key:
        key = self._keys.get(name)
        if key is None:
            raise NotFound(f"There is no key {name!r}.", remedy="List them with GET /api/keys.")
        return key

    async def _put(self, key: Key, did: str, actor: str | None) -> None:
        rule = LiveRule(key.name, to_json(key))
        await self._store.commit(lambda tx: tx.live_rules.put(KEY, rule, did=did, actor=actor))
        await self.refresh()


def _fresh() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
