"""What calls cost: the table that comes with the router, long input, and what is read from or written to a cache."""

import pytest

from workflow_router.core.dispatch_route.prices import LongRate, Price, Prices, Tokens, estimate, tokens_of
from workflow_router.settings.limits import PriceTable, prices_of

TABLE = Prices(
    models={
        "m": Price(
            input=10,
            output=20,
            cached_input=1,
            cache_write=12.5,
            long=LongRate(above=100, input=100, output=200, cached_input=10),
        )
    }
)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(input=100, output=10), 1_200_000),
        (Tokens(input=101, output=10), 12_100_000),  # all of it, its output too
        (Tokens(input=100, cached=90), 190_000),
        (Tokens(input=100, cached=50, written=50), 675_000),
        (Tokens(input=200, written=100), 20_000_000),  # no rate of its own: as input
    ],
)
def test_a_call_costs_by_its_length_and_by_what_was_cached(tokens: Tokens, cost: int) -> None:
    assert TABLE.cost("m", tokens) == cost


def test_usage_tells_what_was_cached_and_what_is() -> None:
    messages = b'{"input_tokens":5,"cache_read_input_tokens":30,"cache_creation_input_tokens":7,"output_tokens":2}'
    assert tokens_of(messages) == Tokens(input=42, output=2, cached=30, written=7)
    chat = b'{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}'
    assert tokens_of(chat) == Tokens(input=9, output=1, cached=4)
    strange = b'{"input_tokens":-5,"cache_read_input_tokens":-3,"cache_creation_input_tokens":-7,"output_tokens":-2}'
    assert tokens_of(strange) == Tokens()


def test_a_reservation_covers_what_is_written_to_a_cache() -> None:
    body = b'{"messages":[{"content":[{"type":"text","cache_control":{"type":"ephemeral"}}]}],"max_tokens":1}'
    assert estimate(body, "/v1/messages").written == len(body)
    assert estimate(body.replace(b"cache_", b"other_"), "/v1/messages").written == 0


def test_the_table_that_comes_along_has_a_date_and_the_projects_own_goes_before_it() -> None:
    shipped = prices_of(PriceTable())
    assert shipped.version.count("-") == 2
    for name, price in shipped.models.items():
        assert 0 <= (price.cached_input or 0) < price.input, name
        assert (price.cache_write or price.input) >= price.input, name
        assert price.long is None or price.long.input > price.input, name
        assert name.startswith("text-embedding") or price.output > price.input, name
    assert shipped.of("claude-opus-4-5-20251101") == shipped.models["claude-opus-4-5"]
    own = prices_of(PriceTable(models={"gpt-5": Price(input=1)}))
    assert (own.of("gpt-5").input, own.version) == (1, f"{shipped.version}+own")
    assert prices_of(PriceTable(version="mine")).version == "mine"
