"""Owns virtual time: a loop whose time jumps, and a clock on it. Refuses to fake the engine.

A workflow that sleeps thirty days is tested in milliseconds: when nothing is ready, the loop's time jumps to the next
timer. With a seed, callbacks that are ready at the same moment run in a shuffled, repeatable order.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class _Jump(selectors.SelectSelector):
    """A selector that lets virtual time pass instead of waiting, unless a thread may still answer."""

    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.shuffle_ready()
        if timeout is None or self._loop.threads:
            return super().select(0.01 if self._loop.threads else timeout)
        if timeout <= 0 and len(self.get_map()) == 1:
            return []  # there is no socket but the loop's own, and what is ready comes first
        events = super().select(0)
        if not events and timeout > 0:
            self._loop.advance(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while anything is ready, and jumps when nothing is.

    Args:
        seed: shuffles callbacks that are ready at once; None keeps asyncio's order.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._now_s = 0.0
        self._random = None if seed is None else random.Random(seed)  # noqa: S311  repeatable on purpose
        self.threads = 0
        super().__init__(_Jump(self))
        # A timer is due when it is nearer than this; asyncio's nanosecond is lost in rounding after some months.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now_s

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        self._now_s += duration_s

    def shuffle_ready(self) -> None:
        """Put what is ready at this moment in a random order; but tasks begin in the order in which they were made.

        That much every loop promises, and code relies on it: the keys of a run's branches do.
        """
        ready: Any = getattr(self, "_ready")  # noqa: B009  asyncio has no public view of it, and a simulation needs one
        if self._random is not None and len(ready) > 1:
            handles = list(ready)
            ready.clear()
            begins = iter([handle for handle in handles if _is_begin(handle)])
            self._random.shuffle(handles)
            ready.extend(next(begins) if _is_begin(handle) else handle for handle in handles)

    def run_in_executor(  # pyright: ignore[reportIncompatibleMethodOverride]  the stub's type variables cannot be named
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self.threads += 1
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self.threads -= 1


def _is_begin(handle: asyncio.Handle) -> bool:
    """Whether a task begins here, or goes on after a `sleep(0)`; asyncio has no public view of that either."""
    return type(getattr(handle, "_callback", None)).__name__ == "TaskStepMethWrapper"


class VirtualClock:
    """A `Clock` that reads the running virtual loop."""

    def now_ms(self) -> int:
        return START_MS + round(asyncio.get_running_loop().time() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


def run_virtually(main: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
    """Run a coroutine to its end on a loop with virtual time.

    Example:
        ```python
        async def main() -> None:
            async with embed(router, clock=VirtualClock()) as runtime:
                run_id = await router.start(reminder, {"days": 30})
                assert (await runtime.engine.ended(run_id)).status == "completed"

        run_virtually(main())
        ```
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed)) as runner:
        return runner.run(main)
