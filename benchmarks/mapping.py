"""Owns the measure of event mapping: events a second of CPU time, JSON bytes in, decode included.

Ours is `PatternIndex`; the loop over `Pattern.matches` and the Python peers that are installed run the same rules on
the same events in turn, and their verdicts are compared with ours before anything is measured.

    .venv/bin/python -m benchmarks.mapping [--quick]
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

from benchmarks import _mapping_data as data
from benchmarks._mapping_peers import peers
from workflow_router.core.event_mappings.bulk import in_bulk
from workflow_router.core.patterns import Pattern, PatternIndex

T = TypeVar("T")
Match = Callable[[T], Sequence[int]]

GOALS = {
    "exact_prefix_suffix_eps": 400_000,
    "numeric_anythingbut_wildcard_eps": 200_000,
    "complex_arrays_eps": 35_000,
    "all70_eps": 20_000,
    "rules_100k_eps": 80_000,
    "rules_100k_payloads_eps": 20_000,
    "index_vs_loop_1000": 100,
    "hostile_eps": 1_000,
}
CEILINGS = {"slowdown_10_to_100k": 6, "change_p99_ms": 1, "change_new_path_p99_ms": 1}


class Speed(NamedTuple):
    """Events a second of CPU time: the median round, and the best."""

    median: float
    best: float


def speeds(matches: dict[str, tuple[Match[T], Sequence[T]]], rounds: int) -> dict[str, Speed]:
    """Time every engine once in each round, so that a slow moment of the machine hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in matches}
    for _ in range(rounds):
        for name, (match, events) in matches.items():
            gc.collect()
            started = time.process_time()
            for event in events:
                match(event)
            found[name].append(len(events) / (time.process_time() - started))
    return {name: Speed(statistics.median(each), max(each)) for name, each in found.items()}


def index_of(rules: Sequence[data.Rule]) -> PatternIndex[int]:
    """Our index over rules, keyed by position."""
    index: PatternIndex[int] = PatternIndex()
    with in_bulk(len(rules)):  # as the product does where it declares many
        for at, rule in enumerate(rules):
            index.add(at, Pattern.parse(rule))
    return index


def loop_of(rules: Sequence[data.Rule]) -> Match[bytes]:
    """The loop that an index replaces: decode once, then ask every pattern."""
    patterns = [Pattern.parse(rule) for rule in rules]

    def match(document: bytes) -> list[int]:
        event = json.loads(document)
        return [at for at, pattern in enumerate(patterns) if pattern.matches(event)]

    return match


def same(ours: Match[T], other: Match[T], events: Sequence[T]) -> None:
    """The work is equal: both give the same rules."""
    for event in events:
        assert sorted(ours(event)) == sorted(other(event)), event


def by_kind(rounds: int, count: int) -> dict[str, Speed]:
    """event-ruler's rule sets, five rules each, and all of them together."""
    sets = data.rule_sets()
    if not sets:
        print("rules-70.json is not beside the checkout: the kinds of rule are not measured")
        return {}
    sets["ALL_70"] = [rule for rules in sets.values() for rule in rules]
    events = data.records(count)
    engines = {name: index_of(rules).matching_json for name, rules in sets.items()}
    for name, match in engines.items():
        same(match, loop_of(sets[name]), events[:100])
    return speeds({name: (match, events) for name, match in engines.items()}, rounds)


def scaling(rounds: int, count: int, sizes: Sequence[int]) -> tuple[dict[str, Speed], dict[str, float]]:
    """Mixed rules on records and webhooks: the index at each size, the loop where it ends in time."""
    found: dict[str, Speed] = {}
    facts: dict[str, float] = {}
    records, webhooks = data.records(count), data.webhooks(count)
    documents = [json.dumps({**one.attributes, "data": json.loads(one.data)}).encode() for one in webhooks]
    for size in sizes:
        rules, hooks = data.record_rules()(size), data.webhook_rules()(size)
        started = time.process_time()
        index = index_of(rules)
        facts[f"build {size} s"] = time.process_time() - started
        other = index_of(hooks)

        def match_hook(hook: data.Webhook, other: PatternIndex[int] = other) -> list[int]:
            return other.matching(hook.attributes, hook.data)

        sample = max(3, 20_000 // size)
        loop, hook_loop = loop_of(rules), loop_of(hooks)
        same(index.matching_json, loop, records[:sample])
        for hook, document in zip(webhooks[:sample], documents, strict=False):
            assert sorted(match_hook(hook)) == hook_loop(document), document
        facts[f"matches an event, records {size}"] = statistics.mean(len(index.matching_json(one)) for one in records)
        facts[f"matches an event, payloads {size}"] = statistics.mean(len(match_hook(one)) for one in webhooks)
        few = records[: max(2, 100_000 // size)]
        found |= speeds({f"records {size}": (index.matching_json, records), f"loop {size}": (loop, few)}, rounds)
        found |= speeds({f"payloads {size}": (match_hook, webhooks)}, rounds)
        gc.unfreeze()
    return found, facts


def changes(size: int, times: int) -> dict[str, float]:
    """One rule changed among many, with the match that follows it: known paths, then a path that no rule had."""
    rules = data.record_rules()(size + times)
    index = index_of(rules[:size])
    event = data.records(1)[0]
    index.matching_json(event)
    found: dict[str, float] = {}
    gc.collect()
    gc.freeze()
    for name, extra in (("change_p99_ms", False), ("change_new_path_p99_ms", True)):
        taken: list[float] = []
        waited: list[float] = []
        for at in range(times):
            rule = {**rules[size + at], f"new{at}": [{"exists": False}]} if extra else rules[size + at]
            pattern = Pattern.parse(rule)
            began, started = time.perf_counter(), time.process_time()
            index.add(0 if extra else at * (size // times), pattern)
            index.matching_json(event)
            taken.append((time.process_time() - started) * 1e3)
            waited.append((time.perf_counter() - began) * 1e3)
        found[name] = statistics.quantiles(taken, n=100)[98]
        wall = name.replace("p99_ms", "wall")
        found |= {f"{wall}_p50_ms": statistics.median(waited), f"{wall}_max_ms": max(waited)}
        found[f"{wall}_p99_ms"] = statistics.quantiles(waited, n=100)[98]
    gc.unfreeze()
    return found


def against_peers(rounds: int) -> dict[str, Speed]:
    """A thousand exact rules: the index and each peer in turn."""
    events = data.records(60)
    lots = [cast(str, json.loads(event)["properties"]["MAPBLKLOT"]) for event in events[:20]]
    lots += [f"lot {at}" for at in range(980)]
    ours = index_of([{"properties": {"MAPBLKLOT": [lot]}} for lot in lots]).matching_json
    engines: dict[str, tuple[Match[bytes], Sequence[bytes]]] = {"exact 1000, ours": (ours, events * 200)}
    for name, peer in peers(lots).items():
        same(ours, peer, events[:5] + events[-5:])
        engines[f"exact 1000, {name}"] = (peer, events[:15])
    return speeds(engines, rounds)


def hostile(rounds: int, count: int) -> dict[str, Speed]:
    """Rule sets meant to be slow, at a size and at twice the size."""
    found: dict[str, Speed] = {}
    for size in (count // 2, count):
        for name, (rules, event) in data.hostile_sets(size).items():
            match = index_of(rules).matching_json
            same(match, loop_of(rules), [event])
            found |= speeds({f"{name}, {size} rules": (match, [event] * 300)}, rounds)
    return found


def summary(kinds: dict[str, Speed], sizes: dict[str, Speed], worst: dict[str, Speed], big: int) -> dict[str, float]:
    """The figures that have goals."""
    found: dict[str, float] = {}

    def slowest(wanted: Callable[[str], bool]) -> float:
        return min(speed.median for name, speed in kinds.items() if wanted(name))

    if kinds:
        plain = ("EXACT", "PREFIX", "SUFFIX", "EQUALS")
        found["exact_prefix_suffix_eps"] = slowest(lambda name: name.startswith(plain))
        others = ("NUMERIC", "ANYTHING", "WILDCARD")
        found["numeric_anythingbut_wildcard_eps"] = slowest(lambda name: name.startswith(others))
        found["complex_arrays_eps"] = kinds["COMPLEX_ARRAYS"].median
        found["all70_eps"] = kinds["ALL_70"].median
    found[f"rules_{big // 1000}k_eps"] = sizes[f"records {big}"].median
    found[f"rules_{big // 1000}k_payloads_eps"] = sizes[f"payloads {big}"].median
    slowdowns = [sizes[f"{kind} 10"].median / sizes[f"{kind} {big}"].median for kind in ("records", "payloads")]
    found[f"slowdown_10_to_{big // 1000}k"] = max(slowdowns)
    found["index_vs_loop_1000"] = sizes["records 1000"].median / sizes["loop 1000"].median
    found["hostile_eps"] = min(speed.median for speed in worst.values())
    return found


def main() -> None:
    """Measure, print the table, and as the last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds; 20,000 rules instead of 100,000")
    quick = cast(bool, parser.parse_args().quick)
    rounds, count, big = (3, 2_000, 20_000) if quick else (5, 20_000, 100_000)
    rivals = against_peers(rounds)
    kinds = by_kind(rounds, count)
    sizes, facts = scaling(rounds, count, (10, 1_000, big))
    worst = hostile(rounds, 1_000)
    ours = summary(kinds, sizes, worst, big) | changes(big, 300 if quick else 2_000)
    print(f"{'what':<34}{'median/s':>12}{'best/s':>12}")
    for name, speed in {**kinds, **sizes, **worst, **rivals}.items():
        print(f"{name:<34}{speed.median:>12,.0f}{speed.best:>12,.0f}")
    for name, value in facts.items():
        print(f"{name:<34}{value:>12,.2f}")
    for name, value in ours.items():
        goal = GOALS.get(name) or CEILINGS.get(name)
        print(f"{name:<34}{value:>12,.2f}" + (f"   goal {'≤' if name in CEILINGS else '≥'} {goal:,}" if goal else ""))
    others = {"loop": {"rules_1000_eps": sizes["loop 1000"].median}}
    ratios = {"loop": sizes["records 1000"].median / sizes["loop 1000"].median}
    for name, speed in rivals.items():
        if not name.endswith("ours"):
            others[name] = {"eps": speed.median}
            ratios[name] = rivals["exact 1000, ours"].median / speed.median
    print(json.dumps({"benchmark": "mapping", "ours": ours, "peers": others, "ratios": ratios}))


if __name__ == "__main__":
    main()
