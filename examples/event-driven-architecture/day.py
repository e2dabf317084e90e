"""A day of eight containers, hour by hour, as events; and what follows of it by either rule.

The rules stand here a second time, so that the play has something to hold the router against.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

HOURS = 24
SET = {
    "bananas-1": 13.3,
    "bananas-2": 13.8,
    "cheese": 4.0,
    "fish": 1.0,
    "flowers": 2.0,
    "meat": 0.5,
    "vaccine-1": 4.0,
    "vaccine-2": 4.5,
}
DRIFT = 0.8  # how far a reading lies from what is set where nothing is wrong
WRONG = {  # by hour
    "fish": {10: 9.1, 11: 10.4, 12: 11.2},  # too warm by any rule
    "vaccine-1": {14: 7.0, 15: 7.4, 16: 7.1},  # too warm for a vaccine
    "meat": {9: 3.0, 10: 4.9, 11: 6.8},  # after its power was lost
    "flowers": {5: 9.5},  # after its door was opened
}
BESIDE = {  # before the readings of an hour
    4: [("container.unloaded", "cheese"), ("customs.cleared", "fish")],
    5: [("reefer.door.opened", "flowers")],
    7: [("reefer.power.lost", "cheese"), ("reefer.power.restored", "cheese")],
    8: [("reefer.power.lost", "meat"), ("container.unloaded", "bananas-1")],
    20: [("customs.cleared", "cheese"), ("container.unloaded", "fish")],
}
# By day, besides alarms. Of bananas-1 the customs never hear.
TASKS = {("close-door", "flowers"): 1, ("technician", "meat"): 1, ("open-gate", "cheese"): 1, ("open-gate", "fish"): 1}


class Reading(msgspec.Struct, frozen=True):
    """What a container says of itself."""

    container: str
    celsius: float
    set: float


Rule = Callable[[Reading], bool]


def old(reading: Reading) -> bool:
    """`warm` in router.yaml."""
    return reading.celsius > 8


def new(reading: Reading) -> bool:
    """`warm` in changed.yaml."""
    return reading.celsius > reading.set + 2


def day(number: int) -> Iterator[tuple[str, Reading | dict[str, str]]]:
    """The types and data of a day's events, in order."""
    chance = random.Random(number)
    for hour in range(HOURS):
        for kind, container in BESIDE.get(hour, []):
            yield kind, {"container": container}
        for container, wanted in SET.items():
            celsius = WRONG.get(container, {}).get(hour, wanted + chance.uniform(-DRIFT, DRIFT))
            yield "reefer.reading", Reading(container, round(celsius, 1), wanted)


def events(number: int) -> list[dict[str, object]]:
    """A day as CloudEvents."""
    head = {"specversion": "1.0", "source": "/port"}
    return [
        {**head, "id": f"{number}-{at}", "type": kind, "data": msgspec.to_builtins(data)}
        for at, (kind, data) in enumerate(day(number))
    ]


def warm(number: int, rule: Rule) -> list[int]:
    """Which of a day's events are warm readings, by a rule."""
    return [at for at, (_, data) in enumerate(day(number)) if isinstance(data, Reading) and rule(data)]


def container_of(event: dict[str, object]) -> str:
    """Whose event it is."""
    return str(msgspec.convert(event["data"], dict[str, object])["container"])


class Expected:
    """What must have been started, whoever starts it."""

    def __init__(self) -> None:
        self.warm: Counter[str] = Counter()
        self._days = 0

    def add_day(self) -> None:
        """What does not depend on the rule."""
        self._days += 1

    def tasks(self) -> Counter[tuple[str, str]]:
        """By kind and container. Every third warm reading of a container is an alarm."""
        alarms = {("alarm", container): count // 3 for container, count in self.warm.items() if count >= 3}
        return Counter({about: count * self._days for about, count in TASKS.items()} | alarms)
