"""Owns what is known of one dispatch while it is under way, and makes its records. Refuses to send and to decide."""

from typing import NamedTuple

from workflow_router.core.dispatch_route.model import Attempt, Call, Caller, Considered, Route, Target
from workflow_router.core.dispatch_route.pick import FREE, Choice, Steer
from workflow_router.core.dispatch_route.retry_budget import RetryBudget
from workflow_router.core.dispatch_route.slots import Slots
from workflow_router.core.dispatch_route.standing import Standing, Verdict
from workflow_router.core.dispatch_route.steer import Steering
from workflow_router.core.dispatch_route.tape import Tape
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json


class Lane(NamedTuple):
    """A route with the standings of its targets, by target name. A dispatch keeps the lane it began with."""

    route: Route
    standings: dict[str, Standing]
    usual: Choice  # where every target is healthy, and no chance is involved
    steering: Steering | None
    retries: RetryBudget
    hedges: RetryBudget | None


class Flight:
    """One dispatch. Nothing in it but `call` and `hidden` holds content or secrets, and no record is made of these."""

    def __init__(self, dispatch_id: str, lane: Lane, call: Call, caller: Caller, clock: Clock) -> None:
        self.id = dispatch_id
        self.lane = lane
        self.call = call
        self.caller = caller
        self.steer: Steer = FREE
        self.deadline_s: float | None = None  # of the monotonic clock
        self.intended = False
        self.denied = False
        self.target: Target | None = None
        self.seat: Slots | None = None  # room that was waited for, until an attempt takes it
        self.usage: bytes | None = None
        self.answered: str | None = None  # the model that the answer says it is of
        self.tape: Tape | None = None  # of calls whose bodies are kept
        self.hidden: list[str] = []  # secrets of targets, of calls whose bodies are kept: they are taken out of them
        self.attempts: list[Attempt] = []
        self._considered: dict[str, Considered] = {}
        self._clock = clock
        self._created_ms = clock.now_ms()

    def consider(self, choice: Choice) -> None:
        """Take in a choice; what was picked before stays picked."""
        for verdict in choice.considered:
            known = self._considered.get(verdict.target)
            if known is None or not known.picked:
                self._considered[verdict.target] = verdict

    def passed_over(self, target: Target, reason: str) -> None:
        """A target that was to be tried could not be, after all."""
        self._considered[target.name] = Considered(target.name, picked=False, reason=reason)

    def deny(self, target: Target, why: str) -> None:
        """The call is not to go to this target."""
        self.denied = True
        self.passed_over(target, why)

    def turn_to(self, target: Target, why: str = "") -> None:
        """The next attempt goes to `target`."""
        self.target = target
        if why:
            self._considered[target.name] = Considered(target.name, picked=True, reason=f"hedge: {why}")
        elif not self._considered[target.name].picked:
            last = self.attempts[-1] if self.attempts else None
            reason = "next in order" if last is None else f"next after {last.target} failed ({last.error})"
            self._considered[target.name] = Considered(target.name, picked=True, reason=reason)

    def seated(self, slots: Slots | None) -> bool:
        """Whether an attempt may begin: there is room, be it waited for, or taken now."""
        if slots is None:
            return True
        if self.seat is slots:
            self.seat = None
            return True
        return slots.take()

    def unseat(self) -> None:
        """Give back room that no attempt took."""
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.give_back()

    def tried(self, target: Target, *, since: int = 0) -> bool:
        """Whether an attempt went there before; of the attempts from number `since`, counted from 0."""
        return any(attempt.target == target.name for attempt in self.attempts[since:])

    def record(self, status: DispatchStatus) -> DispatchRecord:
        """The record as of now: an intent, or final."""
        caller = self.caller
        return DispatchRecord(
            id=self.id,
            route=self.lane.route.name,
            status=status,
            target=None if self.target is None else self.target.name,
            run=caller.run,
            step_key=caller.step_key,
            tenant=caller.tenant,
            caller=caller.caller,
            cause=caller.cause,
            correlation=caller.correlation,
            attempts=to_json(self.attempts),
            considered=to_json(list(self._considered.values())),
            usage=self.usage,
            created_ms=self._created_ms,
            finished_ms=None if status is DispatchStatus.INTENDED else self._clock.now_ms(),
            facts=None if self.answered is None else to_json({"answered": self.answered}),
        )


class Try:
    """One attempt, its token at the breaker and its room at the target: times it and reports exactly once."""

    def __init__(
        self, target: Target, standing: Standing, token: int, clock: Clock, slots: Slots | None = None
    ) -> None:
        self.attempt = Attempt(
            target=target.name, status=None, error=None, started_ms=clock.now_ms(), first_byte_ms=None, total_ms=None
        )
        self.target = target
        self.breaker = standing.breaker
        self._standing = standing
        self._verdict: Verdict = "unknown"
        self._ended = False
        standing.began()
        self._slots = slots
        self._token: int | None = token
        self._clock = clock
        self._started_s = clock.monotonic_s()

    def answered(self, status: int) -> None:
        """Status and headers are there."""
        self.attempt.status = status
        self.attempt.first_byte_ms = self._elapsed_ms()
        now_s = self._clock.monotonic_s()
        self._standing.answered(now_s, now_s - self._started_s)
        if self._slots is not None:
            self._slots.answered(status, now_s - self._started_s)

    def judge(self, verdict: Verdict, why: str) -> None:
        """Tell the breaker, once; later verdicts on the same attempt are not told."""
        if self._token is None:
            return
        self._verdict = verdict
        if verdict == "good":
            self.breaker.succeeded(self._token)
        elif verdict == "bad":
            self.breaker.failed(self._token, self._clock.monotonic_s(), why)
        else:
            self.breaker.released(self._token)
        self._token = None

    def end(self, verdict: Verdict, error: str | None = None) -> None:
        """The attempt is over."""
        self.judge(verdict, error or "")
        self.attempt.error = self.attempt.error or error
        self.attempt.total_ms = self._elapsed_ms()
        if not self._ended:
            self._ended = True
            self._standing.ended(self._verdict)
            if self._slots is not None:
                silent = self._verdict == "bad" and self.attempt.status is None
                self._slots.give_back(self._clock.monotonic_s() - self._started_s, refused=silent)

    def _elapsed_ms(self) -> float:
        return round((self._clock.monotonic_s() - self._started_s) * 1000, 2)
