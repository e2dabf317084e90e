"""Owns the account of one call: what it claims, how long it may wait, what its outcome settles, what is told of it.

Refuses to commit: the ledger does.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from workflow_router.core.dispatch_route.model import Attempt, Call, Caller, Route
from workflow_router.core.dispatch_route.prices import Prices, Tokens, cost_of, tokens_of
from workflow_router.core.dispatch_route.schedule import Place
from workflow_router.core.errors import LimitReached
from workflow_router.core.limits.model import MEASURED, Claim, Settlement, Unit
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json

_NOT_SENT = ("connect:", "refused:", "secret:")  # how the errors of attempts begin that never left
_attempts = msgspec.json.Decoder(list[Attempt])


class Facts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a record tells besides where the call went.

    Attributes:
        record: `before` or `batched`.
        model: as it was asked for at the target. answered: as the answer names it; they often differ by a date.
        cost: billionths of a dollar, by the table of prices of that version.
        waited_ms: for limits.
        refused: why it was not sent.
        reserved: by limit, how much was reserved.
        cache: `hit` or `miss` on a route that keeps answers.
        answer_of: id of the dispatch whose answer was given again.
    """

    key: str | None = None
    agent: str | None = None
    workflow: str | None = None
    record: str = "batched"
    model: str | None = None
    answered: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: int | None = None
    prices: str | None = None
    waited_ms: float = 0.0
    refused: str | None = None
    reserved: dict[str, int] = {}
    cache: str | None = None
    answer_of: str | None = None


class _Answered(msgspec.Struct):
    answered: str | None = None


_answered = msgspec.json.Decoder(_Answered)


class _Books(Protocol):
    """What an entry needs of the ledger."""

    prices: Prices
    clock: Clock
    on_outcome: "Callable[[DispatchRecord, Facts], None] | None"

    async def intend(self, waiter: "Waiter") -> None: ...
    def settle(self, settlement: Settlement, record: DispatchRecord | None) -> None: ...
    def leave(self, settlement: Settlement) -> None: ...
    def later(self, record: DispatchRecord, /) -> None: ...


class Traced(Protocol):
    """The span of a call."""

    def ended(self, record: DispatchRecord, facts: Facts) -> None:
        """It is over."""
        ...

    def leave(self) -> None:
        """What the task does from now on is no part of it."""
        ...


class Waiter:
    """A call that wants its intent committed."""

    def __init__(self, record: DispatchRecord, route: Route, caller: Caller, claims: tuple[Claim, ...]) -> None:
        self.record = record
        self.route = route
        self.claims = claims
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.again_s = 0.0
        self.until_s = 0.0
        self.may_wait = False
        self.place = Place(tenant=caller.tenant, caller=caller.key or caller.caller or "")
        self._caller = caller

    def arrive(self, number: int, now_s: float) -> None:
        """It joins the queue."""
        caller, queue = self._caller, self.route.serving.queue
        self.place = msgspec.structs.replace(
            self.place, resumed=caller.resumed, priority=caller.priority, arrived=number
        )
        wait_s = queue.wait_s if caller.wait_s is None else min(caller.wait_s, queue.wait_s)
        self.until_s = now_s + wait_s

    def refuse(self, error: Exception) -> None:
        """It does not go on."""
        if not self.granted.done():
            self.granted.set_exception(error)


class Entry:
    """The account of a call, from before its intent until after its outcome."""

    def __init__(
        self, books: _Books, route: Route, call: Call, caller: Caller, claims: tuple[Claim, ...], *, before: bool
    ) -> None:
        self.before = before
        self._books = books
        self._route = route
        self._call = call
        self._caller = caller
        self._claims = claims
        self._refused: str | None = None
        self._waited_ms = 0.0
        self._cache: str | None = None
        self._answer_of: str | None = None
        self.final: DispatchRecord | None = None
        self.traced: Traced | None = None

    @property
    def counts(self) -> bool:
        """Whether a limit of tokens or money holds, so that a stream must tell its usage."""
        return any(claim.limit.unit in MEASURED for claim in self._claims)

    async def intent(self, record: DispatchRecord) -> None:
        """Commit the intent, with what is reserved, before the call leaves. Raises LimitReached."""
        began_s = self._books.clock.monotonic_s()
        waiter = Waiter(self.told(record), self._route, self._caller, self._claims)
        try:
            await self._books.intend(waiter)
        except LimitReached as error:
            self._refused = error.message
            raise
        finally:
            self._waited_ms = round((self._books.clock.monotonic_s() - began_s) * 1000, 1)

    def remembered(self, told: str, source: str | None = None) -> None:
        """What the cache says: `miss`, or `hit` with the dispatch that the answer is of, so that nothing is used."""
        self._cache, self._answer_of = told, source
        if source is not None:
            self._claims = ()

    def ended(self, record: DispatchRecord) -> None:
        """The call is over: settle, and have its record made durable; for calls whose record nobody else commits."""
        record = self._final(record)
        if self._claims:
            self._books.settle(self._settlement(record), record)
        else:
            self._books.later(record)

    def ended_in_run(self, record: DispatchRecord) -> None:
        """The same where the caller commits the record and what it settles, unless it was cancelled or refused."""
        if record.status is DispatchStatus.ABANDONED or self._refused is not None:
            self.ended(record)
            return
        record = self._final(record)
        if self._claims:
            self._books.leave(self._settlement(record))

    def told(self, record: DispatchRecord) -> DispatchRecord:
        """The record with its facts."""
        return msgspec.structs.replace(record, facts=to_json(self._facts(record)))

    def _final(self, record: DispatchRecord) -> DispatchRecord:
        facts = self._facts(record)
        self.final = record = msgspec.structs.replace(record, facts=to_json(facts))
        if self._books.on_outcome is not None:
            self._books.on_outcome(record, facts)
        if self.traced is not None:
            self.traced.ended(record, facts)
        return record

    def _facts(self, record: DispatchRecord) -> Facts:
        caller = self._caller
        facts = Facts(
            key=caller.key,
            agent=caller.agent,
            workflow=caller.workflow,
            record="before" if self.before else "batched",
            waited_ms=self._waited_ms,
            refused=self._refused,
            reserved={claim.limit.name: claim.amount for claim in self._claims},
            cache=self._cache,
            answer_of=self._answer_of,
        )
        if record.facts is not None:
            facts.answered = _answered.decode(record.facts).answered
        tokens = tokens_of(record.usage)
        if tokens is not None:
            facts.model = self._model(record.target)
            facts.input_tokens, facts.output_tokens = tokens.input, tokens.output
            facts.cost = self._cost(facts.model, tokens)
            facts.prices = None if facts.cost is None else self._books.prices.version
        return facts

    def _model(self, target: str | None) -> str:
        named = next((one.model for one in self._route.targets if one.name == target), None)
        return named or self._call.model or self._route.name

    def _cost(self, model: str, tokens: Tokens) -> int | None:
        price = self._books.prices.find(model)
        return None if price is None else cost_of(price, tokens)

    def _settlement(self, record: DispatchRecord) -> Settlement:
        """What was used in truth. What nobody can know stays as reserved, since it may have cost."""
        actual: dict[Unit, int] = {"in_flight": 0}
        tokens = tokens_of(record.usage)
        if tokens is not None:
            actual["tokens"] = tokens.total
            cost = self._cost(self._model(record.target), tokens)
            if cost is not None:
                actual["money"] = cost
            return Settlement(id=record.id, actual=actual)
        attempts = _attempts.decode(record.attempts)
        if all(one.status is None and (one.error or "").startswith(_NOT_SENT) for one in attempts):
            return Settlement(id=record.id, refund=True)
        if attempts[-1].status is not None and attempts[-1].status >= 400:  # a refusal costs nothing but the request
            actual |= {"tokens": 0, "money": 0}
        return Settlement(id=record.id, actual=actual)
