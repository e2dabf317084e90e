"""How fast the audit log grows, is verified, and proves: entries a second of CPU time, on SQLite in a file.

`python -m benchmarks.audit [--quick]`. A third of the entries has an actor and details, as decisions have;
the others tell of steps. CPU time of this process throughout, since the machine may be shared.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import _harness as harness
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.merkle import verify_inclusion
from workflow_router.db.open import open_store
from workflow_router.db.store import SqlStore
from workflow_router.utils.clock import SystemClock

ENTRIES, QUICK_ENTRIES = 1_000_000, 100_000
BATCH = 2_000
PROOFS = 500
AIMS = {"appends_per_s": ">= 50000", "verified_per_s": ">= 200000", "inclusion_p50_ms": "<= 1"}


def transition(number: int) -> Transition:
    """The transition of an entry."""
    run = f"run-{number // 5:012}"
    if number % 3:
        return Transition(kind="step.completed", subject=f"0/{number % 5}", run=run, cause=run, correlation=run)
    detail: dict[str, object] = {"target": "primary", "rule": "cheapest@3", "attempt": 1}
    return Transition(kind="dispatch.succeeded", subject=run, run=run, correlation=run, actor="key-1", detail=detail)


async def _append(store: SqlStore, count: int) -> float:
    spent = 0.0
    for start in range(0, count, BATCH):
        made = [transition(number) for number in range(start, min(start + BATCH, count))]

        async def unit(tx: Transaction, made: list[Transition] = made) -> None:
            for one in made:
                tx.record(one)

        began = time.process_time()
        await store.commit(unit)
        spent += time.process_time() - began
    return count / spent


async def _prove(store: SqlStore, count: int) -> list[float]:
    _, root = await store.read(lambda tx: tx.audit.head())
    times: list[float] = []
    for number in range(PROOFS):
        position = 1 + number * 7_919_777 % count
        entry = await store.read(lambda tx, at=position: tx.audit.find(at))
        assert entry is not None
        began = time.process_time()
        proof = await store.read(lambda tx, at=position: tx.audit.inclusion(at, count))
        times.append((time.process_time() - began) * 1_000)
        assert verify_inclusion(entry.hash, position - 1, count, proof, root)
    return times


async def measure(url: str, entries: int) -> dict[str, float]:
    """What was measured with a fresh store, by the keys of AIMS."""
    store = await open_store(url, clock=SystemClock(), owner="bench")
    try:
        appends = await _append(store, entries)
        began = time.process_time()
        verdict = await store.verify_audit()
        verified = entries / (time.process_time() - began)
        assert verdict.intact
        proofs = await _prove(store, entries)
    finally:
        await store.close()
    return {
        "entries": entries,
        "appends_per_s": round(appends),
        "verified_per_s": round(verified),
        "inclusion_p50_ms": round(statistics.median(proofs), 3),
        "inclusion_p99_ms": round(statistics.quantiles(proofs, n=100)[98], 3),
    }


def main() -> None:
    """Measure once, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer entries")
    entries = QUICK_ENTRIES if parser.parse_args().quick else ENTRIES
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        measured = asyncio.run(measure(f"sqlite:///{Path(folder) / 'router.db'}", entries))
    ours = {**measured, "load_1min": os.getloadavg()[0]}
    harness.show("The audit log, by CPU time", ours, {}, AIMS)
    harness.finish("audit", ours)


if __name__ == "__main__":
    main()
