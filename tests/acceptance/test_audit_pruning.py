"""A pruned log through its doors: the API gives what is left, and `wr audit` verifies it, live and exported."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.api_kit import Door, served
from tests.fixtures.serving import wr
from workflow_router import Router
from workflow_router.core.model import Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.checkpoint import Checkpoint, Signer
from workflow_router.core.runtime_state.audit_retention import AuditKeeping


async def grow(door: Door, count: int) -> None:
    async def unit(tx: Transaction) -> None:
        for number in range(count):
            tx.record(Transition(kind="test.told", subject=f"s{number}", actor="ada", detail={"n": number}))

    await door.runtime.store.commit(unit)


async def signed(door: Door) -> str:
    size, root = await door.runtime.store.read(lambda tx: tx.audit.head())
    return Signer("office", bytes(32)).sign(Checkpoint("office", size, root))


def test_a_pruned_log_is_verified_live_and_exported(tmp_path: Path) -> None:
    early, late, exported = tmp_path / "early.txt", tmp_path / "late.txt", tmp_path / "log.jsonl"

    async def main() -> None:
        async with served(Router()) as door:

            async def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
                return await asyncio.to_thread(wr, "audit", *arguments, url=door.url)

            await grow(door, 100)
            early.write_text(await signed(door))
            await grow(door, 600)
            await door.runtime.store.commit(lambda tx: tx.audit.redact(690, actor="dpo", reason="asked to"))
            late.write_text(await signed(door))
            door.runtime.audit.retention.keeping = AuditKeeping(entries=100)
            assert await door.runtime.audit.retention.sweep() == 512
            head = await door.get("/api/audit/head")
            assert head["pruned"] == 512
            assert (await door.call("GET", "/api/audit/tiles/1")).json["number"] == 1
            assert (await door.call("GET", "/api/audit/tiles/2")).status == 404
            assert (await door.call("GET", "/api/audit/tiles/x")).status == 400
            assert (await door.call("GET", "/api/audit/12/proof")).status == 404
            proved = await run("prove", "600")
            assert proved.returncode == 0, proved.stderr
            for kept in ((), ("--checkpoint", early), ("--checkpoint", late)):
                verified = await run("verify", *kept)
                assert f"verified: {head['position']} entries" in verified.stdout, verified.stdout + verified.stderr
            assert (await run("export", "--out", exported)).returncode == 0
        for kept in ((), ("--checkpoint", early), ("--checkpoint", late)):
            verified = wr("audit", "verify", "--export", exported, *kept)
            assert f"verified: {head['position']} entries" in verified.stdout, verified.stdout + verified.stderr

    asyncio.run(main())
    lines = exported.read_text().splitlines()
    assert [json.loads(line).get("number") for line in lines[:3]] == [0, 1, None]

    def broken(changed: list[str], *kept: str | Path) -> tuple[int, int]:
        exported.write_text("\n".join(changed) + "\n")
        verified = wr("audit", "verify", "--export", exported, *kept, "--json")
        return verified.returncode, json.loads(verified.stdout)["bad_position"]

    assert broken([lines[1], lines[0], *lines[2:]]) == (1, 1)
    assert broken([lines[0], *lines[2:]]) == (1, 257)
    assert broken([*lines[:2], *lines[3:]]) == (1, 513)
    edited = lines[0].replace(lines[0][40:60], "0" * 20)
    assert broken([edited, *lines[1:]], "--checkpoint", late)[0] == 1
    at = next(number for number, line in enumerate(lines) if '"position":600,' in line)
    line = json.loads(lines[at])
    del line["salt"], line["transition"]["actor"], line["transition"]["detail"]
    assert broken([*lines[:at], json.dumps(line), *lines[at + 1 :]]) == (1, 600)
    untold = [line for line in lines if "audit.pruned" not in line]
    assert broken(untold) == (1, 1)


@pytest.mark.parametrize("said", ["keep_days: 0", "keep_entries: -1"])
def test_limits_that_make_no_sense_are_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "router.yaml").write_text(f"name: office\nsettings:\n  audit: {{{said}}}\n")
    assert wr("check", tmp_path).returncode == 1
