"""Owns the chain round each attempt of a step: deadline, retry, the users' middleware, the call. Refuses to journal.

Order, from the outside in: `retry` > `deadline` > middleware in the order of `use` > the step's own function. Each link
gets the call and `proceed`, and returns the result; so a middleware sees every attempt, within its deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from workflow_router.core.errors import Lost, StoreError
from workflow_router.core.orchestration.definitions import Step
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import come_back, leave


class StepCall(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step, as middleware sees it.

    Attributes:
        key: the step's key in its run.
        attempt: 1 for the first try.
        idempotency_key: the same for every attempt and replay of this step; send it with outside effects.
    """

    run_id: str
    workflow: str
    key: str
    step: Step[..., Any]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    attempt: int = 1

    @property
    def idempotency_key(self) -> str:
        return f"{self.run_id}:{self.key}"


Proceed = Callable[[StepCall], Awaitable[object]]


class Middleware(Protocol):
    """A link of the chain."""

    def __call__(self, call: StepCall, proceed: Proceed, /) -> Awaitable[object]: ...


class Chain:
    """The users' middleware, in order."""

    def __init__(self) -> None:
        self._links: list[Middleware] = []
        self._composed: Proceed = _invoke

    def use(self, middleware: Middleware) -> Middleware:
        """Add a link inside those added before; usable as a decorator."""
        self._links.append(middleware)
        composed: Proceed = _invoke
        for link in reversed(self._links):
            composed = _bind(link, composed)
        self._composed = composed
        return middleware

    async def attempt(self, call: StepCall) -> object:
        """Run one attempt within its deadline. Raises whatever the step raises, or TimeoutError."""
        if call.step.timeout_s is None:
            return await self._composed(call)
        async with asyncio.timeout(call.step.timeout_s):
            return await self._composed(call)


def _bind(link: Middleware, proceed: Proceed) -> Proceed:
    return lambda call: link(call, proceed)


async def _invoke(call: StepCall) -> object:
    if call.step.is_async:
        return await call.step.function(*call.args, **call.kwargs)
    return await asyncio.to_thread(call.step.function, *call.args, **call.kwargs)


class StepExecutionHandler:
    """Runs a step to its outcome.

    Args:
        sleep: waits between attempts; seconds.
        random: a number in [0, 1), for jitter.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float]) -> None:
        self._sleep = sleep
        self._random = random

    async def run(self, call: StepCall, chain: Chain) -> Outcome:
        """Try the step until it succeeds, may not be tried again, or has used up its attempts."""
        step, retry = call.step, call.step.retry
        attempt = 1
        while True:
            left = leave()
            try:
                result = await chain.attempt(call)
                return Outcome(output=step.codec.encode(result), attempts=attempt)
            except (Lost, StoreError):
                raise  # the store's failures are not the step's
            except Exception as error:  # noqa: BLE001  whatever a step raises is its failure, to be tried again
                if attempt >= retry.attempts or isinstance(error, retry.never):
                    return Outcome(error=Problem.of(error, attempt), attempts=attempt)
            finally:
                come_back(left)
            await self._sleep(retry.backoff.wait_s(attempt, self._random()))
            attempt += 1
            call = msgspec.structs.replace(call, attempt=attempt)
