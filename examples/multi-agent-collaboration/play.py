"""Plays the team on a copy of this project: asks, kills the router twice, lets the answer out, and reckons at the end.

`python examples/multi-agent-collaboration/play.py` exits with 0 if everything adds up, and with 1 if it does not.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from workflow_router.cli.client import Client
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.example import copy_example
from workflow_router.cli.demo.stand_in_model import StandInModel
from workflow_router.cli.run_stream import items
from workflow_router.utils.clock import SystemClock

WITHIN_S = 25.0
QUESTION = (
    "Shall the harbour replace its three diesel tugs by electric ones within the next four years, and what would have "
    "to be true of the charging berths, the crews and the tariffs for it to pay?"
)
PAID = {"gpt-4.1": 2, "gpt-4.1-mini": 1}  # what the budgets of router.yaml have room for
SHARES = {"expert": 2, "cheap": 1, "nobody": 1}
KILL_AFTER_CHUNKS = 2


class Opinion(msgspec.Struct):
    """See workflows.py."""

    specialist: str
    by: str
    text: str = ""


class Answer(msgspec.Struct):
    """See workflows.py."""

    sent: bool
    opinions: list[Opinion]


class Play:
    """The person and the reader round one router."""

    def __init__(self, router: RouterProcess, models: StandInModel) -> None:
        self.client = Client(router.address)
        self.chunks: list[str] = []
        self.mistakes: list[str] = []
        self._router = router
        self._models = models

    async def tell(self) -> Answer:
        """The story."""
        started = await asyncio.to_thread(self.client.post, "/api/runs", {"workflow": "supervise", "input": QUESTION})
        run = str(started["id"])
        approval = await self.question()
        say(f"  the team has spoken, {sum(self._models.answered.values())} calls were paid, and a person is asked")
        await self.kill("while the person thinks")
        form = {"signature": "Edith", "remark": "well argued"}
        decision = {"by": "edith", "roles": ["editor"], "approved": True, "values": form}
        await asyncio.to_thread(self.client.post, f"/api/approvals/{approval}", decision)
        say("  edith (editor) signs the answer")
        await self.read(run)
        return await self.ended(run)

    async def question(self) -> str:
        """The id of the question to the person, once it is asked."""
        while not (found := await asyncio.to_thread(self.client.list, "/api/approvals", status="open")):  # noqa: ASYNC110 - the router is another process
            await asyncio.sleep(0.02)
        return str(found[0]["id"])

    async def read(self, run: str) -> None:
        """Read the answer while it is written, with a kill in the middle; the reader comes back where it was."""
        enough, loop = asyncio.Event(), asyncio.get_running_loop()

        def follow() -> None:
            for item in items(self.client, f"/api/runs/{run}/streams/answer", 0):
                if item["kind"] == "chunk":
                    self.chunks.append(str(item["data"]))
                if len(self.chunks) == KILL_AFTER_CHUNKS:
                    loop.call_soon_threadsafe(enough.set)

        reader = asyncio.create_task(asyncio.to_thread(follow))
        await enough.wait()
        await self.kill(f"after {KILL_AFTER_CHUNKS} chunks of the answer")
        await reader

    async def ended(self, run: str) -> Answer:
        """What the supervisor came to."""
        while (found := await asyncio.to_thread(self.client.get, f"/api/runs/{run}"))["status"] != "completed":  # noqa: ASYNC110 - the router is another process
            await asyncio.sleep(0.02)
        return msgspec.convert(found["output"], Answer)

    async def kill(self, when: str) -> None:
        """SIGKILL, and a new start."""
        await self._router.kill()
        say(f"  SIGKILL {when}")
        await self._router.start()

    def reckon(self, answer: Answer) -> None:
        """What was paid, by the counter of who is paid; who spoke; and whether each chunk was read once, in order."""
        for one in answer.opinions:
            say(f"  {one.specialist}: {one.by}")
        said = [f"{one.specialist}: {one.text}\n" for one in answer.opinions if one.by != "nobody"]
        self.must(Counter(one.by for one in answer.opinions), SHARES, "asked")
        self.must(self._models.answered, PAID, "paid calls")
        self.must(self.chunks, [*said, "signed: Edith\n"], "chunks")
        self.must(answer.sent, True, "sent")
        say(f"paid calls: {dict(sorted(self._models.answered.items()))}, none repeated over two kills")
        say(f"read: {len(self.chunks)} chunks, each once")

    def must(self, found: object, expected: object, what: str) -> None:
        """Note a mistake."""
        if found != expected:
            self.mistakes.append(f"{what}: {found}, not {expected}")


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> int:
    """Play, reckon, and return the exit code."""
    models = StandInModel(failing={})
    with tempfile.TemporaryDirectory() as place:
        folder = copy_example("multi-agent-collaboration", Path(place) / "team")
        environ = {"MODEL_URL": await models.start(), "MODEL_KEY": "any"}
        router = RouterProcess(folder, free_port(), SystemClock(), log=Path(place) / "router.log", environ=environ)
        play = Play(router, models)
        try:
            await router.start()
            async with asyncio.timeout(WITHIN_S):
                play.reckon(await play.tell())
        finally:
            await router.stop()
            await models.close()
    say("\n".join(f"WRONG: {one}" for one in play.mistakes) or "everything adds up")
    return 1 if play.mistakes else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
