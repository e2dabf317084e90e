"""Owns making a step's result durable: the result, what was published or dispatched with it, and the audit entries
commit together, and only then does the run go on. Refuses to run steps.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from workflow_router.core.errors import RouterError, StepFailed
from workflow_router.core.model import StepRecord, Transition
from workflow_router.core.orchestration.histories import HistoryLimit
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.payloads import PayloadLimit
from workflow_router.core.orchestration.ports import Tried
from workflow_router.core.orchestration.waits import ended
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json, told, typed_from_json

# What changes with a step; JSON that it returns is the step's output instead of the one there was.
Also = Callable[[Transaction], Awaitable[bytes | None]]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a step or run faulted, as it is kept: no traceback, no arguments, so no secret.

    Attributes:
        type: slug of a RouterError, or the exception's class name.
    """

    type: str
    message: str
    attempts: int = 1

    @classmethod
    def of(cls, error: BaseException, attempts: int = 1) -> "Problem":
        """The problem that an exception stands for."""
        kind = error.type if isinstance(error, RouterError) else type(error).__name__
        return cls(type=kind, message=told(error), attempts=attempts)

    def to_json(self) -> bytes:
        """As kept in the store."""
        return to_json(self)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a durable operation ended: JSON `output`, or an `error`; `also` changes what must change with it.

    Attributes:
        started_ms: where it is known that the operation began before this execution of its run.
    """

    output: bytes | None = None
    error: Problem | None = None
    attempts: int = 1
    also: Also | None = None
    started_ms: int | None = None


def failure(name: str, error: bytes | None) -> StepFailed:
    """The exception a workflow sees for a faulted step, the same live and on replay."""
    problem = typed_from_json(error or b'{"type":"unknown","message":""}', Problem)
    return StepFailed(
        f"{name} failed after {problem.attempts} attempt(s): {problem.type}: {problem.message}",
        error_type=problem.type,
        error_message=problem.message,
    )


class Retried(NamedTuple):
    """An attempt that failed and is followed by another one."""

    key: str
    tried: Tried
    error: str
    wait_s: float


class Journal:
    """Commits steps of live runs."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.limit = PayloadLimit()
        self.histories = HistoryLimit()
        self.on_step: Callable[[str, str, float], None] | None = None  # told kind, name and seconds of what is done

    async def retried(self, live: LiveRun, one: Retried) -> None:
        """Record an attempt that failed, and count it for whoever takes the run up after a crash.

        Its error's words may tell what a journal must not; its kind does not. Raises as `commit` does.
        """
        run, tried = live.run, one.tried
        detail: dict[str, object] = {"key": one.key, "name": tried.name, "attempt": tried.attempts, "error": one.error}
        failed = Transition(
            kind="attempt.failed",
            subject=f"{run.id}:{one.key}:{tried.attempts}",
            tenant=run.tenant,
            run=run.id,
            cause=run.cause,
            correlation=run.correlation,
            detail={**detail, "next_in_ms": round(one.wait_s * 1000)},
        )

        async def unit(tx: Transaction) -> None:
            await tx.vitals.keep_try(run, live.fence, one.key, tried)
            tx.record(failed)

        live.traces = True

        await self._store.commit(unit)

    async def commit(
        self, live: LiveRun, key: str, *, name: str, kind: str, outcome: Outcome, started_ms: int
    ) -> StepRecord:
        """Make the outcome of a durable operation part of the run's history; a result that is too large is its failure.

        Raises:
            Lost: another process owns the run.
            StoreError: the commit failed; the run must stop here and be taken up again from the store.
        """
        if outcome.output is not None and len(outcome.output) > self.limit.max_bytes:
            problem = Problem.of(self.limit.refused(outcome.output, f"The result of {name}"), outcome.attempts)
            outcome = msgspec.structs.replace(outcome, output=None, error=problem)
        record = StepRecord(
            key=key,
            seq=live.next_seq(),
            name=name,
            kind=kind,
            status=StepStatus.COMPLETED if outcome.error is None else StepStatus.FAULTED,
            output=outcome.output,
            error=None if outcome.error is None else outcome.error.to_json(),
            attempts=outcome.attempts,
            started_ms=outcome.started_ms or started_ms,
            finished_ms=self._clock.now_ms(),
        )

        warning = self.histories.warning(live.run, record.seq)
        plain = outcome.also is None and warning is None and key not in live.waited
        try:
            committed = await self._store.commit(
                (lambda tx: tx.runs.commit_step(live.run, live.fence, record))
                if plain
                else (lambda tx: _commit(tx, live, record, outcome.also, warning))
            )
        except BaseException:  # nobody will ask for it in this execution
            live.turns.forget((record.seq,))
            raise
        live.history[key] = committed
        if self.on_step is not None:
            self.on_step(kind, name, (record.finished_ms - record.started_ms) / 1000)
        return committed


async def _commit(
    tx: Transaction, live: LiveRun, record: StepRecord, also: Also | None, warning: Transition | None
) -> StepRecord:
    """Commit a step with what is to change and to be told with it."""
    if record.key in live.waited:
        tx.record(ended(live, record.key, record.kind, record.name))
    if warning is not None:
        tx.record(warning)
    output = None if also is None else await also(tx)
    final = record if output is None else msgspec.structs.replace(record, output=output)
    return await tx.runs.commit_step(live.run, live.fence, final)
