"""Owns answers that are given again: exact requests only, for a time, within a bound, asked for once at a time.

Refuses what could be another's or another thing: the tenant, the path, every header that goes upstream and the body are
in the key (as RFC 8785 has it, so that the order of members does not matter; a body that names a member twice counts as
it came, since servers differ over which one they read). Only whole answers of 200 are kept, never streams.
`Cache-Control` is honoured as far as it forbids (RFC 9111): `no-store` and `no-cache` of both sides, `private`.
"""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import msgspec

from workflow_router.core.dispatch_route.dispatch import Dispatcher, OnIntent
from workflow_router.core.dispatch_route.model import Call, Caller, Dispatched, Headers, Route
from workflow_router.core.dispatch_route.request import PASSED_ON
from workflow_router.core.dispatch_route.stream import OnFinal
from workflow_router.core.model import DispatchRecord
from workflow_router.utils.codec import to_canonical_json

HEADER = "x-router-cache"

_ENTRY_BYTES = 1_024  # what an answer takes besides its body, counted generously
_TRACES = frozenset({"traceparent", "tracestate"})  # of each call its own
_DOORS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")


class Account(Protocol):
    """What is told of the cache; see `entry`."""

    final: DispatchRecord | None

    def remembered(self, told: str, source: str | None = None) -> None: ...


class _Kept(NamedTuple):
    answer: Dispatched
    until_s: float
    size: int


class _Shelf:
    """The answers of one route, the one used longest ago first."""

    def __init__(self, route: Route, max_bytes: int) -> None:
        self.route = route
        self.asked: dict[bytes, asyncio.Future[Dispatched | None]] = {}
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self.bytes = 0

    def find(self, key: bytes, now_s: float) -> Dispatched | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_s <= now_s:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def keep(self, key: bytes, answer: Dispatched, until_s: float) -> None:
        size = len(answer.body) + sum(len(name) + len(value) for name, value in answer.headers) + _ENTRY_BYTES
        self._drop(key)
        if size > self._max_bytes:
            return
        while self.bytes + size > self._max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = _Kept(answer, until_s, size)
        self.bytes += size

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.bytes -= kept.size


class Cache:
    """Calls through a dispatcher, with the answers of routes that say `cache`. It lives in this process alone."""

    def __init__(self, dispatcher: Dispatcher, monotonic_s: Callable[[], float]) -> None:
        self._dispatcher = dispatcher
        self._now_s = monotonic_s
        self._shelves: dict[str, _Shelf] = {}

    def keeps(self, route: str, call: Call) -> bool:
        """Whether an answer to the call may be kept or given again. Raises NotFound."""
        found = self._dispatcher.route(route)
        return found.serving.cache is not None and _may_be_kept(call)

    async def call(
        self,
        route: str,
        call: Call,
        caller: Caller,
        account: Account,
        *,
        on_intent: OnIntent | None = None,
        on_final: OnFinal,
    ) -> Dispatched:
        """The same as `Dispatcher.call`, or an answer that was given before. Raises as it does."""

        async def send() -> Dispatched:
            return await self._dispatcher.call(route, call, caller, on_intent=on_intent, on_final=on_final)

        rule = self._dispatcher.route(route).serving.cache
        if rule is None:
            return await send()
        forbidden = _said(call.headers)
        if "no-store" in forbidden or not _may_be_kept(call):
            return await send()
        shelf = self._shelf(route)
        key = _key(shelf.route, call, caller)
        while "no-cache" not in forbidden:
            known = shelf.find(key, self._now_s())
            leader = shelf.asked.get(key)
            if known is None and leader is None:
                break
            if known is None and leader is not None:
                known = await asyncio.shield(leader)
            if known is not None:
                account.remembered("hit", known.record.id)
                record = self._dispatcher.remembered(route, call, caller)
                on_final(record)
                final = account.final or record
                return msgspec.structs.replace(known, record=final, headers=(*known.headers, (HEADER, "hit")))
        account.remembered("miss")
        return await self._lead(shelf, key, send, rule.ttl_s)

    async def _lead(
        self, shelf: _Shelf, key: bytes, send: Callable[[], Awaitable[Dispatched]], ttl_s: float
    ) -> Dispatched:
        """Ask the target; who asks the same meanwhile waits for this answer, and for itself where it is not kept."""
        future: asyncio.Future[Dispatched | None] = asyncio.get_running_loop().create_future()
        first = shelf.asked.setdefault(key, future) is future
        kept: Dispatched | None = None
        try:
            done = await send()
            forbidden = _said(done.headers) & {"no-store", "no-cache", "private"}
            if done.status == 200 and not forbidden and ("vary", "*") not in done.headers:
                kept = done
                shelf.keep(key, done, self._now_s() + ttl_s)
        finally:
            if first:
                del shelf.asked[key]
                future.set_result(kept)
        return msgspec.structs.replace(done, headers=(*done.headers, (HEADER, "miss")))

    def _shelf(self, name: str) -> _Shelf:
        """The shelf of a route; a route that was changed begins with an empty one."""
        route, shelf = self._dispatcher.route(name), self._shelves.get(name)
        assert route.serving.cache is not None  # noqa: S101  asked before
        if shelf is None or (shelf.route is not route and shelf.route != route):
            routes = self._dispatcher.routes
            self._shelves = {one: kept for one, kept in self._shelves.items() if one in routes}
            shelf = self._shelves[name] = _Shelf(route, route.serving.cache.max_bytes)
        return shelf


def _may_be_kept(call: Call) -> bool:
    """A read, or a completion: calls that have no effect but their answer."""
    return call.method in {"GET", "HEAD"} or (call.method == "POST" and call.path.partition("?")[0] in _DOORS)


def _said(headers: Headers) -> set[str]:
    values = [value for name, value in headers if name == "cache-control"]
    return {part.strip().lower().partition("=")[0] for value in values for part in value.split(",")}


def _key(route: Route, call: Call, caller: Caller) -> bytes:
    names = PASSED_ON.union(name.lower() for target in route.targets for name in target.pass_headers) - _TRACES
    headers = sorted((name.lower(), value) for name, value in call.headers if name.lower() in names)
    parts = [caller.tenant, call.method, call.path, call.model or "", json.dumps(headers)]
    digest = hashlib.sha256()
    for part in (*(part.encode() for part in parts), _canonical(call.body)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    try:
        return to_canonical_json(json.loads(body, object_pairs_hook=_once))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return body


def _once(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("A member is named twice.")
    return found
