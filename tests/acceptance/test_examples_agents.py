"""The examples of agents at work end well, and tell what truly happened."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_team_keeps_to_its_budget_and_pays_no_call_twice_over_two_kills() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "multi-agent-collaboration" / "play.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "SIGKILL while the person thinks" in said
    assert "SIGKILL after 2 chunks of the answer" in said
    assert "paid calls: {'gpt-4.1': 2, 'gpt-4.1-mini': 1}, none repeated over two kills\n" in said
    assert "read: 4 chunks, each once\n" in said
    assert ": nobody\n" in said
