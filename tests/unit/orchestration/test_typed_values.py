"""Typed inputs, results, signals and children: each kind comes back as it was; what does not fit names its field."""

import asyncio
import datetime as dt
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest

from tests.unit.orchestration.kit import ended, history
from workflow_router import Router, embed
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.journal import Problem
from workflow_router.utils.codec import typed_from_json


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    name: str
    amount: Decimal
    colour: Colour


@dataclass
class Order:
    id: UUID
    lines: list[Line]
    due: dt.date
    at: dt.datetime
    within: dt.timedelta
    tags: frozenset[str]
    note: str | None = None


class Card(msgspec.Struct, tag="card"):
    number: str


class Cash(msgspec.Struct, tag="cash"):
    coins: list[int]


class Split(msgspec.Struct, tag="split"):
    parts: "list[Card | Cash | Split]"


class Address(pydantic.BaseModel):
    street: str
    number: int


class Letter(pydantic.BaseModel):
    to: Address
    sent: dt.date
    colour: Colour
    copies: list[Address] = []


ORDER = Order(
    id=UUID(int=7),
    lines=[Line("vase", Decimal("12.50"), Colour.RED), Line("lamp", Decimal(3), Colour.BLUE)],
    due=dt.date(2026, 2, 28),
    at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    within=dt.timedelta(hours=36),
    tags=frozenset({"new"}),
)
PAYMENT = Split([Card("1"), Split([Cash([1, 2]), Card("2")])])
LETTER = Letter(to=Address(street="Hill", number=3), sent=dt.date(2026, 1, 1), colour=Colour.BLUE)

VALUES: list[tuple[Any, object]] = [
    (Order, ORDER),
    (Card | Cash | Split, PAYMENT),
    (dict[str, list[Card | Cash | None]], {"a": [Card("1"), None], "b": []}),
    (Letter, LETTER),
    (list[Letter] | None, [LETTER, LETTER]),
    (Colour, Colour.RED),
    (dt.datetime, ORDER.at),
    (tuple[int, Colour, dt.date], (1, Colour.BLUE, ORDER.due)),
]
# What does not fit, and how the error names the place.
WRONG: list[tuple[Any, object, str]] = [
    (Order, {**msgspec.to_builtins(ORDER), "lines": [{"name": "vase", "amount": "1", "colour": "green"}]}, "colour"),
    (Order, {**msgspec.to_builtins(ORDER), "due": "soon"}, "due"),
    (Card | Cash | Split, {"type": "split", "parts": [{"type": "cash", "coins": ["x"]}]}, r"parts\[0\]\.coins"),
    (Card | Cash | Split, {"type": "gold"}, "gold"),
    (Letter, {"to": {"street": "Hill", "number": "three"}, "sent": "2026-01-01", "colour": "red"}, r"to\.number"),
    (list[Letter], [{"to": {"street": "Hill", "number": 1}, "colour": "red"}], "sent"),
]


F = TypeVar("F", bound=Callable[..., object])


def of(kind: Any, function: F) -> F:
    """The function with another type in place of each `Any` that it is annotated with."""
    function.__annotations__ = {name: kind for name, hint in function.__annotations__.items() if hint is Any}
    return function


def a_router(kind: Any, seen: list[object]) -> Router:
    """Workflows that pass a value of a kind through an input, a step, a child, a signal and a result."""
    router = Router()

    async def through(value: Any) -> Any:
        seen.append(value)
        return value

    async def child(value: Any) -> Any:
        return await step(value)

    async def parent(value: Any) -> Any:
        received = await router.receive("more", of=kind)
        assert received == value
        return await router.run("child", await step(value))

    step = router.step(of(kind, through))
    router.workflow(of(kind, child))
    router.workflow(of(kind, parent))
    return router


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[str(kind)[:40] for kind, _ in VALUES])
def test_a_typed_value_comes_back_from_everywhere(kind: Any, value: object, tmp_path: Path) -> None:
    seen: list[object] = []

    async def main() -> None:
        store = f"sqlite:///{tmp_path / 'router.db'}"
        router = a_router(kind, seen)
        async with embed(router, store=store):
            run_id = await router.start("parent", value)
        async with embed(router, store=store) as runtime:  # what was an object in memory is JSON of the store now
            await router.signal(run_id, "more", value)
            run = await ended(runtime, run_id)
            assert run.status == "completed", run.error
            assert runtime.workflows["parent"]["1"].codec.decode(run.output or b"") == value
            assert [step.kind for step in await history(runtime, run_id)] == ["receive", "step", "child"]

    asyncio.run(main())
    assert seen == [value, value]


@pytest.mark.parametrize(("kind", "value", "place"), WRONG, ids=[place for *_, place in WRONG])
def test_what_does_not_fit_names_its_field(kind: Any, value: object, place: str) -> None:
    router = Router()

    async def wrong() -> Any:
        return value

    async def takes(value: Any) -> None: ...

    @router.workflow
    async def steps() -> None:
        await step()

    @router.workflow
    async def receives() -> None:
        await router.receive("more", of=kind)

    @router.workflow
    async def calls() -> None:
        await router.run("takes", value)

    step = router.step(of(kind, wrong))
    router.workflow(of(kind, takes))

    async def main() -> None:
        async with embed(router) as runtime:
            with pytest.raises(InvalidInput, match=place):
                await router.start("takes", value)
            receiving = await router.start(receives)
            await router.signal(receiving, "more", value)
            for run_id in (await router.start(steps), receiving, await router.start(calls)):
                run = await ended(runtime, run_id)
                assert run.status == "faulted"
                problem = typed_from_json(run.error or b"", Problem)
                assert problem.type in {"invalid-input", "child-failed"}
                assert re.search(place, problem.message), problem

    asyncio.run(main())


def test_what_has_no_json_form_fails_the_step_by_name() -> None:
    router = Router()

    @router.step
    async def opens() -> object:
        return asyncio.Lock()

    @router.workflow
    async def main_flow() -> None:
        await opens()

    async def main() -> None:
        async with embed(router) as runtime:
            run = await ended(runtime, await router.start(main_flow))
            assert b"Lock has no JSON form" in (run.error or b"")

    asyncio.run(main())
