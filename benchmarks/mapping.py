"""Owns the measure of event mapping: events a second of CPU time, JSON bytes in, decode included.

Ours is `PatternIndex`; the loop over `Pattern.matches` and the Python peers that are installed run the same rules on
the same events in turn, and their verdicts are compared with ours before anything is measured. Intake over HTTP and the
start of a router with very many mappings are measured on `wr serve` itself, in a process of its own.

    .venv/bin/python -m benchmarks.mapping [--quick] [--only kinds,intake]
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

from benchmarks import _mapping_data as data
from benchmarks._mapping_intake import intake, start_up
from benchmarks._mapping_live import live_changes
from benchmarks._mapping_peers import JOBS, peers
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
    "intake_batches_eps": 10_000,
    "intake_singles_eps": 3_000,
}
CEILINGS = {"slowdown_10_to_100k": 6, "change_p99_ms": 1, "change_new_path_p99_ms": 1, "live_change_p99_ms": 1}


class Scale(NamedTuple):
    """How much is measured."""

    rounds: int
    events: int
    big: int
    changes: int
    batches: int
    singles: int


FULL = Scale(rounds=5, events=20_000, big=100_000, changes=2_000, batches=500, singles=30_000)
QUICK = Scale(rounds=3, events=2_000, big=20_000, changes=300, batches=50, singles=3_000)


class Speed(NamedTuple):
    """Events a second of CPU time: the median round, and the best."""

    median: float
    best: float


class Found(NamedTuple):
    """What a part of the benchmark found: speeds, the figures that have goals (or stand beside them), and facts."""

    speeds: dict[str, Speed]
    figures: dict[str, float]
    facts: dict[str, float]


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


def by_kind(scale: Scale) -> Found:
    """event-ruler's rule sets, five rules each, and all of them together."""
    sets = data.rule_sets()
    if not sets:
        print("rules-70.json is not beside the checkout: the kinds of rule are not measured")
        return Found({}, {}, {})
    sets["ALL_70"] = [rule for rules in sets.values() for rule in rules]
    events = data.records(scale.events)
    engines = {name: index_of(rules).matching_json for name, rules in sets.items()}
    for name, match in engines.items():
        same(match, loop_of(sets[name]), events[:100])
    kinds = speeds({name: (match, events) for name, match in engines.items()}, scale.rounds)

    def slowest(*begins: str) -> float:
        return min(speed.median for name, speed in kinds.items() if name.startswith(begins))

    return Found(
        kinds,
        {
            "exact_prefix_suffix_eps": slowest("EXACT", "PREFIX", "SUFFIX", "EQUALS"),
            "numeric_anythingbut_wildcard_eps": slowest("NUMERIC", "ANYTHING", "WILDCARD"),
            "complex_arrays_eps": kinds["COMPLEX_ARRAYS"].median,
            "all70_eps": kinds["ALL_70"].median,
        },
        {},
    )


def scaling(scale: Scale) -> Found:
    """Mixed rules on records and webhooks: the index at each size, the loop where it ends in time."""
    rounds, count, big = scale.rounds, scale.events, scale.big
    found: dict[str, Speed] = {}
    facts: dict[str, float] = {}
    records, webhooks = data.records(count), data.webhooks(count)
    documents = [json.dumps({**one.attributes, "data": json.loads(one.data)}).encode() for one in webhooks]
    for size in (10, 1_000, big):
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
    slowdowns = [found[f"{kind} 10"].median / found[f"{kind} {big}"].median for kind in ("records", "payloads")]
    figures = {
        f"rules_{big // 1000}k_eps": found[f"records {big}"].median,
        f"rules_{big // 1000}k_payloads_eps": found[f"payloads {big}"].median,
        f"slowdown_10_to_{big // 1000}k": max(slowdowns),
        "index_vs_loop_1000": found["records 1000"].median / found["loop 1000"].median,
    }
    return Found(found, figures, facts)


def changes(scale: Scale) -> Found:
    """One rule changed among many, with the match that follows it: known paths, then a path that no rule had."""
    size, times = scale.big, scale.changes
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
    return Found({}, {name: value for name, value in found.items() if name in CEILINGS}, found)


def against_peers(scale: Scale) -> Found:
    """The rules that every peer can say: the index and each peer in turn."""
    events = data.records(60)
    found: dict[str, Speed] = {}
    for job in JOBS:
        rules = job.rules(events)
        ours = index_of([rule.pattern for rule in rules]).matching_json
        engines: dict[str, tuple[Match[bytes], Sequence[bytes]]] = {f"{job.name}, ours": (ours, events * 200)}
        for name, peer in peers(rules).items():
            same(ours, peer, events[:5] + events[-5:])
            engines[f"{job.name}, {name}"] = (peer, events[:15])
        found |= speeds(engines, scale.rounds)
    return Found(found, {}, {})


def hostile(scale: Scale) -> Found:
    """Rule sets meant to be slow, at a size and at twice the size."""
    found: dict[str, Speed] = {}
    for size in (500, 1_000):
        for name, (rules, event) in data.hostile_sets(size).items():
            match = index_of(rules).matching_json
            same(match, loop_of(rules), [event])
            found |= speeds({f"{name}, {size} rules": (match, [event] * 300)}, scale.rounds)
    return Found(found, {"hostile_eps": min(speed.median for speed in found.values())}, {})


def served(scale: Scale) -> Found:
    """Intake over HTTP: durable, deduplicated and matched."""
    found = intake(scale.batches, scale.singles)
    return Found({}, {name: value for name, value in found.items() if name in GOALS}, found)


PARTS: dict[str, Callable[[Scale], Found]] = {
    "peers": against_peers,
    "kinds": by_kind,
    "scaling": scaling,
    "hostile": hostile,
    "changes": changes,
    "live": lambda scale: Found({}, live_changes(scale.big, scale.changes), {}),
    "intake": served,
    "start": lambda scale: Found({}, start_up(scale.big), {}),
}


def compared(speeds: dict[str, Speed]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The peers' speeds, by peer and job, and ours as a multiple of each."""
    others: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    for name, speed in speeds.items():
        job, comma, engine = name.partition(", ")
        if comma and engine != "ours" and f"{job}, ours" in speeds:
            others.setdefault(engine, {})[f"{job} eps"] = speed.median
            ratios[f"{engine}, {job}"] = speeds[f"{job}, ours"].median / speed.median
    if "loop 1000" in speeds:
        others["loop"] = {"rules_1000_eps": speeds["loop 1000"].median}
        ratios["loop"] = speeds["records 1000"].median / speeds["loop 1000"].median
    return others, ratios


def show(found: Found) -> None:
    """Print what a part found, as soon as it has."""
    for name, speed in found.speeds.items():
        print(f"{name:<34}{speed.median:>12,.0f}{speed.best:>12,.0f}")
    for name, value in {**found.facts, **found.figures}.items():
        goal = GOALS.get(name) or CEILINGS.get(name)
        print(f"{name:<34}{value:>12,.2f}" + (f"   goal {'≤' if name in CEILINGS else '≥'} {goal:,}" if goal else ""))
    sys.stdout.flush()


def main() -> None:
    """Measure, print the table, and as the last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds; 20,000 rules instead of 100,000")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, with commas between: {', '.join(PARTS)}")
    given = parser.parse_args()
    scale = QUICK if cast(bool, given.quick) else FULL
    wanted = cast(str, given.only).split(",")
    if unknown := set(wanted) - PARTS.keys():
        parser.error(f"no part is named {min(unknown)}; there are {', '.join(PARTS)}")
    print(f"{'what':<34}{'median/s':>12}{'best/s':>12}")
    ours: dict[str, float] = {}
    all_speeds: dict[str, Speed] = {}
    for part, measure in PARTS.items():
        if part in wanted:
            found = measure(scale)
            show(found)
            all_speeds |= found.speeds
            ours |= found.figures
    others, ratios = compared(all_speeds)
    print(json.dumps({"benchmark": "mapping", "ours": ours, "peers": others, "ratios": ratios}))


if __name__ == "__main__":
    main()
