"""Owns what users write against: a `Router` declares steps, workflows and mappings, and has the verbs of a workflow.

Inside a run each verb is durable: performed once, and returned from history on replay. Outside a run the verbs act at
once. Refuses to open anything: `workflow_router.embed` and `wr serve` join a router to a running system.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Literal, TypeVar, overload

from workflow_router.core import messaging, outcomes, run_verbs
from workflow_router.core.approve_verbs import ApproveVerbs
from workflow_router.core.dispatch_route.model import Caller
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput, StepFailed
from workflow_router.core.long_verbs import LongVerbs
from workflow_router.core.message_broker.consumer import Consumer
from workflow_router.core.orchestration.definitions import Step, Workflow, fitted
from workflow_router.core.orchestration.live import current
from workflow_router.core.orchestration.parallel import Errors
from workflow_router.core.orchestration.saga import Saga
from workflow_router.utils.codec import Codec, from_json, given_to_json

R = TypeVar("R")
T = TypeVar("T")


class Router(ApproveVerbs, LongVerbs):
    """Steps, workflows and mappings of one part of a project, and the verbs its workflows use.

    Args:
        name: where mappings declared here come from, as shown in records.
    """

    async def start(
        self,
        workflow: Workflow[..., Any] | str,
        input: object = None,  # noqa: A002  as in `on`
        *,
        run_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Start a run and return its id; inside a run, once, as a run of its own. With `run_id` it starts only once.

        Args:
            key: idempotency key: starts of a workflow with the same key are one run, whose id all of them get.

        Raises:
            Conflict: the key was used with another input.
        """
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        given = given_to_json(input)
        branch = current()
        if branch is None:
            return await messaging.start(self.runtime, name, given, run_id, key)
        return await run_verbs.start(self.runtime, branch, name, given, run_id, key)

    @overload
    async def run(
        self, workflow: Workflow[..., R], input: object = None, *, run_id: str | None = None, key: str | None = None
    ) -> R: ...
    @overload
    async def run(
        self, workflow: str, input: object = None, *, run_id: str | None = None, key: str | None = None
    ) -> Any: ...
    async def run(
        self,
        workflow: Workflow[..., Any] | str,
        input: object = None,  # noqa: A002  as in `on`
        *,
        run_id: str | None = None,
        key: str | None = None,
    ) -> Any:
        """Run a workflow and return its result: inside a run as a child, which ends with that run.

        Args:
            run_id, key: as for `start`; a child has its place in its parent for that.

        Raises:
            ChildFailed: the child faulted or was cancelled. It is a StepFailed.
            RunFailed: outside of a run, the same. A caller who gives up ends nothing: the run goes on.
        """
        branch = current()
        if branch is None:
            name = workflow.name if isinstance(workflow, Workflow) else workflow
            return await outcomes.run(self.runtime, name, given_to_json(input), run_id, key)
        if run_id is not None or key is not None:
            raise InvalidInput("A child takes neither `run_id` nor `key`.", remedy="Use `start` for a run of its own.")
        return await run_verbs.run_child(self.runtime, branch, workflow, given_to_json(input))

    async def result(self, run_id: str, *, within: str | float | timedelta | None = None) -> Any:
        """The result of a run once it has completed, in the type that its workflow's annotation says. Not inside a run.

        Args:
            within: how long to wait, seconds or text like `30s`; None waits as long as it takes.

        Raises:
            NotFound. RunFailed: it faulted, was cancelled or is suspended. WaitExpired: it goes on.
        """
        return await outcomes.result(self.runtime, run_id, seconds(within))

    @overload
    async def map(
        self,
        target: Step[Concatenate[T, ...], R] | Workflow[Concatenate[T, ...], R],
        items: Iterable[T],
        *,
        concurrency: int = 10,
        errors: Literal["raise"] = "raise",
    ) -> list[R]: ...
    @overload
    async def map(
        self,
        target: Step[Concatenate[T, ...], R] | Workflow[Concatenate[T, ...], R],
        items: Iterable[T],
        *,
        concurrency: int = 10,
        errors: Literal["collect"],
    ) -> list[R | StepFailed]: ...
    async def map(
        self,
        target: Step[..., Any] | Workflow[..., Any],
        items: Iterable[Any],
        *,
        concurrency: int = 10,
        errors: Errors = "raise",
    ) -> list[Any]:
        """Run a step, or a workflow as a child, for each item; results are in the order of the items.

        Only inside a run.

        Args:
            concurrency: how many go on at once.
            errors: `raise` ends the others at the first failure; `collect` gives failures among the results.

        Raises:
            StepFailed: the first failure.
        """
        branch = run_verbs.inside("map")
        return await run_verbs.map_items(self.runtime, branch, target, items, concurrency, errors)

    def saga(self) -> Saga:
        """A block that undoes what it did where it fails: `async with router.saga() as saga:`. Only inside a run.

        `saga.compensate(step, *args)` says what to call then; compensations run in reverse, and the error goes on.
        """
        return Saga(run_verbs.inside("saga"))

    async def dispatch(
        self,
        route: str,
        body: object = None,
        *,
        path: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a model, service or tool through a route; returns the answer's JSON (or text, where it is not JSON).

        Args:
            path: below the target's address; a body with `messages` goes to `/chat/completions` by default.

        Raises:
            StepFailed inside a run, DispatchFailed outside, where no target gave a good answer.
        """
        call = run_verbs.call_of(body, path=path, method=method, headers=headers)
        branch = current()
        if branch is None:
            return run_verbs.content_of(await self.runtime.dispatch(route, call, Caller(caller=self.name)))
        return await run_verbs.dispatch(self.runtime, branch, route, call)

    async def publish(
        self,
        topic: str,
        body: object,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        delay: str | float | timedelta | None = None,
        deduplication: str | None = None,
        expires: str | float | timedelta | None = None,
        priority: int = 0,
    ) -> str:
        """Publish a message and return its id; inside a run or a handler, in the commit of what that does.

        Args:
            key: messages of the same key are delivered in order.
            delay: how long until it is delivered.
            deduplication: a second message with the same one is not published; its id is the first one's.
            expires: after so long it is not delivered any more.
            priority: 1 to 9 are taken before others that wait, the highest first.
        """
        message = messaging.new_message(
            self.runtime,
            topic,
            given_to_json(body),
            key=key,
            headers=headers,
            delay_s=seconds(delay),
            deduplication=deduplication,
            expires_s=seconds(expires),
            priority=priority,
        )
        branch = current()
        if branch is not None:
            return await run_verbs.publish(self.runtime, branch, message)
        return await messaging.publish(self.runtime, message)

    async def publish_many(
        self,
        topic: str,
        bodies: Iterable[object],
        *,
        key: str | Callable[[Any], str | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Publish several messages, all or none, and return their ids in order.

        Inside a run they are published one after the other, each in the commit of the run's history; inside a handler,
        all in the commit that acknowledges its message.

        Args:
            key: of all of them, or what makes the key of a body.
        """
        messages = [
            messaging.new_message(
                self.runtime, topic, given_to_json(body), key=key(body) if callable(key) else key, headers=headers
            )
            for body in bodies
        ]
        branch = current()
        if branch is not None:
            return [await run_verbs.publish(self.runtime, branch, message) for message in messages]
        return await messaging.publish_many(self.runtime, messages)

    async def request(
        self,
        topic: str,
        body: object,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        within: str | float | timedelta = 30.0,
    ) -> Any:
        """Publish a request and return its reply, both durable: inside a run, it goes on waiting after a restart.

        Raises:
            WaitExpired: no reply came `within` that time. StepFailed: whoever had the request gave up.
        """
        message = messaging.new_message(self.runtime, topic, given_to_json(body), key=key, headers=headers)
        timeout_s = seconds(within) or 30.0
        branch = current()
        if branch is not None:
            return from_json(await messaging.request_within(self.runtime, branch, message, timeout_s))
        return from_json(await self.runtime.request(message, timeout_s=timeout_s))

    def consumer(self, subscription: str) -> Consumer:
        """A program that pulls and acknowledges by itself: `async with router.consumer("billing") as consumer:`.

        Not inside a run, which waits for messages with `receive` or `request`.
        """
        if current() is not None:
            raise InvalidInput("A run cannot pull messages: replay would.", remedy="Let a subscription signal the run.")
        return Consumer(self.runtime.broker, subscription)

    async def signal(self, run_id: str, name: str, value: object = None) -> str:
        """Send a value to a run, which gets it from `receive`, now or later; returns the signal's id.

        Raises:
            NotFound, Conflict (the run has ended); inside a run StepFailed.
        """
        branch = current()
        if branch is None:
            return await messaging.signal(self.runtime, run_id, name, given_to_json(value))
        return await self.runtime.signals.send_within(branch, run_id, name, given_to_json(value))

    async def receive(self, name: str, *, of: Any = Any, within: str | float | timedelta | None = None) -> Any:
        """Wait durably for the next signal of this name: each is received once, in the order sent. Only inside a run.

        Args:
            of: type of the value; plain data by default.
            within: deadline, as for `approve`.

        Raises:
            WaitExpired: none came in time. It is a TimeoutError.
        """
        branch = run_verbs.inside("receive")
        text = await self.runtime.signals.receive(branch, name, seconds(within))
        return fitted(Codec(of), text, f"The signal {name}")

    async def correlate(self, key: str | int) -> None:
        """Take a key for this run until it ends: signals that mappings send to the key are received here.

        Signals that came before a run had the key are received too. Only inside a run.

        Raises:
            StepFailed: another run of this workflow has the key.
        """
        branch = run_verbs.inside("correlate")
        await self.runtime.signals.correlate(branch, str(key))

    async def sleep(self, duration: str | float | timedelta) -> None:
        """Sleep durably: a restart does not lengthen it. Only inside a run."""
        branch = run_verbs.inside("sleep")
        duration_s = seconds(duration)
        if duration_s is None:
            raise InvalidInput("A run sleeps for a duration, and None is none.", remedy="Write, for example, `2d`.")
        await self.runtime.engine.operations.sleep(branch, duration_s)

    async def now(self) -> datetime:
        """The time (UTC) when the run first asked; the same on replay. Only inside a run."""
        clock = self.runtime.clock
        read = await self.runtime.engine.operations.read_once(run_verbs.inside("now"), "now", clock.now_ms)
        return datetime.fromtimestamp(float(str(read)) / 1000, UTC)

    async def random(self) -> float:
        """A random number in [0, 1); the same on replay. Only inside a run."""
        branch = run_verbs.inside("random")
        return float(str(await self.runtime.engine.operations.read_once(branch, "random", self.runtime.random)))

    async def patched(self, name: str) -> bool:
        """Whether to take a path that was added to the code later. Only inside a run.

        Runs that began before the change and had gone past this point go on the old way; others take the new one.
        Decided once a run. When no old runs are left, the condition can go from the code.
        """
        branch = run_verbs.inside("patched")
        return await run_verbs.patched(self.runtime, branch, name)

    async def uuid(self) -> uuid.UUID:
        """A new id (UUIDv7); the same on replay. Only inside a run."""
        ids = self.runtime.ids
        read = await self.runtime.engine.operations.read_once(run_verbs.inside("uuid"), "uuid", ids.new)
        return uuid.UUID(str(read))
