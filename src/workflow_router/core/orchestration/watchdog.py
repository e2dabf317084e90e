"""Owns noticing that the event loop is held up, and by whom: a thread asks the loop for an answer; where none comes in
time it logs the step or coroutine that holds it, with its stack. Refuses to stop anything.

It costs one wake-up of the loop per interval, and nothing per step.
"""

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from types import FrameType

from workflow_router.core.orchestration.step_execution_handler import StepCall, StepExecutionHandler

_log = logging.getLogger(__name__)
_RUN = StepExecutionHandler.run.__code__
STACK_MAX = 30


def _blame(thread: int, loop: asyncio.AbstractEventLoop) -> tuple[str, str]:
    """Who holds the loop up, in words, and its stack."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  documented, and the only way to see another thread
    frame: FrameType | None = frames.get(thread)
    if frame is None:
        return "an unknown coroutine", ""
    stack = "".join(traceback.format_stack(frame, STACK_MAX))
    who: str | None = None
    while frame is not None:
        if frame.f_code is _RUN:
            call = frame.f_locals.get("call")
            if isinstance(call, StepCall):
                who = f"step {call.step.name} of workflow {call.workflow}, run {call.run_id}"
                break
        frame = frame.f_back
    task = asyncio.current_task(loop)
    if who is None and task is not None:
        who = f"the coroutine {getattr(task.get_coro(), '__qualname__', task.get_coro())} of the task {task.get_name()}"
    return who or "a callback", stack


def _report(message: str) -> None:
    _log.warning("%s", message)


@contextlib.contextmanager
def watched(
    threshold_s: float, report: Callable[[str], None] = _report, lag: Callable[[float], None] = lambda _: None
) -> Generator[None, None, None]:
    """Watch the running loop until the block ends; each time it is held up is told once, while it still is.

    Args:
        threshold_s: from how long on.
        report: told who holds it up, with the stack; called in the watching thread.
        lag: told after how many seconds it answered, each time it was asked; called in the watching thread.
    """
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(threshold_s):
            answered = threading.Event()
            asked_s = time.monotonic()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            if not answered.wait(threshold_s):
                who, stack = _blame(thread, loop)
                report(
                    f"The event loop has been blocked for more than {threshold_s} s by {who}."
                    f" Await what it waits for, or make it a plain function, with cpu=True if it computes.\n{stack}"
                )
                while not (answered.wait(threshold_s) or over.is_set()):
                    continue
            lag(time.monotonic() - asked_s)

    watcher = threading.Thread(target=watch, name="event-loop-watchdog", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
