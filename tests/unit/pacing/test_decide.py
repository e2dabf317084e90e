"""What becomes of items that come too fast, too slowly or too many, decided without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.errors import InvalidInput
from workflow_router.core.pacing import (
    Batch,
    Debounce,
    Delay,
    Held,
    Policy,
    RateLimit,
    Throttle,
    Verdict,
    decide,
    release,
)


def test_debounce_goes_on_with_the_last_when_it_is_quiet() -> None:
    policy = Debounce(quiet_s=5)
    first = decide(policy, None, b"1", 0)
    assert (first.verdict, first.items, first.held and first.held.due_ms) == (Verdict.HOLD, (), 5_000)
    second = decide(policy, first.held, b"2", 4_000)
    assert second.replaced == (b"1",)
    assert second.held is not None
    assert second.held.due_ms == 9_000
    early = release(policy, second.held, 8_999)
    assert (early.items, early.held) == ((), second.held)
    assert release(policy, second.held, 9_000).items == (b"2",)
    assert release(policy, second.held, 9_000).held is None


def test_debounce_does_not_wait_longer_than_its_most() -> None:
    policy = Debounce(quiet_s=5, max_s=8)
    held = None
    for moment in (0, 4_000, 7_000):
        held = decide(policy, held, b"1", moment).held
    assert held is not None
    assert held.due_ms == 8_000


def test_batch_goes_on_when_it_is_full_or_its_time_has_come() -> None:
    policy = Batch(size=3, within_s=10)
    one = decide(policy, None, b"1", 0)
    two = decide(policy, one.held, b"2", 9_000)
    assert two.held is not None
    assert two.held.due_ms == 10_000
    assert release(policy, two.held, 10_000).items == (b"1", b"2")
    three = decide(policy, two.held, b"3", 9_500)
    assert (three.verdict, three.items, three.held) == (Verdict.FIRE, (b"1", b"2", b"3"), None)


def test_delay_lets_each_go_on_after_its_own_time() -> None:
    policy = Delay(by_s=10)
    held = decide(policy, decide(policy, None, b"1", 0).held, b"2", 4_000).held
    assert held is not None
    first = release(policy, held, 10_000)
    assert first.items == (b"1",)
    assert first.held is not None
    assert first.held.due_ms == 14_000


def test_a_rate_limit_drops_what_is_too_much_and_says_when_to_come_again() -> None:
    policy = RateLimit(limit=2, per_s=10)
    held = decide(policy, decide(policy, None, b"1", 0).held, b"2", 3_000).held
    dropped = decide(policy, held, b"3", 9_999)
    assert (dropped.verdict, dropped.items, dropped.retry_ms) == (Verdict.DROP, (), 10_000)
    assert decide(policy, dropped.held, b"4", 10_000).items == (b"4",)


def test_what_a_policy_kept_goes_on_when_the_policy_is_gone() -> None:
    held = decide(Batch(size=9, within_s=9), None, b"1", 0).held
    assert held is not None
    assert release(None, held, 1).items == (b"1",)


@pytest.mark.parametrize("make", [lambda: Debounce(0), lambda: Throttle(2_000, 1), lambda: Batch(0, 1)])
def test_a_policy_that_means_nothing_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InvalidInput):
        make()


GAPS = st.lists(st.integers(0, 3_000), min_size=1, max_size=60)


@given(gaps=GAPS, limit=st.integers(1, 5), per_s=st.sampled_from([0.5, 1.0, 4.0]), drop=st.booleans())
def test_no_window_has_more_than_its_limit_and_nothing_is_lost(
    gaps: list[int], limit: int, per_s: float, drop: bool
) -> None:
    policy: Policy = RateLimit(limit, per_s) if drop else Throttle(limit, per_s)
    now, held, went, dropped = 0, None, list[tuple[int, bytes]](), 0

    def ripen(until: int) -> Held | None:
        state = held
        while state is not None and state.due_ms is not None and state.due_ms <= until:
            decision = release(policy, state, state.due_ms)
            went.extend((state.due_ms, item) for item in decision.items)
            assert decision.held != state  # each release gets on
            state = decision.held
        return state

    for number, gap in enumerate(gaps):
        now += gap
        held = ripen(now)
        decision = decide(policy, held, b"%d" % number, now)
        went.extend((now, item) for item in decision.items)
        dropped += decision.verdict is Verdict.DROP
        held = decision.held
    assert ripen(10**9) is None
    assert len(went) + dropped == len(gaps)
    assert [int(item) for _, item in went] == sorted(int(item) for _, item in went)
    moments = [moment for moment, _ in went]
    assert all(b - a >= per_s * 1000 for a, b in zip(moments, moments[limit:], strict=False))
    if not drop:
        assert dropped == 0
