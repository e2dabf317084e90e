"""A target of kind `topic` is a request: durable, bounded by the call's time, and not sent twice."""

from pathlib import Path

import pytest

from workflow_router import DispatchFailed, Router, StepFailed, embed
from workflow_router.core.dispatch_route.model import Call, Caller, Retry, Route, Target, Timeouts
from workflow_router.core.model import Delivery
from workflow_router.testing import VirtualClock, run_virtually
from workflow_router.utils.backoff import Backoff

SOON = Timeouts(total_s=3)


def route(*topics: str, attempts: int = 3) -> Route:
    targets = tuple(Target(name=topic, kind="topic", timeouts=SOON) for topic in topics)
    return Route(name="house", targets=targets, retry=Retry(attempts=attempts, backoff=Backoff(first_s=0.1)))


def test_a_run_calls_a_topic_and_gets_its_reply(tmp_path: Path) -> None:
    router = Router("shop")
    seen: list[Delivery] = []

    @router.subscribe("double")
    async def double(body: int, delivery: Delivery) -> int:
        seen.append(delivery)
        return 2 * body

    @router.workflow
    async def ask(body: int) -> int:
        return int(await router.dispatch("house", body, path="/x"))

    assert double

    async def main() -> None:
        store = f"sqlite:///{tmp_path / 'r.db'}"
        async with embed(router, store=store, topics=["double"], routes=[route("double")], clock=VirtualClock()) as it:
            run_id = await router.start(ask, 21)
            assert (await it.engine.ended(run_id)).output == b"42"

    run_virtually(main())
    assert [(one.headers["path"], one.headers["method"]) for one in seen] == [("/x", "POST")]


def test_silence_takes_the_next_target_and_a_repeated_call_is_one_message() -> None:
    router = Router("shop")
    got: list[int] = []

    @router.subscribe("answers")
    async def answers(body: int) -> int:
        got.append(body)
        return body + 1

    assert answers

    async def main() -> None:
        both = [route("silent", "answers")]
        async with embed(router, topics=["silent", "answers"], routes=both, clock=VirtualClock()) as runtime:
            call, caller = Call(body=b"1"), Caller(idempotency_key="order-7")
            first = await runtime.dispatch("house", call, caller)
            again = await runtime.dispatch("house", call, caller)
            assert (first.body, again.body, first.record.target) == (b"2", b"2", "answers")
            other = await runtime.dispatch("house", call, Caller(idempotency_key="order-7", tenant="else"))
            assert other.body == b"2"

    run_virtually(main())
    assert got == [1, 1]  # one for each tenant


def test_what_the_consumer_gives_up_and_what_cannot_be_sent_is_told() -> None:
    router = Router("shop")

    @router.subscribe("fails", max_deliveries=1)
    async def fails(body: int) -> int:
        raise ValueError(f"no {body}")

    @router.workflow
    async def ask() -> int:
        return int(await router.dispatch("house", 1))

    assert fails

    async def main() -> None:
        async with embed(router, topics=["fails"], routes=[route("fails", attempts=1)], clock=VirtualClock()) as it:
            answer = await it.dispatch("house", Call(body=b"1"), Caller())
            assert answer.status == 500
            assert b"no 1" in answer.body
            assert (await it.dispatch("house", Call(body=b"{"), Caller())).status == 400
            run_id = await router.start(ask)
            ended = await it.engine.ended(run_id)
            assert ended.error is not None
            assert StepFailed.type.encode() in ended.error
            it.dispatcher.set_routes([route("gone", attempts=1)])
            with pytest.raises(DispatchFailed, match="no topic"):
                await it.dispatch("house", Call(body=b"1"), Caller())

    run_virtually(main())
