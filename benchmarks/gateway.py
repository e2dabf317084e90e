"""The dispatch gateway between 64 callers and an upstream that answers at once, beside its peers.

`python -m benchmarks.gateway [--quick] [--litellm PROGRAM] [--portkey START_SERVER_JS]`. The gateway has one core for
itself, load generator and upstream share another; HTTP/1.1 with connections that stay open; one worker each. Ours
checks a virtual key, picks, has breaker and limits of time and size, sets the model's name, and has each decision on
disk (fsync) within 50 ms; `ours-before` has each intent on disk before the call leaves, `ours-limits` reserves requests
and money with it. Every answer is checked to be whole.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks import _harness as harness
from benchmarks._gateway_peers import LOAD_CORE, Gateway, Running, answers, gateways, spawn, stop
from benchmarks._gateway_wire import EVENTS, PACE_S, Caller
from workflow_router.cli.demo.child import free_port

CALLERS, BURST_CALLERS = 64, 32
AIMS = {
    "cpu_us_per_request": "≤ 150",
    "sse_cpu_us_per_event": "≤ 20",
    "rss_mb": "≤ 80",
    "rps_vs_nginx": "≥ 0.10",
    "added_p50_vs_nginx": "≤ 4",
    "rps_vs_litellm": "≥ 60",
    "rps_vs_portkey": "≥ 6",
    "paced_ttft_added_ms": "≤ 5",
}


async def _callers(running: Running, count: int) -> list[Caller]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Caller, "127.0.0.1", running.port))[1] for _ in range(count)]


async def _load(callers: list[Caller], request: bytes, for_s: float) -> int:
    """Every caller asks again and again; returns the number of answers."""
    until_s = time.perf_counter() + for_s

    async def one(caller: Caller) -> int:
        count = 0
        while time.perf_counter() < until_s:
            answer = await caller.ask(request)
            count += 1
            if b"event-stream" in answer[:500] and answer.count(b"data: ") != EVENTS + 1:
                raise RuntimeError(f"A stream had {answer.count(b'data: ')} events.")
        return count

    return sum(await asyncio.gather(*map(one, callers)))


async def _alone_us(caller: Caller, request: bytes, for_s: float) -> float:
    took: list[float] = []
    until_s = time.perf_counter() + for_s
    while (begun := time.perf_counter()) < until_s:
        await caller.ask(request)
        took.append((time.perf_counter() - begun) * 1e6)
    return harness.percentile(took, 0.5)


async def _paced_ms(callers: list[Caller], request: bytes) -> tuple[float, float]:
    """Milliseconds from asking to the first event, over streams that run side by side: median and 99th percentile."""

    async def one(caller: Caller, after_s: float) -> float:
        await asyncio.sleep(after_s)
        begun = time.perf_counter()
        await caller.ask(request)
        return (caller.first_s - begun) * 1000

    spread_s = PACE_S * EVENTS / len(callers)
    took = await asyncio.gather(*(one(caller, at * spread_s) for at, caller in enumerate(callers)))
    return harness.percentile(took, 0.5), harness.percentile(took, 0.99)


async def measure(gateway: Gateway, folder: Path, upstream: int, for_s: float) -> harness.Measured:
    """One round of one gateway, started afresh."""
    found: dict[str, float] = {}
    async with Running(gateway, folder, free_port(), upstream) as running:
        plain = running.request()
        callers = await _callers(running, CALLERS)
        await asyncio.gather(*(caller.ask(plain) for caller in callers))
        await _load(callers, plain, for_s / 4)
        cpu_s, begun_s = running.cpu_s, time.perf_counter()
        count = await _load(callers, plain, for_s)
        found["rps"] = count / (time.perf_counter() - begun_s)
        found["cpu_us_per_request"] = (running.cpu_s - cpu_s) / count * 1e6
        found["rss_mb"] = running.rss_mb
        found["alone_p50_us"] = await _alone_us(callers[0], plain, for_s / 2)
        for caller in callers:
            caller.close()
        if gateway.streams:
            callers = await _callers(running, CALLERS)  # some servers have closed those that were idle
            burst, paced = (running.request(stream=True, word=word) for word in ("burst", "paced"))
            await asyncio.gather(*(caller.ask(burst) for caller in callers[:BURST_CALLERS]))
            cpu_s, begun_s = running.cpu_s, time.perf_counter()
            count = await _load(callers[:BURST_CALLERS], burst, for_s)
            found["sse_events_per_s"] = count * EVENTS / (time.perf_counter() - begun_s)
            found["sse_cpu_us_per_event"] = (running.cpu_s - cpu_s) / (count * EVENTS) * 1e6
            found["paced_ttft_ms"], found["paced_ttft_p99_ms"] = await _paced_ms(callers, paced)
            for caller in callers:
                caller.close()
    return found


def ratios(kept: dict[str, dict[str, float]]) -> dict[str, float]:
    """Ours against the peers. Where the load generator, not the gateway, is at its limit, CPU time tells capacity."""
    ours, direct = kept["ours"], kept["direct"]
    found = {"paced_ttft_added_ms": ours["paced_ttft_ms"] - direct["paced_ttft_ms"]}
    for name in kept.keys() & {"ours-before", "ours-limits"}:  # what it costs more where more is to be kept
        found[f"cpu_us_{name.removeprefix('ours-')}"] = kept[name]["cpu_us_per_request"]
    for name in kept.keys() - {"ours", "ours-before", "ours-limits", "direct"}:
        peer = kept[name]
        by_cpu = peer["cpu_us_per_request"] / ours["cpu_us_per_request"]
        found[f"rps_vs_{name}"] = (
            min(ours["rps"] / peer["rps"], by_cpu) if name == "nginx" else ours["rps"] / peer["rps"]
        )
        found[f"cpu_vs_{name}"] = 1 / by_cpu
        added, theirs = (one["alone_p50_us"] - direct["alone_p50_us"] for one in (ours, peer))
        found[f"added_p50_vs_{name}"] = added / theirs
    return {key: harness.significant(value) for key, value in found.items()}


async def main(quick: bool, rounds: int, only: str, litellm: str | None, portkey: str | None) -> None:
    """Measure, and print."""
    os.sched_setaffinity(0, {LOAD_CORE})
    rounds, for_s = rounds or (harness.QUICK_ROUNDS if quick else harness.ROUNDS), 1.0 if quick else 3.0
    upstream = free_port()
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as name:
        folder = Path(name)
        chosen = [one for one in gateways(litellm, portkey) if not only or one.name in {"direct", *only.split(",")}]
        command = [sys.executable, "-m", "benchmarks._gateway_wire", str(upstream)]
        process = await spawn(command, folder / "upstream.log", LOAD_CORE)
        try:
            await answers(upstream)
            contestants = {one.name: lambda one=one: measure(one, folder, upstream, for_s) for one in chosen}
            measured = await harness.interleave(contestants, rounds)
        finally:
            await stop(process)
    kept = {
        name: {
            key: (harness.highest if key in {"rps", "sse_events_per_s"} else harness.lowest)(found, key)
            for key in found[0]
        }
        for name, found in measured.items()
    }
    if "ours" in kept:
        own = kept["ours"] | {"cpu_us_median": harness.median(measured["ours"], "cpu_us_per_request")}
        peers = {key: value for key, value in kept.items() if key != "ours"}
        harness.show("Gateway: 64 connections, best of the rounds", own | ratios(kept), peers, AIMS)
        harness.finish("gateway", own | ratios(kept), peers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    parser.add_argument("--rounds", type=int, default=0, help="how many; 4 or 5 otherwise")
    parser.add_argument("--only", default="", help="names of contestants, with commas")
    parser.add_argument("--litellm", help="the program, where it is not on the PATH")
    parser.add_argument("--portkey", help="build/start-server.js of the installed package")
    given = parser.parse_args()
    uvloop.run(main(given.quick, given.rounds, given.only, given.litellm, given.portkey))
