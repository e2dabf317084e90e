"""Plays two days of a port on a copy of this project: a rule is found wanting, tried, let in by halves, and made good.

`python examples/event-driven-architecture/play.py` exits with 0 if everything adds up, and with 1 if it does not.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

# Beside this file; where it is run as a script, that is the first place that is looked at.
from day import Expected, container_of, events, new, old, warm

from workflow_router.cli.client import Client
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.example import copy_example
from workflow_router.cli.mappings import read_rules
from workflow_router.utils.clock import SystemClock

WITHIN_S = 30.0
BATCH = 100
RULES = {"warm@1": (old, "the old rule"), "warm@2": (new, "the better rule")}
ABSENCE = ("within: 15m", "within: 1s")  # the play does not wait for a quarter of an hour


class Task(msgspec.Struct):
    """See workflows.py."""

    kind: str
    container: str
    why: str


class Taken(msgspec.Struct):
    """What the router said of an event."""

    id: str
    matched: list[str]


class Difference(msgspec.Struct):
    """What a backtest says of a mapping."""

    before: int
    after: int
    gained: int
    lost: int
    failed: int


class Play:
    """The port round one router."""

    def __init__(self, router: RouterProcess, changed: Path) -> None:
        self.client = Client(router.address)
        self.mistakes: list[str] = []
        self.expected = Expected()
        self._router = router
        (self._changed,) = read_rules(changed)

    async def tell(self) -> None:
        """The story."""
        first = await self.first_day()
        await self.backtest()
        second = await self.second_day()
        await self.make_good([first, second])

    async def first_day(self) -> list[Taken]:
        """By the rule as it is, with a kill at noon: what the joins hold by then is kept."""
        say("day 1: warm is what is above 8 degrees")
        sent = events(1)
        noon = len(sent) // 2
        taken = await self.send(sent[:noon])
        await self._router.kill()
        say("  SIGKILL at noon, with the first parts of joins come and the second ones not")
        await self._router.start()
        taken += await self.send(sent[noon:])
        self.expected.add_day()
        self.expected.warm.update(container_of(sent[at]) for at in warm(1, old))
        await self.tasks()
        return taken

    async def backtest(self) -> None:
        """Try the better rule on what has come; nothing happens."""
        said = await asyncio.to_thread(self.client.stream, "/api/mappings/backtest", {"mappings": [self._changed]})
        *_, last = await asyncio.to_thread(list, said)
        (found,) = msgspec.convert(last["differences"], list[Difference])
        say(f"backtest of changed.yaml: {found.before} events before, {found.after} after:")
        say(f"  {found.gained} gained, which nobody was told of, and {found.lost} lost, which were no trouble")
        before, after = set(warm(1, old)), set(warm(1, new))
        right = Difference(len(before), len(after), len(after - before), len(before - after), 0)
        self.must(found, right, "the backtest")
        await self.tasks("nothing was started by that")

    async def second_day(self) -> list[Taken]:
        """Let the better rule judge half of the containers; each is judged by one rule all day."""
        name = self._changed["name"]
        rule = {key: value for key, value in self._changed.items() if key != "name"}
        await asyncio.to_thread(self.client.put, f"/api/mappings/{name}", {"rule": rule, "override": True})
        sent = events(2)
        taken = await self.send(sent)
        self.expected.add_day()
        judged = [
            (label, container_of(event))
            for event, one in zip(sent, taken, strict=True)
            for label in one.matched
            if label in RULES
        ]
        self.expected.warm.update(container for _, container in judged)
        say("day 2: a canary, which judges half of the containers")
        for label, (rule, word) in RULES.items():
            mine = Counter(container for by, container in judged if by == label)
            say(f"  {word}: {', '.join(mine)}")
            right = Counter(container_of(sent[at]) for at in warm(2, rule))
            self.must(mine, Counter({one: right[one] for one in mine}), f"warm by {word}")
            self.must(bool(mine), True, f"whether {word} found any")
        await self.tasks()
        return taken

    async def make_good(self, days: list[list[Taken]]) -> None:
        """Let the better rule judge all, and take in again what the old one overlooked, this time with effects."""
        change = {"action": "stage", "stage": "live", "override": True}
        await asyncio.to_thread(self.client.post, "/api/mappings/warm/change", change)
        ids: list[str] = []
        for number, taken in enumerate(days, start=1):
            missed = [at for at in warm(number, new) if not RULES.keys() & set(taken[at].matched)]
            self.expected.warm.update(container_of(events(number)[at]) for at in missed)
            ids += [taken[at].id for at in missed]
        await asyncio.to_thread(self.client.post_list, "/api/events/replay", {"events": ids, "only": ["warm"]})
        say(f"the canary goes live, and {len(ids)} events that the old rule overlooked are taken in again")
        await self.tasks()
        by_container = sorted(self.expected.tasks().items(), key=lambda item: item[0][::-1])
        say("\n".join(f"{container}: {count} {kind}" for (kind, container), count in by_container))

    async def send(self, some: list[dict[str, object]]) -> list[Taken]:
        """Send events; what the router says of each."""
        taken: list[Taken] = []
        for at in range(0, len(some), BATCH):
            answer = await asyncio.to_thread(self.client.send, some[at : at + BATCH])
            taken += msgspec.convert(answer, list[Taken])
        return taken

    async def tasks(self, remark: str = "") -> None:
        """Wait until as many tasks have ended as must be, and compare them."""
        expected = self.expected.tasks()
        while (statuses := Counter((await self.started()).values())) != {"completed": expected.total()}:
            if statuses.total() > expected.total():
                break  # which the comparison tells
            await asyncio.sleep(0.05)
        found = [await asyncio.to_thread(self.client.get, f"/api/runs/{one}") for one in await self.started()]
        tasks = [msgspec.convert(run["input"], Task) for run in found]
        self.must(Counter((one.kind, one.container) for one in tasks), expected, "tasks")
        kinds = sorted(Counter(one.kind for one in tasks).items())
        say(f"  {remark or 'tasks so far'}: {', '.join(f'{count} {kind}' for kind, count in kinds)}")

    async def started(self) -> dict[str, str]:
        """The tasks that were started, by id, with how far they are."""
        page = await asyncio.to_thread(self.client.get, "/api/runs", limit=500)
        return {str(run["id"]): str(run["status"]) for run in msgspec.convert(page["runs"], list[dict[str, object]])}

    def must(self, found: object, expected: object, what: str) -> None:
        """Note a mistake."""
        if found != expected:
            self.mistakes.append(f"{what}: {found}, not {expected}")


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> int:
    """Play, and return the exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = copy_example("event-driven-architecture", Path(place) / "port")
        declared = folder / "router.yaml"
        declared.write_text(declared.read_text(encoding="utf-8").replace(*ABSENCE), encoding="utf-8")
        router = RouterProcess(folder, free_port(), SystemClock(), log=Path(place) / "router.log", environ={})
        play = Play(router, folder / "changed.yaml")
        try:
            await router.start()
            async with asyncio.timeout(WITHIN_S):
                await play.tell()
        finally:
            await router.stop()
    say("\n".join(f"WRONG: {one}" for one in play.mistakes) or "everything adds up")
    return 1 if play.mistakes else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
