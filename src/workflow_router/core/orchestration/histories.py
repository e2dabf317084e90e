"""Owns how long a run's history may grow: from some length on it is told of, at another one the run is suspended.

A run is replayed from its whole history, so one that never ends has to go on as another now and then, by raising
`ContinueAsNew`. Refuses to cut a history short.
"""

import logging
from collections.abc import Generator

import msgspec

from workflow_router.core.errors import HistoryTooLong, InvalidInput
from workflow_router.core.model import Run, Transition

WARN_STEPS, MAX_STEPS = 10_000, 50_000
RAISE = "Write `raise router.continue_as_new(...)`."
REMEDY = "Let it `raise router.continue_as_new(...)` now and then, or work in child runs"

_log = logging.getLogger(__name__)


class ContinueAsNew(BaseException):
    """Raised by a workflow to end its run and go on as another one; `Router.continue_as_new` makes it.

    It is no error: `except Exception` lets it pass.

    Attributes:
        run_id: of the run that goes on.
        input: its input, JSON.
    """

    def __init__(self, run_id: str, given: bytes) -> None:
        super().__init__(f"The run goes on as {run_id}.")
        self.run_id = run_id
        self.input = given

    def __await__(self) -> Generator[None, None, None]:
        """Other verbs are awaited; this one says what is meant."""
        raise InvalidInput("`continue_as_new` is raised, and not awaited.", remedy=RAISE)


class Histories(msgspec.Struct, frozen=True, kw_only=True):
    """How many steps a run may have before it is told of, and before it is suspended."""

    warn_steps: int = WARN_STEPS
    max_steps: int = MAX_STEPS


class HistoryLimit:
    """Holds runs to it."""

    def __init__(self) -> None:
        self.histories = Histories()

    def check(self, run: Run, steps: int) -> None:
        """Raise HistoryTooLong where the run may have no further step."""
        if steps >= self.histories.max_steps:
            raise HistoryTooLong(
                f"Run {run.id} of {run.workflow} has {steps:,} steps, as many as are allowed.",
                remedy=f"{REMEDY}; to let this one go on, raise settings.history.max_steps and resume it.",
            )

    def warning(self, run: Run, steps: int) -> Transition | None:
        """What is told of the run with this step, if something is."""
        if steps != self.histories.warn_steps:
            return None
        _log.warning("Run %s of %s has %d steps. %s.", run.id, run.workflow, steps, REMEDY)
        return Transition(
            kind="run.history-long",
            subject=run.id,
            tenant=run.tenant,
            run=run.id,
            cause=run.cause,
            correlation=run.correlation,
            detail={"workflow": run.workflow, "steps": steps, "remedy": REMEDY},
        )
