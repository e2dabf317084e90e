"""Owns going back in time: a new run with the history of another up to a step, and what differs between two runs.

A run's own history is append-only, so going back never changes it: to retry or to edit is to fork. Refuses to repeat
what the copied steps did outside: their results are taken over as they are.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, NotFound
from workflow_router.core.model import NewRun, Run, StepRecord
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.orchestration.state_edits import merge, state_step
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, StepStatus
from workflow_router.utils.codec import NotJsonError, read_json
from workflow_router.utils.ids import Ids


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a step of one run compares with that of another, by its key."""

    key: str
    what: Literal["same", "changed", "only_first", "only_second"]
    first: StepRecord | None
    second: StepRecord | None


class TimeMachine:
    """Forks and compares runs."""

    def __init__(self, store: Store, ids: Ids, engine: Engine) -> None:
        self._store = store
        self._ids = ids
        self._engine = engine

    async def retry(self, run_id: str) -> str:
        """Try a faulted run again from the step that failed last, as a new run; returns its id.

        Raises:
            NotFound: there is no such run. Conflict: it did not fault.
        """
        run, history = await self._read(run_id)
        if run.status != "faulted":
            raise Conflict(f"Run {run_id} is {run.status}, not faulted.", remedy="Fork it from a step instead.")
        failed = [step for step in history if step.status is StepStatus.FAULTED]
        cut = failed[-1] if failed else None
        published = state_step(history, cut)
        pending = await self._store.read(lambda tx: tx.states.edits(run_id))
        edits = (
            {} if pending is None or published is None else {published.key: merge(published.output or b"{}", pending)}
        )
        return await self._fork(run, cut, run.input, edits, published)

    async def fork(
        self,
        run_id: str,
        *,
        before: str | None = None,
        given: bytes | None = None,
        edits: Mapping[str, bytes] = {},
        state: bytes | None = None,
    ) -> str:
        """Start a new run with the history of another; returns its id.

        Args:
            before: key of the first step that is not taken over; None takes all of them over.
            given: another input, JSON; the code sees it from the beginning.
            edits: other results, JSON, of steps that are taken over, by key.
            state: JSON object of names to set in the state that the last step taken over had published.

        Raises:
            NotFound: there is no such run. InvalidInput: it has no such step before that one, or no state to edit.
        """
        run, history = await self._read(run_id)
        by_key = {step.key: step for step in history}
        cut = None if before is None else by_key.get(before)
        kept = {step.key for step in history if cut is None or step.seq < cut.seq}
        missing = [key for key in edits if key not in kept]
        if missing or (before is not None and cut is None):
            key = missing[0] if missing else before
            raise InvalidInput(
                f"Run {run_id} has no step {key!r} to be taken over or to begin at.",
                remedy=f"See `wr runs show {run_id}`.",
            )
        for key, output in edits.items():
            _check_json(f"The result of step {key!r}", output)
        if given is not None:
            _check_json("The input", given)
        published = state_step(history, cut)
        if state is not None:
            if published is None:
                raise InvalidInput(f"Run {run_id} had published no state by then.", remedy="Begin at a later step.")
            there = edits.get(published.key, published.output) or b"{}"
            edits = {**edits, published.key: merge(there, state)}
        return await self._fork(run, cut, run.input if given is None else given, edits, published)

    async def diff(self, first: str, second: str) -> list[Difference]:
        """Steps of two runs side by side, in the order of the first. Raises NotFound."""
        _, one = await self._read(first)
        _, two = await self._read(second)
        others = {step.key: step for step in two}
        found: list[Difference] = []
        for step in one:
            other = others.pop(step.key, None)
            what = "only_first" if other is None else "same" if _same(step, other) else "changed"
            found.append(Difference(key=step.key, what=what, first=step, second=other))
        found += [Difference(key=step.key, what="only_second", first=None, second=step) for step in others.values()]
        return found

    async def _read(self, run_id: str) -> tuple[Run, list[StepRecord]]:
        async def unit(tx: Transaction) -> tuple[Run | None, list[StepRecord]]:
            return await tx.runs.find(run_id), await tx.runs.history(run_id)

        run, history = await self._store.read(unit)
        if run is None:
            raise NotFound(f"There is no run {run_id}.", remedy="List them with `wr runs`.")
        return run, history

    async def _fork(
        self,
        run: Run,
        cut: StepRecord | None,
        given: bytes,
        edits: Mapping[str, bytes],
        published: StepRecord | None,
    ) -> str:
        new = NewRun(
            id=self._ids.new(),
            workflow=run.workflow,
            version=run.version,
            input=given,
            tenant=run.tenant,
            cause=run.id,
            correlation=run.correlation,
        )

        async def unit(tx: Transaction) -> Run | None:
            started = await tx.runs.start(new)
            if started is not None and not started.joined and started.status not in RUN_ENDED:
                await tx.keys.copy(run.id, started, cut, edits)
                shown = None if published is None else edits.get(published.key, published.output)
                await tx.states.copy(run.id, started.id, None if shown == b"null" else shown)
            return started

        started = await self._store.commit(unit)
        if started is None:
            return new.id
        self._engine.adopt(started)
        return started.id


def _same(one: StepRecord, other: StepRecord) -> bool:
    return (one.name, one.kind, one.status, one.output, one.error) == (
        other.name,
        other.kind,
        other.status,
        other.output,
        other.error,
    )


def _check_json(what: str, text: bytes) -> None:
    try:
        read_json(text)
    except NotJsonError as error:
        raise InvalidInput(f"{what} is not JSON: {error}.", remedy="Give it as JSON text.") from None
