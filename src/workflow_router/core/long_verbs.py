"""Owns the verbs of runs that take long: streams of what they have so far, and going on as another run.

Refuses engines of its own.
"""

import asyncio
from collections.abc import AsyncGenerator

from workflow_router.core import run_verbs
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration import stream_within
from workflow_router.core.orchestration.histories import ContinueAsNew
from workflow_router.core.orchestration.live import Branch, current
from workflow_router.core.orchestration.streams import StreamItem, writing
from workflow_router.core.runtime import Runtime
from workflow_router.core.time_verbs import TimeVerbs
from workflow_router.utils.codec import given_to_json


class Stream:
    """A stream of the run that this code belongs to; see `Router.stream`."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self.name = name

    async def write(self, chunk: object) -> None:
        """Write a chunk. In a step it is on its way; in a workflow it is part of the history.

        Raises:
            StreamTooLong, Conflict (it has ended) in a step; StepFailed in a workflow. InvalidInput outside a run.
        """
        step = writing()
        if step is not None:
            await step.write(self.name, given_to_json(chunk))
            return
        streams, operations = self._runtime.engine.streams, self._runtime.engine.operations
        await stream_within.write(streams, operations, _branch(), self.name, given_to_json(chunk))

    def put(self, chunk: object) -> None:
        """`write` for a step that is a plain function, in its thread. Raises as `write` does."""
        step = writing()
        if step is None:
            raise InvalidInput("`put` works only in a step that is a plain function.", remedy="Await `write`.")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run_coroutine_threadsafe(step.write(self.name, given_to_json(chunk)), step.loop).result()
        else:
            raise InvalidInput("`put` would block the event loop.", remedy="Await `write` instead.")

    async def end(self) -> None:
        """Say that nothing more is written. Without it, the end of the run ends the stream. Raises as `write` does."""
        step = writing()
        if step is not None:
            await step.end(self.name)
            return
        streams, operations = self._runtime.engine.streams, self._runtime.engine.operations
        await stream_within.end(streams, operations, _branch(), self.name)


def _branch() -> Branch:
    branch = current()
    if branch is None:
        raise InvalidInput("A stream is written in a run or in a step of one.", remedy="Write it there.")
    return branch


class LongVerbs(TimeVerbs):
    """What workflows say that go on for long."""

    def stream(self, name: str) -> Stream:
        """What this run writes for others to read while it goes on, such as tokens; in a step or in a workflow.

        Chunks are any JSON, numbered in the order in which they were written. Those of a step whose attempt fails or
        dies are declared void.
        """
        return Stream(self.runtime, name)

    def read_stream(self, run_id: str, name: str, *, after: int = 0) -> AsyncGenerator[StreamItem, None]:
        """What a run writes to a stream, while it does, until its end; from behind the chunk of a number on.

        Raises:
            NotFound: there is no such run.
        """
        return self.runtime.engine.streams.read(run_id, name, after=after)

    def continue_as_new(self, input: object = None) -> ContinueAsNew:  # noqa: A002  as in `start`
        """What to raise so that the run ends and goes on as another: `raise router.continue_as_new(input)`.

        The new run begins with this input and an empty history, in the commit that ends this one. Signals, updates and
        expected events that were not received, the run's key, its attributes, its published state and its children go
        over to it; whoever waits for this run waits for that one. Only in the workflow's own function.
        """
        branch = run_verbs.inside("continue_as_new")
        if branch.path:
            raise InvalidInput("`continue_as_new` works only in the workflow's own function.", remedy="Raise it there.")
        wish = ContinueAsNew(self.runtime.ids.new(), given_to_json(input))
        branch.live.wished = True
        return wish
