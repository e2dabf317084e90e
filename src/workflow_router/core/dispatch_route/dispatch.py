"""Owns the sending of a call through a route: intent, attempts, retries, failover, final record.

Refuses to store anything (records are handed to the caller), and to repeat a call that may have had an effect unless
its method is idempotent, it carries an idempotency key, or it is a completion. Failover comes before waiting: the next
target is tried at once; only when all that may be called have failed does the call wait, by Retry-After or backoff.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from workflow_router.core.dispatch_route.answer import usage_of, wait_hint_s
from workflow_router.core.dispatch_route.breaker import Breaker
from workflow_router.core.dispatch_route.flight import Flight, Lane, Try
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller, Dispatched, Route, Target
from workflow_router.core.dispatch_route.pick import HEALTHY, Choice, Health, pick
from workflow_router.core.dispatch_route.ports import Answer, Outgoing, Secrets, Transport, TransportFailed
from workflow_router.core.dispatch_route.request import build, check_call, idempotency_key, may_repeat, returned
from workflow_router.core.dispatch_route.stream import OnFinal, Stream
from workflow_router.core.errors import DispatchFailed, InvalidInput, NoTarget, NotFound
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.ids import Ids

OnIntent = Callable[[DispatchRecord], Awaitable[None]]

RETRIED = frozenset({429, 502, 503, 504, 529})  # 529: "overloaded" in the messages API
_EPSILON_S = 0.001  # a wait that ends a rounding error too early would find the target still closed


class _Reached(NamedTuple):
    trial: Try
    answer: Answer
    body: bytes  # the whole of it, or its first piece


class _Missed(NamedTuple):
    why: str
    status: int | None
    again: bool  # whether the call may be sent once more


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
        self._breakers: dict[tuple[str, str, str | None, str | None, BreakerPolicy], Breaker] = {}
        self._lanes: dict[str, Lane] = {}
        self.set_routes(routes)

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes in force, by name."""
        return {name: lane.route for name, lane in self._lanes.items()}

    def set_routes(self, routes: Iterable[Route]) -> None:
        """Put these routes in force, all at once. A target that stays what it was keeps what is known of its health."""
        breakers: dict[tuple[str, str, str | None, str | None, BreakerPolicy], Breaker] = {}
        lanes: dict[str, Lane] = {}
        for route in routes:
            if route.name in lanes:
                raise InvalidInput(f"Two routes are named {route.name!r}.", remedy="Rename one of them.")
            own: dict[str, Breaker] = {}
            for target in route.targets:
                key = (target.name, target.url, target.model, target.key, target.breaker)
                known = breakers.get(key) or self._breakers.get(key) or Breaker(target.breaker)
                own[target.name] = breakers[key] = known
            lanes[route.name] = Lane(route, own, pick(route, {}, 0.0))
        self._breakers, self._lanes = breakers, lanes

    def health(self, route: str) -> dict[str, Health]:
        """How the targets of a route fare now, by name. Raises NotFound."""
        return _health(self._lane(route), self._clock.monotonic_s())

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
        flight = self._begin(route, call, caller)
        reached = await self._guarded(flight, on_intent, on_final, whole=True)
        reached.trial.end("good")
        if flight.target is not None and flight.target.kind == "openai":
            flight.usage = usage_of(reached.body)
        status = reached.answer.status
        record = flight.record(DispatchStatus.SUCCEEDED if status < 400 else DispatchStatus.FAILED)
        if on_final is not None:
            on_final(record)
        return Dispatched(record=record, status=status, headers=returned(reached.answer.headers), body=reached.body)

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
        return Stream(flight, trial, answer, first, on_final)

    def _lane(self, route: str) -> Lane:
        lane = self._lanes.get(route)
        if lane is None:
            raise NotFound(f"There is no route {route!r}.", remedy="Use one of the configured routes.")
        return lane

    def _begin(self, route: str, call: Call, caller: Caller) -> Flight:
        lane = self._lane(route)
        check_call(call)
        return Flight(self._ids.new(), lane, call, caller, self._clock)

    async def _guarded(
        self, flight: Flight, on_intent: OnIntent | None, on_final: OnFinal | None, *, whole: bool
    ) -> _Reached:
        """Reach a target, or leave a final record behind."""
        try:
            return await self._reach(flight, on_intent, whole=whole)
        except BaseException as error:
            failed = isinstance(error, Exception)  # else cancelled
            record = flight.record(DispatchStatus.FAILED if failed else DispatchStatus.ABANDONED)
            if isinstance(error, DispatchFailed):
                error.record = record
            if on_final is not None:
                on_final(record)
            raise

    async def _reach(self, flight: Flight, on_intent: OnIntent | None, *, whole: bool) -> _Reached:
        lane, retry = flight.lane, flight.lane.route.retry
        missed: _Missed | None = None
        cycle = 0
        while True:
            choice = self._choose(lane)
            flight.consider(choice)
            tried = len(flight.attempts)
            for target in choice.order:
                outcome = await self._try(flight, target, on_intent, whole=whole)
                if isinstance(outcome, _Reached):
                    return outcome
                if outcome is not None:
                    missed = outcome
                    if not outcome.again or len(flight.attempts) >= retry.attempts:
                        raise self._failure(flight, missed)
            cycle += 1
            wait_s = max(retry.backoff.wait_s(cycle, self._randomness()), self._soonest_s(lane))
            if missed is None or len(flight.attempts) == tried or wait_s > retry.wait_max_s:
                raise self._failure(flight, missed)
            await self._sleep(wait_s + _EPSILON_S)

    def _choose(self, lane: Lane) -> Choice:
        states = _health(lane, self._clock.monotonic_s())
        if lane.route.policy == "failover" and all(state is HEALTHY for state in states.values()):
            return lane.usual
        return pick(lane.route, states, self._randomness())

    async def _try(
        self, flight: Flight, target: Target, on_intent: OnIntent | None, *, whole: bool
    ) -> _Reached | _Missed | None:
        """One attempt; None where the breaker admits none after all."""
        key = idempotency_key(flight.call, flight.caller)
        secret, refusal = None, None
        if target.key is not None:
            try:
                secret = await self._secrets.resolve(target.key)
            except TransportFailed as failed:
                refusal = failed
        outgoing = None if refusal else build(target, flight.call, key, secret)
        breaker = flight.lane.breakers[target.name]
        now_s = self._clock.monotonic_s()
        token = breaker.admit(now_s)
        if token is None:
            flight.passed_over(target, breaker.health(now_s).reason)
            return None
        flight.turn_to(target)
        if outgoing is None:
            trial = Try(target, breaker, token, self._clock)
            flight.attempts.append(trial.attempt)
            trial.end("unknown", str(refusal))
            return _Missed(str(refusal), None, again=True)
        if on_intent is not None and not flight.intended:
            try:
                await on_intent(flight.record(DispatchStatus.INTENDED))
            except BaseException:
                breaker.released(token)
                raise
        flight.intended = True
        trial = Try(target, breaker, token, self._clock)
        flight.attempts.append(trial.attempt)
        return await self._send(trial, outgoing, whole=whole, repeatable=may_repeat(target, flight.call, key))

    async def _send(self, trial: Try, outgoing: Outgoing, *, whole: bool, repeatable: bool) -> _Reached | _Missed:
        answer: Answer | None = None
        try:
            answer = await self._transport.send(outgoing)
            self._answered(trial, answer)
            if repeatable and answer.status in RETRIED:
                answer.close()
                trial.end("unknown", f"answered {answer.status}")
                return _Missed(f"answered {answer.status}", answer.status, again=True)
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
            return _Missed(str(failed), None if answer is None else answer.status, again=again)
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
        elif status >= 500 and status != 501:
            trial.judge("bad", f"answered {status}")

    def _soonest_s(self, lane: Lane) -> float:
        """Seconds until a target may be called because it said so; infinite where all are out for failing."""
        states = _health(lane, self._clock.monotonic_s())
        weighted = lane.route.policy == "weighted"
        waits = [
            0.0 if states[target.name].ready else states[target.name].ready_in_s
            for target in lane.route.targets
            if target.weight or not weighted
        ]
        return min((wait for wait in waits if wait is not None), default=float("inf"))

    def _failure(self, flight: Flight, missed: _Missed | None) -> DispatchFailed:
        now_s = self._clock.monotonic_s()
        wait_s = min(breaker.retry_in_s(now_s) for breaker in flight.lane.breakers.values())
        name, remedy = flight.lane.route.name, f"See dispatch {flight.id} for every target and why."
        if missed is None:
            return NoTarget(
                f"No target of route {name!r} may be called now.", remedy=remedy, retry_after_s=wait_s or None
            )
        tries = "; ".join(f"{attempt.target}: {attempt.error}" for attempt in flight.attempts)
        statuses = [attempt.status for attempt in flight.attempts if attempt.status is not None]
        return DispatchFailed(
            f"Route {name!r} gave no answer ({tries}).",
            remedy=remedy,
            upstream_status=statuses[-1] if statuses else None,
            retry_after_s=wait_s or None,
        )


def _health(lane: Lane, now_s: float) -> dict[str, Health]:
    return {name: breaker.health(now_s) for name, breaker in lane.breakers.items()}
