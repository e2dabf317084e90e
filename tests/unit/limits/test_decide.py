"""Limits decide without clock and store: what holds for a call, whether there is room, when there will be."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_router.core.limits.decide import Buckets, admit, bucket_of, claims_of, counted, end_of, settled
from workflow_router.core.limits.model import NANO, Claim, Limit, Refusal, Scope, Window, told
from workflow_router.settings.limits import LimitRule

MINUTE = Window(kind="fixed", span_s=60)
ROLLING = Window(kind="rolling", span_s=60)
NOW = 1_700_000_040_000  # a whole minute


def limit(amount: int = 10, window: Window = MINUTE) -> Limit:
    return Limit(name="l", unit="requests", amount=amount, window=window)


def test_the_claims_are_those_of_the_calls_place_in_the_hierarchy() -> None:
    limits = [
        Limit(name="z-tenant", unit="money", amount=1, window=MINUTE, per="tenant"),
        Limit(name="a-key", unit="tokens", amount=1, window=MINUTE, per="key", where={"route": "gpt"}),
        Limit(name="run", unit="requests", amount=1, window=MINUTE, per="run"),
        Limit(name="step", unit="requests", amount=1, window=MINUTE, per="step"),
        Limit(name="all", unit="requests", amount=1, window=MINUTE),
        Limit(name="other", unit="requests", amount=1, window=MINUTE, where={"route": "claude"}),
    ]
    who: dict[Scope, str] = {"tenant": "acme", "key": "k1", "route": "gpt"}
    claims = claims_of(limits, who, {"requests": 1, "tokens": 50, "money": 7})
    assert [(c.limit.name, c.subject, c.amount) for c in claims] == [
        ("a-key", "acme/k1", 50),
        ("all", "", 1),
        ("z-tenant", "acme", 7),
    ]
    of_step = claims_of(limits, {"tenant": "default", "run": "r", "step": "0/1"}, {"requests": 1})
    assert [(c.limit.name, c.subject) for c in of_step] == [("all", ""), ("run", "r"), ("step", "r:0/1")]


def test_a_fixed_window_begins_anew() -> None:
    claim = Claim(limit(10), "", 6)
    assert admit(claim, {}, NOW) == {NOW: 6}
    buckets = {NOW: 6}
    refusal = admit(claim, buckets, NOW + 15_000)
    assert isinstance(refusal, Refusal)
    assert (refusal.used, refusal.wanted, refusal.retry_after_s) == (6, 6, 45.0)
    assert admit(claim, buckets, NOW + 60_000) == {NOW + 60_000: 6}


def test_what_never_fits_is_told_so() -> None:
    for claim in (Claim(limit(5), "", 6), Claim(limit(5, Window(kind="total")), "", 6)):
        refusal = admit(claim, {}, NOW)
        assert isinstance(refusal, Refusal)
        assert refusal.retry_after_s is None


def test_a_month_is_that_of_the_calendar() -> None:
    window = Window(kind="month")
    for day, begin, end in (
        ((2024, 2, 29), (2024, 2, 1), (2024, 3, 1)),
        ((2023, 12, 31), (2023, 12, 1), (2024, 1, 1)),
    ):
        ms, begin_ms, end_ms = (int(datetime(*d, tzinfo=UTC).timestamp()) * 1000 for d in (day, begin, end))
        assert (bucket_of(window, ms), end_of(window, bucket_of(window, ms))) == (begin_ms, end_ms)


def test_a_settlement_gives_back_or_takes_more_where_it_was_counted() -> None:
    assert settled({NOW: 6}, NOW, -4) == {NOW: 2}
    assert settled({NOW: 6}, NOW, 4) == {NOW: 10}
    assert settled({NOW: 6}, NOW - 60_000, -4) == {NOW: 6}
    assert counted(MINUTE, {NOW - 60_000: 9, NOW: 1}, NOW) == {NOW: 1}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 4)), max_size=60), st.integers(1, 12))
def test_no_stretch_of_a_rolling_window_grants_more_than_its_limit(steps: list[tuple[int, int]], amount: int) -> None:
    buckets: Buckets = {}
    granted: list[tuple[int, int]] = []
    now = NOW
    for wait_ms, wanted in steps:
        now += wait_ms
        answer = admit(Claim(limit(amount, ROLLING), "", wanted), buckets, now)
        if isinstance(answer, Refusal):
            if answer.retry_after_s is not None:
                later = admit(
                    Claim(limit(amount, ROLLING), "", wanted), buckets, now + round(answer.retry_after_s * 1000)
                )
                assert not isinstance(later, Refusal)
            continue
        buckets = answer
        granted.append((now, wanted))
    for begin, _ in granted:
        assert sum(wanted for at, wanted in granted if begin <= at < begin + 60_000) <= amount


@pytest.mark.parametrize("amount", [-1, 10**19])
def test_a_limit_without_sense_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        limit(amount)
    with pytest.raises(ValueError, match="span"):
        Window(kind="fixed")


def test_amounts_in_words() -> None:
    assert [told("money", NANO // 2), told("requests", 1), told("tokens", 2)] == ["$0.5", "1 request", "2 tokens"]
    assert [told("in_flight", 1), told("in_flight", 2)] == ["1 call in flight", "2 calls in flight"]


def test_calls_in_flight_have_no_window() -> None:
    with pytest.raises(ValueError, match="no window"):
        Limit(name="gpu", unit="in_flight", amount=1, window=Window(kind="month"))
    rule = msgspec.convert({"name": "gpu", "in_flight": 2}, LimitRule)
    assert (rule.limit().unit, rule.limit().amount, rule.limit().window.kind) == ("in_flight", 2, "total")
    with pytest.raises(ValueError, match="needs a window: a span"):
        msgspec.convert({"name": "calls", "requests": 2}, LimitRule).limit()
