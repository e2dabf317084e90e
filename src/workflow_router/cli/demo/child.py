"""Owns the router as a child process: starts it, sees it ready, kills it, stops it. Refuses to know what it serves."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from workflow_router.core.errors import RouterError
from workflow_router.utils.clock import Clock

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
_POLL_S = 0.01


class RouterFailed(RouterError):
    """The router's process ended, or never became ready."""

    type = "router-failed"


class RouterProcess:
    """`wr serve` of one project.

    Args:
        log: file that gets what the process prints.
        environ: besides this process's own.
        arguments: what to run in place of `wr serve`, up to the folder.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        clock: Clock,
        *,
        log: Path,
        environ: Mapping[str, str],
        arguments: tuple[str, ...] = ("-m", "workflow_router.cli", "serve"),
    ) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        self._clock = clock
        self._command = [sys.executable, *arguments, str(folder), "--listen", f"127.0.0.1:{port}"]
        self._log = log
        self._environ = {**os.environ, **environ}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process's id. Raises RouterFailed where there is none."""
        if self._process is None:
            raise RouterFailed("The router was not started.")
        return self._process.pid

    async def spawn(self) -> None:
        """Start it, and do not wait for it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, env=self._environ
            )

    async def start(self) -> float:
        """Start it and wait until `/readyz` answers 200; returns the seconds that took. Raises RouterFailed."""
        begun = self._clock.monotonic_s()
        await self.spawn()
        while not await self._is_ready():
            if self._process is not None and self._process.returncode is not None:
                raise RouterFailed(f"The router ended with code {self._process.returncode}:\n{self._last_words()}")
            if self._clock.monotonic_s() - begun > READY_WITHIN_S:
                await self.kill()
                raise RouterFailed(f"The router was not ready after {READY_WITHIN_S:.0f} s:\n{self._last_words()}")
            await asyncio.sleep(_POLL_S)
        return self._clock.monotonic_s() - begun

    async def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait."""
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    async def ended(self) -> int:
        """Wait for its end; returns its exit code."""
        return 0 if self._process is None else await self._process.wait()

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            await self._process.wait()

    async def _is_ready(self) -> bool:
        """Whether `/readyz` answers 200; asked by hand, because a client's pool would keep dead connections."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])


def free_port(wanted: int = 0) -> int:
    """The wanted port if it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise RouterFailed("No port is free.", remedy="Name one with --port.")
