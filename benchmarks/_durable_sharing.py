"""Owns what several processes on one PostgreSQL are asked and how it is shown. Refuses to start them."""

import os
from collections.abc import Awaitable, Callable

from benchmarks import _harness as harness

PROCESSES = (1, 2, 3)


def several_processes(measure: Callable[[int], Awaitable[harness.Measured]]) -> dict[str, harness.Contestant]:
    """One, two and three processes on PostgreSQL."""
    return {f"{number} on PostgreSQL": (lambda number=number: measure(number)) for number in PROCESSES}


def show_sharing(found: dict[str, list[harness.Measured]]) -> dict[str, float]:
    """Print what more processes add on this machine and who uses its cores; returns the rates to that of one."""
    one, *_ = names = list(found)
    keys = ("runs_per_s", "cpu_ms_per_run", "postgres_cpu_ms_per_run", "cores_used", "postgres_share")
    print("\n| processes | W1 runs/s | CPU ms per run: ours | PostgreSQL | cores used | of it PostgreSQL |")
    print("|---|---|---|---|---|---|")
    for name in names:
        rate, ours, theirs, cores, share = (harness.median(found[name], key) for key in keys)
        print(f"| {name} | {rate:,.0f} | {ours:.2f} | {theirs:.2f} | {cores:.2f} of {os.cpu_count()} | {share:.0%} |")
    return {
        f"{name} vs 1": harness.median(
            [
                {"more": some["runs_per_s"] / alone["runs_per_s"]}
                for some, alone in zip(found[name], found[one], strict=True)
            ],
            "more",
        )
        for name in names[1:]
    }
