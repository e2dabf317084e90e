"""Owns what a project says of limits, prices and how its routes serve, and hands it to the engines in their words."""

import re
from importlib.resources import files
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from workflow_router.core.dispatch_route import prices, serving
from workflow_router.core.dispatch_route.redact import KeepBodies
from workflow_router.core.limits import model as limits
from workflow_router.core.limits.model import NANO, Scope, Unit, Window

Positive: TypeAlias = Annotated[float, Meta(ge=0)]
Span: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,5}[smhd]|month|total)$",
        extra={"expects": "a span such as 30s, 1m, 1h, 1d, or `month` or `total`"},
    ),
]
LimitName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        extra={"expects": "a name of letters, digits, `.`, `_` and `-`, at most 100"},
    ),
]

_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most so many `requests` or `tokens`, or so much `money` (dollars), within a `window`; or calls `in_flight`.

    One of the four. Calls in flight have no window; they are counted over all processes on one database.
    `per` gives each tenant, key, agent, workflow, run, step or route a counter of its own; `where` narrows it.
    `rolling` covers the last span at any time; else the window begins anew with each span (UTC).
    """

    name: LimitName
    window: Span | None = None
    requests: Annotated[int, Meta(ge=0)] | None = None
    tokens: Annotated[int, Meta(ge=0)] | None = None
    money: Positive | None = None
    in_flight: Annotated[int, Meta(ge=0)] | None = None
    per: Scope | None = None
    where: dict[Scope, str] = {}
    rolling: bool = False

    def limit(self) -> limits.Limit:
        """The same in the engine's words. Raises ValueError where it makes no sense."""
        amounts: dict[Unit, int] = {}
        if self.requests is not None:
            amounts["requests"] = self.requests
        if self.tokens is not None:
            amounts["tokens"] = self.tokens
        if self.money is not None:
            amounts["money"] = round(self.money * NANO)
        if self.in_flight is not None:
            amounts["in_flight"] = self.in_flight
        if len(amounts) != 1:
            raise ValueError(
                f"Limit {self.name!r} names {len(amounts)} of requests, tokens, money and in_flight, not one."
            )
        ((unit, amount),) = amounts.items()
        window = self.window or ("total" if unit == "in_flight" else None)
        if window is None:
            raise ValueError(f"Limit {self.name!r} needs a window: a span such as 1m or 1d, `month` or `total`.")
        return limits.Limit(
            name=self.name,
            unit=unit,
            amount=amount,
            window=window_of(window, rolling=self.rolling),
            per=self.per,
            where=dict(self.where),
        )


class PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of `models` in dollars for a million tokens, before those that come with the router.

    A model without a price is refused under a budget (`unknown: refuse`), costs nothing (`zero`) or the `default`.
    """

    version: str | None = None
    unknown: Literal["refuse", "zero", "default"] = "refuse"
    default: prices.Price | None = None
    models: dict[str, prices.Price] = {}


class QueueRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls wait for room: for `wait_s`, `size` of them, by `weights` of `tenant` and `tenant/caller`."""

    wait_s: Annotated[float, Meta(ge=0, le=3_600)] = 10.0
    size: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    weights: dict[str, Annotated[float, Meta(gt=0, le=1_000_000)]] = {}


def window_of(span: str, *, rolling: bool) -> Window:
    """The window that a span tells. Raises ValueError."""
    if span in {"month", "total"}:
        if rolling:
            raise ValueError(f"A window of `{span}` cannot be rolling.")
        return Window(kind="month" if span == "month" else "total")
    found = _SPAN.fullmatch(span)
    if found is None:
        raise ValueError("A span is written as 30s, 1m, 1h, 1d, month or total.")
    return Window(kind="rolling" if rolling else "fixed", span_s=int(found[1]) * _SECONDS[found[2]])


def serving_of(
    record: serving.Record | None, queue: QueueRule, cache: serving.CacheRule | None, keep_bodies: KeepBodies | None
) -> serving.Serving:
    """How a route serves, in the engine's words."""
    waiting = serving.Queue(wait_s=queue.wait_s, size=queue.size, weights=dict(queue.weights))
    return serving.Serving(record=record, queue=waiting, cache=cache, keep_bodies=keep_bodies)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    models: dict[str, prices.Price]


def prices_of(own: PriceTable) -> prices.Prices:
    """The prices that come with the router, with the project's own before them."""
    text = (files("workflow_router.core.dispatch_route") / "prices.json").read_bytes()
    shipped = msgspec.json.decode(text, type=_File)
    version = own.version or (f"{shipped.version}+own" if own.models else shipped.version)
    return prices.Prices(
        version=version, models={**shipped.models, **own.models}, unknown=own.unknown, default=own.default
    )
