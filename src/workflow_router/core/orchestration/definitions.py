"""Owns what users declare: steps, workflows, and how their values go to JSON and back. Refuses to run anything.

A value that comes out of a step is what its JSON reads back as, live and on replay alike, so that a replay can never
see another value than the first execution did.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, cast, get_type_hints

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.flow import Flow, StepFlow
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.codec import Codec

P = ParamSpec("P")
R = TypeVar("R")


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When a step or dispatch is tried again.

    Attributes:
        attempts: how many tries in all, at least 1.
        elapsed_s: no try begins later than this after the first began, seconds; None for no such bound.
        first_s, factor, max_s, jitter: see `utils.backoff.Backoff`; seconds.
        never: exceptions that end the step at once, as `Permanent` always does.

    An exception with a number as `retry_after_s` (`RetryLater`, `DispatchFailed`) is tried again no sooner than that.
    """

    attempts: int = 3
    elapsed_s: float | None = None
    first_s: float = 0.2
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidInput("Retry needs at least one attempt.", remedy="Set attempts to 1 or more.")

    @property
    def backoff(self) -> Backoff:
        """The waits between tries."""
        return Backoff(first_s=self.first_s, factor=self.factor, max_s=self.max_s, jitter=self.jitter)


ONCE = Retry(attempts=1)


def check_times(what: str, **times_s: object) -> None:
    """Raise InvalidInput where a time is no number of seconds above zero, or None."""
    for name, value in times_s.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise InvalidInput(f"{name} of {what} is {value!r}.", remedy="Write a number of seconds above 0, or None.")


class Step(Generic[P, R]):
    """A durable unit of a workflow. Called inside a run it is journalled; called elsewhere it is the plain function.

    Attributes:
        name: unique in its router.
        timeout_s: deadline of one attempt, seconds; None for none.
        deadline_s: deadline of all attempts and the waits between them.
        heartbeat_timeout_s: an attempt ends if it gives no heartbeat for so long.
        cpu: a plain function that runs in a process of its own.
        depends_on: names of the steps that come before it in a graph.
        flow: how many go on at once, or begin in a time; None without limit.
    """

    def __init__(
        self,
        function: Callable[P, Any],
        name: str,
        retry: Retry,
        timeout_s: float | None,
        call: "StepCaller",
        depends_on: tuple[str, ...] = (),
        *,
        deadline_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        cpu: bool = False,
        flow: StepFlow | None = None,
    ) -> None:
        if not isinstance(retry, Retry):  # pyright: ignore[reportUnnecessaryIsInstance]  not everybody checks types
            raise InvalidInput(f"retry of the step {name} is {retry!r}.", remedy="Write `Retry(attempts=3)`.")
        times = {"timeout_s": timeout_s, "deadline_s": deadline_s, "heartbeat_timeout_s": heartbeat_timeout_s}
        check_times(f"the step {name}", **times)
        self.function = function
        self.name = name
        self.retry = retry
        self.timeout_s = timeout_s
        self.depends_on = depends_on
        self.deadline_s = deadline_s
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self.cpu = cpu
        self.flow = flow
        self.is_async = inspect.iscoroutinefunction(function)
        self._call = call
        self._codec: Codec | None = None
        self.__doc__ = function.__doc__
        self.__name__ = name
        self.__wrapped__ = function

    @property
    def codec(self) -> Codec:
        """JSON of the result; made at first use, when names in the annotations can be resolved."""
        if self._codec is None:
            self._codec = Codec(_hints(self.function).get("return", Any))
        return self._codec

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return cast("Coroutine[Any, Any, R]", self._call(self, args, kwargs))


StepCaller = Callable[["Step[..., Any]", tuple[object, ...], dict[str, object]], Coroutine[Any, Any, object]]


class Workflow(Generic[P, R]):
    """A function whose runs are durable.

    Attributes:
        version: kept with each run; a run goes on with the version it began with.
        timeout_s: a run that has not ended so long after its start is stopped; it may clean up, then it is faulted.
        queue_timeout_s: a run whose turn comes later than this after it was started is faulted without being executed.
        flow: when its runs may start; None for at once.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        name: str,
        version: str,
        *,
        timeout_s: float | None = None,
        queue_timeout_s: float | None = None,
        flow: Flow | None = None,
    ) -> None:
        if not inspect.iscoroutinefunction(function):
            raise InvalidInput(f"The workflow {name} is not async.", remedy="Declare it with `async def`.")
        check_times(f"the workflow {name}", timeout_s=timeout_s, queue_timeout_s=queue_timeout_s)
        self.function = function
        self.name = name
        self.version = version
        self.timeout_s = timeout_s
        self.queue_timeout_s = queue_timeout_s
        self.flow = flow
        self._typed = False
        self._input: Callable[[bytes], tuple[tuple[object, ...], dict[str, object]]] | None = None
        self._codec: Codec | None = None
        self.__doc__ = function.__doc__
        self.__name__ = name
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.function(*args, **kwargs)

    @property
    def codec(self) -> Codec:
        """JSON of the result."""
        if self._codec is None:
            kind = _hints(self.function).get("return", Any)
            self._codec, self._typed = Codec(kind), kind is not Any and kind is not object
        return self._codec

    def result(self, value: object) -> bytes:
        """JSON of what the function returned. Raises InvalidInput, which names the field that does not fit."""
        text = self.codec.encode(value)
        if self._typed:
            fitted(self.codec, text, f"The result of {self.name}")
        return text

    def check(self, given: bytes) -> None:
        """Raise InvalidInput where a start's input does not fit; one of a batch is an item of the run's input."""
        self.arguments(b"[" + given + b"]" if self.flow is not None and self.flow.batch is not None else given)

    def arguments(self, given: bytes) -> tuple[tuple[object, ...], dict[str, object]]:
        """Decode a run's input. One parameter takes the whole input; several take an object's fields by name.

        Raises:
            InvalidInput: it does not fit; the message names the field.
        """
        if self._input is None:
            self._input = _input_decoder(self.function)
        try:
            return self._input(given)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"The input does not fit the workflow {self.name}: {error}.",
                remedy="Compare it with the type of the workflow's parameters.",
            ) from error


def fitted(codec: Codec, text: bytes, what: str) -> object:
    """The value that JSON stands for. Raises InvalidInput, which names the field that does not fit."""
    try:
        return codec.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"{what} does not fit its type: {error}.", remedy="Compare it with the annotation."
        ) from error


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


def _input_decoder(function: Callable[..., Any]) -> Callable[[bytes], tuple[tuple[object, ...], dict[str, object]]]:
    hints = _hints(function)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        return lambda _: ((), {})
    if len(parameters) == 1:
        codec = Codec(hints.get(parameters[0].name, Any))
        return lambda given: ((codec.decode(given),), {})
    fields: list[Any] = []
    for parameter in parameters:
        kind = hints.get(parameter.name, Any)
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, msgspec.field(default_factory=lambda value=parameter.default: value)))
    several = Codec(msgspec.defstruct("Input", fields, kw_only=True, forbid_unknown_fields=True))
    names = [parameter.name for parameter in parameters]

    def decode(given: bytes) -> tuple[tuple[object, ...], dict[str, object]]:
        value = several.decode(given)
        return (), {name: getattr(value, name) for name in names}

    return decode
