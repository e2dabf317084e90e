"""Approvals through their doors: the page behind a link, the API, the command line; and on PostgreSQL, at once."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.api_kit import Answer, Door, served
from workflow_router import Router, embed
from workflow_router.core.errors import Conflict
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Decision

FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Refund:
    amount: int
    urgent: bool
    note: str = ""


def office(quorum: int = 1) -> Router:
    router = Router()

    @router.workflow
    async def refund(name: str) -> list[object]:
        answer = await router.approve(
            f"refund {name}", form=Refund, subject={"order": name}, people=["ann", "bob", "cid"], quorum=quorum
        )
        return [answer.status, answer.value]

    assert refund
    return router


async def asked(door: Door, name: str = "<b>7</b>") -> dict[str, Any]:
    await door.call("POST", "/api/runs", {"workflow": "refund", "input": name})
    async with asyncio.timeout(5):
        while not (found := await door.get("/api/approvals?status=open")):  # noqa: ASYNC110  it is asked over HTTP
            await asyncio.sleep(0.01)
    return found[0]


async def link(door: Door, approval: str, person: str, *, approved: bool = True) -> str:
    made = await door.call("POST", f"/api/approvals/{approval}/links", {"person": person, "approved": approved})
    assert made.status == 201, made.body
    return "/approve/" + made.json["url"].rpartition("/")[2]


def page(answer: Answer, status: int) -> str:
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert answer.headers["cache-control"] == "no-store"
    text = answer.body.decode()
    assert "<script" not in text
    assert "<b>" not in text  # what is shown is text, whoever wrote it
    return text


def test_the_page_behind_a_link_asks_and_only_its_button_decides() -> None:
    async def main() -> None:
        async with served(office()) as door:
            approval = await asked(door)
            path = await link(door, approval["id"], "ann")
            for method in ("GET", "HEAD", "GET"):
                answer = await door.call(method, path)
                assert answer.status == 200
            text = page(answer, 200)
            assert approval["hash"] in text
            assert re.findall(r'name="([^"]+)"', text)[1:] == ["value.amount", "value.urgent", "value.note", "reason"]
            assert (await door.get(f"/api/approvals/{approval['id']}"))["decisions"] == []
            assert "amount" in page(await door.call("POST", path, b"value.note=x", FORM), 400)
            assert "integer" in page(await door.call("POST", path, b"value.amount=many", FORM), 400)
            filled = b"value.amount=7&value.urgent=true&value.note=%26&reason=fair"
            assert "approved" in page(await door.call("POST", path, filled, FORM), 200)
            page(await door.call("GET", path), 409)
            page(await door.call("POST", path, filled, FORM), 409)
            page(await door.call("GET", path[:-2]), 403)
            page(await door.call("POST", path[:-2], filled, FORM), 403)
            decision = (await door.get(f"/api/approvals/{approval['id']}"))["decisions"][0]
            assert (decision["by"], decision["via"], decision["reason"]) == ("ann", "link", "fair")
            run = await door.runtime.engine.ended(approval["run"])
            assert run.output is not None
            assert json.loads(run.output) == ["approved", {"amount": 7, "urgent": True, "note": "&"}]

    asyncio.run(main())


def test_a_link_that_rejects_needs_no_form() -> None:
    async def main() -> None:
        async with served(office()) as door:
            approval = await asked(door)
            path = await link(door, approval["id"], "bob", approved=False)
            assert "Reject refund" in page(await door.call("GET", path), 200)
            assert "rejected" in page(await door.call("POST", path, b"", FORM), 200)

    asyncio.run(main())


def wr(door: Door, *arguments: str) -> Any:
    """What a command prints, as JSON."""
    command = [sys.executable, "-m", "workflow_router.cli", "approvals", *arguments, "--url", door.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_command_does_what_it_says() -> None:
    async def main() -> None:
        async with served(office(quorum=2)) as door:
            approval = await asked(door, "7")
            own = approval["id"]

            async def run(*arguments: str) -> Any:
                return await asyncio.to_thread(wr, door, *arguments)

            assert [one["id"] for one in await run("list")] == [own]
            assert (await run("show", own))["subject"] == {"order": "7"}
            handed = await run("delegate", own, "--by", "ann", "--to", "eve", "--reason", "away")
            assert [one["id"] for one in await run("delegate", own, "--list")] == [handed["id"]]
            assert (await run("delegate", "--revoke", handed["id"]))["taker"] == "eve"
            await run("delegate", "--by", "ann", "--to", "eve", "--for", "7d")
            assert (await run("remind", own, "--by", "bob"))["status"] == "open"
            assert "/approve/" in (await run("link", own, "--for", "bob", "--approve", "--valid", "1h"))["url"]
            values, paper = '{"amount": 1, "urgent": false}', "https://x.test/a.pdf=" + "ab" * 32
            said = await run("decide", own, "--approve", "--by", "eve", "--values", values, "--attach", paper)
            assert (said["status"], said["decisions"][0]["seat"]) == ("open", "ann")
            assert said["decisions"][0]["attachments"] == [{"uri": "https://x.test/a.pdf", "sha256": "ab" * 32}]
            assert (await run("withdraw", own, "--by", "bob", "--reason", "dear"))["status"] == "withdrawn"
            assert [one["status"] for one in await run("list", "--status", "all")] == ["withdrawn"]

    asyncio.run(main())


def test_of_many_deciders_on_two_processes_exactly_the_quorum_counts(postgres_dsn: str) -> None:
    """Each process commits its own decisions at the same moment; nobody's is lost, and none counts beyond."""
    router = Router()

    @router.workflow
    async def ask(n: int) -> list[str]:
        return [one.by for one in (await router.approve("go", quorum=3)).decisions]

    async def decide(runtime: Runtime, approval: str, by: str) -> bool:
        try:
            await runtime.approvals.decide(approval, Decision(by=by, approved=True))
        except Conflict:
            return False
        return True

    async def main() -> None:
        async with embed(router, store=postgres_dsn) as one, embed(Router(), store=postgres_dsn) as two:
            runs = [await one.start("ask", b"1") for _ in range(8)]
            async with asyncio.timeout(10):
                while len(open_ones := await one.approvals.list_approvals(tenant="default")) < len(runs):  # noqa: ASYNC110  runs ask when they come to it
                    await asyncio.sleep(0.01)
            for approval in open_ones:
                # The same person at both doors at once, and more people than are wanted.
                tries = [(runtime, f"p{number}") for number in range(3) for runtime in (one, two)]
                landed = await asyncio.gather(*(decide(runtime, approval.id, by) for runtime, by in tries))
                assert sum(landed) == 3
                async with asyncio.timeout(10):
                    output = (await one.engine.ended(approval.run)).output
                assert output is not None
                assert sorted(json.loads(output)) == ["p0", "p1", "p2"]

    asyncio.run(main())


DYING = """
import asyncio, os, signal, sys
from workflow_router import Router, embed
from workflow_router.core.runtime_state.approval_model import Decision

router = Router()
calls = []

@router.step
async def effect(by: str) -> str:
    with open(sys.argv[2], "a") as file:
        file.write(by)
    return by

@router.workflow
async def ask() -> str:
    answer = await router.approve("go", within="1d", remind="1h")
    return await effect(answer.decisions[0].by)

async def main():
    async with embed(router, store="sqlite:///" + sys.argv[1]) as runtime:
        if sys.argv[3] == "die":
            await router.start("ask", run_id="r")
            while not (found := await runtime.approvals.list_approvals(tenant="default")):
                await asyncio.sleep(0.01)
            commit = runtime.store.commit
            async def commit_and_die(unit):
                await commit(unit)
                os.kill(os.getpid(), signal.SIGKILL)
            runtime.approvals._store.commit = commit_and_die
            await runtime.approvals.decide(found[0].id, Decision(by="ann", approved=True))
        async with asyncio.timeout(20):
            print((await runtime.engine.ended("r")).output.decode())

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_a_kill_between_the_decision_and_the_runs_going_on_neither_loses_nor_repeats_it(tmp_path: Path) -> None:
    program = [sys.executable, "-c", DYING, str(tmp_path / "router.db"), str(tmp_path / "effects")]
    died = subprocess.run([*program, "die"], capture_output=True, text=True, check=False, timeout=30, env=os.environ)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "effects").exists()
    for _ in range(2):
        again = subprocess.run([*program, "go on"], capture_output=True, text=True, check=False, timeout=30)
        assert again.stdout.strip() == '"ann"', again.stderr
    assert (tmp_path / "effects").read_text() == "ann"
