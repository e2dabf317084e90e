"""Owns what a call costs: prices by model, and the policy for a model without one. Refuses to guess a price.

Prices are dollars for a million tokens, as providers publish them; costs are whole billionths of a dollar, rounded up.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from workflow_router.core.errors import InvalidInput

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_PICO = 1_000_000  # dollars for a million tokens, in millionths, are trillionths of a dollar for one


@lru_cache(maxsize=4096)
def _undated(model: str) -> str:
    return _DATED.sub("", model)


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars for a million tokens.

    Attributes:
        cached_input: for input that the provider had cached; None costs as `input`.
        cache_write: for input that the provider caches from now on; None costs as `input`.
    """

    input: float
    output: float = 0.0
    cached_input: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        given = (self.input, self.output, self.cached_input or 0.0, self.cache_write or 0.0)
        if not all(0 <= value <= 1_000_000 for value in given):
            raise ValueError("A price is 0 or more dollars for a million tokens.")


class LongRate(Rate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rate of all tokens of a call whose input, cached or not, is `above` so many tokens."""

    above: int


class Price(Rate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs; `long` is for calls with long input, None where they cost the same."""

    long: LongRate | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens a call used; of `input`, the provider had cached `cached`, and caches `written` from now on."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output


class PriceUnknown(InvalidInput):
    """A budget holds for a call whose model has no price."""

    type = "price-unknown"
    status = 422


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """A table of prices.

    Attributes:
        version: says which table it is, usually the date it was compiled on.
        unknown: `refuse` a call under a budget, count it as `zero`, or by the `default` price.
    """

    version: str = "none"
    models: Mapping[str, Price] = {}
    unknown: Literal["refuse", "zero", "default"] = "refuse"
    default: Price | None = None

    def find(self, model: str) -> Price | None:
        """The price of a model; a dated name (`gpt-4o-2024-08-06`) has that of the name without its date.

        None where it has none, and the policy is to refuse.
        """
        found = self.models.get(model) or self.models.get(_undated(model))
        if found is not None:
            return found
        if self.unknown == "default" and self.default is not None:
            return self.default
        return _FREE if self.unknown == "zero" else None

    def of(self, model: str) -> Price:
        """The price of a model, as `find` says it. Raises PriceUnknown where it has none."""
        found = self.find(model)
        if found is not None:
            return found
        raise PriceUnknown(
            f"The model {model[:100]!r} has no price, and a budget holds for this call.",
            remedy="Add it under `prices: models:`, or set `prices: unknown:` to zero or default.",
        )

    def compared(self, model: str | None) -> float | None:
        """What a million tokens in and a million out cost, to compare models; None where the table has none."""
        found = None if model is None else self.models.get(model) or self.models.get(_undated(model))
        return None if found is None else found.input + found.output

    def cost(self, model: str, tokens: Tokens) -> int:
        """Billionths of a dollar. Raises PriceUnknown."""
        return cost_of(self.of(model), tokens)


def cost_of(price: Price, tokens: Tokens) -> int:
    """What so many tokens cost, billionths of a dollar."""
    rate = price.long if price.long is not None and tokens.input > price.long.above else price
    cached = rate.input if rate.cached_input is None else rate.cached_input
    written = rate.input if rate.cache_write is None else rate.cache_write
    pico = (
        (tokens.input - tokens.cached - tokens.written) * round(rate.input * _PICO)
        + tokens.cached * round(cached * _PICO)
        + tokens.written * round(written * _PICO)
        + tokens.output * round(rate.output * _PICO)
    )
    return -(-pico // 1_000)


_FREE = Price(input=0.0)
NO_PRICES = Prices(unknown="zero")


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The counts of the three wire formats."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    total_tokens: int | None = None


_usage = msgspec.json.Decoder(_Usage)


def tokens_of(usage: bytes | None) -> Tokens | None:
    """The counts as the provider told them (chat completions, responses, embeddings, messages); None where it did not.

    Messages count cached input beside `input_tokens`; the other formats count it within.
    """
    if usage is None:
        return None
    try:
        found = _usage.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return None
    given = found.prompt_tokens if found.input_tokens is None else found.input_tokens
    made = found.completion_tokens if found.output_tokens is None else found.output_tokens
    if given is None and made is None:
        return None
    details = found.prompt_tokens_details or found.input_tokens_details
    within = (details.cached_tokens or 0) if details else 0
    beside = found.cache_read_input_tokens or 0
    created = max(found.cache_creation_input_tokens or 0, 0)
    given = max(given or 0, 0) + max(beside, 0) + created
    cached = min(max(within + beside, 0), given - created)
    return Tokens(input=given, output=max(made or 0, 0), cached=cached, written=created)


class _Bounded(msgspec.Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


_bounded = msgspec.json.Decoder(_Bounded)
TOOLS_TOKENS = 1_024  # a provider's own instructions for the use of tools; 530 at most in Anthropic's tables
INPUT_MAX_TOKENS = 2_000_000  # no context window is wider; an image in the body has more bytes than it costs
OUTPUT_TOKENS = 4_096


def estimate(body: bytes, path: str) -> Tokens:
    """How many tokens a call may use at most, for its reservation only.

    Input is a token for each byte of the body: a token of a byte-level vocabulary (Sennrich et al. 2016; GPT-2's, and
    those after it) stands for a byte or more, JSON escapes no text shorter than its UTF-8, and the syntax round each
    message is longer than what a provider's template adds to it. What the body only refers to (an image by its address,
    an earlier response) is not bounded by it. Output is what the body bounds it to (`max_tokens` and its kin, times
    `n`), else 4,096, and none for embeddings.
    """
    given = min(len(body) + (TOOLS_TOKENS if b'"tools"' in body else 0), INPUT_MAX_TOKENS)
    if path.partition("?")[0].endswith("/embeddings"):
        return Tokens(input=given)
    try:
        bound = _bounded.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return Tokens(input=given, output=OUTPUT_TOKENS)
    most = bound.max_completion_tokens or bound.max_output_tokens or bound.max_tokens or OUTPUT_TOKENS
    written = given if b'"cache_control"' in body else 0
    return Tokens(input=given, written=written, output=max(most, 0) * max(bound.n or 1, 1))
