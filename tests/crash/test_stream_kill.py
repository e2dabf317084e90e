"""Kills the router while a run streams; a reader that comes back gets each chunk once, in order, from where it was."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tests.fixtures.serving import request, wr
from workflow_router.cli.demo.child import free_port

WR = [sys.executable, "-m", "workflow_router.cli"]
CHUNKS, KILLED_AT = 40, 25
WORKFLOW = f"""
import asyncio
from pathlib import Path
from workflow_router import Router

router = Router("talks")
MARK = Path(__file__).parent / "begun"


@router.step
async def say() -> int:
    again = MARK.exists()
    MARK.touch()
    stream = router.stream("tokens")
    for number in range({CHUNKS}):
        await stream.write(number)
        if not again and number == {KILLED_AT}:
            await asyncio.Event().wait()
    return {CHUNKS}


@router.workflow
async def talk() -> int:
    stream = router.stream("tokens")
    await stream.write("before")
    said = await say()
    await stream.write("after")
    return said
"""


@contextlib.contextmanager
def served(folder: Path, port: int) -> Generator[subprocess.Popen[str], None, None]:
    command = [*WR, "serve", str(folder), "--listen", f"127.0.0.1:{port}"]
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Serving "), (folder / "log").read_text()
            yield process
        finally:
            process.kill()


def read(port: int, run: str, last: int, until: int | None = None) -> list[dict[str, Any]]:
    """Items of the stream behind a number, until there is one of another number, or the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/api/runs/{run}/streams/tokens", headers={"last-event-id": str(last)})
        found: list[dict[str, Any]] = []
        for line in connection.getresponse():
            if line.startswith(b"data:"):
                found.append(json.loads(line[5:]))
                if found[-1]["kind"] == "end" or found[-1]["number"] == until:
                    break
        return found
    finally:
        connection.close()


def test_a_reader_that_comes_back_gets_each_chunk_once_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text("name: talks\npython: [flow.py]\n")
    (folder / "flow.py").write_text(WORKFLOW)
    port = free_port()
    with served(folder, port) as router:
        status, body = request(f"http://127.0.0.1:{port}", "POST", "/api/runs", b'{"workflow":"talk"}', JSON)
        assert status == 201, body
        run = json.loads(body)["id"]
        items = read(port, run, 0, until=10)
        items += read(port, run, 10, until=KILLED_AT + 2)  # the reader went away, too
        router.send_signal(signal.SIGKILL)
        router.wait(10)
    with served(folder, port):
        items += read(port, run, items[-1]["number"])
        printed = wr("runs", "stream", run, "--json", url=f"http://127.0.0.1:{port}")
        assert [json.loads(line) for line in printed.stdout.splitlines()] == items, printed.stderr
        plain = wr("runs", "stream", run, "tokens", "--after", items[-2]["number"] - 1, url=f"http://127.0.0.1:{port}")
        assert plain.stdout == "after"
        assert "completed" in plain.stderr
    assert [item["number"] for item in items[:-1]] == list(range(1, len(items)))
    assert [item["kind"] for item in items].count("reset") == 1
    reset = next(item for item in items if item["kind"] == "reset")
    kept = [
        item["data"]
        for item in items
        if item["kind"] == "chunk"
        and not (item["step"] == reset["step"] and reset["since"] <= item["number"] < reset["number"])
    ]
    assert kept == ["before", *range(CHUNKS), "after"]
    assert (items[-1]["kind"], items[-1]["status"]) == ("end", "completed")


JSON = {"content-type": "application/json"}
