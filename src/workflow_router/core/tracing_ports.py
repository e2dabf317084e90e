"""What the engines' joint needs of traces. Refuses to know who makes them: without any, nothing is called."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from workflow_router.core.dispatch_route.entry import Traced
from workflow_router.core.dispatch_route.model import Call, Caller, Route
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.model import Delivery


class Traces(Protocol):
    """Spans of what is done, and the context of a trace that is taken in and passed on."""

    def serving(
        self, method: str, route: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Go on with the trace of a request, under a span of its own, which is to be told the status of the answer."""
        ...

    def carried(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers of a message with the current context, unless they have one."""
        ...

    def remember(self, run_id: str, delivery: Delivery) -> None:
        """A message is about to start a run."""
        ...

    def handling(self, handle: Handle) -> Handle:
        """The handler of a subscription, with a span round each message."""
        ...

    def call(self, route: Route, call: Call, caller: Caller) -> Traced:
        """Begin the span of a call, current in this task from now on."""
        ...
