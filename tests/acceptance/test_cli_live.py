"""`wr runs watch` and `wr top` against a running router: in pipes, in a terminal, and over a restart."""

import json
import os
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.serving import WR, served, wr
from tests.fixtures.terminal import in_terminal
from workflow_router.cli.demo.child import free_port

CODE = """
from workflow_router import Router

router = Router("shop")


@router.step()
async def pack(order: str) -> str:
    if order == "broken":
        raise ValueError("it is broken \\x1b[2J")
    return f"{order} is packed"


@router.workflow
async def ship(order: str) -> str:
    packed = await pack(order)
    await router.receive("paid")
    return packed


@router.workflow
async def rounds(left: int) -> str:
    await router.receive("go")
    if left:
        raise router.continue_as_new(left - 1)
    return "all done"


@router.workflow
async def ask() -> str:
    await router.approve("refund", context={"why": "it came late"}, roles=["lead"])
    return "asked"
"""
PROJECT = """
name: shop
python: [shop.py]
routes:
  bank: {targets: [{name: main, kind: http, url: "http://127.0.0.1:9"}]}
limits:
  - {name: team, money: 25, window: month}
topics:
  orders: {}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "shop.py").write_text(CODE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Generator[str, None, None]:
    with served(folder) as address:
        yield address


def said(url: str, *arguments: str) -> Any:
    done = wr(*arguments, "--json", url=url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(url: str, workflow: str, given: object = None, *, wait: bool = True) -> str:
    run = str(said(url, "runs", "start", workflow, "--input", json.dumps(given))["id"])
    if wait:
        wr("runs", "watch", "--after", "0", "--status", "waiting", "--timeout", "0.1", url=url)
        deadline = time.monotonic() + 20
        while said(url, "runs", "show", run)["status"] == "running":
            assert time.monotonic() < deadline
    return run


def begun(url: str, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "WR_URL": url, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*WR, *arguments], stdout=pipe, stderr=pipe, text=True, env=environ)


def watching(url: str, *arguments: str) -> subprocess.Popen[str]:
    return begun(url, "runs", "watch", *arguments)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, f"{text!r} did not come: {seen}"
        seen += line
    return seen


# --- wr runs watch ----------------------------------------------------------------------------------------------------


def test_a_run_is_watched_to_its_end_and_its_outcome_is_the_code(url: str) -> None:
    run = start(url, "ship", "o-1")
    with watching(url, run) as process:
        before = read_until(process, "waits for")
        assert "step.completed" in before  # what it did until then is shown, too
        wr("runs", "signal", run, "paid", url=url)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert rest.splitlines()[-1] == "completed: o-1 is packed"
    assert "run.completed" in rest
    assert (before + rest).count("pack\n") == 1

    broken = start(url, "ship", "broken")
    done = wr("runs", "watch", broken, url=url)
    assert (done.returncode, "it is broken" in done.stdout) == (1, True)
    assert "\x1b" not in done.stdout  # what came from outside says nothing to the terminal
    cancelled = start(url, "ship", "o-2")
    wr("runs", "cancel", cancelled, url=url)
    assert wr("runs", "watch", cancelled, url=url).returncode == 1


def test_a_watched_run_is_one_line_of_json_each_and_the_last_is_its_outcome(url: str) -> None:
    run = start(url, "ship", "o-3")
    with watching(url, run, "--json") as process:
        read_until(process, "step.completed")
        wr("runs", "signal", run, "paid", url=url)
        rest, _ = process.communicate(timeout=20)
    lines = [json.loads(line) for line in rest.splitlines()]
    assert [line["transition"]["kind"] for line in lines[:-1]][-1] == "run.completed"
    assert lines[-1] == {"id": run, "workflow": "ship", "status": "completed", "output": "o-3 is packed", "error": None}


def test_a_run_that_goes_on_as_another_is_watched_as_that(url: str) -> None:
    run = start(url, "rounds", 1)
    with watching(url, run) as process:
        read_until(process, "waits for")
        wr("runs", "signal", run, "go", url=url)
        following = read_until(process, "goes on as").split()[-1]
        wr("runs", "signal", following, "go", url=url)
        rest, _ = process.communicate(timeout=20)
    assert (process.returncode, rest.splitlines()[-1]) == (0, "completed: all done")
    assert wr("runs", "watch", run, url=url).stdout.splitlines()[-1] == "completed: all done"


def test_time_is_over_before_the_run(url: str) -> None:
    run = start(url, "ship", "o-4")
    done = wr("runs", "watch", run, "--timeout", "0.3", url=url)
    assert (done.returncode, f"wr runs watch {run}" in done.stderr) == (4, True)
    unknown = wr("runs", "watch", "01a20730-d4e9-7005-89f7-1c430bb88054", url=url)
    assert (unknown.returncode, "`wr runs list`" in unknown.stderr) == (2, True)
    assert wr("runs", "watch", run, "--status", "waiting", url=url).returncode == 2


def test_runs_are_watched_by_workflow_and_status(url: str) -> None:
    head = next((one["position"] for one in said(url, "audit", "tail", "--limit", "1")), 0)
    runs = [start(url, "ship", order) for order in ("o-5", "broken")]
    start(url, "rounds", 0)
    done = wr("runs", "watch", "--after", str(head), "--timeout", "0.5", "--json", url=url)
    everything = [json.loads(line)["transition"] for line in done.stdout.splitlines()]
    assert done.returncode == 0  # it was to last so long, and no longer
    assert {one["detail"]["workflow"] for one in everything} == {"ship", "rounds"}
    narrow = ("--after", str(head), "--timeout", "0.5", "--workflow", "ship")
    assert "rounds" not in wr("runs", "watch", *narrow, url=url).stdout
    faulted = wr("runs", "watch", *narrow, "--status", "faulted", url=url).stdout.splitlines()
    assert [runs[1] in line and "run.faulted" in line for line in faulted] == [True]


def test_a_watch_goes_on_by_itself_when_the_server_restarts(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for file in ("router.yaml", "shop.py"):
        (project / file).write_text((folder / file).read_text(encoding="utf-8"), encoding="utf-8")
    listen = f"127.0.0.1:{free_port()}"
    with served(project, listen=listen) as address:
        run = start(address, "ship", "o-6")
        process = watching(address, run)
        read_until(process, "waits for")
    with process, served(project, listen=listen) as address:
        wr("runs", "signal", run, "paid", url=address)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest.splitlines()[-1]) == (0, "completed: o-6 is packed")
    assert [line for line in errors.splitlines() if line] == [
        "[the server went away; looking for it]",
        "[the server is back]",
    ]


# --- wr top -----------------------------------------------------------------------------------------------------------


def test_top_prints_once_where_nobody_looks(url: str) -> None:
    start(url, "ask")
    start(url, "ship", "broken")
    for arguments in ((), ("--once",)):
        done = wr("top", *arguments, url=url)
        assert done.returncode == 0
        for word in ("NEEDS A PERSON", "refund", "it came late", "bank → main", "TOPICS", "team", "in the last hour"):
            assert word in done.stdout
        assert "\x1b" not in done.stdout
    facts = said(url, "top")
    assert facts["targets"][0]["route"] == "bank"
    asked = next(one for one in facts["needs"] if one["what"] == "asked")
    assert wr(*asked["command"].split()[1:], url=url).returncode == 0  # the command that it names works
    assert any(one["what"] == "faulted" for one in facts["needs"])


def test_top_is_drawn_again_resizes_and_quits_in_a_terminal(url: str) -> None:
    start(url, "ask")
    with in_terminal([*WR, "top", "--every", "0.3"], {"WR_URL": url}) as terminal:
        first = terminal.frame()
        assert len(first) <= 24
        assert max(map(len, first)) <= 80, first
        assert first[0].startswith("wr top")
        assert first[0].endswith("q quits")
        before = next(line for line in first if line.startswith("runs "))
        start(url, "ask")
        while next(line for line in terminal.frame() if line.startswith("runs ")) == before:
            pass
        terminal.resize(12, 40)
        while len(small := terminal.frame()) > 12 or any(len(line) > 40 for line in small):
            pass
        assert any(line.startswith("NEEDS A PERSON") for line in small)
        terminal.press(b"q")
        assert terminal.end() == 0
    assert terminal.written.count("\x1b[?1049h") == terminal.written.count("\x1b[?1049l") == 1
    assert terminal.written.endswith("\x1b[?25h")  # the cursor is back
    _, _, drawn = terminal.written.partition("\x1b[?2026h")
    assert "\x1b[2J" not in drawn  # nothing is wiped before it is drawn again, or it would flicker


def test_top_says_that_the_server_is_away_and_ctrl_c_ends_it(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for file in ("router.yaml", "shop.py"):
        (project / file).write_text((folder / file).read_text(encoding="utf-8"), encoding="utf-8")
    listen = f"127.0.0.1:{free_port()}"
    with served(project, listen=listen) as address:
        screen = in_terminal([*WR, "top", "--every", "0.3"], {"WR_URL": address})
        terminal = screen.__enter__()
        terminal.frame()
    try:
        while "No server answers" not in terminal.frame()[0]:
            pass
        with served(project, listen=listen):
            while "No server answers" in terminal.frame()[0]:
                pass
            terminal.press(b"\x03")
            assert terminal.end() == 130
    finally:
        screen.__exit__(None, None, None)
    assert "Traceback" not in terminal.written
    assert terminal.written.rstrip().endswith("\x1b[?25h")


def test_the_audit_log_is_followed_from_a_position_on(url: str) -> None:
    for order in ("o-8", "o-9"):
        start(url, "ship", order)
    asked = ("audit", "tail", "--after", "1", "--limit", "2")
    assert [one["position"] for one in said(url, *asked)] == [2, 3]
    with begun(url, *asked, "--follow") as process:
        assert process.stdout is not None
        try:
            _, *rows = [process.stdout.readline() for _ in range(6)]
        finally:
            process.terminate()
    assert [int(row.split()[0]) for row in rows] == [2, 3, 4, 5, 6]
    assert wr("audit", "tail", "--after", "-1", url=url).returncode == 2


def test_a_watch_is_left_with_ctrl_c(url: str) -> None:
    run = start(url, "ship", "o-7")
    with in_terminal([*WR, "runs", "watch", run], {"WR_URL": url}) as terminal:
        terminal.until("waits for")
        terminal.press(b"\x03")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.written
