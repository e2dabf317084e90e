"""SIGKILL at every commit boundary of a run that does some of everything; see `boundaries.py`, `endless.py` and
`summer_time.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soaking import SHARE

ROOT = Path(__file__).parents[2]
STRIDE = "1" if SHARE else "3"  # every boundary in the long runs


def killed(script: str, folder: Path, *arguments: str) -> list[str]:
    """What the script says, line by line."""
    command = [sys.executable, "-m", f"tests.crash.{script}", str(folder), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT).stdout.splitlines()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_run_survives_a_kill_at_every_commit_boundary(tmp_path: Path) -> None:
    *wrong, kills = killed("boundaries", tmp_path, STRIDE)
    assert not wrong
    assert int(kills) >= 15


def test_a_store_that_acknowledges_what_it_lost_is_caught(tmp_path: Path) -> None:
    *wrong, _ = killed("boundaries", tmp_path, "3", "lying")
    assert any("G1" in what or "G2" in what for what in wrong), wrong


@pytest.mark.soak
def test_an_endless_run_and_its_archive_survive_a_kill_at_every_commit_boundary(tmp_path: Path) -> None:
    *wrong, kills = killed("endless", tmp_path, STRIDE)
    assert not wrong
    assert int(kills) >= 20


def test_a_lost_order_of_an_endless_run_is_caught(tmp_path: Path) -> None:
    *wrong, _ = killed("endless", tmp_path, "3", "lying")
    assert any("G1" in what for what in wrong), wrong


@pytest.mark.soak
def test_a_schedule_that_catches_up_with_a_night_of_25_hours_meets_each_moment_once(tmp_path: Path) -> None:
    *wrong, kills = killed("summer_time", tmp_path, STRIDE)
    assert not wrong
    assert int(kills) >= 6


def test_a_schedule_that_moves_on_before_its_moments_are_met_is_caught(tmp_path: Path) -> None:
    *wrong, _ = killed("summer_time", tmp_path, "3", "hasty")
    assert wrong
