"""What observation, audit and interception cost: the share of W1 kept with each of them, and the audit log alone.

`python -m benchmarks.observe [--quick] [--only KEY …]`. W1 is runs of three steps, 128 in flight, on SQLite in a file
with fsync. Each round measures each side in a process of its own with a fresh store, in turns; shares are of the
medians of CPU time per run, since rates on a shared machine tell more of its other work. `--only` takes keys of the
table, and plays the sides that they need. What the audit log does in a second is `benchmarks.audit`, by CPU time too.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import _harness as harness
from benchmarks import audit

AIMS = {
    "kept_with_all": ">= 0.7 (stretch 0.85)",
    "kept_with_1000_interceptors_by_name": ">= 0.95",
    "kept_with_1000_interceptors_by_data": ">= 0.95",
    "kept_with_100_observers": ">= 0.9",
    "decision_p50_ms": "<= 5",
    **audit.AIMS,
}
SHARES = {
    "kept_with_all": ("off", "watched"),
    "kept_with_1000_interceptors_by_name": ("plain", "by_name"),
    "kept_with_1000_interceptors_by_data": ("plain", "by_data"),
    "kept_with_100_observers": ("plain", "crowd"),
}
SIDES = {"off": 0, "plain": 0, "watched": 0, "crowd": 0, "by_name": 0, "by_data": 0, "approved": 1, "audit": 2}
"""What is played, in this order, and which of the counts it takes: runs, decisions, entries."""


async def _side(folder: Path, verb: str, count: int, stores: list[int]) -> harness.Measured:
    stores[0] += 1
    command = [sys.executable, "-m", "benchmarks._observe_side", verb]
    store = f"sqlite:///{folder}/{stores[0]}.db"
    process = await asyncio.create_subprocess_exec(*command, store, str(count), stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{verb} ended with {process.returncode}.")
    return json.loads(said.splitlines()[-1])


def _needed(only: Sequence[str]) -> set[str]:
    needed = {side for key in only for side in SHARES.get(key, ())}
    if "decision_p50_ms" in only:
        needed.add("approved")
    return needed | {"audit"} if set(only) & set(audit.AIMS) else needed


async def main(quick: bool, only: Sequence[str]) -> None:
    """Measure, and print."""
    rounds = harness.QUICK_ROUNDS if quick else harness.ROUNDS
    counts = (1_500, 100, audit.QUICK_ENTRIES) if quick else (6_000, 300, audit.ENTRIES)
    needed = _needed(only or list(AIMS))
    stores = [0]
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as name:
        sides = {
            verb: partial(_side, Path(name), verb, counts[kind], stores)
            for verb, kind in SIDES.items()
            if verb in needed
        }
        found = await harness.interleave(sides, rounds)
    ours: dict[str, float] = {}
    for verb, told in found.items():
        named = "" if SIDES[verb] else f"{verb}_"
        ours |= {f"{named}{key}": harness.median(told, key) for key in told[0]}
    for key, (base, side) in SHARES.items():
        if base in found and side in found:
            ours[key] = harness.significant(ours[f"{base}_cpu_us_per_run"] / ours[f"{side}_cpu_us_per_run"])
    ours["load_1min"] = os.getloadavg()[0]
    harness.show("Observation, audit and interception: share of W1 kept, by CPU time", ours, {}, AIMS)
    harness.finish("observe", ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, entries and rounds")
    parser.add_argument("--only", nargs="+", choices=AIMS, default=[], metavar="KEY", help="only these keys")
    given = parser.parse_args()
    asyncio.run(main(given.quick, given.only))
