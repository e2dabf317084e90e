"""Plays the shop on a copy of this project: sends orders, kills the router twice, and reckons with the services' books.

`python examples/microservice-orchestration/play.py` exits with 0 if everything adds up, and with 1 if it does not.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

# Beside this file; where it is run as a script, that is the first place that is looked at.
from services import PORTS, Service

from workflow_router.cli.client import Client
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.example import copy_example
from workflow_router.utils.clock import SystemClock

WITHIN_S = 25.0
VERBS = {"open": "orders", "reserve": "stock", "charge": "payment", "confirm": "orders"}
UNDO = {"open": "cancel", "reserve": "release", "charge": "refund"}
AMOUNTS = {"book": 20, "vase": 80, "clock": 150, "ring": 900, "piano": 5_000, "lamp": 60, "sofa": 700}
CONFIRMED = ["book", "clock", "lamp", "vase"]
# What was asked for more than once, and how often; see CUES in services.py.
ASKED = {
    ("reserve", "vase"): 3,
    ("reserve", "clock"): 2,
    ("reserve", "piano"): 4,
    ("charge", "lamp"): 2,
    ("refund", "sofa"): 2,
    ("release", "sofa"): 3,
}


class Ended(msgspec.Struct):
    """See workflows.py."""

    order: str
    status: str
    why: str = ""


class Play:
    """The customers round one router and three services."""

    def __init__(self, router: RouterProcess, services: dict[str, Service]) -> None:
        self.client = Client(router.address)
        self.mistakes: list[str] = []
        self._router = router
        self._services = services

    async def tell(self) -> list[Ended]:
        """The story."""
        for order in ("book", "vase", "clock", "ring", "piano"):
            await self.order(order, f"order-{order}")
        await self.order("book", "order-book", again="the shop sends the same event again")
        await self.order("book", "order-book-2", again="the shop sends the same order in another event")
        await self.ended(5)
        await self.order("lamp", "order-lamp")
        await self.kill_at("charge", "lamp", "the money is taken, and the answer is not sent yet")
        await self.ended(6)
        await self.order("sofa", "order-sofa")
        await self.kill_at("refund", "sofa", "the sofa is being undone, and the money is on its way back")
        return await self.ended(7)

    async def order(self, order: str, event: str, again: str = "") -> None:
        """Somebody wants something."""
        data = {"id": order, "amount": AMOUNTS[order]}
        sent = {"specversion": "1.0", "id": event, "source": "/shop", "type": "order.placed", "data": data}
        (answer,) = await asyncio.to_thread(self.client.send, [sent])
        say(f"  {again or f'order {order} for {AMOUNTS[order]}'}")
        if again and answer["runs"]:
            self.mistakes.append(f"{again}: runs {answer['runs']} were started")

    async def ended(self, expected: int) -> list[Ended]:
        """What became of the orders, once so many have ended."""
        while True:
            page = await asyncio.to_thread(self.client.get, "/api/runs", status="completed")
            runs = msgspec.convert(page["runs"], list[dict[str, object]])
            if len(runs) >= expected:
                found = [await asyncio.to_thread(self.client.get, f"/api/runs/{run['id']}") for run in runs]
                return sorted((msgspec.convert(run["output"], Ended) for run in found), key=lambda one: one.order)
            await asyncio.sleep(0.05)

    async def kill_at(self, verb: str, order: str, when: str) -> None:
        """SIGKILL while a service does something and has not answered; then a new start."""
        service = self._services["payment"]
        if not await asyncio.to_thread(service.wait_silent, verb, order, WITHIN_S):
            raise TimeoutError(f"nobody asked to {verb} the {order}")
        await self._router.kill()
        say(f"  SIGKILL while {when}")
        await self._router.start()

    def reckon(self, ended: list[Ended]) -> None:
        """Compare what the router says with the services' books, and tell both."""
        for one in ended:
            say(f"{one.order:6} {one.status:10} {self.books(one.order)}")
            self.must(self.standing(one.order), one.status == "confirmed", f"what stands of {one.order}")
        self.must([one.order for one in ended if one.status == "confirmed"], CONFIRMED, "confirmed")
        again: dict[tuple[str, str], int] = {}
        for service in self._services.values():
            twice = [about for about, times in service.done.items() if times > 1]
            self.must(twice, [], "done twice")
            again |= {about: times - 1 for about, times in service.asked.items() if times > 1}
        for about, times in ASKED.items():  # at least: a machine under load may miss another deadline
            self.must(again.get(about, 0) >= times - 1, True, f"asked {times} times to {' '.join(about)}")
        charged, refunded = self.money("charge"), self.money("refund")
        say(f"money: {charged} charged, {refunded} given back, {charged - refunded} kept")
        self.must(charged - refunded, sum(AMOUNTS[order] for order in CONFIRMED), "money")
        say(f"nothing was done twice, though {sum(again.values())} requests came again, and two kills came between")

    def books(self, order: str) -> str:
        """What the services did about an order, and how often they were asked where that was more than once."""
        told: list[str] = []
        for service in self._services.values():
            for (verb, about), asked in service.asked.items():
                if about == order:
                    times = service.done[verb, order]
                    told.append(f"{verb} {times}" + (f" (asked {asked} times)" if asked > 1 else ""))
        return ", ".join(told)

    def standing(self, order: str) -> bool:
        """Whether all was done and nothing undone; a half done order is a mistake."""
        stands = {
            self._services[service].done[verb, order] - self._services[service].done[UNDO.get(verb, ""), order]
            for verb, service in VERBS.items()
        }
        self.must(len(stands), 1, f"{order} is half done: {self.books(order)}; kinds of standing")
        return stands == {1}

    def money(self, verb: str) -> int:
        """What went this way, by the books of the payment service."""
        done = self._services["payment"].done
        return sum(AMOUNTS[order] * times for (what, order), times in done.items() if what == verb)

    def must(self, found: object, expected: object, what: str) -> None:
        """Note a mistake."""
        if found != expected:
            self.mistakes.append(f"{what}: {found}, not {expected}")


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> int:
    """Play, reckon, and return the exit code."""
    services = {name: Service() for name in PORTS}
    with tempfile.TemporaryDirectory() as place:
        folder = copy_example("microservice-orchestration", Path(place) / "shop")
        environ = {f"{name.upper()}_URL": service.url for name, service in services.items()}
        router = RouterProcess(folder, free_port(), SystemClock(), log=Path(place) / "router.log", environ=environ)
        play = Play(router, services)
        try:
            await router.start()
            async with asyncio.timeout(WITHIN_S):
                play.reckon(await play.tell())
        finally:
            await router.stop()
            for service in services.values():
                service.close()
    say("\n".join(f"WRONG: {one}" for one in play.mistakes) or "everything adds up")
    return 1 if play.mistakes else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
