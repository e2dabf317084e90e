"""Owns the broker's verbs as users meet them: messages with options, requests inside runs, handlers and what they do.

Inside a handler, what is published or started is kept back for the commit that acknowledges its message. Refuses to
declare: that is `declare`.
"""

from collections.abc import Mapping, Sequence

import msgspec

from workflow_router.core.errors import InvalidInput, StepFailed, WaitExpired
from workflow_router.core.identifiers import check_ids
from workflow_router.core.message_broker.effects import handling
from workflow_router.core.message_broker.requests import RESERVED, as_request
from workflow_router.core.model import DEFAULT_TENANT, NewMessage, NewRun, Run
from workflow_router.core.orchestration.journal import Outcome, Problem
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.interceptors import Denied

PRIORITY_MAX = 9


def new_message(
    runtime: Runtime,
    topic: str,
    body: bytes,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    delay_s: float | None = None,
    deduplication: str | None = None,
    expires_s: float | None = None,
    priority: int = 0,
) -> NewMessage:
    """A message with a new id. Raises NotFound for an unknown topic, InvalidInput for options that make no sense."""
    if not 0 <= priority <= PRIORITY_MAX:
        raise InvalidInput(f"The priority {priority} is not one.", remedy=f"Choose from 0 to {PRIORITY_MAX}.")
    if (delay_s or 0) < 0 or (expires_s is not None and expires_s <= 0):
        raise InvalidInput("A delay cannot be less than 0, an expiry must be more.", remedy="Give them in seconds.")
    if headers and (taken := RESERVED.intersection(headers)):
        raise InvalidInput(f"The header {min(taken)} is the broker's own.", remedy="Send a request instead.")
    if "\0" in (key or "") or "\0" in (deduplication or ""):
        raise InvalidInput("Keys and deduplication ids have no NUL characters.", remedy="Leave them out.")
    window_s = runtime.topics.topic(topic).deduplication_s
    return NewMessage(
        id=runtime.ids.new(),
        topic=topic,
        body=body,
        key=key,
        headers=dict(headers or {}) if runtime.traces is None else runtime.traces.carried(headers or {}),
        tenant=DEFAULT_TENANT,
        delay_ms=round(delay_s * 1000) if delay_s else 0,
        deduplication=deduplication,
        deduplication_ms=round(window_s * 1000),
        expires_ms=None if expires_s is None else round(expires_s * 1000),
        priority=priority,
    )


async def publish(runtime: Runtime, message: NewMessage) -> str:
    """Publish a message: inside a handler with its acknowledgement, elsewhere now."""
    effects = handling()
    if effects is None:
        return await runtime.publish(message)
    # What interceptors rule over is published, or held, before the message is done.
    if runtime.interception.points.on("message.publishing"):
        return await runtime.interception.publishing.publish(message)
    effects.add(
        lambda tx: runtime.broker.publisher.within(tx, message), lambda: runtime.deliveries.published(message.topic)
    )
    return message.id


async def publish_many(runtime: Runtime, messages: Sequence[NewMessage]) -> list[str]:
    """Publish messages: inside a handler with its acknowledgement, elsewhere now, all or none."""
    if handling() is None:
        return await runtime.publish_many(messages) if messages else []
    return [await publish(runtime, message) for message in messages]


async def start(runtime: Runtime, workflow: str, given: bytes, run_id: str | None, key: str | None) -> str:
    """Start a run: inside a handler with its acknowledgement, elsewhere now."""
    effects = handling()
    if effects is None:
        return await runtime.start(workflow, given, run_id=run_id, key=key)
    check_ids(run_id, key)
    version = runtime.version_of(workflow)
    runtime.workflows[workflow][version].arguments(given)
    new = NewRun(id=run_id or runtime.ids.new(), workflow=workflow, version=version, input=given, key=key)
    started: list[Run] = []

    async def unit(tx: Transaction) -> None:
        run = await tx.runs.start(new)
        started[:] = [] if run is None else [run]

    def after() -> None:
        for run in started:
            runtime.engine.adopt(run, fresh=True)

    effects.add(unit, after)
    return new.id


async def signal(runtime: Runtime, run_id: str, name: str, value: bytes) -> str:
    """Signal a run: inside a handler with its acknowledgement, elsewhere now. Returns the signal's id."""
    effects = handling()
    if effects is None:
        return await runtime.signals.send(run_id, name, value)
    signal_id, unit, after = runtime.signals.sending(run_id, name, value)
    effects.add(unit, after)
    return signal_id


async def request_within(runtime: Runtime, branch: Branch, message: NewMessage, timeout_s: float) -> bytes:
    """Send a request from a run and wait for the reply, across restarts."""

    async def perform(live: LiveRun, key: str) -> Outcome:
        request = operation_id(live.run.id, key)
        try:
            ruled = await runtime.interception.points.publish(live, key, message)
        except Denied as error:
            return Outcome(error=Problem.of(error))
        sent = as_request(
            msgspec.structs.replace(
                ruled, id=request, tenant=live.run.tenant, cause=live.run.id, correlation=live.run.correlation
            ),
            timeout_s,
        )
        sent = msgspec.structs.replace(sent, headers={**sent.headers, "reply-run": live.run.id})
        deadline_ms = runtime.clock.now_ms() + round(timeout_s * 1000)

        async def ask(tx: Transaction) -> int:
            await tx.messages.publish(sent)
            return await tx.runs.set_timer(live.run, live.fence, Timer(live.run.id, key, deadline_ms))

        due_ms = await runtime.store.commit(ask)
        runtime.deliveries.published(sent.topic)

        async def look(tx: Transaction) -> Outcome | None:
            reply = await tx.replies.find(request)
            if reply is not None:
                if reply.error is not None:
                    return Outcome(error=Problem(type=StepFailed.type, message=f"The request failed: {reply.error}"))
                return Outcome(output=reply.body or b"null")
            if runtime.clock.now_ms() >= due_ms:
                return Outcome(error=Problem(type=WaitExpired.type, message=f"No reply came to {request} in time."))
            return None

        return await runtime.engine.operations.waits.until(live, key, look, due_ms=due_ms)

    return await runtime.engine.operations.value(branch, "request", message.topic, perform)
