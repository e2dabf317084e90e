"""`wr demo` does the main job, survives its own kill, and says truly whether it adds up."""

import asyncio
import functools
import json
import sys
from pathlib import Path

import pytest

from tests.fixtures.serving import request, wr
from workflow_router.cli import main
from workflow_router.cli.demo import run
from workflow_router.cli.demo.child import RouterProcess
from workflow_router.utils.clock import SystemClock

FORGETFUL = Path(__file__).parents[1] / "crash" / "acknowledging_early.py"


def test_the_demo_adds_up_and_leaves_a_store_that_verifies(tmp_path: Path) -> None:
    done = wr("demo", "--once", "--json", "--events", "60", "--port", "0", "--keep", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"]
    assert result["mistakes"] == []
    events = result["events"]
    assert events["sent"] == 60
    assert events["accepted"] + events["duplicate"] + sum(events["refused"].values()) == 60
    assert min(events["duplicate"], events["no_mapping"], *events["refused"].values()) >= 1
    assert set(result["runs"]) == {"review_pull_request", "triage_issue", "prepare_release", "announce_release"}
    assert all(set(counts) == {"completed"} for counts in result["runs"].values())
    assert result["approvals"]["approved"] >= 1
    assert result["dispatches"]["classifier"]["failovers"] >= 1
    assert result["messages"]["releases"]["dead"] == 0
    assert result["crash"]["after_answers"] >= 30
    assert result["took_s"] < 60

    verified = wr("audit", "verify", "--json", "--store", f"sqlite:///{tmp_path}/data/router.db")
    assert verified.returncode == 0, verified.stderr
    verdict = json.loads(verified.stdout)
    assert (verdict["intact"], verdict["entries"] >= result["audit"]["entries"]) == (True, True)


def test_the_demo_tells_people_the_same(tmp_path: Path) -> None:
    done = wr("demo", "--once", "--events", "20", "--port", "0", "--keep", tmp_path / "here")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("SIGKILL", "review_pull_request", "classifier-backup", "audit log verified", "Everything adds up"):
        assert words in done.stdout
    assert "Still serving" not in done.stdout


def test_the_demo_leaves_questions_for_whoever_looks(tmp_path: Path) -> None:
    async def main() -> None:
        clock = SystemClock()
        async with run.staged(tmp_path / "demo", seed=7, port=0, clock=clock) as stage:
            waiting = await run.leave_questions(stage, seed=7, clock=clock)
            assert 1 <= waiting == (await asyncio.to_thread(_open_questions, stage.router.address))

    asyncio.run(main())


def _open_questions(url: str) -> int:
    status, body = request(url, "GET", "/api/approvals?status=open")
    assert status == 200
    return len(json.loads(body))


def test_the_demo_of_a_router_that_loses_events_does_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control: a router with a planted bug, which acknowledges before it commits."""
    broken = functools.partial(RouterProcess, arguments=(str(FORGETFUL), "serve"))
    monkeypatch.setattr(run, "RouterProcess", broken)
    monkeypatch.setattr(run, "STILL_S", 2.0)
    monkeypatch.setattr(sys, "argv", ["wr", "demo", "--json", "--port", "0", "--keep", str(tmp_path)])
    with pytest.raises(SystemExit) as leaving:
        main.main()
    assert leaving.value.code == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["ok"]
    assert "accepted, each once" in {mistake["what"] for mistake in result["mistakes"]}
