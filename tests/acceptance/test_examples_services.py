"""The example of services that fail: a saga over real HTTP services pays nothing twice and leaves nothing half done."""

import subprocess
import sys
from pathlib import Path

PLAY = Path(__file__).parents[2] / "examples" / "microservice-orchestration" / "play.py"


def played(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The play, to its end."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_saga_pays_nothing_twice_and_leaves_nothing_half_done_over_two_kills() -> None:
    done = played(str(PLAY))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "SIGKILL while the money is taken, and the answer is not sent yet" in said
    assert "SIGKILL while the sofa is being undone, and the money is on its way back" in said
    assert "charge 1 (asked 2 times)\n" in said
    assert "refund 1 (asked 2 times)\n" in said
    assert "money: 1010 charged, 700 given back, 310 kept\n" in said
    assert "nothing was done twice, though " in said


def test_the_play_tells_when_a_service_forgets_its_keys() -> None:
    """The control: with services that do what they are asked each time, the reckoning must not add up."""
    planted = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[1]); import play, services;"
        "answer = services.Service.answer; known = iter(range(10**6));"
        "services.Service.answer = lambda self, verb, order, key: answer(self, verb, order, str(next(known)));"
        "sys.exit(asyncio.run(play.main()))"
    )
    done = played("-c", planted, str(PLAY.parent))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG: done twice: [('charge', 'lamp')" in done.stdout
