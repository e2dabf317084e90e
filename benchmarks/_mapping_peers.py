"""Owns the Python peers of the mapping benchmark: each asks its rules one after the other of a decoded event.

All do the same work, rules on the exact value of one field, which each can say. Refuses to install anything: what is
not there is skipped.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

Ask = Callable[[dict[str, Any]], bool]
Match = Callable[[bytes], list[int]]


def peers(lots: Sequence[str]) -> dict[str, Match]:
    """A matcher of `{"properties": {"MAPBLKLOT": [lot]}}` for each lot, by peer; says which are missing."""
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
            found[name] = _loop([ask(lot) for lot in lots])
    return found


def _loop(rules: list[Ask]) -> Match:
    def match(document: bytes) -> list[int]:
        event = cast(dict[str, Any], json.loads(document))
        return [at for at, rule in enumerate(rules) if rule(event)]

    return match


def _moto(module: Any) -> Callable[[str], Ask]:
    return lambda lot: module.EventPattern.load(json.dumps({"properties": {"MAPBLKLOT": [lot]}})).matches_event


def _engine(module: Any) -> Callable[[str], Ask]:
    return lambda lot: module.Rule(f'properties["MAPBLKLOT"] == "{lot}"').matches


def _cel(module: Any) -> Callable[[str], Ask]:
    return lambda lot: module.compile(f'properties.MAPBLKLOT == "{lot}"').execute
