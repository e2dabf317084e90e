"""Owns asking programs for secrets: each declared by name, started without a shell, bounded in time and output.

What a program said is kept in memory for a while, never longer, and one run serves all who ask meanwhile. Refuses to
tell anybody what a program wrote, be it a secret or an error, since an error may quote a secret.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

import msgspec

from workflow_router.core.dispatch_route.ports import TransportFailed

OUTPUT_MAX_BYTES = 64 * 1024
FAILED_S = 1.0  # for so long a failure counts for those who ask next, so that calls do not start programs in a storm
DOUBTED_MIN_S = 5.0  # a secret that a target refuses is asked for again, but not more often than this


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A program that writes a secret to its standard output.

    Attributes:
        argv: the program and its arguments, as they are: no shell reads them.
        folder: where it runs; None where the router does.
        ttl_s: its answer is used for so long.
    """

    argv: tuple[str, ...]
    folder: Path | None = None
    timeout_s: float = 10.0
    ttl_s: float = 300.0


class SecretCommands:
    """Runs declared commands. Belongs to one event loop."""

    def __init__(self, commands: Mapping[str, Command], now_s: Callable[[], float] = monotonic) -> None:
        self._commands = commands
        self._now_s = now_s
        self._said: dict[str, tuple[str | TransportFailed, float]] = {}  # and since when
        self._runs: dict[str, asyncio.Task[str]] = {}

    async def ask(self, name: str) -> str:
        """What the command of this name says. Raises TransportFailed of kind `secret`."""
        command = self._commands.get(name)
        if command is None:
            raise _failed(name, "is not declared under secrets")
        known, since_s = self._said.get(name, (None, 0.0))
        if known is not None:
            failed = isinstance(known, TransportFailed)
            if self._now_s() - since_s < (FAILED_S if failed else command.ttl_s):
                if isinstance(known, TransportFailed):
                    raise _failed(name, "failed a moment ago")
                return known
            del self._said[name]
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = asyncio.get_running_loop().create_task(self._ask(name, command))
        return await asyncio.shield(run)

    def doubt(self, name: str) -> None:
        """A target refused what it said: ask again, unless that was just done."""
        _, since_s = self._said.get(name, ("", self._now_s()))
        if self._now_s() - since_s >= DOUBTED_MIN_S:
            del self._said[name]

    async def _ask(self, name: str, command: Command) -> str:
        try:
            said = await _run(name, command)
        except TransportFailed as failed:
            self._said[name] = failed, self._now_s()
            raise
        else:
            self._said[name] = said, self._now_s()
            return said
        finally:
            del self._runs[name]


async def _run(name: str, command: Command) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=command.folder,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except OSError as error:
        raise _failed(name, f"cannot be started ({type(error).__name__})") from None
    assert process.stdout is not None  # noqa: S101  it is piped
    output = b""
    try:
        async with asyncio.timeout(command.timeout_s):
            while len(output) <= OUTPUT_MAX_BYTES and (piece := await process.stdout.read(OUTPUT_MAX_BYTES)):
                output += piece
            if len(output) > OUTPUT_MAX_BYTES:
                raise _failed(name, f"wrote more than {OUTPUT_MAX_BYTES} bytes")
            code = await process.wait()
    except TimeoutError:
        raise _failed(name, f"took more than {command.timeout_s:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code:
        raise _failed(name, f"ended with code {code}")
    return output.decode("ascii", "replace")


def _failed(name: str, why: str) -> TransportFailed:
    return TransportFailed("secret", f"the command {name!r} {why}", sent=False)
