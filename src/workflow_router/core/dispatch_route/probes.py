"""Owns active health: a GET at intervals to each target that has a probe. Refuses to judge by calls: breakers do.

A probe is not a call: it is not recorded, and takes no part in breakers, latencies and limits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from workflow_router.core.dispatch_route.model import Call, Target, Timeouts
from workflow_router.core.dispatch_route.options import Probe
from workflow_router.core.dispatch_route.ports import Secrets, Transport, TransportFailed
from workflow_router.core.dispatch_route.request import build
from workflow_router.core.dispatch_route.standing import Standing
from workflow_router.core.errors import InvalidInput

ANSWER_MAX_BYTES = 64 * 1024


class Probes:
    """The probes under way, one for each target that has one."""

    def __init__(self, transport: Transport, secrets: Secrets, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._transport = transport
        self._secrets = secrets
        self._sleep = sleep
        self._tasks: dict[tuple[Target, int], tuple[asyncio.Task[None], Standing]] = {}

    def replace(self, wanted: Mapping[tuple[str, str], tuple[Target, Standing]]) -> None:
        """Probe these targets and no others. What is probed already goes on as it is."""
        keyed = {(target, id(standing)): (target, standing) for target, standing in wanted.values() if target.probe}
        for key in self._tasks.keys() - keyed.keys():
            task, standing = self._tasks.pop(key)
            task.cancel()
            standing.down = ""
        loop = asyncio.get_running_loop()
        for key in keyed.keys() - self._tasks.keys():
            target, standing = keyed[key]
            if target.probe is not None:
                work = self._watch(target, target.probe, standing)
                self._tasks[key] = loop.create_task(work, name=f"probe {target.name}"), standing

    async def close(self) -> None:
        """End all of them."""
        tasks = [task for task, _ in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, target: Target, probe: Probe, standing: Standing) -> None:
        limited = msgspec.structs.replace(
            target,
            timeouts=Timeouts(
                connect_s=probe.timeout_s,
                first_byte_s=probe.timeout_s,
                idle_s=probe.timeout_s,
                total_s=probe.timeout_s,
            ),
            answer_max_bytes=ANSWER_MAX_BYTES,
        )
        row = 0  # good ones in a row above 0, bad ones below
        while True:
            why = await self._ask(limited, probe)
            row = min(row, 0) - 1 if why else max(row, 0) + 1
            if row <= -probe.failures:
                standing.probed(f"its probe fails ({why})")
            elif row >= probe.successes:
                standing.probed("")
            await self._sleep(probe.interval_s)

    async def _ask(self, target: Target, probe: Probe) -> str:
        """Why it is not well; empty where it is."""
        try:
            secret = None if target.key is None else await self._secrets.resolve(target.key)
            answer = await self._transport.send(build(target, Call(method="GET", path=probe.path), None, secret))
            try:
                while await answer.chunk():
                    pass
            finally:
                answer.close()
        except (TransportFailed, InvalidInput) as error:
            return str(error)
        return "" if 200 <= answer.status < 400 else f"answered {answer.status}"
