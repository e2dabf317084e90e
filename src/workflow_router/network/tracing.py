"""Owns OpenTelemetry traces: run > step > call > attempt, with W3C trace context taken in and passed on.

Only the API of OpenTelemetry is used (extra `telemetry`); whoever runs the process chooses SDK and exporter. Without a
provider nothing here is imported. Names follow the semantic conventions for generative AI and HTTP.
Refuses payloads, prompts, headers, queries and texts of errors: a span tells kinds, names, ids and numbers.
"""

import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from workflow_router.core.dispatch_route.entry import Facts
from workflow_router.core.dispatch_route.model import Call, Caller, Route
from workflow_router.core.dispatch_route.ports import Answer, Outgoing, Transport, TransportFailed
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.model import TRACE, Delivery, DispatchRecord, Run
from workflow_router.core.orchestration.executing import Reached
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.step_execution_handler import Proceed, StepCall
from workflow_router.core.ports import Store
from workflow_router.core.states import DispatchStatus, RunStatus

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, TracerProvider

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
STARTING_MAX = 10_000  # runs whose message is remembered until they begin

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_PROVIDERS = {
    "anthropic.com": "anthropic",
    "openai.azure.com": "azure.ai.openai",
    "amazonaws.com": "aws.bedrock",
    "googleapis.com": "gcp.gemini",
    "mistral.ai": "mistral_ai",
    "groq.com": "groq",
    "deepseek.com": "deepseek",
    "cohere.com": "cohere",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
}


def tracing_of(store: Store, provider: "TracerProvider | None" = None) -> "Tracing | None":
    """Traces by this provider, or the process's; None where nobody has set one up."""
    if provider is None:
        module = sys.modules.get("opentelemetry.trace")  # whoever set one up has imported it
        if module is None:
            return None
        provider = module.get_tracer_provider()
        if isinstance(provider, (module.ProxyTracerProvider, module.NoOpTracerProvider)):
            return None
    return None if provider is None else Tracing(store, provider)


class Tracing:
    """The spans of one process."""

    def __init__(self, store: Store, provider: "TracerProvider") -> None:
        # The base install has no OpenTelemetry, and programs without traces need not pay for its import.
        from opentelemetry import context, trace  # noqa: PLC0415  as above
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  as above

        self._store = store
        self._context = context
        self._trace = trace
        self._tracer = provider.get_tracer("workflow_router")
        self._propagator = TraceContextTextMapPropagator()
        self._starting: dict[str, Mapping[str, str]] = {}

    # --- context in and out -----------------------------------------------------------------------------------------

    @contextmanager
    def serving(
        self, method: str, route: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> Generator[Callable[[int], None]]:
        """Go on with the trace of a request, under a span of its own, which is to be told the status of the answer.

        A context that is malformed is left out (W3C Trace Context). What stands in the path is told as the template's
        parameter only: it may name a person, or be a secret.
        """
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in _RAW}
        known = method if method in _METHODS else "_OTHER"
        attributes = {"http.request.method": known, "url.scheme": "http"}
        if route is not None:
            attributes |= {"http.route": route, "url.path": route}
        with self._tracer.start_as_current_span(
            f"{known if known != '_OTHER' else 'HTTP'}{f' {route}' if route else ''}",
            context=self._extracted(given),
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def answered(status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    self._failed(span, str(status))

            yield answered

    def carried(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers of a message with the current context, unless they have one."""
        found = dict(headers)
        if "traceparent" not in found:
            self._propagator.inject(found)
        return found

    def remember(self, run_id: str, delivery: Delivery) -> None:
        """A message is about to start a run; one whose commit is run again starts another, so some are left over."""
        if "traceparent" in delivery.headers:
            self._starting[run_id] = delivery.headers
            if len(self._starting) > STARTING_MAX:
                del self._starting[next(iter(self._starting))]

    def _extracted(self, headers: Mapping[str, str]) -> "Context":
        found = {name: headers[name] for name in TRACE if name in headers}
        return self._propagator.extract(found, context=self._context.Context())

    def _link(self, context: "Context") -> "list[Link]":
        found = self._trace.get_current_span(context).get_span_context()
        return [self._trace.Link(found)] if found.is_valid else []

    # --- runs and steps ---------------------------------------------------------------------------------------------

    async def run(self, live: LiveRun, execute: Callable[[LiveRun], Awaitable[Reached]]) -> Reached:
        """A span round one execution of a run, in the trace of what caused it, and linked to that."""
        run = live.run
        current = live.fresh and run.id not in self._starting  # else this task is none of whoever started the run
        origin = await self._origin(run)
        given = self._context.get_current() if current else self._context.Context()
        parent = given if origin is None else origin  # the event's own trace goes before that of the request it came in
        with self._tracer.start_as_current_span(
            f"run {run.workflow}",
            context=parent,
            links=[] if origin is None else [*self._link(origin), *self._link(given)],
            attributes={
                "workflow_router.run.id": run.id,
                "workflow_router.workflow": run.workflow,
                "workflow_router.workflow.version": run.version,
                "workflow_router.run.resumed": live.resumed,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            reached = await execute(live)
            span.set_attribute("workflow_router.run.status", reached.status.value)
            if reached.status in {RunStatus.FAULTED, RunStatus.SUSPENDED}:
                self._failed(span, reached.status.value)
            return reached

    async def _origin(self, run: Run) -> "Context | None":
        """The context of the message or event that caused a run, if it came with one."""
        headers = self._starting.pop(run.id, None)
        cause = run.cause
        if headers is None and cause is not None:
            event = await self._store.read(lambda tx: tx.events.find(cause, tenant=run.tenant))
            if event is not None:
                headers = {name: str(value) for name, value in event.event.extensions.items()}
        if headers is None or "traceparent" not in headers:
            return None
        return self._extracted(headers)

    async def step(self, call: StepCall, proceed: Proceed) -> object:
        """A span round one attempt of a step; a step that answers from history makes none."""
        with self._tracer.start_as_current_span(
            f"step {call.step.name}",
            attributes={
                "workflow_router.run.id": call.run_id,
                "workflow_router.workflow": call.workflow,
                "workflow_router.step.key": call.key,
                "workflow_router.step.attempt": call.attempt,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await proceed(call)
            except Exception as error:
                self._failed(span, type(error).__qualname__)
                raise

    def handling(self, handle: Handle) -> Handle:
        """The handler of a subscription, with a span round it in the trace of the message, and linked to that."""

        async def handled(delivery: Delivery) -> object:
            origin = self._extracted(delivery.headers)
            with self._tracer.start_as_current_span(
                f"process {delivery.topic}",
                context=origin,
                kind=self._trace.SpanKind.CONSUMER,
                links=self._link(origin),
                attributes={
                    "messaging.system": "workflow_router",
                    "messaging.operation.type": "process",
                    "messaging.operation.name": "process",
                    "messaging.destination.name": delivery.topic,
                    "messaging.destination.subscription.name": delivery.subscription,
                    "messaging.message.id": delivery.message_id,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await handle(delivery)
                except Exception as error:
                    self._failed(span, type(error).__qualname__)
                    raise

        return handled

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(self, route: Route, call: Call, caller: Caller) -> "TracedCall":
        """A span of a call through a route, all its attempts included; current in this task from now on."""
        target = next((one for one in route.targets if one.kind == "openai"), None)
        attributes: dict[str, str | int] = {"workflow_router.route": route.name}
        for name, value in (("run.id", caller.run), ("step.key", caller.step_key)):
            if value is not None:
                attributes[f"workflow_router.{name}"] = value
        name = f"dispatch {route.name}"
        if target is not None:
            operation = _OPERATIONS.get(call.path.partition("?")[0], "chat")
            model = target.model or call.model or route.name
            name = f"{operation} {model}"
            parts = urlsplit(target.url)
            attributes |= {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": _provider(parts.hostname or "", call.path),
                "gen_ai.request.model": model,
                "server.address": parts.hostname or "",
                "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            }
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=attributes)
        token = self._context.attach(self._trace.set_span_in_context(span))
        return TracedCall(self, span, token)

    def over(self, span: "Span", record: DispatchRecord, facts: Facts) -> None:
        """A call is over."""
        span.set_attribute("workflow_router.dispatch.id", record.id)
        if record.target is not None:
            span.set_attribute("workflow_router.target", record.target)
        if facts.answered is not None:
            span.set_attribute("gen_ai.response.model", facts.answered)
        if facts.input_tokens is not None:
            span.set_attribute("gen_ai.usage.input_tokens", facts.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", facts.output_tokens or 0)
        if record.status is not DispatchStatus.SUCCEEDED:
            self._failed(span, record.status.value)

    def leave(self, token: "Token[Context]") -> None:
        """A call is no longer what this task does."""
        self._context.detach(token)

    async def attempt(self, transport: Transport, request: Outgoing) -> Answer:
        """Send one attempt under a span of its own, which lasts until status and headers are there."""
        parts = urlsplit(request.url)
        with self._tracer.start_as_current_span(
            request.method,
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": request.method,
                "server.address": parts.hostname or parts.scheme,
                "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            own: dict[str, str] = {}
            self._propagator.inject(own)
            if own:
                others = [pair for pair in request.headers if pair[0] not in TRACE]
                request = _with_headers(request, (*others, *own.items()))
            try:
                answer = await transport.send(request)
            except TransportFailed as error:
                self._failed(span, error.kind)
                raise
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= 400:
                self._failed(span, str(answer.status))
            return answer

    def _failed(self, span: "Span", kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)


class TracedCall:
    """The span of one call."""

    def __init__(self, tracing: Tracing, span: "Span", token: "Token[Context]") -> None:
        self._tracing = tracing
        self._span = span
        self._token = token

    def ended(self, record: DispatchRecord, facts: Facts) -> None:
        """It is over."""
        self._tracing.over(self._span, record, facts)
        self._span.end()

    def leave(self) -> None:
        """What the task does from now on is no part of it."""
        self._tracing.leave(self._token)
        if self._span.is_recording():  # it was refused before it began
            self._span.end()


class TracedTransport:
    """A `Transport` whose attempts have spans."""

    def __init__(self, tracing: Tracing, transport: Transport) -> None:
        self._tracing = tracing
        self._transport = transport

    async def send(self, request: Outgoing) -> Answer:
        """See `Transport.send`. Probes, which nobody asked for, have no spans."""
        if request.caller is None:
            return await self._transport.send(request)
        return await self._tracing.attempt(self._transport, request)


def traced(tracing: Tracing | None, transport: Transport) -> Transport:
    """The transport, with spans where somebody makes them."""
    return transport if tracing is None else TracedTransport(tracing, transport)


_RAW = frozenset(name.encode() for name in TRACE)


def _provider(host: str, path: str) -> str:
    found = next((name for domain, name in _PROVIDERS.items() if host == domain or host.endswith(f".{domain}")), None)
    return found or ("anthropic" if path.startswith("/v1/messages") else "openai")


def _with_headers(request: Outgoing, headers: tuple[tuple[str, str], ...]) -> Outgoing:
    return msgspec.structs.replace(request, headers=headers)
