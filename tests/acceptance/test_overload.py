"""Ten times the load that there is room for: what is refused was never written, what was accepted is there (G9)."""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from tests.acceptance.small_house import ROOM
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.utils.clock import SystemClock

BATCH, AT_ONCE, TIMES = 50, 64, 10
PROJECT = """name: full
mappings:
  - {name: all, on: {type: [order]}, start: never}
"""
WORKFLOWS = """import asyncio
from workflow_router import Router

router = Router("full")


@router.step
async def wait() -> None:
    await asyncio.Event().wait()


@router.workflow
async def never(_: object) -> None:
    await wait()
"""
HEADERS = {"content-type": "application/cloudevents-batch+json"}


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_ten_times_the_load_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "router.yaml").write_text(PROJECT)
    (folder / "workflows.py").write_text(WORKFLOWS)
    house = (str(Path(__file__).with_name("small_house.py")), "serve")
    router = RouterProcess(folder, free_port(), SystemClock(), log=tmp_path / "log", environ={}, arguments=house)
    numbers = iter(range(ROOM * TIMES // BATCH))
    answers: Counter[int] = Counter()
    told: set[str | None] = set()
    sizes: list[float] = []

    async def send(session: ClientSession) -> None:
        for number in numbers:
            events = [
                {"specversion": "1.0", "id": f"{number}-{one}", "source": "/shop", "type": "order", "data": "x" * 1_000}
                for one in range(BATCH)
            ]
            async with session.post(f"{router.address}/events", data=json.dumps(events), headers=HEADERS) as answer:
                await answer.read()
                answers[answer.status] += 1
                if answer.status != 202:
                    told.add(answer.headers.get("retry-after"))
                    sizes.append(rss_mb(router.pid))

    async def main() -> None:
        await router.start()
        try:
            async with ClientSession(connector=TCPConnector(limit=0)) as session:
                await asyncio.gather(*(send(session) for _ in range(AT_ONCE)))
                async with session.get(f"{router.address}/healthz") as healthy:
                    assert healthy.status == 200
        finally:
            await router.kill()

    asyncio.run(main())
    assert set(answers) <= {202, 429, 503}
    assert answers[429] > answers[202] > 0
    assert told == {"1"}, (answers, sizes[:3], max(sizes, default=0))
    assert max(sizes) - sizes[0] < 40  # while thousands more were refused
    with contextlib.closing(sqlite3.connect(folder / "data" / "router.db")) as store:
        (events,) = store.execute("SELECT count(*) FROM events").fetchone()
        (runs,) = store.execute("SELECT count(*) FROM runs").fetchone()
    assert events == runs == answers[202] * BATCH
    assert runs <= ROOM + AT_ONCE * BATCH
