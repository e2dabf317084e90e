"""Owns updates: a question to a run that changes it and is answered. The caller's value is checked before anything is
written; then the update is kept for the run like a signal, until the run handles it. The handler is part of the run's
code, and its answer is committed with the run's history: who asks again with the same id gets the same answer.

Refuses to answer for a run: without a handler that the run calls, an update waits, and its caller's time runs out.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

import msgspec

from workflow_router.core.errors import (
    Conflict,
    InvalidInput,
    Lost,
    Nondeterminism,
    NotFound,
    Overloaded,
    RunCancelled,
    StoreError,
    UpdateRejected,
    WaitExpired,
)
from workflow_router.core.model import DEFAULT_TENANT, Run, Signal
from workflow_router.core.orchestration.continuing import last
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.ports import Timer, UpdateAnswer
from workflow_router.core.orchestration.runs import Engine
from workflow_router.core.orchestration.signals import Signals
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.states import RUN_ENDED, StepStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import Codec, to_json, typed_from_json
from workflow_router.utils.ids import Ids

# How often a caller looks whether another process has answered.
LOOK_S = 0.05
KEPT_MAX = 1_000
_SIGNAL = "+update"
# What ends the execution rather than the handler.
_NOT_ITS_OWN = (Lost, StoreError, Overloaded, Nondeterminism, RunCancelled)


class _Asked(msgspec.Struct, frozen=True):
    """An update as it is kept for its run."""

    id: str
    update: str
    value: msgspec.Raw


class _Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the history has of an answer."""

    output: msgspec.Raw | None = None
    error: Problem | None = None


class Update:
    """A declared update. Called, it is the plain function.

    Attributes:
        value: JSON of what the caller gives; None where the handler takes nothing but the state.
        answer: JSON of what the handler returns.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        if not 1 <= len(parameters) <= 2 or any(one.kind is not one.POSITIONAL_OR_KEYWORD for one in parameters):
            raise InvalidInput(
                f"The update {name} takes {len(parameters)} parameters.",
                remedy="Let it take the run's state, and the caller's value if there is one.",
            )
        self.function = function
        self.name = name
        self._last = parameters[1].name if len(parameters) == 2 else None
        self._codecs: tuple[Codec, Codec] | None = None
        self.__doc__ = function.__doc__
        self.__name__ = name

    def __call__(self, *given: Any) -> Any:
        return self.function(*given)

    def _made(self) -> tuple[Codec, Codec]:
        if self._codecs is None:  # at first use, when names in the annotations can be resolved
            hints = get_type_hints(self.function, include_extras=True)
            taken = type(None) if self._last is None else hints.get(self._last, Any)
            self._codecs = Codec(taken), Codec(hints.get("return", Any))
        return self._codecs

    def check(self, value: bytes) -> object:
        """The caller's value. Raises InvalidInput where it does not fit; the message names the field."""
        try:
            return self._made()[0].decode(value)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"The value does not fit the update {self.name}: {error}.",
                remedy="Compare it with the type of the handler's second parameter.",
            ) from error

    async def handle(self, state: object, value: bytes) -> bytes:
        """JSON of the handler's answer, of its declared type. Raises whatever it raises, and where it is of another."""
        given = self.check(value)
        answer = self.function(state) if self._last is None else self.function(state, given)
        codec = self._made()[1]
        text = codec.encode(await answer if inspect.isawaitable(answer) else answer)
        codec.decode(text)
        return text


class Updates:
    """Asks runs, and lets runs of this process answer."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, engine: Engine, signals: Signals) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._engine = engine
        self._signals = signals
        self._known: dict[str, Update] = {}
        self._asking: dict[str, set[asyncio.Event]] = {}

    def declare(self, updates: Iterable[Update]) -> None:
        """Say which updates there are, before anybody asks. Raises InvalidInput for two of one name."""
        for update in updates:
            if self._known.setdefault(update.name, update) is not update:
                raise InvalidInput(f"Two updates are named {update.name}.", remedy="Give one of them another `name`.")

    async def ask(
        self,
        run_id: str,
        name: str,
        value: bytes,
        *,
        within_s: float,
        update_id: str | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> tuple[str, bytes]:
        """Ask a run and wait for its answer; returns the update's id and the JSON of the answer.

        With `update_id` the run is asked once, however often this is called. Ids are those of one run and update.

        Raises:
            NotFound: no such update or run. InvalidInput: the value does not fit. Conflict: the run has ended without
                an answer. UpdateRejected: the handler raised. WaitExpired: no answer yet; ask again with the same id.
        """
        update = self._known.get(name)
        if update is None:
            known = ", ".join(sorted(self._known)) or "none"
            raise NotFound(f"There is no update {name}; known are: {known}.", remedy="Declare it with `on_update`.")
        update.check(value)
        short = update_id or self._ids.new()
        own_id = f"update/{run_id}/{name}/{short}"
        answered = asyncio.Event()
        self._asking.setdefault(own_id, set()).add(answered)
        ending: asyncio.Task[Run] | None = None
        try:
            async with asyncio.timeout(within_s):
                body = to_json(_Asked(own_id, name, msgspec.Raw(value)))
                await self._signals.send_own(run_id, _SIGNAL, body, signal_id=own_id, tenant=tenant)
                ending = asyncio.get_running_loop().create_task(self._engine.ended(run_id), name=f"update {own_id}")
                ending.add_done_callback(lambda _: answered.set())
                return short, await self._answer(run_id, own_id, answered, tenant)
        except TimeoutError as error:
            raise WaitExpired(
                f"Run {run_id} did not answer {name} within {within_s} s.",
                remedy=f"It may still do: ask again with the id {short}.",
            ) from error
        finally:
            if ending is not None:
                ending.cancel()
                with contextlib.suppress(BaseException):
                    await ending
            self._asking[own_id].discard(answered)
            if not self._asking[own_id]:
                del self._asking[own_id]

    async def _answer(self, run_id: str, own_id: str, answered: asyncio.Event, tenant: str) -> bytes:
        async def look(tx: Transaction) -> tuple[UpdateAnswer | None, Run | None]:
            return await tx.updates.answered(tenant, own_id), await last(tx, run_id)

        while True:
            answered.clear()
            answer, run = await self._store.read(look)
            if answer is not None:
                if answer.error is None:
                    return answer.output or b"null"
                problem = typed_from_json(answer.error, Problem)
                raise UpdateRejected(problem.message, error_type=problem.type)
            if run is None or run.status in RUN_ENDED:
                raise Conflict(f"Run {run_id} has ended without an answer.", remedy="Look at how it ended.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._store.poll_s is None else LOOK_S):
                    await answered.wait()

    async def handle(self, branch: Branch, updates: Mapping[str, Update], state: object, within_s: float | None) -> str:
        """Answer the run's next update of these, in the order in which they came; returns its name.

        What the handler raises is the answer, and does not end the run.

        Raises:
            WaitExpired: none came within so many seconds.
        """
        asked = await self._receive(branch, updates, within_s)
        update = updates.get(asked.update)
        if update is None:
            raise Nondeterminism(
                f"Run {branch.live.run.id} answered the update {asked.update}, which the code does not handle here.",
                remedy="Run it with the code it began with, then resume it.",
                expected=asked.update,
                found=", ".join(updates),
            )
        try:
            answered = _Answered(output=msgspec.Raw(await update.handle(state, bytes(asked.value))))
        except _NOT_ITS_OWN:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a handler raises is its caller's answer
            answered = _Answered(error=Problem.of(error))
        await self._commit(branch, asked, answered)
        return asked.update

    async def _receive(self, branch: Branch, updates: Mapping[str, Update], within_s: float | None) -> _Asked:
        picked: list[Signal] = []

        async def perform(live: LiveRun, key: str) -> Outcome:
            due_ms: int | None = None
            if within_s is not None:
                timer = Timer(live.run.id, key, self._clock.now_ms() + round(within_s * 1000))
                due_ms = await self._store.commit(lambda tx: tx.runs.set_timer(live.run, live.fence, timer))

            async def look(tx: Transaction) -> bool | None:
                for one in await tx.signals.waiting(live.run.id, _SIGNAL, limit=KEPT_MAX):
                    if one.id not in live.receiving and typed_from_json(one.value, _Asked).update in updates:
                        live.receiving.add(one.id)
                        picked.append(one)
                        return True
                return True if due_ms is not None and self._clock.now_ms() >= due_ms else None

            try:
                await self._engine.operations.waits.until(live, key, look, due_ms=due_ms)
            except BaseException:
                live.receiving.difference_update(one.id for one in picked)
                raise
            if not picked:
                return Outcome(error=Problem(type=WaitExpired.type, message="No update came in time."))
            one = picked[0]
            return Outcome(output=one.value, also=lambda tx: tx.signals.receive(live.run, live.fence, one.id, key))

        record = await self._engine.operations.durable(branch, "update", "update", perform)
        branch.live.receiving.difference_update(one.id for one in picked)
        if record.status is StepStatus.FAULTED:
            raise WaitExpired(f"No update came within {within_s} s.", remedy="Catch it as TimeoutError.")
        return typed_from_json(record.output or b"", _Asked)

    async def _commit(self, branch: Branch, asked: _Asked, answered: _Answered) -> None:
        error = None if answered.error is None else answered.error.to_json()
        answer = UpdateAnswer(None if answered.output is None else bytes(answered.output), error)

        async def perform(live: LiveRun, _: str) -> Outcome:
            return Outcome(
                output=to_json(answered), also=lambda tx: tx.updates.answer(live.run, live.fence, asked.id, answer)
            )

        await self._engine.operations.value(branch, "answer", asked.update, perform)
        for waiting in self._asking.get(asked.id, ()):
            waiting.set()
