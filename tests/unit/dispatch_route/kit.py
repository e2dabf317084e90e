"""A dispatcher on the real transport, with a clock that only moves when somebody sleeps."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.fixtures.raw_server import Received, Script, Wire, answer
from workflow_router.core.dispatch_route.dispatch import Dispatcher
from workflow_router.core.dispatch_route.model import BreakerPolicy, Call, Caller, Retry, Route, Target, Timeouts
from workflow_router.core.model import DispatchRecord
from workflow_router.network.http import HttpTransport
from workflow_router.network.secrets import LocalSecrets
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.ids import Ids

SECRET = "sk-canary-51c0"
CHAT = Call(path="/v1/chat/completions", body=b'{"model":"r","messages":[]}')
OK = answer(b'{"usage":{"total_tokens":3}}', headers=[("Content-Type", "application/json"), ("X-Request-Id", "9")])
ANYBODY = Caller()


class ManualClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.at_s = 1_800_000_000.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 2))
        self.at_s += seconds


class Account:
    """Keeps the outcome of a call."""

    before = False
    final: DispatchRecord | None = None
    counts = False

    def __init__(self, records: list[DispatchRecord]) -> None:
        self._records = records

    async def intent(self, record: DispatchRecord) -> None:
        raise AssertionError(record)

    def ended(self, record: DispatchRecord) -> None:
        self._records.append(record)

    def remembered(self, told: str, source: str | None = None) -> None:
        raise AssertionError(told, source)


@asynccontextmanager
async def dispatching(*routes: Route, clock: ManualClock | None = None) -> AsyncGenerator[Dispatcher, None]:
    clock = clock or ManualClock()
    transport = HttpTransport()
    secrets = LocalSecrets({"KEY": SECRET})
    try:
        yield Dispatcher(routes, transport, secrets, clock, Ids(clock), lambda: 0.0, clock.sleep)
    finally:
        await transport.close()


def target(name: str, url: str, **more: Any) -> Target:
    fields: dict[str, Any] = {
        "kind": "openai",
        "key": "env:KEY",
        "allow_private": True,
        "timeouts": Timeouts(connect_s=2, first_byte_s=2, idle_s=2, total_s=5),
        "breaker": BreakerPolicy(failures=3),
    }
    return Target(name=name, url=url, **(fields | more))


def route(*targets: Target, attempts: int = 3, wait_max_s: float = 10) -> Route:
    retry = Retry(attempts=attempts, backoff=Backoff(first_s=0.2), wait_max_s=wait_max_s)
    return Route(name="r", targets=targets, retry=retry)


def attempts(record: DispatchRecord | None) -> list[dict[str, Any]]:
    assert record is not None
    return json.loads(record.attempts)


def considered(record: DispatchRecord | None) -> dict[str, tuple[bool, str]]:
    assert record is not None
    return {found["target"]: (found["picked"], found["reason"]) for found in json.loads(record.considered)}


def dead_url() -> str:
    """Where nobody listens: the port was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def in_turn(*answers: bytes) -> Script:
    """One answer after the other, the last one for ever."""

    async def script(received: Received, wire: Wire) -> bool:
        await wire.send(answers[min(received.number, len(answers) - 1)])
        return True

    return script


def run(main: Coroutine[object, object, None]) -> None:
    asyncio.run(main)
