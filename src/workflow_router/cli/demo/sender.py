"""Owns GitHub's side of the demo: sends the deliveries, several at once, and sends again what got no answer.

Refuses to judge: it keeps every answer for `account`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from workflow_router.cli.demo.child import RouterFailed
from workflow_router.cli.demo.client import Client
from workflow_router.cli.demo.github_events import Delivery
from workflow_router.core.dispatch_route.ports import TransportFailed

CONCURRENCY = 16
GIVE_UP_AFTER = 200
WAIT_S = 0.1


class Answer(msgspec.Struct, frozen=True):
    """What a delivery got.

    Attributes:
        tries: how often it was sent until there was an answer.
        duplicate: it had been taken in before.
        mapped: some mapping wanted it.
        reason: why it was refused.
    """

    delivery: Delivery
    status: int
    tries: int
    duplicate: bool = False
    mapped: bool = False
    reason: str = ""


class Sender:
    """Sends deliveries to a webhook's address.

    Args:
        on_answer: told of each answer, with the number of those so far.
    """

    def __init__(self, client: Client, url: str, on_answer: Callable[[int], None]) -> None:
        self._client = client
        self._url = url
        self._on_answer = on_answer
        self.answers: list[Answer] = []

    async def send_all(self, deliveries: Sequence[Delivery], *, concurrency: int = CONCURRENCY) -> None:
        """Send these in order, a few at once, until each has an answer. Raises RouterFailed where there is none."""
        waiting = iter(deliveries)

        async def work() -> None:
            for delivery in waiting:
                self.answers.append(await self._send(delivery))
                self._on_answer(len(self.answers))

        await asyncio.gather(*(work() for _ in range(concurrency)))

    async def _send(self, delivery: Delivery) -> Answer:
        for tries in range(1, GIVE_UP_AFTER):
            try:
                status, content = await self._client.request("POST", self._url, delivery.body, delivery.headers)
            except TransportFailed:
                await asyncio.sleep(WAIT_S)
                continue
            if status not in {429, 503}:
                return _read(delivery, status, tries, content)
            await asyncio.sleep(WAIT_S)
        raise RouterFailed(f"Delivery {delivery.id} got no answer in {GIVE_UP_AFTER} tries.")


def _read(delivery: Delivery, status: int, tries: int, content: bytes) -> Answer:
    try:
        said = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError:
        said = {}
    return Answer(
        delivery,
        status,
        tries,
        duplicate=bool(said.get("duplicate")),
        mapped=bool(cast("list[str]", said.get("matched") or [])),
        reason=str(said.get("detail") or ""),
    )
