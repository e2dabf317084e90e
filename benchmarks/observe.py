"""What observation, audit and interception cost: the share of W1 that is kept with each of them.

`python -m benchmarks.observe [--quick]`. W1 is runs of three steps, 128 in flight, on SQLite in a file with fsync. Each
round measures each side in a process of its own with a fresh store, in turns; shares are of the medians of CPU time per
run, since rates on a shared machine tell more of its other work. What the audit log does in a second is measured by
`benchmarks.audit`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import _harness as harness

AIMS = {
    "kept_with_all": ">= 0.7 (stretch 0.85)",
    "kept_with_1000_interceptors_by_name": ">= 0.95",
    "kept_with_1000_interceptors_by_data": ">= 0.95",
    "kept_with_100_observers": ">= 0.9",
    "decision_p50_ms": "<= 5",
}
SIDES = ("off", "plain", "watched", "crowd", "by_name", "by_data")


async def _side(folder: Path, verb: str, count: int, stores: list[int]) -> harness.Measured:
    stores[0] += 1
    command = [sys.executable, "-m", "benchmarks._observe_side", verb]
    store = f"sqlite:///{folder}/{stores[0]}.db"
    process = await asyncio.create_subprocess_exec(*command, store, str(count), stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{verb} ended with {process.returncode}.")
    return json.loads(said.splitlines()[-1])


async def main(quick: bool) -> None:
    """Measure, and print."""
    rounds, runs, singles = (harness.QUICK_ROUNDS, 1_500, 100) if quick else (harness.ROUNDS, 6_000, 300)
    stores = [0]
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as name:
        sides = {verb: partial(_side, Path(name), verb, runs, stores) for verb in SIDES}
        sides["approved"] = partial(_side, Path(name), "approved", singles, stores)
        found = await harness.interleave(sides, rounds)
    ours: dict[str, float] = {}
    cpu = {verb: harness.median(found[verb], "cpu_us_per_run") for verb in SIDES}
    for verb in SIDES:
        ours[f"{verb}_runs_per_s"] = harness.median(found[verb], "runs_per_s")
        ours[f"{verb}_cpu_us_per_run"] = cpu[verb]
    ours |= {
        "kept_with_all": harness.significant(cpu["off"] / cpu["watched"]),
        "kept_with_1000_interceptors_by_name": harness.significant(cpu["plain"] / cpu["by_name"]),
        "kept_with_1000_interceptors_by_data": harness.significant(cpu["plain"] / cpu["by_data"]),
        "kept_with_100_observers": harness.significant(cpu["plain"] / cpu["crowd"]),
        "decision_p50_ms": harness.median(found["approved"], "decision_p50_ms"),
        "decision_p99_ms": harness.median(found["approved"], "decision_p99_ms"),
        "load_1min": os.getloadavg()[0],
    }
    harness.show("Observation, audit and interception: share of W1 kept, by CPU time", ours, {}, AIMS)
    harness.finish("observe", ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and rounds")
    asyncio.run(main(parser.parse_args().quick))
