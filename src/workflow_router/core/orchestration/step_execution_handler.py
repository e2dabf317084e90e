"""Owns the chain round each step: deadline, retry, the system's links, users' middleware, the call. Refuses to journal.

Order, from the outside in: deadline of the whole step (`deadline_s`) > retry > the system's links in the order of
`SYSTEM_LINKS` (concurrency slot, interceptors, telemetry) > deadline of the attempt (`timeout_s`) and its heartbeats >
the users' middleware (the router's, the workflow's, the step's, each in the order of `use`) > the step's own function.
The result is journalled after all of them. Each link gets the call and `proceed`, and returns the result; so a
middleware sees every attempt, within its deadline, and time spent on waiting for a slot is not the attempt's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, overload

import msgspec

from workflow_router.core.errors import InvalidInput, Lost, Permanent, StoreError
from workflow_router.core.orchestration.definitions import Step, Workflow
from workflow_router.core.orchestration.heartbeats import Beating, Heartbeats
from workflow_router.core.orchestration.journal import Also, Outcome, Problem, Retried
from workflow_router.core.orchestration.live import LiveRun, come_back, leave
from workflow_router.core.orchestration.processes import Processes
from workflow_router.core.orchestration.streams import Streams, Writing, writing
from workflow_router.core.orchestration.tries import Trying
from workflow_router.utils.clock import Clock

SYSTEM_LINKS = ("slot", "interceptors", "telemetry")


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
    """The users' middleware of one router."""

    def __init__(self) -> None:
        self._links: list[tuple[str | None, str | None, Middleware]] = []
        self._found: dict[tuple[str, str], tuple[Middleware, ...]] = {}

    @overload
    def use(
        self,
        middleware: Middleware,
        *,
        workflow: Workflow[..., Any] | str | None = None,
        step: Step[..., Any] | str | None = None,
    ) -> Middleware: ...
    @overload
    def use(
        self, *, workflow: Workflow[..., Any] | str | None = None, step: Step[..., Any] | str | None = None
    ) -> Callable[[Middleware], Middleware]: ...
    def use(
        self,
        middleware: Middleware | None = None,
        *,
        workflow: Workflow[..., Any] | str | None = None,
        step: Step[..., Any] | str | None = None,
    ) -> Middleware | Callable[[Middleware], Middleware]:
        """Add a link inside those added before; usable as a decorator, with or without arguments.

        Links of the whole router stand outside those of a workflow, and these outside those of a step, whatever the
        order in which they were added.

        Args:
            workflow: only round steps of this workflow's runs.
            step: only round this step.
        """
        names = (
            workflow.name if isinstance(workflow, Workflow) else workflow,
            step.name if isinstance(step, Step) else step,
        )

        def add(link: Middleware) -> Middleware:
            self._links.append((*names, link))
            self._found.clear()
            return link

        return add if middleware is None else add(middleware)

    def links(self, workflow: str, step: str) -> tuple[Middleware, ...]:
        """The links round a step in runs of a workflow, outermost first."""
        found = self._found.get((workflow, step))
        if found is None:
            fitting = [
                (2 if of_step else 1 if of_workflow else 0, link)
                for of_workflow, of_step, link in self._links
                if of_workflow in (None, workflow) and of_step in (None, step)
            ]
            fitting.sort(key=lambda ranked: ranked[0])  # stable: within a rank the order of `use`
            found = self._found[workflow, step] = tuple(link for _, link in fitting)
        return found


def _bind(link: Middleware, proceed: Proceed) -> Proceed:
    return lambda call: link(call, proceed)


class StepExecutionHandler:
    """Runs a step to its outcome.

    Args:
        sleep: waits between attempts; seconds.
        random: a number in [0, 1), for jitter.
        processes: where steps declared with `cpu=True` run.
        streams: what steps write to.

    Attributes:
        on_retry: told of each attempt that is followed by another one, before that waits for its turn.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        clock: Clock,
        heartbeats: Heartbeats,
        processes: Processes,
        streams: Streams,
    ) -> None:
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._heartbeats = heartbeats
        self._processes = processes
        self._streams = streams
        self.on_retry: Callable[[LiveRun, Retried], Awaitable[None]] | None = None
        self._system: dict[str, Middleware] = {}
        self._system_links: tuple[Middleware, ...] = ()

    def install(self, name: str, link: Middleware) -> None:
        """Put one of the system's own links in its place. Raises InvalidInput for a name not in `SYSTEM_LINKS`."""
        if name not in SYSTEM_LINKS:
            raise InvalidInput(f"There is no link {name} in the chain.", remedy=f"Known: {', '.join(SYSTEM_LINKS)}.")
        self._system[name] = link
        self._system_links = tuple(self._system[known] for known in SYSTEM_LINKS if known in self._system)

    async def run(self, live: LiveRun, call: StepCall, chain: Chain) -> Outcome:
        """Try the step until it succeeds, may not be tried again, or has used up its attempts or its time."""
        step = call.step
        with Writing(self._streams, live, call.key) as written:
            trying = Trying(self._clock, live, call.key, step)
            beating = None if step.heartbeat_timeout_s is None else await self._heartbeats.begin(live, call.key)
            if step.deadline_s is None:
                return await self._attempts(live, call, chain, beating, trying)
            return await self._within_deadline(step.deadline_s, live, call, chain, beating, trying, written)

    async def _within_deadline(
        self,
        deadline_s: float,
        live: LiveRun,
        call: StepCall,
        chain: Chain,
        beating: Beating | None,
        trying: Trying,
        written: Writing,
    ) -> Outcome:
        deadline = asyncio.timeout(max(0.0, deadline_s - trying.elapsed_s))
        try:
            async with deadline:
                return await self._attempts(live, call, chain, beating, trying)
        except TimeoutError:
            if not deadline.expired():  # pragma: no cover  the attempts keep their own errors
                raise
            await written.failed()
            message = f"The step was not done within {deadline_s} s, its attempts and waits included."
            problem = Problem(type="TimeoutError", message=message, attempts=max(1, trying.made))
            also = None if beating is None else beating.drop
            return Outcome(error=problem, attempts=problem.attempts, also=also, started_ms=trying.began_ms)

    async def _attempts(
        self,
        live: LiveRun,
        call: StepCall,
        chain: Chain,
        beating: Beating | None,
        trying: Trying,
    ) -> Outcome:
        step, written = call.step, writing()
        also: Also | None = None if beating is None else beating.drop
        if trying.wait_s:
            await self._sleep(trying.wait_s)
        while True:
            trying.made += 1
            attempt = trying.made
            if attempt > 1:
                call = msgspec.structs.replace(call, attempt=attempt)
            left = leave()
            try:
                result = await self._attempt(call, chain, beating)(call)
                if written is not None and written.begun:
                    await written.succeeded()
                output = step.codec.encode(result)
                return Outcome(output=output, attempts=attempt, also=also, started_ms=trying.began_ms)
            except (Lost, StoreError):
                raise  # the store's failures are not the step's
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a step raises is its failure, to be tried again
                if written is not None and written.begun:
                    await written.failed()
                wait_s = self._wait_s(call, error, trying)
                if wait_s is None:
                    problem = Problem.of(error, attempt)
                    return Outcome(error=problem, attempts=attempt, also=also, started_ms=trying.began_ms)
                retried = Retried(call.key, trying.again(wait_s), type(error).__name__, wait_s)
            finally:
                come_back(left)
            if self.on_retry is not None:
                await self.on_retry(live, retried)
            await self._sleep(wait_s)

    def _wait_s(self, call: StepCall, error: BaseException, trying: Trying) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        retry = call.step.retry
        if trying.made >= retry.attempts or isinstance(error, (Permanent, *retry.never)):
            return None
        wait_s = retry.backoff.wait_s(trying.made, self._random())
        asked = getattr(error, "retry_after_s", None)
        if isinstance(asked, int | float) and asked > wait_s:  # who failed knows best when it may be worth another try
            wait_s = float(asked)
        if retry.elapsed_s is not None and trying.elapsed_s + wait_s > retry.elapsed_s:
            return None
        return wait_s

    def _attempt(self, call: StepCall, chain: Chain, beating: Beating | None) -> Proceed:
        """What runs one attempt within its deadline. It raises whatever the step raises, or TimeoutError."""
        proceed: Proceed = _await if call.step.is_async else self._call_sync
        for link in reversed(chain.links(call.workflow, call.step.name)):
            proceed = _bind(link, proceed)
        if call.step.timeout_s is not None or beating is not None:
            proceed = _within(proceed, call.step.timeout_s, beating)
        for link in reversed(self._system_links):
            proceed = _bind(link, proceed)
        return proceed

    async def _call_sync(self, call: StepCall) -> object:
        step = call.step
        if step.cpu:
            known = (Permanent, *step.retry.never)
            return step.codec.decode(await self._processes.call(step.function, call.args, call.kwargs, known))
        return await asyncio.to_thread(step.function, *call.args, **call.kwargs)


def _await(call: StepCall) -> Awaitable[object]:
    return call.step.function(*call.args, **call.kwargs)


def _within(proceed: Proceed, timeout_s: float | None, beating: Beating | None) -> Proceed:
    async def bounded(call: StepCall) -> object:
        async with asyncio.timeout(timeout_s):
            if beating is None:
                return await proceed(call)
            async with beating.attempt(call.step.heartbeat_timeout_s):
                return await proceed(call)

    return bounded
