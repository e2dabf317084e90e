"""Owns asking a second time where the first answer is late. Refuses to know what is asked, and what it may cost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def race(
    first: Callable[[], Awaitable[T]],
    second: Callable[[], Awaitable[T]],
    late: Callable[[], Awaitable[None]],
    *,
    allowed: Callable[[], bool],
    good: Callable[[T], bool],
    drop: Callable[[T], None],
) -> T:
    """The result of `first`; where it is `late` and a second try is `allowed`, the first good result of both.

    The other is cancelled, and what it may have brought all the same is given to `drop`. Where none is good, it is the
    result that came last. An error of either ends both.
    """
    begun = asyncio.ensure_future(first())
    alarm = asyncio.ensure_future(late())
    running: set[asyncio.Future[T]] = {begun}
    try:
        await asyncio.wait({begun, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done() and allowed():
            running.add(asyncio.ensure_future(second()))
        while True:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            one = done.pop()
            running.discard(one)
            result = one.result()
            if good(result) or not running:
                return result
    finally:
        alarm.cancel()
        for one in running:
            one.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(outcome, BaseException) and good(outcome):
                drop(outcome)
