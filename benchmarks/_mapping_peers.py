"""Owns the Python peers of the mapping benchmark: each asks its rules one after the other of a decoded event.

All do the same work, rules that each of them can say in its own words. Refuses to install anything: what is not there
is skipped.
"""

import importlib
import importlib.util
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

Json = dict[str, Any]
Ask = Callable[[Json], bool]
Match = Callable[[bytes], list[int]]


class Rule(NamedTuple):
    """One rule, as each engine has it."""

    pattern: Json
    cel: str
    engine: str


class Job(NamedTuple):
    """A set of rules over some records."""

    name: str
    rules: Callable[[Sequence[bytes]], list[Rule]]


def _exact(records: Sequence[bytes]) -> list[Rule]:
    lots = [cast(str, json.loads(event)["properties"]["MAPBLKLOT"]) for event in records[:20]]
    return [
        Rule(
            {"properties": {"MAPBLKLOT": [lot]}},
            f'properties.MAPBLKLOT == "{lot}"',
            f'properties["MAPBLKLOT"] == "{lot}"',
        )
        for lot in (*lots, *(f"lot {at}" for at in range(980)))
    ]


def _mixed(records: Sequence[bytes]) -> list[Rule]:
    """A street, the beginning of a lot's number, and a place east of somewhere."""
    seed = random.Random(17)
    found: list[Rule] = []
    for _ in range(300):
        lot = cast(Json, json.loads(seed.choice(records)))["properties"]
        street, begin, east = lot["STREET"], lot["MAPBLKLOT"][: seed.choice((1, 2))], -122.36 - seed.random() * 0.15
        found.append(
            Rule(
                {
                    "properties": {"STREET": [street], "MAPBLKLOT": [{"prefix": begin}]},
                    "geometry": {"firstCoordinates": {"x": [{"numeric": [">", east]}]}},
                },
                f'properties.STREET == "{street}" && properties.MAPBLKLOT.startsWith("{begin}") '
                f"&& geometry.firstCoordinates.x > {east!r}",
                f'properties["STREET"] == "{street}" and properties["MAPBLKLOT"] =~ "{begin}.*" '
                f'and geometry["firstCoordinates"]["x"] > {east!r}',
            )
        )
    return found


JOBS = (Job("exact 1000", _exact), Job("mixed 300", _mixed))


def peers(rules: Sequence[Rule]) -> dict[str, Match]:
    """A matcher of the rules, by peer; says which are missing."""
    found: dict[str, Match] = {}
    for name, module, make in (
        ("moto", "moto.events.models", _moto),
        ("rule-engine", "rule_engine", _engine),
        ("cel", "cel", _cel),
    ):
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            print(f"{name} is not installed: skipped")
        else:
            ask = make(importlib.import_module(module))
            found[name] = _loop([ask(rule) for rule in rules])
    return found


def _loop(rules: list[Ask]) -> Match:
    def match(document: bytes) -> list[int]:
        event = cast(Json, json.loads(document))
        return [at for at, rule in enumerate(rules) if rule(event)]

    return match


def _moto(module: Any) -> Callable[[Rule], Ask]:
    return lambda rule: module.EventPattern.load(json.dumps(rule.pattern)).matches_event


def _engine(module: Any) -> Callable[[Rule], Ask]:
    return lambda rule: module.Rule(rule.engine).matches


def _cel(module: Any) -> Callable[[Rule], Ask]:
    return lambda rule: module.compile(rule.cel).execute
