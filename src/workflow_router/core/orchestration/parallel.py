"""Owns parallel parts of a run that have names: each is a branch of its own, whatever order they start or finish in.

The first part that fails ends the others. Which ones had gone how far is chance, so the failure is journalled: a replay
meets it at once and does not ask for what the parts had done. Refuses to know what a part is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeVar

from workflow_router.core.errors import InvalidInput, StepFailed
from workflow_router.core.model import StepRecord
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun, current, enter
from workflow_router.core.orchestration.operations import Operations
from workflow_router.utils.codec import told, typed_from_json

T = TypeVar("T")

# A part: its label, unique among its siblings and the same on every replay, and what it does.
Part = tuple[str, Callable[[], Awaitable[T]]]
Errors = Literal["raise", "collect"]


async def in_parallel(
    operations: Operations | None,
    name: str,
    parts: Sequence[Part[T]],
    *,
    concurrency: int | None = None,
) -> list[T]:
    """Run the parts, at most so many at once; returns their results in the order of the parts.

    Args:
        operations: needed inside a run only.

    Raises:
        StepFailed: the first failure, the same live and on replay; outside a run whatever the part raised.
    """
    branch = current()
    if branch is None or operations is None:
        return await _run(parts, concurrency, lambda _: None)
    live = branch.live
    base = branch.next_key()
    end = f"{base}!"
    record = live.recorded(end, name, "parallel")
    if record is None:
        try:
            return await _run(parts, concurrency, lambda label: enter(live, f"{base}/{label}/"))
        except Exception as error:
            if live.stopped is not None:
                raise
            record = await _journal(operations, branch, end, name, error)
    _forget(live, f"{base}/")
    if not live.is_next(record):
        await live.turn(record)
    problem = typed_from_json(record.error or b"", Problem)
    raise StepFailed(problem.message, error_type=problem.type, error_message=problem.message)


async def collected(live: LiveRun, make: Callable[[], Awaitable[T]]) -> T | StepFailed:
    """A part's result, or its failure as a value."""
    try:
        return await make()
    except StepFailed as error:
        if live.stopped is not None:
            raise
        return error


async def _journal(operations: Operations, branch: Branch, key: str, name: str, error: Exception) -> StepRecord:
    kind = error.context.get("error_type") if isinstance(error, StepFailed) else None
    message = error.message if isinstance(error, StepFailed) else f"{type(error).__name__}: {told(error)}"
    problem = Problem(type=str(kind or Problem.of(error).type), message=message[:2_000])

    async def perform(_: LiveRun, __: str) -> Outcome:
        return Outcome(error=problem)

    return await operations.durable(branch, "parallel", name, perform, key=key)


def _forget(live: LiveRun, prefix: str) -> None:
    live.turns.forget(live.history[key].seq for key in live.unused if key.startswith(prefix))
    live.unused = {key for key in live.unused if not key.startswith(prefix)}


async def _run(parts: Sequence[Part[T]], concurrency: int | None, begin: Callable[[str], None]) -> list[T]:
    """Run the parts in as many tasks as may go on at once. The first failure cancels the others, and is raised."""
    if concurrency is not None and concurrency < 1:
        raise InvalidInput("`concurrency` must be at least 1.", remedy="Leave it out to use the default.")
    results: dict[int, T] = {}
    waiting = iter(enumerate(parts))

    async def work(numbered: Iterator[tuple[int, Part[T]]]) -> None:
        for number, (label, make) in numbered:
            begin(label)
            results[number] = await make()

    count = len(parts) if concurrency is None else min(concurrency, len(parts))
    tasks = [asyncio.ensure_future(work(waiting)) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [results[number] for number in range(len(parts))]
