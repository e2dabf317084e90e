"""Owns the processes that CPU-bound steps run in: each runs one call at a time, and is killed with a call given up.

What goes in is the function's module and name and its arguments as JSON; what comes out is JSON or an error's type and
text. Refuses pickle, and functions that another process cannot find by their name.
"""

import asyncio
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from workflow_router.core.errors import InvalidInput, StepFailed
from workflow_router.core.orchestration.process_worker import Answer, Request
from workflow_router.utils.codec import to_json

_LENGTH = struct.Struct(">I")
_WORKER = "workflow_router.core.orchestration.process_worker"


class _Worker:
    """One process. Its methods block; `kill` may be called from any thread."""

    def __init__(self) -> None:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
        )

    def ask(self, request: bytes) -> bytes:
        """Send one request and wait for its answer. Raises OSError, EOFError where the process has died."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101  both are pipes
        stdin.write(_LENGTH.pack(len(request)) + request)
        stdin.flush()
        head = stdout.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        body = stdout.read(length)
        if len(body) < length:
            raise EOFError
        return body

    def kill(self) -> None:
        """End it at once, and collect it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what it had not read yet
                    continue


class Processes:
    """As many processes as there are processors, started when they are first needed."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or os.cpu_count() or 1
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    async def call(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        known: tuple[type[BaseException], ...] = (),
    ) -> bytes:
        """Call a function in a process of its own; returns the JSON of its result.

        Args:
            known: exceptions to be raised as they are, found by name; others become one of their name.

        Raises:
            StepFailed: it raised, or its process died.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="cpu-step")
        request = to_json(request_of(function, args, kwargs))
        taken: list[_Worker] = []
        given_up = threading.Event()

        def work() -> bytes:
            with self._lock:
                if given_up.is_set():
                    raise EOFError
                worker = self._idle.pop() if self._idle else _Worker()
                self._all.add(worker)
                taken.append(worker)
            try:
                answer = worker.ask(request)
            except BaseException:
                self._discard(worker)
                raise
            with self._lock:
                taken.clear()
                self._idle.append(worker)
            return answer

        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            text = await asyncio.shield(future)
        except asyncio.CancelledError:
            with self._lock:
                given_up.set()
                if taken:
                    taken[0].kill()
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it any more
            raise
        except (OSError, EOFError) as error:
            raise StepFailed(f"The process that ran {function.__qualname__} has died.") from error
        answer = msgspec.json.decode(text, type=Answer)
        if answer.error is not None:
            raise _error(answer, known)
        return bytes(answer.output)

    def _discard(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()

    def close(self) -> None:
        """End every process."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.kill()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _error(answer: Answer, known: tuple[type[BaseException], ...]) -> BaseException:
    """An exception of the same name, so that the journal tells what the function raised."""
    found = [kind for kind in known if kind.__name__ == answer.error]
    kind = found[0] if found else type(answer.error or "Error", (Exception,), {})
    error = kind(answer.message)
    if answer.retry_after_s is not None:
        error.retry_after_s = answer.retry_after_s  # pyright: ignore[reportAttributeAccessIssue]  read by the retry
    return error


def request_of(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> Request:
    """How another process finds the function and its arguments."""
    module = sys.modules.get(function.__module__)
    path = getattr(module, "__file__", None)
    return Request(module=function.__module__, path=path, name=function.__qualname__, args=list(args), kwargs=kwargs)


def check_function(function: Callable[..., object], name: str, *, is_async: bool) -> None:
    """Raises InvalidInput where another process could not find the function, or has no use for it."""
    if is_async:
        raise InvalidInput(f"The step {name} with cpu=True is async.", remedy="Declare it with `def`.")
    if "<" in function.__qualname__:
        raise InvalidInput(
            f"The step {name} with cpu=True is defined inside a function, where no other process can find it.",
            remedy="Define it at the top of a module.",
        )
