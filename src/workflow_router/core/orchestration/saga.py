"""Owns compensation: what a part of a run has to undo when it fails, in reverse order, durably.

A run that is cancelled compensates, too. Refuses to undo when it is not the workflow that failed: a run that stops
for a restart goes on later.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec

from workflow_router.core.errors import CompensationFailed, InvalidInput, StepFailed
from workflow_router.core.orchestration.histories import ContinueAsNew
from workflow_router.core.orchestration.live import Branch
from workflow_router.utils.codec import told

P = ParamSpec("P")


class Saga:
    """The compensations of one `async with` block."""

    def __init__(self, branch: Branch) -> None:
        self._live = branch.live
        self._undo: list[Callable[[], Coroutine[Any, Any, object]]] = []

    def compensate(self, step: Callable[P, Coroutine[Any, Any, Any]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call this step if the block fails later; the last one added is called first.

        Raises:
            InvalidInput: that is no step, but perhaps a call of one.
        """
        given: object = step
        if not callable(given):
            if isinstance(given, Coroutine):
                given.close()
            raise InvalidInput(
                f"A {type(given).__name__} does not compensate.",
                remedy="Name the step and its arguments, without calling it: `saga.compensate(cancel, order)`.",
            )
        self._undo.append(lambda: step(*args, **kwargs))

    async def __aenter__(self) -> "Saga":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Compensate where the block failed; its error goes on. To go on as another run is no failure.

        Raises:
            CompensationFailed: some compensations failed; the others were done.
        """
        if (
            error is None
            or isinstance(error, asyncio.CancelledError | GeneratorExit | ContinueAsNew)
            or self._live.stopped is not None
        ):
            return
        failures: list[str] = []
        for undo in reversed(self._undo):
            try:
                await undo()
            except Exception as failed:  # whatever it was, the others are to be undone
                if self._live.stopped is not None:
                    raise
                failures.append(
                    failed.message if isinstance(failed, StepFailed) else f"{type(failed).__name__}: {failed}"
                )
        if failures:
            raise CompensationFailed(
                f"After {type(error).__name__}: {told(error)} these compensations failed: {'; '.join(failures)}.",
                remedy="Undo them by hand; the run's history tells what was done.",
            ) from error
