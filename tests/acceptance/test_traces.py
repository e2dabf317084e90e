"""OpenTelemetry spans of real runs and calls, and W3C trace context taken in, carried by messages and passed on."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.acceptance.api_kit import served
from tests.fixtures.raw_server import always, answer, serving
from workflow_router import Retry, Router, embed
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.message_broker.ports import Subscription

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"
JSON = [("Content-Type", "application/json")]
USED = answer(
    b'{"model":"gpt-5-2025-08-07","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}', headers=JSON
)
CANARY = "canary-prompt-7d10"
CHAT: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": CANARY}]}


class Spans:
    """What was exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def model(url: str, name: str = "a", **more: Any) -> Target:
    return Target(name=name, kind="openai", url=url, model="gpt-5", allow_private=True, **more)


def route(url: str) -> Route:
    return Route(name="m", targets=(model(url),))


def test_a_run_its_steps_and_calls_are_one_trace_that_the_target_sees() -> None:
    spans, router = Spans(), Router("shop")
    tries: list[int] = []

    @router.step(retry=Retry(attempts=2, first_s=0.001))
    async def flaky() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError(CANARY)

    @router.workflow
    async def flow(text: str) -> None:
        await flaky()
        await router.dispatch("m", CHAT, path="/v1/chat/completions")
        await flaky()

    router.on({"type": ["com.example.order"]}, name="order", start=flow, input="${ event.id }")

    async def main() -> None:
        async with (
            serving(always(answer(b"{}", status=503, headers=JSON))) as bad,
            serving(always(USED)) as good,
            served(
                router,
                routes=[Route(name="m", targets=(model(bad.url, "bad"), model(good.url)))],
                tracer_provider=spans.provider,
            ) as door,
        ):
            accepted = await door.send(id="1", traceparent=GIVEN, data={"x": CANARY})
            run_id = accepted.json["runs"][0]
            assert (await door.runtime.engine.ended(run_id)).status == "completed"
            run, call = spans.one("run flow"), spans.one("chat gpt-5")
            assert (ids(run)[0], parent(run)) == (TRACE, PARENT)
            door_span = spans.one("POST /events")
            assert [f"{link.context.span_id:016x}" for link in run.links] == [PARENT, ids(door_span)[1]]
            steps = spans.named("step flaky")
            assert [dict(step.attributes or {})["workflow_router.step.attempt"] for step in steps] == [1, 2, 1]
            assert [step.status.status_code for step in steps] == [StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET]
            assert {parent(span) for span in (*steps, call)} == {ids(run)[1]}
            attempts = spans.named("POST")
            assert [dict(one.attributes or {})["http.response.status_code"] for one in attempts] == [503, 200]
            assert {parent(one) for one in attempts} == {ids(call)[1]}
            for one, server in zip(attempts, (bad, good), strict=True):
                assert server.requests[0].header("traceparent") == f"00-{TRACE}-{ids(one)[1]}-01"
            told = dict(call.attributes or {})
            assert told["gen_ai.operation.name"] == "chat"
            assert told["gen_ai.provider.name"] == "openai"
            assert told["gen_ai.request.model"] == "gpt-5"
            assert told["gen_ai.response.model"] == "gpt-5-2025-08-07"
            assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 2)
            assert (told["server.address"], told["workflow_router.target"]) == ("127.0.0.1", "a")
            assert call.kind is SpanKind.CLIENT
            assert CANARY not in "".join(span.to_json() for span in spans.all)

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateway_goes_on_with_the_trace_of_its_caller_under_a_new_span(*, stream: bool) -> None:
    spans = Spans()

    async def main() -> None:
        async with (
            serving(always(USED)) as server,
            served(
                Router("r"), routes=[Route(name="m", targets=(model(server.url),))], tracer_provider=spans.provider
            ) as door,
        ):
            headers = {"traceparent": GIVEN, "tracestate": "vendor=1"}
            for given in (headers, {"traceparent": "00-nonsense"}, {}):
                await door.call("POST", "/v1/chat/completions", {**CHAT, "stream": stream}, given)
            first, second, third = spans.named("chat gpt-5")
            served_spans = spans.named("POST /v1/chat/completions")
            assert [parent(span) for span in served_spans] == [PARENT, None, None]
            assert ids(served_spans[0])[0] == TRACE
            assert [parent(one) for one in (first, second, third)] == [ids(span)[1] for span in served_spans]
            for span in served_spans:
                assert span.kind is SpanKind.SERVER
                told = dict(span.attributes or {})
                assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", 200)
                assert told["http.route"] == "/v1/chat/completions"
            assert len({ids(span)[0] for span in (first, second, third)}) == 3
            seen = server.requests[0]
            assert seen.header("tracestate") == "vendor=1"
            assert PARENT not in (seen.header("traceparent") or "")
            assert seen.header("traceparent") == f"00-{TRACE}-{ids(spans.named('POST')[0])[1]}-01"
            assert all((request.header("traceparent") or "").count("-") == 3 for request in server.requests)

    asyncio.run(main())


def test_a_call_that_fails_says_so_without_words() -> None:
    spans = Spans()

    async def main() -> None:
        async with (
            serving(always(answer(CANARY.encode(), status=500, headers=JSON))) as server,
            served(
                Router("r"), routes=[Route(name="m", targets=(model(server.url),))], tracer_provider=spans.provider
            ) as door,
        ):
            await door.call("POST", "/v1/chat/completions", CHAT)
            call = spans.one("chat gpt-5")
            assert call.status.status_code is StatusCode.ERROR
            assert dict(call.attributes or {})["error.type"] == "failed"
            assert CANARY not in "".join(span.to_json() for span in spans.all)

    asyncio.run(main())


def test_the_span_of_a_door_tells_the_template_of_its_path_and_never_what_stands_in_it() -> None:
    spans = Spans()

    async def main() -> None:
        async with (
            serving(always(answer(b"{}", status=500, headers=JSON))) as server,
            served(Router("r"), routes=[route(server.url)], tracer_provider=spans.provider) as door,
        ):
            await door.call("POST", f"/dispatch/m/{CANARY}?q={CANARY}", {})
            await door.call("GET", f"/api/runs/{CANARY}")
            await door.call("GET", f"/{CANARY}")
            await door.call("GET", "/healthz")
            doors = [span for span in spans.all if span.kind is SpanKind.SERVER]
            assert [span.name for span in doors] == ["POST /dispatch/{route}/{path}", "GET /api/runs/{run_id}", "GET"]
            codes = [dict(span.attributes or {})["http.response.status_code"] for span in doors]
            assert codes == [500, 404, 404]
            assert [span.status.status_code for span in doors] == [StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET]
            assert CANARY not in "".join(span.to_json() for span in spans.all)

    asyncio.run(main())


def test_a_mapping_hands_the_trace_of_its_event_on_to_what_it_publishes_and_emits() -> None:
    spans, router, handled = Spans(), Router("r"), asyncio.Event()
    done = asyncio.Event()

    @router.subscribe("orders")
    async def handle(message: object) -> None:
        handled.set()

    @router.workflow
    async def flow(text: str) -> None:
        done.set()

    router.on({"type": ["com.example.order"]}, name="tell", publish={"topic": "orders", "body": "${ event.data }"})
    router.on({"type": ["com.example.order"]}, name="lead", emit={"type": "com.example.led", "data": "${ event.data }"})
    router.on({"type": ["com.example.led"]}, name="follow", start=flow, input="${ event.id }")

    async def main() -> None:
        async with served(router, tracer_provider=spans.provider) as door:
            await door.send(id="1", traceparent=GIVEN, tracestate="vendor=1", data={"n": 1})
            async with asyncio.timeout(10):
                await handled.wait()
                await done.wait()
        process, run = spans.one("process orders"), spans.one("run flow")
        for one in (process, run):
            assert (ids(one)[0], parent(one)) == (TRACE, PARENT)
            assert f"{one.links[0].context.span_id:016x}" == PARENT
            assert one.links[0].context.trace_state.get("vendor") == "1"

    asyncio.run(main())


def test_messages_carry_the_trace_to_handlers_and_to_the_runs_they_start() -> None:
    spans, router = Spans(), Router("r")

    @router.workflow
    async def tell() -> None:
        await router.publish("orders", {"n": 1})
        await router.publish("later", {"n": 2})

    @router.workflow
    async def started(body: object) -> None:
        done.set()

    done, handled = asyncio.Event(), asyncio.Event()

    @router.subscribe("orders")
    async def handle(message: object) -> None:
        handled.set()

    async def main() -> None:
        subscription = Subscription(name="starts", topic="later", start="started")
        async with embed(
            router, topics=["orders", "later"], subscriptions=[subscription], tracer_provider=spans.provider
        ) as runtime:
            await runtime.engine.ended(await router.start(tell))
            async with asyncio.timeout(10):
                await done.wait()
                await handled.wait()
        teller, process, run = spans.one("run tell"), spans.one("process orders"), spans.one("run started")
        for one in (process, run):
            assert (ids(one)[0], parent(one)) == ids(teller)
            assert [f"{link.context.span_id:016x}" for link in one.links] == [ids(teller)[1]]
        assert process.kind is SpanKind.CONSUMER

    asyncio.run(main())


def test_a_run_taken_up_again_makes_no_span_twice_and_stays_in_its_trace(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/router.db"
    before, after = Spans(), Spans()

    def project() -> Router:
        router = Router("r")

        @router.step
        async def first() -> None:
            return None

        @router.step
        async def second() -> None:
            return None

        @router.workflow
        async def flow(text: str) -> None:
            await first()
            await router.receive("go")
            await second()

        router.on({"type": ["com.example.order"]}, name="order", start=flow, input="${ event.id }")
        return router

    async def main() -> None:
        async with served(project(), store=store, tracer_provider=before.provider) as door:
            run_id = (await door.send(id="1", traceparent=GIVEN)).json["runs"][0]
            async with asyncio.timeout(10):
                while (await door.runtime.engine.find(run_id)).status != "waiting":  # noqa: ASYNC110  another task parks it
                    await asyncio.sleep(0.005)
        async with served(project(), store=store, tracer_provider=after.provider) as door:
            await door.runtime.signals.send(run_id, "go", b"1")
            assert (await door.runtime.engine.ended(run_id)).status == "completed"
        assert [span.name for span in before.all if span.kind is SpanKind.INTERNAL] == ["step first", "run flow"]
        assert [span.name for span in after.all if span.kind is SpanKind.INTERNAL] == ["step second", "run flow"]
        assert {ids(span)[0] for span in (*before.all, *after.all) if span.kind is SpanKind.INTERNAL} == {TRACE}
        assert dict(after.one("run flow").attributes or {})["workflow_router.run.resumed"] is True

    asyncio.run(main())


def test_without_a_provider_nothing_is_imported_and_no_link_is_in_the_chain() -> None:
    code = """
import asyncio, sys
from workflow_router import Retry, Router, embed
router = Router("r")
async def main():
    async with embed(router) as runtime:
        assert runtime.traces is None and runtime.engine.around is None
        assert runtime.engine.operations.steps._system == {}
asyncio.run(main())
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
