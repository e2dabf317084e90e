"""Owns an answer that is passed on piece by piece. Refuses to end a cut stream as if it were whole."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from workflow_router.core.dispatch_route.answer import EventStream
from workflow_router.core.dispatch_route.flight import Flight, Try
from workflow_router.core.dispatch_route.model import Headers
from workflow_router.core.dispatch_route.ports import Answer, TransportFailed
from workflow_router.core.dispatch_route.request import returned
from workflow_router.core.errors import DispatchFailed
from workflow_router.core.model import DispatchRecord
from workflow_router.core.states import DispatchStatus

OnFinal = Callable[[DispatchRecord], None]


class Stream:
    """Status, headers, and an asynchronous iterator over the pieces of the body, each as soon as it arrives.

    Use it as an asynchronous context manager, or call `aclose`: leaving it early cancels the call at the target.

    Attributes:
        id: of the dispatch.
        target: name of the target that answers.
        record: the final record, once the stream has ended; None before.
    """

    def __init__(self, flight: Flight, trial: Try, answer: Answer, first: bytes, on_final: OnFinal | None) -> None:
        self.id = flight.id
        self.target = trial.attempt.target
        self.status = answer.status
        self.headers: Headers = returned(answer.headers)
        self.record: DispatchRecord | None = None
        self._flight = flight
        self._trial = trial
        self._answer = answer
        self._first = first
        self._on_final = on_final
        kind = next((value for name, value in self.headers if name == "content-type"), "")
        llm = flight.target is not None and flight.target.kind == "openai"
        self._events = (
            EventStream() if llm and answer.status == 200 and kind.lower().startswith("text/event-stream") else None
        )
        self._bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Raises DispatchFailed, with the record, where the target cut the stream."""
        if self.record is not None:
            raise StopAsyncIteration
        chunk, self._first = self._first, b""
        if not chunk:
            try:
                chunk = await self._answer.chunk()
            except TransportFailed as failed:
                if self._events is None or not self._events.ended:
                    raise self._cut(str(failed)) from None
            except BaseException:
                self._end(DispatchStatus.ABANDONED, "the caller left")
                raise
        if chunk:
            self._bytes += len(chunk)
            if self._flight.tape is not None:
                self._flight.tape.add(chunk)
            if self._events is not None:
                self._events.feed(chunk)
            return chunk
        if self._events is not None:
            self._events.feed(b"\n\n")  # a clean end stands for line breaks left out
            if not (self._events.ended or self._events.finished):
                raise self._cut("broken: the event stream ended without its last event")
        self._end(DispatchStatus.SUCCEEDED if self.status < 400 else DispatchStatus.FAILED, None)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel the call at the target, unless it has ended."""
        if self.record is None:
            self._end(DispatchStatus.ABANDONED, "the caller left")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _cut(self, why: str) -> DispatchFailed:
        record = self._end(DispatchStatus.FAILED, why)
        return DispatchFailed(
            f"Target {self.target!r} broke off its answer after {self._bytes} bytes ({why}).",
            remedy=f"What came so far is not the whole answer; call again. See dispatch {self.id}.",
            upstream_status=self.status,
            record=record,
        )

    def _end(self, status: DispatchStatus, error: str | None) -> DispatchRecord:
        self._answer.close()
        if status is DispatchStatus.ABANDONED:
            self._trial.end("unknown", error)
        else:
            self._trial.end("good" if error is None else "bad", error)
        if self._events is not None:
            self._flight.usage, self._flight.answered = self._events.usage, self._events.model
        self.record = record = self._flight.record(status)
        if self._on_final is not None:
            self._on_final(record)
        return record
