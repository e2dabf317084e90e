"""Events are classified by rules, then examples, then a model, then a person; none decides unless it is sure."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from workflow_router import Router, embed
from workflow_router.core.classification.classifier import CLASSIFIED, Semantic
from workflow_router.core.classification.decide import by_examples, cosine
from workflow_router.core.classify import classifications
from workflow_router.core.dispatch_route.model import Route, Target
from workflow_router.core.dispatch_route.ports import Outgoing
from workflow_router.core.model import Event
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approvals import Decision
from workflow_router.network.embedding import LocalModel
from workflow_router.settings.bind import bind
from workflow_router.settings.classes import Classes, classifiers_of
from workflow_router.settings.rules import node_of
from workflow_router.testing import FakeTargets, VirtualClock, run_virtually
from workflow_router.utils.codec import from_json, to_json

CHAT, VECTORS = "http://chat.example", "http://vectors.example"
ROUTES = [
    Route(name=name, targets=(Target(name=name, kind="http", url=url),))
    for name, url in (("chat", CHAT), ("vec", VECTORS))
]
BASE = {
    "on": {"type": ["ticket"]},
    "into": {"billing": "money", "outage": "down"},
    "text": "${ event.data.text }",
}
RULES = {"rules": [{"into": "outage", "when": "event.data.severity == 1"}]}
EVERY: dict[str, Any] = {"tenant": "default", "status": None, "limit": 9}
MODEL = {"model": {"route": "chat", "model": "small"}}
PERSON = {"person": {"roles": ["lead"], "within": "1h"}}
EXAMPLES = {"billing": ["wrong invoice", "charged twice"], "outage": ["site is down"]}


def classifiers(*parts: dict[str, Any]) -> Any:
    given: dict[str, object] = dict(BASE)
    for part in parts:
        given |= part
    mistakes: list[Any] = []
    made = bind(node_of(given), Classes, "x", mistakes)
    assert not mistakes
    return classifiers_of({"ticket": made})


def says(chosen: str, confidence: float) -> dict[str, object]:
    return {"choices": [{"message": {"content": json.dumps({"class": chosen, "confidence": confidence})}}]}


def embedded(*vectors: list[float]) -> dict[str, object]:
    return {"data": [{"index": at, "embedding": vector} for at, vector in reversed(list(enumerate(vectors)))]}


def sent(call: Outgoing) -> Any:
    return from_json(call.body)


async def classify(runtime: Runtime, **data: object) -> Any:
    event = Event(id="1", source="/shop", type="ticket", data=to_json({"text": "help", "severity": 3} | data))
    accepted = await runtime.accept(event)
    (run,) = accepted.runs
    await asyncio.sleep(5)
    (found,) = await classifications(runtime.store, accepted.id, accepted.matched, tenant="default")
    assert found.run == run
    return found


def scenario(parts: list[dict[str, Any]], targets: FakeTargets, **data: object) -> tuple[Any, list[Event]]:
    """The result of one event, and the events that say classes."""

    async def main() -> tuple[Any, list[Event]]:
        given: dict[str, Any] = {"classifiers": classifiers(*parts), "routes": ROUTES, "transport": targets}
        async with embed(Router("shop"), clock=VirtualClock(), **given) as runtime:
            found = await classify(runtime, **data)
            events = await runtime.store.read(lambda tx: tx.events.latest(tenant="default", limit=9))
            return found.result, [one.event for one in events if one.event.type == CLASSIFIED]

    return run_virtually(main())


def test_a_rule_decides_alone_and_says_so_in_an_event() -> None:
    result, (event,) = scenario([RULES, MODEL], targets := FakeTargets(), severity=1)
    assert (result["class"], result["stage"], result["confidence"]) == ("outage", "rules", 1.0)
    assert targets.calls == []
    assert (event.source, event.subject) == ("/classes/ticket", "outage")
    data = from_json(event.data or b"")
    assert isinstance(data, dict) and data["class"] == "outage" and data["event"]["data"]["severity"] == 1
    assert event.extensions["routerchain"] == "class.ticket"


@pytest.mark.parametrize(
    ("answer", "chosen", "why"),
    [
        (says("billing", 0.9), "billing", None),
        (says("billing", 0.3), None, "The model is not sure enough."),
        (says("nonsense", 0.9), None, "The answer names no class: 'nonsense'."),
        (says("billing", 7), None, "The answer names no class: 'billing'."),
        ({"choices": [{"message": {"content": "billing!"}}]}, None, "The answer is not a class with a confidence."),
        ({"choices": []}, None, "The answer is not a class with a confidence."),
        ("text", None, "The answer is not a class with a confidence."),
    ],
)
def test_a_model_chooses_one_of_the_classes_or_is_passed_over(answer: object, chosen: object, why: object) -> None:
    targets = FakeTargets()
    targets.answer(CHAT, answer)
    result, (event,) = scenario([RULES, MODEL], targets)
    assert [one["stage"] for one in result["stages"]][:2] == ["rules", "model"]
    assert result["stages"][1].get("why") == why
    assert result["class"] == chosen == event.subject
    asked: Any = from_json(targets.calls[0].body)
    assert asked["model"] == "small" and asked["messages"][1]["content"] == "help"
    schema = asked["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["class"]["enum"] == ["billing", "outage"]


def test_examples_are_embedded_by_a_route_and_too_far_or_too_near_to_two_goes_on() -> None:
    semantic = {"semantic": {"examples": EXAMPLES, "route": "vec", "threshold": 0.9, "margin": 0.1}}
    for vector, chosen, why in (
        ([1.0, 0.1], "billing", None),
        ([1.0, 1.0], None, "No example is near enough."),
        ([-1.0, 0.0], None, "No example is near enough."),
    ):
        targets = FakeTargets()
        targets.answer(VECTORS, embedded([1, 0], [1, 0.2], [0, 1]))
        targets.answer(VECTORS, embedded(vector))
        result, _ = scenario([semantic], targets)
        assert (result["class"], result["stages"][1].get("why")) == (chosen, why)
        assert [len(sent(call)["input"]) for call in targets.calls] == [3, 1]
    two = by_examples(Semantic(examples={}, threshold=0.5, margin=0.1), [1, 1], {"a": [[1, 0]], "b": [[0, 1]]})
    assert not two.accepted and two.why == "It is near to another class as well."
    assert cosine([0.0], [1.0]) == 0.0


def test_a_stage_that_fails_is_told_and_passed_over() -> None:
    targets = FakeTargets()
    targets.fail(VECTORS)
    targets.fail(CHAT)
    semantic = {"semantic": {"examples": EXAMPLES, "route": "vec"}}
    result, _ = scenario([semantic, MODEL, {"otherwise": "billing"}], targets)
    assert [(one["stage"], one.get("why", "")[:9]) for one in result["stages"]] == [
        ("rules", "No rule h"),
        ("semantic", "It failed"),
        ("model", "It failed"),
        ("otherwise", ""),
    ]
    assert result["class"] == "billing"


@pytest.mark.parametrize("decided", [True, False])
def test_a_person_has_the_last_word_and_sees_what_was_found(decided: bool) -> None:
    targets = FakeTargets()
    targets.answer(CHAT, says("billing", 0.3))

    async def main() -> None:
        given: dict[str, Any] = {"classifiers": classifiers(MODEL, PERSON), "routes": ROUTES, "transport": targets}
        async with embed(Router("shop"), clock=VirtualClock(), **given) as runtime:
            found = await classify(runtime)
            assert (found.status, found.result) == ("waiting", None)
            (approval,) = await runtime.store.read(
                lambda tx: tx.approvals.list_approvals(tenant="default", status=None, limit=9)
            )
            context = from_json(approval.context)
            assert isinstance(context, dict) and context["stages"][1]["confidence"] == 0.3
            if decided:
                decision = Decision(
                    by="ann",
                    roles=["lead"],
                    approved=True,
                    values={"class": "outage"},
                )
                await runtime.approvals.decide(approval.id, decision)
            await asyncio.sleep(7_200)
            ended = await runtime.engine.ended(found.run)
            result = from_json(ended.output or ended.error or b"")
            assert isinstance(result, dict), ended.error
            assert (result["class"], result["stage"]) == (("outage", "person") if decided else (None, "otherwise"))
            why = "Chosen by ann." if decided else "Nobody chose: expired."
            assert result["stages"][2]["why"] == why

    run_virtually(main())


def test_a_restart_repeats_no_stage_that_was_committed(tmp_path: Path) -> None:
    targets = FakeTargets()
    targets.answer(CHAT, says("billing", 0.3))
    store = f"sqlite:///{tmp_path / 'router.db'}"

    async def main() -> None:
        given: dict[str, Any] = {"classifiers": classifiers(MODEL, PERSON), "routes": ROUTES, "transport": targets}
        async with embed(Router("shop"), store=store, clock=VirtualClock(), **given) as runtime:
            run = (await classify(runtime)).run
        for _ in range(2):
            async with embed(Router("shop"), store=store, clock=VirtualClock(), **given) as runtime:
                await asyncio.sleep(10)
        assert len(targets.calls) == 1
        async with embed(Router("shop"), store=store, clock=VirtualClock(), routes=ROUTES) as runtime:
            await asyncio.sleep(7_200)
            assert (await runtime.engine.find(run)).status in ("faulted", "waiting", "completed")

    run_virtually(main())


def test_the_local_model_knows_what_is_alike_without_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("The local model wants the network.")

    async def main() -> None:
        model = LocalModel()
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "connect", refuse)
            texts = [
                "my invoice is wrong and I was charged twice",
                "problem with the bill on my card",
                "the server is down",
                "",
            ]
            invoice, bill, server, empty = await model.embed(texts)
        assert cosine(invoice, bill) > 0.1 + cosine(invoice, server)
        assert set(empty) == {0.0}

    asyncio.run(main())
