"""Owns the sending of a call through a route: intent, attempts, retries, failover, final record.

Refuses to store anything (records are handed to the caller), and to repeat a call that may have had an effect unless
its method is idempotent, it carries an idempotency key, or it is a completion. Failover comes before waiting: the next
target is tried at once; only when all that may be called have failed does the call wait, by Retry-After or backoff.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from workflow_router.core.dispatch_route.answer import usage_of, wait_hint_s
from workflow_router.core.dispatch_route.failure import Missed, failure
from workflow_router.core.dispatch_route.flight import Flight, Try
from workflow_router.core.dispatch_route.hedge import race
from workflow_router.core.dispatch_route.lanes import Lanes, health
from workflow_router.core.dispatch_route.model import Call, Caller, Considered, Dispatched, Route, Target
from workflow_router.core.dispatch_route.pick import Choice, Health
from workflow_router.core.dispatch_route.ports import Answer, Outgoing, Secrets, Transport, TransportFailed
from workflow_router.core.dispatch_route.probes import Probes
from workflow_router.core.dispatch_route.request import (
    build,
    check_call,
    idempotency_key,
    may_repeat,
    returned,
    within,
)
from workflow_router.core.dispatch_route.shadow import Shadows
from workflow_router.core.dispatch_route.slots import Slots, room
from workflow_router.core.dispatch_route.steer import Facts
from workflow_router.core.dispatch_route.stream import OnFinal, Stream
from workflow_router.core.dispatch_route.tape import Tape
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

OnIntent = Callable[[DispatchRecord], Awaitable[None]]

RETRIED = frozenset({429, 502, 503, 504, 529})  # 529: "overloaded" in the messages API
_HEDGE_SHARE = 0.95
_EPSILON_S = 0.001  # a wait that ends a rounding error too early would find the target still closed


class _Reached(NamedTuple):
    trial: Try
    answer: Answer
    body: bytes  # the whole of it, or its first piece


class Dispatcher:
    """Sends calls through routes. Routes can be replaced at any time; a call under way keeps those it began with."""

    def __init__(
        self,
        routes: Iterable[Route],
        transport: Transport,
        secrets: Secrets,
        clock: Clock,
        ids: Ids,
        randomness: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._secrets = secrets
        self._clock = clock
        self._ids = ids
        self._randomness = randomness
        self._sleep = sleep
        self.keep: Callable[[Flight], None] = lambda _: None  # told of calls that are over whose bodies are kept
        self.before: Callable[[Flight, Target], Awaitable[str | None]] | None = None  # why not to this target
        self.facts = Facts()
        self.shadows = Shadows(self)
        self._probes: Probes | None = None
        self.lanes = Lanes(clock, randomness, self.facts, self.shadows.follow)
        self.lanes.replace(routes)

    async def secret(self, reference: str) -> str:
        """The secret behind a reference. Raises TransportFailed of kind `secret` where there is none."""
        return await self._secrets.resolve(reference)

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes in force, by name."""
        return self.lanes.routes

    def route(self, name: str) -> Route:
        """The route of this name. Raises NotFound."""
        return self.lanes.find(name).route

    def set_routes(self, routes: Iterable[Route]) -> None:
        """Put these routes in force, all at once. A target that stays what it was keeps what is known of its health."""
        self.lanes.replace(routes)
        if self._probes is not None:
            self._probes.replace(self.lanes.targets())

    def open(self) -> None:
        """Begin to probe targets. Belongs to the event loop that it is called in."""
        self._probes = Probes(self._transport, self._secrets, self._sleep)
        self._probes.replace(self.lanes.targets())

    async def close(self) -> None:
        """End probes, and copies for shadows."""
        await self.shadows.close()
        probes, self._probes = self._probes, None
        if probes is not None:
            await probes.close()

    def health(self, route: str) -> dict[str, Health]:
        """How the targets of a route fare now, by name. Raises NotFound."""
        return health(self.lanes.find(route), self._clock.monotonic_s())

    async def call(
        self,
        route: str,
        call: Call,
        caller: Caller,
        *,
        on_intent: OnIntent | None = None,
        on_final: OnFinal | None = None,
    ) -> Dispatched:
        """Send a call and wait for the whole answer.

        Args:
            on_intent: awaited with the intent before the first byte leaves; where it raises, nothing is sent.
            on_final: told the final record however the call ends, also when it is cancelled.

        Raises NotFound (no such route), InvalidInput (not sendable), NoTarget and DispatchFailed (with `record`).
        An answer that is no reason to retry is returned whatever its status; the record of 400 or more is failed.
        """
        return await self._call(self._begin(route, call, caller), on_intent, on_final)

    async def _call(self, flight: Flight, on_intent: OnIntent | None, on_final: OnFinal | None) -> Dispatched:
        reached = await self._guarded(flight, on_intent, on_final, whole=True)
        reached.trial.end("good")
        if flight.target is not None and flight.target.kind == "openai":
            flight.usage, flight.answered = usage_of(reached.body)
        status = reached.answer.status
        if flight.tape is not None:
            flight.tape.begin(reached.answer.headers)
            flight.tape.add(reached.body)
        record = flight.record(DispatchStatus.SUCCEEDED if status < 400 else DispatchStatus.FAILED)
        self._told(flight, record, on_final)
        return Dispatched(record=record, status=status, headers=returned(reached.answer.headers), body=reached.body)

    def remembered(self, route: str, call: Call, caller: Caller) -> DispatchRecord:
        """The final record of a call that was answered from memory."""
        return Flight(self._ids.new(), self.lanes.find(route), call, caller, self._clock).record(
            DispatchStatus.SUCCEEDED
        )

    async def call_as(self, route: Route, call: Call, caller: Caller, on_final: OnFinal) -> Dispatched:
        """Send a call through a route that need not be in force; its target keeps its standing. Raises as `call`."""
        flight = Flight(self._ids.new(), self.lanes.aside(route), call, caller, self._clock)
        return await self._call(flight, None, on_final)

    async def stream(
        self,
        route: str,
        call: Call,
        caller: Caller,
        *,
        on_intent: OnIntent | None = None,
        on_final: OnFinal | None = None,
    ) -> Stream:
        """Send a call and pass its answer on piece by piece; targets are failed over until the first piece is there.

        Arguments and errors as for `call`; what goes wrong later is raised by the stream.
        """
        flight = self._begin(route, call, caller)
        trial, answer, first = await self._guarded(flight, on_intent, on_final, whole=False)
        if flight.tape is not None:
            flight.tape.begin(answer.headers)
        if self.lanes.steered or flight.tape is not None:
            own = on_final
            on_final = lambda record: self._told(flight, record, own)  # noqa: E731  said where it is needed
        return Stream(flight, trial, answer, first, on_final)

    def _told(self, flight: Flight, record: DispatchRecord, on_final: OnFinal | None) -> None:
        if flight.tape is not None:
            self.keep(flight)
        if self.lanes.steered:
            self.facts.tell(record)
        if on_final is not None:
            on_final(record)

    def _begin(self, route: str, call: Call, caller: Caller) -> Flight:
        lane = self.lanes.find(route)
        check_call(call)
        flight = Flight(self._ids.new(), lane, call, caller, self._clock)
        if lane.steering is not None:
            self.lanes.steer(flight)
        lane = flight.lane
        lane.retries.earn()
        if lane.hedges is not None:
            lane.hedges.earn()
        if lane.route.serving.keep_bodies is not None:
            flight.tape = Tape(lane.route.serving.keep_bodies.max_bytes)
        if lane.route.deadline_s is not None:
            flight.deadline_s = self._clock.monotonic_s() + lane.route.deadline_s
        return flight

    async def _guarded(
        self, flight: Flight, on_intent: OnIntent | None, on_final: OnFinal | None, *, whole: bool
    ) -> _Reached:
        """Reach a target, or leave a final record behind."""
        try:
            return await self._reach(flight, on_intent, whole=whole)
        except BaseException as error:
            flight.unseat()
            failed = isinstance(error, Exception)  # else cancelled
            record = flight.record(DispatchStatus.FAILED if failed else DispatchStatus.ABANDONED)
            if isinstance(error, DispatchFailed):
                error.record = record
            self._told(flight, record, on_final)
            raise

    async def _reach(self, flight: Flight, on_intent: OnIntent | None, *, whole: bool) -> _Reached:
        lane, retry = flight.lane, flight.lane.route.retry
        missed: Missed | None = None
        cycle = 0
        while True:
            choice = self.lanes.choose(flight)
            if not choice.order and (full := self.lanes.full(flight)):
                choice = await self._queue(flight, full, choice, on_intent)
            flight.consider(choice)
            tried = len(flight.attempts)
            for at, target in enumerate(choice.order):
                if flight.tried(target, since=tried):  # as the hedge of the one before
                    continue
                if flight.tried(target) and not lane.retries.spend(self._clock.monotonic_s()):
                    raise failure(flight, missed, self._clock.monotonic_s(), "the budget for retries is spent")
                outcome = await self._attempt(flight, choice, at, on_intent, whole=whole)
                if isinstance(outcome, _Reached):
                    return outcome
                if outcome is not None:
                    missed = outcome
                    if not outcome.again or len(flight.attempts) >= retry.attempts:
                        raise failure(flight, missed, self._clock.monotonic_s())
            flight.unseat()
            if len(flight.attempts) == tried and not flight.denied and self.lanes.full(flight):
                continue  # somebody else was faster
            cycle += 1
            wait_s = max(retry.backoff.wait_s(cycle, self._randomness()), self.lanes.soonest_s(flight))
            if missed is None or len(flight.attempts) == tried or wait_s > min(retry.wait_max_s, self._left_s(flight)):
                raise failure(flight, missed, self._clock.monotonic_s())
            await self._sleep(wait_s + _EPSILON_S)

    async def _queue(
        self, flight: Flight, full: list[tuple[Target, Slots]], choice: Choice, on_intent: OnIntent | None
    ) -> Choice:
        """Wait for room at one of these targets; that one is the choice. Raises TargetsFull.

        The intent comes first: a call that waits for a limit must not have room meanwhile that others could use.
        """
        flight.consider(choice)
        if on_intent is not None and not flight.intended:
            await on_intent(flight.record(DispatchStatus.INTENDED))
            flight.intended = True
        route, began_s = flight.lane.route, self._clock.monotonic_s()
        left_s = self._left_s(flight)
        target, flight.seat = await room(route.name, full, flight.caller, route.serving.queue, left_s, self._sleep)
        waited_s = self._clock.monotonic_s() - began_s
        return Choice((target,), (Considered(target.name, picked=True, reason=f"had room after {waited_s:.3g} s"),))

    def _left_s(self, flight: Flight) -> float:
        """Seconds until the call's deadline."""
        return float("inf") if flight.deadline_s is None else flight.deadline_s - self._clock.monotonic_s()

    async def _attempt(
        self, flight: Flight, choice: Choice, at: int, on_intent: OnIntent | None, *, whole: bool
    ) -> _Reached | Missed | None:
        """One attempt; of a route that hedges, perhaps two at once."""
        lane, target = flight.lane, choice.order[at]
        hedge, purse = lane.route.hedge, lane.hedges
        if hedge is None or purse is None or at + 1 >= len(choice.order):
            return await self._try(flight, target, on_intent, whole=whole)
        after_s = hedge.after_s or lane.standings[target.name].percentile_s(_HEDGE_SHARE)
        other = choice.order[at + 1]
        key = idempotency_key(flight.call, flight.caller)
        safe = may_repeat(target, flight.call, key) and may_repeat(other, flight.call, key)
        if after_s is None or not safe or flight.tried(other):
            return await self._try(flight, target, on_intent, whole=whole)

        def allowed() -> bool:
            return flight.intended and purse.spend(self._clock.monotonic_s())

        outcome = await race(
            lambda: self._try(flight, target, on_intent, whole=whole),
            lambda: self._try(flight, other, on_intent, whole=whole, why=f"{target.name} took over {after_s:.3g} s"),
            lambda: self._sleep(after_s),
            allowed=allowed,
            good=lambda found: isinstance(found, _Reached),
            drop=_drop,
        )
        if isinstance(outcome, _Reached):
            flight.target = outcome.trial.target
        return outcome

    async def _try(
        self, flight: Flight, target: Target, on_intent: OnIntent | None, *, whole: bool, why: str = ""
    ) -> _Reached | Missed | None:
        """One attempt; None where the breaker admits none after all."""
        if self.before is not None and (denied := await self.before(flight, target)) is not None:
            flight.deny(target, denied)
            return Missed(denied, None, again=True)
        left_s = self._left_s(flight)
        if left_s <= 0:
            return Missed("the deadline of the call is over", None, again=False)
        key = idempotency_key(flight.call, flight.caller)
        secret, refusal = None, None
        if target.key is not None:
            try:
                secret = await self._secrets.resolve(target.key)
                if flight.tape is not None:
                    flight.hidden.append(secret)
            except TransportFailed as failed:
                refusal = failed
        outgoing = None if refusal else build(target, flight.call, key, secret, flight.caller)
        if outgoing is not None and left_s < outgoing.timeouts.total_s:
            outgoing = within(outgoing, left_s)
        standing = flight.lane.standings[target.name]
        breaker = standing.breaker
        now_s = self._clock.monotonic_s()
        token = breaker.admit(now_s)
        if token is None:
            flight.passed_over(target, breaker.health(now_s).reason)
            return None
        flight.turn_to(target, why)
        if outgoing is None:
            trial = Try(target, standing, token, self._clock)
            flight.attempts.append(trial.attempt)
            trial.end("unknown", str(refusal))
            return Missed(str(refusal), None, again=True)
        if on_intent is not None and not flight.intended:
            try:
                await on_intent(flight.record(DispatchStatus.INTENDED))
            except BaseException:
                breaker.released(token)
                raise
        flight.intended = True
        slots = standing.slots
        if not flight.seated(slots):
            breaker.released(token)
            flight.passed_over(target, standing.health(now_s).reason)
            return None
        trial = Try(target, standing, token, self._clock, slots)
        flight.attempts.append(trial.attempt)
        return await self._send(trial, outgoing, whole=whole, repeatable=may_repeat(target, flight.call, key))

    async def _send(self, trial: Try, outgoing: Outgoing, *, whole: bool, repeatable: bool) -> _Reached | Missed:
        answer: Answer | None = None
        try:
            answer = await self._transport.send(outgoing)
            self._answered(trial, answer)
            if repeatable and answer.status in RETRIED:
                answer.close()
                trial.end("unknown", f"answered {answer.status}")
                return Missed(f"answered {answer.status}", answer.status, again=True)
            body = await answer.chunk()
            if whole and body:
                pieces = [body]
                while piece := await answer.chunk():
                    pieces.append(piece)
                body = b"".join(pieces)
            return _Reached(trial, answer, body)
        except TransportFailed as failed:
            if answer is not None:
                answer.close()
            trial.end("unknown" if failed.kind == "too-large" else "bad", str(failed))
            again = failed.kind != "too-large" and (repeatable or not failed.sent)
            return Missed(str(failed), None if answer is None else answer.status, again=again)
        except BaseException:
            if answer is not None:
                answer.close()
            trial.end("unknown", "the caller left")
            raise

    def _answered(self, trial: Try, answer: Answer) -> None:
        """What status and headers say of the target: its health, and when it wants to be called again."""
        status = answer.status
        trial.answered(status)
        hint = wait_hint_s(status, answer.headers, self._clock.now_ms())
        if hint is not None:
            trial.breaker.told_to_wait(self._clock.monotonic_s(), *hint)
        if status == 429:  # a target that says when to come back is well; one that only refuses is not
            trial.judge("bad" if hint is None else "good", "answered 429")
        elif status == 401 and trial.target.key is not None:
            self._secrets.doubt(trial.target.key)
        elif status >= 500 and status != 501:
            trial.judge("bad", f"answered {status}")


def _drop(outcome: _Reached | Missed | None) -> None:
    """An answer that came too late."""
    if isinstance(outcome, _Reached):
        outcome.answer.close()
        outcome.trial.end("good", "another was faster")
