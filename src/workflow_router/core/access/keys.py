"""Owns API keys: made, listed and revoked while the router runs, each with scopes, a tenant and an end.

A key is 256 random bits, of which the SHA-256 is stored: there is nothing to guess, so nothing slower would protect it
better. It is looked up by the id within it, in memory; a change by another process is seen within a second.
Refuses to show a key again, and to forget one: a key that was revoked stays known as such.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection

import msgspec

from workflow_router.core.access.model import ADMIN, Identity, Roles
from workflow_router.core.errors import Conflict, InvalidInput, NotFound, Unauthorized
from workflow_router.core.follow import Follower
from workflow_router.core.limits.ports import LiveRule
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json

KIND, USED = "access_key", "access_use"
PREFIX = "wrk_"
KEYS_MAX = 10_000
ID_BYTES, SECRET_BYTES = 9, 32
# A key's last use is stored at most so often, and by each process on its own.
USES_S = 60.0


class AccessKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key, without itself.

    Attributes:
        id: the part of it that may be seen.
        digest: SHA-256 of the key, in hex.
        tenant: whose rows alone it may see and change; None for all.
        expires_ms: from when on it opens nothing; None never.
        created_by: the name of who made it.
    """

    name: str
    id: str = ""
    digest: str = ""
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    created_ms: int = 0
    created_by: str = ""
    expires_ms: int | None = None
    revoked: bool = False


_decode = msgspec.json.Decoder(AccessKey).decode


class AccessKeys:
    """The API keys of a store.

    Attributes:
        roles: what each role allows.

    Args:
        reserved: names that stand for others already, such as keys of `router.yaml`.
        administered: whether somebody may make keys without one of these, wherever the call comes from.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        roles: Roles,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        reserved: Collection[str] = (),
        administered: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self.roles = roles
        self._reserved = frozenset(reserved)
        self._administered = administered
        self._by_name: dict[str, AccessKey] = {}
        self._by_id: dict[str, tuple[AccessKey, Identity]] = {}
        self._used: dict[str, int] = {}
        self._stored_uses: dict[str, int] = {}
        self._seen = -1
        self._follower = Follower("API keys", self.refresh, sleep)
        self._uses = Follower("uses of API keys", self.store_uses, sleep)

    async def open(self) -> None:
        """Learn the keys, and watch for changes of other processes."""
        await self.refresh()
        self._follower.open(self._store.poll_s)
        self._uses.open(USES_S)

    async def close(self) -> None:
        """Stop watching, and store what was used."""
        await self._follower.close()
        await self._uses.close()
        await self.store_uses()

    async def refresh(self) -> None:
        """See what has changed."""
        found = await self._store.read(lambda tx: tx.live_rules.change(KIND))
        if found == self._seen:
            return
        rules = await self._store.read(lambda tx: tx.live_rules.all(KIND))
        keys = [_decode(rule.specification) for rule in rules]
        self._seen = found
        self._by_name = {key.name: key for key in keys}
        self._by_id = {key.id: (key, self._identity(key)) for key in keys}

    def _identity(self, key: AccessKey) -> Identity:
        return Identity(
            id=f"key:{key.id}",
            kind="access key",
            name=key.name,
            tenant=key.tenant,
            roles=key.roles,
            scopes=self.roles.scopes(key.roles, key.scopes),
            expires_ms=key.expires_ms,
        )

    @property
    def any(self) -> bool:
        """Whether there are keys, so that callers have to show a credential; also where all were revoked."""
        return bool(self._by_name)

    @property
    def keys(self) -> list[AccessKey]:
        """The keys, by name; also those that open nothing any more."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def key(self, name: str) -> AccessKey:
        """The key of this name. Raises NotFound."""
        key = self._by_name.get(name)
        if key is None:
            raise NotFound(f"There is no API key {name!r}.", remedy="List them with GET /api/access/keys.")
        return key

    def identify(self, given: str) -> Identity:
        """Whose key was shown. Raises Unauthorized for one that opens nothing (any more)."""
        own_id = given.removeprefix(PREFIX).partition("_")[0]
        known = self._by_id.get(own_id)
        digest = known[0].digest if known else "0" * 64
        if not hmac.compare_digest(digest, _digest(given)) or known is None:
            raise Unauthorized("There is no such key.", remedy="Send one made with `wr access keys create`.")
        return self.current(known[1].id)

    def check(self, key: AccessKey, now_ms: int) -> None:
        """Raise Unauthorized for a key that was revoked or has expired."""
        if key.revoked or (key.expires_ms is not None and key.expires_ms <= now_ms):
            why = "was revoked" if key.revoked else "has expired"
            raise Unauthorized(f"The key {key.name} {why}.", remedy="Ask for a new one.", credential=f"key:{key.id}")

    def current(self, credential: str) -> Identity:
        """Who a key stands for now, by its identity's id. Raises Unauthorized for one that opens nothing any more."""
        known = self._by_id.get(credential.removeprefix("key:"))
        if known is None:
            raise Unauthorized("There is no such key.", remedy="Ask for a new one.")
        now_ms = self._clock.now_ms()
        self.check(known[0], now_ms)
        self._used[known[0].id] = now_ms
        return known[1]

    async def create(self, key: AccessKey, *, actor: str | None = None) -> str:
        """Make a key; what is returned is shown this once.

        Raises:
            Conflict: the name is taken, or there are too many. InvalidInput, NotFound: it is no key that could be used.
        """
        self.roles.check(key.roles, key.scopes)
        if not key.name or len(key.name) > 100:
            raise InvalidInput("A key needs a name of at most 100 characters.", remedy="Give it one.")
        if not key.roles and not key.scopes:
            raise InvalidInput("A key without roles and scopes opens nothing.", remedy="Give it some.")
        if key.name in self._by_name or key.name in self._reserved:
            raise Conflict(f"There is an API key {key.name!r} already.", remedy="Choose another name.")
        if len(self._by_name) >= KEYS_MAX:
            raise Conflict(f"There are {KEYS_MAX} API keys already.", remedy="Use fewer.")
        if not self._administered and not self.any and not self._administers(key):
            raise InvalidInput(
                "The first key has to be an administrator's, as only who has one may call from then on.",
                remedy="Make one with the role admin, without tenant and end, and then this one.",
            )
        own_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        fresh = f"{PREFIX}{own_id}_{secret}"
        made = msgspec.structs.replace(
            key,
            id=own_id,
            digest=_digest(fresh),
            created_ms=self._clock.now_ms(),
            created_by=actor or "local",
            revoked=False,
        )
        rule = LiveRule(made.name, to_json(made))

        async def unit(tx: Transaction) -> None:
            if any(one.name == made.name for one in await tx.live_rules.all(KIND)):  # of another process, just now
                raise Conflict(f"There is an API key {made.name!r} already.", remedy="Choose another name.")
            await tx.live_rules.put(KIND, rule, did="created", actor=actor)

        await self._store.commit(unit)
        await self.refresh()
        return fresh

    def _administers(self, key: AccessKey) -> bool:
        lasting = key.tenant is None and key.expires_ms is None and not key.revoked
        return lasting and ADMIN in self.roles.scopes(key.roles, key.scopes)

    async def revoke(self, name: str, *, actor: str | None = None) -> AccessKey:
        """Let a key open nothing from now on. Raises NotFound, and Conflict for the last that may make others."""
        key = self.key(name)
        others = (one for one in self._by_name.values() if one.name != name)
        if not self._administered and self._administers(key) and not any(self._administers(one) for one in others):
            raise Conflict(
                f"{name} is the last key that may make others.", remedy="Make another administrator's first."
            )
        revoked = msgspec.structs.replace(key, revoked=True)
        rule = LiveRule(name, to_json(revoked))
        await self._store.commit(lambda tx: tx.live_rules.put(KIND, rule, did="revoked", actor=actor))
        await self.refresh()
        return revoked

    # --- uses -------------------------------------------------------------------------------------------------------

    async def last_used(self) -> dict[str, int]:
        """When keys were used last, by id, milliseconds since the epoch; by other processes, as of a minute ago."""
        rules = await self._store.read(lambda tx: tx.live_rules.all(USED))
        found = {rule.name: int(rule.specification) for rule in rules}
        return {own_id: max(found.get(own_id, 0), self._used.get(own_id, 0)) for own_id in {*found, *self._used}}

    async def store_uses(self) -> None:
        """Store the last use of each key that was used since."""
        fresh = {own_id: ms for own_id, ms in self._used.items() if self._stored_uses.get(own_id) != ms}
        if fresh:
            rules = [LiveRule(own_id, str(ms).encode()) for own_id, ms in fresh.items()]
            await self._store.commit(lambda tx: tx.live_rules.note(USED, rules))
            self._stored_uses |= fresh


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("latin-1", "replace")).hexdigest()
