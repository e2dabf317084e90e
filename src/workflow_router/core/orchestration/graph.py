"""Owns declared graphs: steps that name what they depend on, checked when declared, made into a function of a workflow.

A step runs as soon as its dependencies have. A parameter with the name of a dependency gets its result; the others are
the graph's input, by name. Refuses to run anything itself: the parts are run by what it is given.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypedDict, get_type_hints

from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.definitions import Step
from workflow_router.core.orchestration.parallel import Part

RunParts = Callable[[str, Sequence[Part[object]]], Awaitable[object]]
_NAMED = frozenset({inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY})


def graph_function(
    name: str, steps: Sequence[Step[..., Any]], run_parts: RunParts
) -> Callable[..., Coroutine[Any, Any, object]]:
    """The function of a workflow that runs the steps in the order of their dependencies.

    It returns the result of the step that no other depends on; of several, an object of their results by name.

    Raises:
        InvalidInput: a cycle, an unknown dependency, or parameters that cannot be filled; the message has the path.
    """
    by_name = {step.name: step for step in steps}
    if not steps or len(by_name) != len(steps):
        raise InvalidInput(f"The graph {name} needs steps, each once.", remedy="List its steps.")
    _check_dependencies(name, by_name)
    takes = {step.name: _parameters(name, step, by_name) for step in steps}
    needed = {dependency for step in steps for dependency in step.depends_on}
    lasts = [step.name for step in steps if step.name not in needed]
    signature, hints = _inputs(name, steps, by_name, takes)

    async def run_graph(*args: object, **kwargs: object) -> object:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        loop = asyncio.get_running_loop()
        results: dict[str, asyncio.Future[object]] = {step.name: loop.create_future() for step in steps}

        async def run_step(step: Step[..., Any]) -> None:
            for dependency in step.depends_on:
                await results[dependency]
            given = {
                parameter: results[parameter].result() if parameter in by_name else bound.arguments[parameter]
                for parameter in takes[step.name]
            }
            results[step.name].set_result(await step(**given))

        await run_parts(name, [(step.name, lambda step=step: run_step(step)) for step in steps])
        if len(lasts) == 1:
            return results[lasts[0]].result()
        return {last: results[last].result() for last in lasts}

    outputs = {last: _hints(by_name[last]).get("return", Any) for last in lasts}
    hints["return"] = outputs[lasts[0]] if len(lasts) == 1 else TypedDict(f"{name}_results", outputs)  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]  its fields are known only now
    run_graph.__name__ = run_graph.__qualname__ = name
    run_graph.__annotations__ = hints
    run_graph.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]  what `inspect.signature` reads
    return run_graph


def _check_dependencies(name: str, by_name: Mapping[str, Step[..., Any]]) -> None:
    for step in by_name.values():
        for dependency in step.depends_on:
            if dependency not in by_name:
                known = ", ".join(sorted(by_name))
                raise InvalidInput(
                    f"In the graph {name}, {step.name} → {dependency}: there is no step {dependency} in it.",
                    remedy=f"Add it to the graph; it has {known}.",
                )
    try:
        TopologicalSorter({step.name: step.depends_on for step in by_name.values()}).prepare()
    except CycleError as error:
        path = " → ".join(reversed(error.args[1]))
        raise InvalidInput(
            f"The graph {name} has a cycle: {path}.", remedy="Take one of these dependencies away."
        ) from None


def _parameters(name: str, step: Step[..., Any], by_name: Mapping[str, Step[..., Any]]) -> list[str]:
    """Names of a step's parameters, all of which can be given by name."""
    parameters = inspect.signature(step.function).parameters
    for parameter in parameters.values():
        if parameter.kind not in _NAMED:
            raise InvalidInput(
                f"In the graph {name}, {step.name} takes {parameter}, which has no name to be given by.",
                remedy="Write out its parameters.",
            )
        if parameter.name in by_name and parameter.name not in step.depends_on:
            raise InvalidInput(
                f"In the graph {name}, {step.name} takes the result of {parameter.name} without depending on it.",
                remedy=f"Add {parameter.name} to its `depends_on`, or name the parameter otherwise.",
            )
    return list(parameters)


def _inputs(
    name: str,
    steps: Sequence[Step[..., Any]],
    by_name: Mapping[str, Step[..., Any]],
    takes: Mapping[str, list[str]],
) -> tuple[inspect.Signature, dict[str, Any]]:
    """The graph's own parameters: those of its steps that no dependency fills."""
    found: dict[str, inspect.Parameter] = {}
    hints: dict[str, Any] = {}
    for step in steps:
        annotations = _hints(step)
        parameters = inspect.signature(step.function).parameters
        for parameter in takes[step.name]:
            if parameter in by_name:
                continue
            kind = annotations.get(parameter, Any)
            if hints.setdefault(parameter, kind) != kind:
                raise InvalidInput(
                    f"In the graph {name}, the input {parameter} is {hints[parameter]} in one step and {kind} in"
                    f" {step.name}.",
                    remedy="Give it one type, or two names.",
                )
            default = parameters[parameter].default
            known = found.get(parameter)
            if known is None or known.default is inspect.Parameter.empty:
                found[parameter] = inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, default=default)
            if default is inspect.Parameter.empty:  # what one step cannot do without must be given
                found[parameter] = found[parameter].replace(default=default)
    if len(found) == 1:  # the whole input is this one
        only = next(iter(found.values()))
        return inspect.Signature([only.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)]), hints
    return inspect.Signature(list(found.values())), hints


def _hints(step: Step[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(step.function, include_extras=True)
    except NameError as error:
        raise InvalidInput(
            f"The types of step {step.name} are not known yet: {error}.", remedy="Define them before the graph."
        ) from error
