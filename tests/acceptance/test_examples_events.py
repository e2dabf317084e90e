"""The example of events over time: joins, a backtest, a canary and a replay lead to what an own reckoning says."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_better_rule_is_tried_let_in_by_halves_and_made_good() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "event-driven-architecture" / "play.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "SIGKILL at noon" in said
    assert "tasks so far: 17 alarm, 1 close-door, 2 open-gate, 1 technician\n" in said
    assert "6 gained, which nobody was told of, and 48 lost, which were no trouble\n" in said
    assert "nothing was started by that: 17 alarm" in said
    assert "the old rule: bananas-1, flowers\n  the better rule: fish, vaccine-1\n" in said
    assert "9 events that the old rule overlooked are taken in again\n" in said
    assert "vaccine-1: 2 alarm\n" in said
