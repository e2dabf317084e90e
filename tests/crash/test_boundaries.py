"""SIGKILL at every commit boundary of a run that does some of everything; see `boundaries.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("boundaries.py")


def killed(folder: Path, *arguments: str) -> list[str]:
    """What the script says, line by line."""
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_run_survives_a_kill_at_every_commit_boundary(tmp_path: Path) -> None:
    *wrong, kills = killed(tmp_path, "1" if os.environ.get("SOAK") else "3")
    assert not wrong
    assert int(kills) >= 15


def test_a_store_that_acknowledges_what_it_lost_is_caught(tmp_path: Path) -> None:
    *wrong, _ = killed(tmp_path, "3", "lying")
    assert any("G1" in what or "G2" in what for what in wrong), wrong
