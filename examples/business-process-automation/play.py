"""Plays the expense process on a copy of this project: sends expenses, answers as people do, and reckons at the end.

`python examples/business-process-automation/play.py` exits with 0 if everything adds up, and with 1 if it does not.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from workflow_router.cli.demo.api import Api
from workflow_router.cli.demo.child import RouterProcess, free_port
from workflow_router.cli.demo.client import Client
from workflow_router.cli.demo.example import copy_example
from workflow_router.utils.clock import SystemClock

WITHIN_S = 15.0
EXPENSES = (("lunch", 20, True), ("taxi", 30, False), ("chair", 300, True), ("server", 5_000, True))
SLOW = (("desk", 700, True), ("sofa", 400, True))
MUST_BE_PAID = ["chair", "desk", "lunch", "server"]
MUST_BE_AUDITED = ("approval.delegated", "approval.reminded", "approval.escalated")


class Paid(msgspec.Struct):
    """A line of the ledger."""

    id: str


class Asked(msgspec.Struct):
    """What a question is about."""

    expense: str


class Play:
    """The people round one router."""

    def __init__(self, client: Client, address: str) -> None:
        self.api = Api(client, address)
        self._client = client
        self._address = address
        self.mistakes: list[str] = []

    async def submit(self, name: str, amount: int, receipt: bool) -> None:
        """Ann wants money."""
        event = {"specversion": "1.0", "id": name, "source": "/expenses", "type": "expense.submitted"}
        data = {"id": name, "by": "ann", "amount": amount, "receipt": receipt}
        status = await self._post("/events", {**event, "data": data}, "application/cloudevents+json")
        self._told(f"ann submits {name} for {amount}", status, accepted=True)

    async def question(self, name: str) -> str:
        """The id of the question about an expense, once it is asked."""
        while True:
            for approval in await self.api.open_approvals():
                if msgspec.json.decode(approval.context, type=Asked).expense == name:
                    return approval.id
            await asyncio.sleep(0.02)

    async def decide(self, approval: str, by: str, role: str, *, accepted: bool = True, why: str = "") -> None:
        """Somebody says yes; whether the router must take it."""
        self._told(f"{by} ({role}) approves {why}", await self._yes(approval, by, role), accepted=accepted)

    async def delegate(self, approval: str, by: str, to: str) -> None:
        """Let somebody else decide."""
        body = {"by": by, "to": to, "roles": ["manager"], "approval": approval, "reason": "on holiday"}
        self._told(f"{by} lets {to} decide", await self._post("/api/delegations", body), accepted=True)

    async def decide_when_asked(self, approval: str, by: str, role: str) -> None:
        """Say yes again and again until the question has been escalated to this person."""
        while (status := await self._yes(approval, by, role)) == 403:  # noqa: ASYNC110 - the router is another process
            await asyncio.sleep(0.05)
        self._told(f"{by} ({role}) approves after the escalation", status, accepted=True)

    async def everything_ended(self) -> None:
        """Wait for all runs."""
        expected = len(EXPENSES) + len(SLOW)
        while [run.status for run in await self.api.runs()].count("completed") < expected:  # noqa: ASYNC110 - the router is another process
            await asyncio.sleep(0.05)

    async def _yes(self, approval: str, by: str, role: str) -> int:
        body = {"by": by, "roles": [role], "approved": True, "values": {"comment": "fine"}}
        return await self._post(f"/api/approvals/{approval}", body)

    async def _post(self, path: str, body: object, kind: str = "application/json") -> int:
        content = msgspec.json.encode(body)
        status, _ = await self._client.request("POST", self._address + path, content, {"content-type": kind})
        return status

    def _told(self, what: str, status: int, *, accepted: bool) -> None:
        sys.stdout.write(f"  {what}: {'taken' if status < 300 else f'refused ({status})'}\n")
        if (status < 300) is not accepted:
            self.mistakes.append(f"{what}: got {status}")


async def tell(play: Play) -> None:
    """The story."""
    for name, amount, receipt in EXPENSES:
        await play.submit(name, amount, receipt)
    chair, server = await play.question("chair"), await play.question("server")
    await play.decide(chair, "ann", "manager", accepted=False, why="her own chair")
    await play.decide(chair, "bob", "manager", why="the chair")
    await play.decide(server, "bob", "manager", why="the server, which needs two")
    await play.decide(server, "bob", "manager", accepted=False, why="the server again")
    await play.delegate(server, "cid", "dan")
    await play.decide(server, "dan", "manager", why="the server in cid's place")
    for name, amount, receipt in SLOW:
        await play.submit(name, amount, receipt)
    desk = await play.question("desk")
    await play.decide(desk, "eve", "director", accepted=False, why="the desk before she is asked")
    await play.decide_when_asked(desk, "eve", "director")
    sys.stdout.write("  nobody answers about the sofa: the deadline refuses it\n")
    await play.everything_ended()


def paid_by(ledger: Path) -> list[str]:
    """The expenses that the ledger has, each as often as it was paid."""
    return sorted(msgspec.json.decode(line, type=Paid).id for line in ledger.read_bytes().splitlines())


async def reckon(play: Play, ledger: Path) -> None:
    """What was paid, and whether the audit log is whole and tells of everything."""
    paid = paid_by(ledger)
    audit = await play.api.audit()
    kinds = {line.transition.kind for line in audit.entries}
    if paid != MUST_BE_PAID:
        play.mistakes.append(f"paid: {paid}")
    if not audit.verified:
        play.mistakes.append("the audit log does not verify")
    play.mistakes += [f"the audit log has no {kind}" for kind in MUST_BE_AUDITED if kind not in kinds]
    sys.stdout.write(f"paid: {', '.join(paid)}\n")
    sys.stdout.write(f"audit: {len(audit.entries)} entries, {'verified' if audit.verified else 'NOT verified'}\n")


async def main() -> int:
    """Play, reckon, and return the exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = copy_example("business-process-automation", Path(place) / "expenses")
        (folder / "data").mkdir()
        router = RouterProcess(
            folder, free_port(), SystemClock(), log=Path(place) / "router.log", environ={"DAY_S": "0.8"}
        )
        client = Client()
        play = Play(client, router.address)
        try:
            await router.start()
            async with asyncio.timeout(WITHIN_S):
                await tell(play)
                await reckon(play, folder / "data" / "paid.jsonl")
        finally:
            await client.aclose()
            await router.stop()
    sys.stdout.write(
        "everything adds up\n" if not play.mistakes else "".join(f"WRONG: {one}\n" for one in play.mistakes)
    )
    return 1 if play.mistakes else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
