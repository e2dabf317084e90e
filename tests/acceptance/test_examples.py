"""The examples' own plays end well, and tell what truly happened."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_expense_process_pays_what_rules_and_people_agreed_to_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "business-process-automation" / "play.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "paid: chair, desk, lunch, server\n" in said
    assert "ann (manager) approves her own chair: refused (403)" in said
    assert "bob (manager) approves the server again: refused (409)" in said
    assert "eve (director) approves the desk before she is asked: refused (403)" in said
    assert "eve (director) approves after the escalation: taken" in said
    assert "entries, verified" in said
