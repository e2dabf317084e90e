"""Owns how the call of a step takes on other arguments: each fitted to its parameter. Refuses what does not fit."""

import inspect
from collections.abc import Mapping
from typing import Any, cast, get_type_hints

import msgspec

from workflow_router.core.errors import InvalidInput, RouterError
from workflow_router.core.orchestration.definitions import Step, fitted
from workflow_router.core.orchestration.step_execution_handler import StepCall
from workflow_router.core.runtime_state.interceptors import Denied
from workflow_router.utils.codec import Codec, to_json


def with_arguments(call: StepCall, changed: Mapping[str, object]) -> StepCall:
    """The call with other arguments. Raises Denied where they do not fit the step."""
    args, kwargs = call.args, call.kwargs
    try:
        if "args" in changed:
            given = cast("list[object]", changed["args"])
            names = _positional(call.step, len(given))
            args = tuple(_fitted(call.step, name, value) for name, value in zip(names, given, strict=True))
        if "kwargs" in changed:
            named = cast("dict[str, object]", changed["kwargs"])
            kwargs = {name: _fitted(call.step, name, value) for name, value in named.items()}
        inspect.signature(call.step.function).bind(*args, **kwargs)
    except (RouterError, TypeError, AttributeError) as error:
        raise Denied(f"Changed arguments do not fit: {error}", remedy="Mend the interceptor.") from None
    return msgspec.structs.replace(call, args=args, kwargs=kwargs)


def _positional(step: Step[..., Any], count: int) -> list[str]:
    """Names of the parameters that so many positional arguments go to. Raises TypeError where there are fewer."""
    parameters = inspect.signature(step.function).parameters.values()
    names = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    rest = [one.name for one in parameters if one.kind is one.VAR_POSITIONAL]
    if count > len(names) and not rest:
        raise TypeError(f"{step.name} takes {len(names)} positional arguments, not {count}")
    return (names + rest * (count - len(names)))[:count]


def _fitted(step: Step[..., Any], name: str, value: object) -> object:
    hints = get_type_hints(step.function, include_extras=True)
    try:
        return fitted(Codec(hints.get(name, Any)), to_json(value), f"The argument {name}")
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"The argument {name} does not fit: {error}") from None
