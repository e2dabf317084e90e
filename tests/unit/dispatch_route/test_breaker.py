"""The breaker against a model of it that keeps the whole history and decides from that."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from workflow_router.core.dispatch_route.breaker import Breaker
from workflow_router.core.dispatch_route.model import BreakerPolicy

POLICY = BreakerPolicy(failures=3, open_s=10, open_max_s=40, probes=2)


class BreakerMachine(RuleBasedStateMachine):
    """Attempts are admitted, and end at any later time and in any order."""

    attempts: Bundle[tuple[int, int, bool]] = Bundle("attempts")  # token, era it was admitted in, whether a probe

    @initialize()
    def start(self) -> None:
        self.breaker = Breaker(POLICY)
        self.now_s = 1000.0
        self.era = 0  # counts changes of state; what was admitted in an earlier one tells nothing now
        self.open_until_s: float | None = None
        self.openings = 0
        self.run_of_failures = 0
        self.probes = 0
        self.wait_until_s = 0.0

    def closed_to_all(self) -> bool:
        if self.now_s < self.wait_until_s:
            return True
        return self.open_until_s is not None and (self.now_s < self.open_until_s or self.probes >= POLICY.probes)

    @rule(seconds=st.sampled_from([0.5, 5.0, 9.5, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=attempts)
    def admit(self) -> tuple[int, int, bool]:
        token = self.breaker.admit(self.now_s)
        assert (token is None) == self.closed_to_all()
        probe = token is not None and self.open_until_s is not None
        self.probes += probe
        return (-1 if token is None else token, self.era, probe)

    @rule(attempt=consumes(attempts))
    def succeed(self, attempt: tuple[int, int, bool]) -> None:
        token, era, _ = attempt
        if token < 0:
            return
        self.breaker.succeeded(token)
        if era == self.era:
            self.run_of_failures = 0
            if self.open_until_s is not None:
                self.open_until_s, self.openings, self.probes = None, 0, 0
                self.era += 1

    @rule(attempt=consumes(attempts))
    def fail(self, attempt: tuple[int, int, bool]) -> None:
        token, era, probe = attempt
        if token < 0:
            return
        self.breaker.failed(token, self.now_s, "why")
        if era == self.era:
            self.run_of_failures += 1
            if probe or self.run_of_failures >= POLICY.failures:
                self.open_until_s = self.now_s + (10, 20, 40)[min(self.openings, 2)]
                self.openings += 1
                self.probes = 0
                self.era += 1

    @rule(attempt=consumes(attempts))
    def leave(self, attempt: tuple[int, int, bool]) -> None:
        token, era, probe = attempt
        if token >= 0:
            self.breaker.released(token)
            if era == self.era and probe:
                self.probes -= 1

    @rule(wait_s=st.sampled_from([0.0, 1.0, 30.0]))
    def told_to_wait(self, wait_s: float) -> None:
        self.breaker.told_to_wait(self.now_s, wait_s, "retry-after")
        self.wait_until_s = self.now_s + wait_s

    @invariant()
    def health_agrees(self) -> None:
        health = self.breaker.health(self.now_s)
        assert health.ready != self.closed_to_all()
        if self.now_s < self.wait_until_s:
            assert health.ready_in_s == pytest.approx(self.wait_until_s - self.now_s)
        until_s = max(self.wait_until_s, self.open_until_s or 0.0)
        assert self.breaker.retry_in_s(self.now_s) == pytest.approx(max(until_s - self.now_s, 0.0))


TestBreakerMachine = BreakerMachine.TestCase


def admitted(breaker: Breaker, now_s: float) -> int:
    token = breaker.admit(now_s)
    assert token is not None
    return token


def test_it_opens_after_failures_in_a_row_and_heals_through_one_probe() -> None:
    breaker = Breaker(BreakerPolicy(failures=2, open_s=5, open_max_s=60))
    breaker.failed(admitted(breaker, 0), 0, "answered 500")
    breaker.succeeded(admitted(breaker, 0))
    breaker.failed(admitted(breaker, 0), 0, "answered 500")
    assert breaker.health(0).ready
    breaker.failed(admitted(breaker, 0), 0, "answered 503")
    assert breaker.admit(4.9) is None
    assert breaker.health(4).reason == "breaker open for 1.0 s more after 2 failures in a row, the last: answered 503"
    probe = admitted(breaker, 5)
    assert breaker.admit(5) is None
    breaker.released(probe)
    breaker.failed(admitted(breaker, 5), 5, "again")
    assert breaker.retry_in_s(5) == 10
    breaker.succeeded(admitted(breaker, 15))
    assert breaker.health(15).ready


def test_a_success_sent_before_it_opened_does_not_close_it() -> None:
    breaker = Breaker(BreakerPolicy(failures=1))
    early = admitted(breaker, 0)
    breaker.failed(admitted(breaker, 0), 0, "down")
    breaker.succeeded(early)
    assert not breaker.health(1).ready


def test_the_latest_word_on_waiting_counts() -> None:
    breaker = Breaker(BreakerPolicy())
    breaker.told_to_wait(0, 9, "retry-after")
    breaker.told_to_wait(1, 107, "retry-after")
    assert breaker.retry_in_s(10) == 98
    breaker.told_to_wait(10, 2, "retry-after")
    assert breaker.admit(12) is not None


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"probes": 0}, {"open_s": 0}, {"open_s": 61}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="A breaker needs"):
        BreakerPolicy(**wrong)
