"""Arguments that interceptors give steps go to the parameters they belong to, or are refused."""

from typing import Any

import msgspec
import pytest

from workflow_router import Router
from workflow_router.core.orchestration.step_execution_handler import StepCall
from workflow_router.core.runtime_state.interceptors import Denied
from workflow_router.core.step_changes import with_arguments

router = Router("r")


class Item(msgspec.Struct):
    """What steps are given."""

    n: int


@router.step
async def several(first: Item, second: int = 2, *more: Item) -> None: ...


@router.step
async def two(a: int, b: int = 2) -> None: ...


def changed(step: Any, **given: object) -> StepCall:
    return with_arguments(StepCall(run_id="r", workflow="w", key="1", step=step, args=(1,), kwargs={}), given)


def test_each_argument_is_fitted_to_its_parameter() -> None:
    assert changed(several, args=[{"n": 1}, 5, {"n": 2}, {"n": 3}]).args == (Item(1), 5, Item(2), Item(3))
    assert changed(several, args=[{"n": 1}]).args == (Item(1),)
    assert changed(two, kwargs={"b": 7}).kwargs == {"b": 7}


@pytest.mark.parametrize(
    "given",
    [
        {"args": [7, 8, 9]},
        {"args": []},
        {"args": ["x"]},
        {"args": 5},
        {"kwargs": {"c": 1}},
        {"kwargs": {"a": 1}},
        {"kwargs": 5},
    ],
)
def test_arguments_that_do_not_fit_are_denied(given: dict[str, object]) -> None:
    with pytest.raises(Denied, match="do not fit"):
        changed(two, **given)
