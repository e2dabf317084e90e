"""Storage verbs of limits (`LimitTransitions`)."""

from collections.abc import Iterable, Sequence

import msgspec

from workflow_router.core.limits.decide import Buckets, admit, bucket_of, kept_until, settled
from workflow_router.core.limits.model import Held, Refusal, Reservation, Settlement, Unit, Usage
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json

LATE_MS = 7 * 86_400_000  # for so long a reservation that has expired can still be settled

_buckets = msgspec.json.Decoder(Buckets)
_held = msgspec.json.Decoder(list[Held])


class _Stored(msgspec.Struct):
    """A reservation that is to be settled."""

    held: list[Held]
    gone: bool  # it has expired, and what it held was given back


class Limits:
    """See `LimitTransitions` for what each verb promises."""

    def __init__(self, session: Session, now_ms: int) -> None:
        self._session = session
        self._now_ms = now_ms

    async def book(
        self, settlements: Sequence[Settlement], reservations: Sequence[Reservation]
    ) -> list[Refusal | None]:
        ids = [one.id for one in (*settlements, *reservations)]
        known = await self._known(ids)
        wanted = {claim.counter for one in reservations for claim in one.claims}
        keys = {held.counter for one in known.values() for held in one.held}.union(wanted)
        # One statement a key, in order: it adds the counter or locks it, so that nobody can forget it meanwhile.
        self._session.execute_many("add_limit_counter", [(key,) for key in sorted(keys)])
        counters = await self._lock(keys)
        changed: dict[str, int] = {}
        for one in settlements:
            stored = known.pop(one.id, None)
            if stored is not None:
                self._settle(stored, one, counters, changed)
                self._session.execute("delete_limit_reservation", id=one.id)
        refusals: list[Refusal | None] = []
        kept: dict[str, Refusal] = {}  # counters at which a patient one waits
        for one in reservations:
            before = next((kept[claim.counter] for claim in one.claims if claim.counter in kept), None)
            refusal = before or await self._reserve(one, known, counters, changed)
            if refusal is not None and one.patient:
                refused = next(claim for claim in one.claims if claim.limit.name == refusal.limit)
                kept.setdefault(refused.counter, refusal)
            refusals.append(refusal)
        await self._put(counters, changed)
        return refusals

    async def reserve(self, reservation: Reservation) -> Refusal | None:
        return (await self.book((), [reservation]))[0]

    async def settle(self, settlement: Settlement) -> None:
        await self.book([settlement], ())

    async def renew(self, owner: str, lease_ms: int) -> None:
        self._session.execute("renew_limit_reservations", owner=owner, lease_until_ms=self._now_ms + lease_ms)

    async def sweep(self, *, limit: int) -> int:
        rows = await self._session.fetch("due_limit_reservations", now_ms=self._now_ms, limit=limit)
        given_back = [one for _, held, expiry in rows for one in _held.decode(held) if _returns(one, expiry)]
        counters = await self._lock({one.counter for one in given_back})
        changed: dict[str, int] = {}
        _change(counters, changed, given_back, {}, refund=True)
        await self._put(counters, changed)
        for own_id, _, _ in rows:
            self._session.execute("expire_limit_reservation", id=own_id, kept_until_ms=self._now_ms + LATE_MS)
        self._session.execute("forget_limit_reservations", now_ms=self._now_ms)
        self._session.execute("forget_limit_counters", now_ms=self._now_ms)
        return len(rows)

    async def usage(self, prefix: str, *, limit: int) -> list[Usage]:
        rows = await self._session.fetch("limit_counters_like", prefix=prefix, limit=limit)
        return [Usage(counter=key, buckets=_buckets.decode(buckets)) for key, buckets in rows]

    async def held(self) -> int:
        ((number,),) = await self._session.fetch("count_limit_reservations")
        return number

    async def _known(self, ids: Iterable[str]) -> dict[str, _Stored]:
        rows = await self._session.fetch("lock_limit_reservations", ids=to_json(sorted(set(ids))).decode())
        return {
            own_id: _Stored([one for one in _held.decode(held) if not expired or one.unit != "in_flight"], gone)
            for own_id, held, expiry, expired in rows
            for gone in [bool(expired) and expiry == "refund"]
        }

    async def _lock(self, keys: set[str]) -> dict[str, Buckets]:
        if not keys:
            return {}
        rows = await self._session.fetch("lock_limit_counters", keys=to_json(sorted(keys)).decode())
        return {key: _buckets.decode(buckets) for key, buckets in rows}

    def _settle(self, stored: _Stored, one: Settlement, counters: dict[str, Buckets], changed: dict[str, int]) -> None:
        held = [msgspec.structs.replace(part, amount=0) for part in stored.held] if stored.gone else stored.held
        actual: dict[Unit, int] = dict(one.actual)
        if stored.gone:  # what nobody names was as reserved, and that is no longer counted
            reserved: dict[Unit, int] = {part.unit: part.amount for part in stored.held}
            actual = reserved | actual
        _change(counters, changed, held, actual, refund=one.refund)

    async def _reserve(
        self,
        one: Reservation,
        known: dict[str, _Stored],
        counters: dict[str, Buckets],
        changed: dict[str, int],
    ) -> Refusal | None:
        if one.id in known:
            return None
        granted: dict[str, Buckets] = {}
        held: list[Held] = []
        until: dict[str, int] = {}
        for claim in one.claims:
            answer = admit(claim, granted.get(claim.counter, counters[claim.counter]), self._now_ms)
            if isinstance(answer, Refusal):
                return answer
            bucket = bucket_of(claim.limit.window, self._now_ms)
            granted[claim.counter] = answer
            until[claim.counter] = kept_until(claim.limit, bucket, self._now_ms)
            held.append(Held(claim.counter, claim.limit.unit, claim.amount, bucket))
        counters.update(granted)
        for key, until_ms in until.items():
            changed[key] = max(changed.get(key, 0), until_ms)
        known[one.id] = _Stored(held, gone=False)
        self._session.execute(
            "insert_limit_reservation",
            id=one.id,
            owner=one.owner,
            held=to_json(held).decode(),
            expiry=one.expiry,
            lease_until_ms=self._now_ms + one.lease_ms,
        )
        return None

    async def _put(self, counters: dict[str, Buckets], changed: dict[str, int]) -> None:
        for key in sorted(changed):
            self._session.execute(
                "put_limit_counter",
                key=key,
                buckets=to_json(counters[key]).decode(),
                kept_until_ms=changed[key],
            )


def _returns(held: Held, expiry: str) -> bool:
    """Whether it is given back when its process is gone; a call in flight is over then, whatever it cost."""
    return expiry == "refund" or held.unit == "in_flight"


def _change(
    counters: dict[str, Buckets],
    changed: dict[str, int],
    held: Iterable[Held],
    actual: dict[Unit, int],
    *,
    refund: bool,
) -> None:
    for part in held:
        used = 0 if refund else actual.get(part.unit, part.amount)
        if part.counter in counters and used != part.amount:
            counters[part.counter] = settled(counters[part.counter], part.bucket, used - part.amount)
            changed.setdefault(part.counter, 0)
