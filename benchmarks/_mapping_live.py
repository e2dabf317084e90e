"""Owns the measure of one mapping changed among very many while events are matched: what the change takes, and what it
holds up.

The mappings are those of the product, compiled from rules as the API takes them; matching and changes take turns on one
event loop, as in a router that serves. Refuses to measure the commit of a change, which waits for the disk and holds up
nobody.
"""

import asyncio
import gc
import statistics
import time

from benchmarks import _mapping_data as data
from workflow_router.core.event_mappings.bulk import in_bulk
from workflow_router.core.event_mappings.match import Matcher, in_force
from workflow_router.core.model import Event
from workflow_router.settings.model import RouterFile, Topic
from workflow_router.settings.rules import Compile, rule_compiler


def live_changes(size: int, times: int) -> dict[str, float]:
    """One mapping changed, changed to one with a path that none had, or taken out, while events are matched."""
    compile_rule = rule_compiler(RouterFile(name="live", topics={"orders": Topic()}), [])
    hooks = data.webhooks(200)
    events = [_event(hook) for hook in hooks]
    rules = data.webhook_rules()(size + times)
    matcher = Matcher()
    with in_bulk(size, lasting=True):
        for at in range(size):
            _put(matcher, compile_rule, at, rules[at])
    alone = asyncio.run(_watch(matcher, events, compile_rule, [], times * 3))
    found = asyncio.run(_watch(matcher, events, compile_rule, rules[size:], times * 3))
    gc.unfreeze()
    return {
        "live_change_p99_ms": found["cpu_p99"],
        "live_match_p50_ms": found["pause_p50"],
        "live_match_p99_ms": found["pause_p99"],
        "live_match_max_ms": found["pause_max"],
        "live_match_max_unchanged_ms": alone["pause_max"],
    }


def _event(hook: data.Webhook) -> Event:
    given = {name: str(value) for name, value in hook.attributes.items()}
    return Event(id=given["id"], source=given["source"], type=given["type"], data=hook.data)


def _put(matcher: Matcher, compile_rule: Compile, at: int, rule: data.Rule) -> None:
    name = f"m{at}"
    matcher.put(name, in_force(compile_rule(name, {"on": rule, "publish": {"topic": "orders"}}), at))


async def _watch(
    matcher: Matcher, events: list[Event], compile_rule: Compile, changes: list[data.Rule], matches: int
) -> dict[str, float]:
    """Match without a pause; between the matches, one task makes the changes. Milliseconds of CPU time.

    A match is counted from the end of the one before, with a change that came between them.
    """
    waited, cpu = list[float](), list[float]()
    done = asyncio.Event()

    async def match() -> None:
        last = time.process_time()
        for at in range(matches):
            matcher.match(events[at % len(events)], "id")
            now = time.process_time()
            waited.append((now - last) * 1e3)
            last = now
            await asyncio.sleep(0)
        done.set()

    async def change() -> None:
        step = max(1, len(matcher.names) // max(1, len(changes)))
        for at, rule in enumerate(changes):
            name = f"m{at * step}"
            started = time.process_time()
            if at % 20 == 19:
                matcher.put(name, None)
            else:
                extra = {f"new{at}": [{"exists": False}]} if at % 10 == 0 else {}
                _put(matcher, compile_rule, at * step, {**rule, **extra})
            cpu.append((time.process_time() - started) * 1e3)
            for _ in range(2):
                await asyncio.sleep(0)
        await done.wait()

    gc.collect()
    await asyncio.gather(match(), change())
    return {
        "cpu_p99": statistics.quantiles(cpu, n=100)[98] if cpu else 0.0,
        "pause_p50": statistics.median(waited),
        "pause_p99": statistics.quantiles(waited, n=100)[98],
        "pause_max": max(waited),
    }
