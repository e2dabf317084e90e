"""The console over a full store: first paint, transfer of the first page, how soon lists answer, what watching costs.

`python -m benchmarks.console [--quick] [--keep FOLDER]`. The router is a process of its own with 1,000,000 events and
100,000 runs, one of them of 10,000 steps, all sent over HTTP; with `--keep` the filled store is used again. Debian's
Chromium measures what a person would see. Fifty watchers then do what fifty open consoles do while events are posted as
fast as they are taken, and the same again without them.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from playwright.async_api import Browser, Page, async_playwright

from benchmarks import _console_fill as filling
from benchmarks import _harness as harness
from benchmarks._http import Connection
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

AIMS = {
    "first_paint_ms": "≤ 300",
    "first_page_kb": "≤ 300",
    "list_ms": "≤ 100",
    "idle_cpu_percent": "≤ 1",
    "watching_cpu_percent": "≤ 10",
    "many_steps_ms": "",
}
IDLE_S = 20
WATCHERS = 50
REFRESH_S = 5  # what an open page asks for again while changes do not end
HOME = (
    "/api/state",
    "/api/state/hour",
    "/api/approvals?status=open&limit=20",
    "/api/runs?status=faulted&limit=8",
    "/api/runs?status=suspended&limit=8",
    "/api/holds?limit=20",
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
# From the choice to the frame that shows its rows.
CHOOSE = """async (status) => {
  const select = [...document.querySelectorAll('.filters select')].at(-1);
  const begun = performance.now();
  select.value = status;
  select.dispatchEvent(new Event('change', {bubbles: true}));
  const shows = () => [...document.querySelectorAll('tbody .status')].some((one) => one.textContent === status);
  while (!shows() || document.querySelector('.skeleton')) await new Promise(requestAnimationFrame);
  return performance.now() - begun;
}"""


class Bench:
    """A full store, and a router on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        filling.project(folder)

    def router(self) -> tuple[RouterProcess, int]:
        """A router that was not started yet, and its port."""
        port = free_port()
        arguments = ("-m", "workflow_router.cli", "serve", "--store", f"sqlite:///{self._folder}/router.db")
        log = self._folder / "router.log"
        return RouterProcess(self._folder, port, SystemClock(), log=log, environ={}, arguments=arguments), port

    async def fill(self, events: int, runs: int) -> None:
        """Fill the store, unless it was before."""
        if (self._folder / "router.db").exists():
            return
        router, port = self.router()
        await router.start()
        await filling.fill(port, events, runs)
        await router.stop()

    async def seen(self, browser: Browser, rounds: int) -> dict[str, list[harness.Measured]]:
        """What a person sees and waits for, over some rounds, and what an open page costs the router."""
        router, port = self.router()
        await router.start()
        url = f"http://127.0.0.1:{port}"
        connection = await Connection.open(port)
        listed = await connection.get("/api/runs?workflow=many&limit=1")
        (many,) = cast("list[dict[str, str]]", listed["runs"])
        found: dict[str, list[harness.Measured]] = {"page": [], "idle": []}
        for _ in range(rounds):
            context = await browser.new_context(viewport={"width": 1360, "height": 860})
            page = await context.new_page()
            measured = await _first(page, url) | await _lists(page, url) | await _steps(page, url, many["id"])
            found["page"].append(measured)
            print("  ".join(f"{key} {value:.3g}" for key, value in measured.items()))
            await context.close()
        page = await browser.new_page()
        await page.goto(url)
        await page.locator(".feed li").first.wait_for()
        before, begun = harness.cpu_s(router.pid), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        share = (harness.cpu_s(router.pid) - before) / (time.perf_counter() - begun)
        found["idle"].append({"idle_cpu_percent": share * 100})
        connection.close()
        await router.stop()
        return found

    async def posted(self, count: int, watchers: int) -> harness.Measured:
        """Events that start runs, as fast as they are taken, while so many consoles watch; the CPU of each."""
        router, port = self.router()
        await router.start()
        watching = [asyncio.create_task(_watch(port)) for _ in range(watchers)]
        await asyncio.sleep(2 if watchers else 0)
        connections = [await Connection.open(port) for _ in range(16)]
        numbers, stamp = iter(range(count)), time.time_ns()

        async def send(connection: Connection) -> None:
            for n in numbers:
                head = f"POST /events HTTP/1.1\r\nce-specversion: 1.0\r\nce-id: {stamp}-{n}\r\nce-source: /bench\r\n"
                await connection.request(
                    f"{head}ce-type: shop.order\r\ncontent-type: application/json\r\n".encode(), b'{"n":%d}' % n
                )

        before, begun = harness.cpu_s(router.pid), time.perf_counter()
        await asyncio.gather(*map(send, connections))
        while (await connections[0].get("/api/runs?status=running&limit=1"))["runs"]:  # noqa: ASYNC110  asked over HTTP
            await asyncio.sleep(0.05)
        took, cpu = time.perf_counter() - begun, harness.cpu_s(router.pid) - before
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for connection in connections:
            connection.close()
        await router.stop()
        return {"runs_per_s": count / took, "cpu_ms_per_run": cpu / count * 1000}


async def _watch(port: int) -> None:
    """What one open Home does while changes do not end: holds the stream, and asks again for what it shows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/observe/digest HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
    connection = await Connection.open(port)

    async def drain() -> None:
        while await reader.read(65_536):
            pass

    draining = asyncio.create_task(drain())
    try:
        while True:
            for path in HOME:
                await connection.request(f"GET {path} HTTP/1.1\r\n".encode())
            await asyncio.sleep(REFRESH_S)
    finally:
        draining.cancel()
        with suppress(asyncio.CancelledError):
            await draining
        writer.close()
        connection.close()


async def _first(page: Page, url: str) -> dict[str, float]:
    """The first visit, with nothing cached: until something is painted, and all that is transferred for it."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")  # pyright: ignore[reportUnknownMemberType]  its answer is only "dict"
    sizes: list[float] = []

    def loaded(event: dict[str, float]) -> None:
        sizes.append(event["encodedDataLength"])

    session.on("Network.loadingFinished", loaded)
    await page.goto(url)
    await page.locator(".feed li").first.wait_for()
    await page.wait_for_timeout(500)
    return {"first_paint_ms": await page.evaluate(PAINT), "first_page_kb": sum(sizes) / 1000}


async def _lists(page: Page, url: str) -> dict[str, float]:
    await page.goto(f"{url}/#/runs")
    await page.locator("tbody tr").first.wait_for()
    took = [await page.evaluate(CHOOSE, status) for status in ("faulted", "waiting", "completed") * 3]
    return {"list_ms": harness.percentile(took[3:], 0.5)}


async def _steps(page: Page, url: str, run: str) -> dict[str, float]:
    """From opening a run of 10,000 steps to its first rows."""
    begun = time.perf_counter()
    await page.goto(f"{url}/#/runs/{run}")
    await page.locator(".waterfall .step").first.wait_for()
    return {"many_steps_ms": (time.perf_counter() - begun) * 1000}


async def main(quick: bool, keep: Path | None) -> None:
    """Measure, and print."""
    rounds, events, runs, posted = (harness.QUICK_ROUNDS, 20_000, 2_000, 2_000)
    if not quick:
        rounds, events, runs, posted = harness.ROUNDS, 1_000_000, 100_000, 10_000
    path = shutil.which("chromium")
    if path is None:
        print("There is no chromium here (apt-get install chromium): nothing is measured.")
        return
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        bench = Bench(keep or Path(folder))
        await bench.fill(events, runs)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
            seen = await bench.seen(browser, rounds)
            await browser.close()
        load = await harness.interleave(
            {"alone": lambda: bench.posted(posted, 0), "watched": lambda: bench.posted(posted, WATCHERS)},
            harness.QUICK_ROUNDS,
        )
    page = seen["page"]
    ours = {key: harness.median(page, key) for key in page[0]}
    ours |= {f"{key}_best": harness.lowest(page, key) for key in ("first_paint_ms", "list_ms")}
    ours["idle_cpu_percent"] = harness.significant(seen["idle"][0]["idle_cpu_percent"])
    for name, measured in load.items():
        ours |= {f"{name}_{key}": harness.median(measured, key) for key in measured[0]}
    # One core does all the work, so what watching takes of it is what it takes of the throughput.
    more = ours["watched_cpu_ms_per_run"] - ours["alone_cpu_ms_per_run"]
    ours["watching_cpu_percent"] = harness.significant(more * ours["watched_runs_per_s"] / 10)
    harness.show(f"The console over {events:,} events and {runs:,} runs", ours, {}, AIMS)
    harness.finish("console", ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small store, fewer rounds")
    parser.add_argument("--keep", type=Path, help="a folder for the filled store, used again if it is there")
    given = parser.parse_args()
    asyncio.run(main(given.quick, given.keep))
