"""Owns what every benchmark shares: interleaved rounds, CPU and memory of a process, the table, the last line of JSON.

Refuses single figures: shared machines drift by a factor of two within minutes, so rounds of all contestants alternate,
and what is kept is the best and the median of them.
"""

import contextlib
import json
import os
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

ROUNDS, QUICK_ROUNDS = 5, 4

Measured = Mapping[str, float]
Contestant = Callable[[], Awaitable[Measured]]


async def interleave(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[Measured]]:
    """Run each contestant once a round, in turns; returns what each measured, by name."""
    measured: dict[str, list[Measured]] = {name: [] for name in contestants}
    for at in range(rounds):
        for name, contestant in contestants.items():
            found = await contestant()
            measured[name].append(found)
            print(f"round {at + 1}/{rounds}  {name}: {'  '.join(f'{key} {value:g}' for key, value in found.items())}")
    return measured


def median(rounds: Sequence[Measured], key: str) -> float:
    """The median of a figure over the rounds, to four significant digits."""
    return significant(statistics.median(one[key] for one in rounds))


def lowest(rounds: Sequence[Measured], key: str) -> float:
    """The lowest of a figure over the rounds, to four significant digits."""
    return significant(min(one[key] for one in rounds))


def highest(rounds: Sequence[Measured], key: str) -> float:
    """The highest of a figure over the rounds, to four significant digits."""
    return significant(max(one[key] for one in rounds))


def significant(value: float) -> float:
    """A figure with as many digits as mean anything."""
    return float(f"{value:.4g}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked)) - 1))]


def cpu_s(pid: int) -> float:
    """CPU time a process has used, user and system, seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers_cpu_s(servers: Sequence[int]) -> float:
    """CPU time of servers with their children, seconds; a child that has ended counts no more."""
    used = 0.0
    for pid in (one for server in servers for one in [server, *_children(server)]):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used += cpu_s(pid)
    return used


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MiB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def show(
    title: str, ours: Mapping[str, float], peers: Mapping[str, Mapping[str, float]], aims: Mapping[str, str]
) -> None:
    """Print the figures side by side, with what they should be."""
    print(f"\n{title}")
    head = ["", "ours", *peers, "aim"]
    rows = [
        [key, f"{value:g}", *(f"{peer[key]:g}" if key in peer else "" for peer in peers.values()), aims.get(key, "")]
        for key, value in ours.items()
    ]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def finish(benchmark: str, ours: Mapping[str, float], peers: Mapping[str, Mapping[str, float]] | None = None) -> None:
    """Print the last line: figures, peers' figures, and ours as a multiple of each peer's."""
    ratios = {
        name: {key: significant(ours[key] / value) for key, value in peer.items() if value and key in ours}
        for name, peer in (peers or {}).items()
    }
    print(json.dumps({"benchmark": benchmark, "ours": dict(ours), "peers": dict(peers or {}), "ratios": ratios}))
