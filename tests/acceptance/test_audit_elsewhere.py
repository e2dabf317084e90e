"""The audit log elsewhere: checkpoints in a file, a topic and a webhook, and its entries in a topic, whole and once."""

import base64
import http.server
import json
import os
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.serving import request, served, until, wr
from workflow_router.core.proofs.checkpoint import verify_checkpoint

FILE = """\
name: office
python: []
topics: {notes: {}, log: {}, orders: {}}
subscriptions:
  - {name: keeper, topic: notes}
  - {name: siem, topic: log}
routes:
  vault:
    retry: {attempts: 1, first_s: 0.1, max_s: 0.1}
    targets: [{name: vault, kind: http, url: {env: VAULT_URL}, allow_private: true}]
settings:
  audit:
    key: {env: AUDIT_KEY_OF_TEST}
    checkpoint_s: 1
    checkpoint_file: elsewhere/notes.txt
    checkpoint_topic: notes
    checkpoint_route: vault
    export_topic: log
"""


JSON = {"content-type": "application/json"}


class Vault(http.server.ThreadingHTTPServer):
    """A webhook that is broken at first."""

    daemon_threads = True

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refused = 0
        self.came = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        vault = self.server
        assert isinstance(vault, Vault)
        note = self.rfile.read(int(self.headers["content-length"])).decode()
        broken = vault.refused == 0
        if broken:
            vault.refused += 1
        else:
            vault.taken.append(note)
            vault.came.set()
        self.send_response(500 if broken else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in `http.server`
        """Say nothing."""


@pytest.fixture(name="vault")
def _vault() -> Generator[Vault]:
    with Vault() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def taken(url: str, subscription: str) -> list[Any]:
    """The bodies of all messages that a subscription has, taken and acknowledged."""
    found: list[Any] = []
    while True:
        body = json.dumps({"limit": 100, "wait_s": 0}).encode()
        status, answer = request(url, "POST", f"/api/subscriptions/{subscription}/pull", body, JSON)
        assert status == 200, answer
        messages = json.loads(answer)
        if not messages:
            return found
        for one in messages:
            found.append(one["body"])
            lease = {name: one[name] for name in ("message_id", "token")}
            status, answer = request(
                url, "POST", f"/api/subscriptions/{subscription}/ack", json.dumps(lease).encode(), JSON
            )
            assert status == 200, answer


def in_file(path: Path) -> list[str]:
    """The checkpoints that were added to a file."""
    parts = path.read_text().strip("\n").split("\n\n")
    return [f"{said}\n\n{signed}\n" for said, signed in zip(parts[::2], parts[1::2], strict=True)]


def grow(url: str, count: int) -> None:
    for number in range(count):
        body = json.dumps({"body": {"number": number}}).encode()
        request(url, "POST", "/api/topics/orders/messages", body, JSON)


def test_checkpoints_are_kept_in_a_file_a_topic_and_a_webhook_and_show_a_log_grown_anew(
    tmp_path: Path, vault: Vault
) -> None:
    folder = tmp_path / "office"
    folder.mkdir()
    (folder / "router.yaml").write_text(FILE)
    environ = {
        "AUDIT_KEY_OF_TEST": base64.b64encode(os.urandom(32)).decode(),
        "VAULT_URL": f"http://127.0.0.1:{vault.server_port}",
    }
    kept = folder / "elsewhere" / "notes.txt"
    with served(folder, environ) as url:
        grow(url, 3)
        assert vault.came.wait(30), "a place that fails is tried again with the next checkpoint"
        grow(url, 3)
        key = json.loads(request(url, "POST", "/api/audit/checkpoint", b"{}", JSON)[1])["key"]
        told = taken(url, "keeper")
        size = json.loads(request(url, "GET", "/api/audit/head")[1])["position"]
        for note in (in_file(kept)[0], told[0], vault.taken[0]):
            assert 0 < verify_checkpoint(note, key).size <= size
        verified = wr("audit", "verify", "--checkpoint", kept, "--key", key, url=url)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert verified.stdout.endswith(" says.\n")
        assert "as the checkpoint of" in verified.stdout
        unchecked = wr("audit", "verify", "--checkpoint", kept, url=url)
        assert "its signature was not checked" in unchecked.stdout, "anybody could have written that file"
        said = json.loads(wr("audit", "verify", "--checkpoint", kept, "--json", url=url).stdout)
        assert said["signature_checked"] is False
    assert vault.refused == 1
    assert len(in_file(kept)) > 1
    # Somebody who can write the whole store cuts off its end: only what was kept elsewhere shows it.
    last = verify_checkpoint(in_file(kept)[-1], key)
    store = folder / "data" / "router.db"
    assert wr("audit", "verify", "--store", f"sqlite:///{store}", "--checkpoint", kept, "--key", key).returncode == 0
    with sqlite3.connect(store) as connection:
        connection.execute("DELETE FROM audit_log WHERE position >= ?", [last.size])
    connection.close()
    shown = wr("audit", "verify", "--store", f"sqlite:///{store}", "--checkpoint", kept, "--key", key)
    assert shown.returncode == 1
    assert "broken at" in shown.stdout


def test_every_entry_is_exported_to_a_topic_once_over_a_restart_and_verifies(tmp_path: Path, vault: Vault) -> None:
    folder = tmp_path / "office"
    folder.mkdir()
    (folder / "router.yaml").write_text(FILE.replace("    checkpoint_s: 1\n", ""))
    environ = {
        "AUDIT_KEY_OF_TEST": base64.b64encode(os.urandom(32)).decode(),
        "VAULT_URL": f"http://127.0.0.1:{vault.server_port}",
    }
    own: dict[int, Any] = {}
    parts: list[Any] = []
    for _ in range(2):
        with served(folder, environ) as url:
            grow(url, 20)
            lines = json.loads(request(url, "GET", "/api/audit?limit=1000")[1])
            # What tells of the export itself is not exported for its own sake.
            last = max(line["position"] for line in lines if line["transition"].get("correlation") != "audit")

            def exported(_: object, url: str = url, last: int = last) -> bool | None:
                parts.extend(taken(url, "siem"))
                return True if parts and parts[-1]["last"] >= last else None

            until(url, exported)
            lines = json.loads(request(url, "GET", "/api/audit?limit=1000")[1])
            own = {line["position"]: line for line in lines}
    assert [part["first"] for part in parts[1:]] == [part["last"] + 1 for part in parts[:-1]], "no gap, nothing twice"
    for part in parts:
        assert [line["position"] for line in part["entries"]] == list(range(part["first"], part["last"] + 1))
        assert all(line == own[line["position"]] for line in part["entries"])
    # With what was there before the export began, it is a whole log, which is verified anywhere.
    before = [own[position] for position in range(1, parts[0]["first"])]
    whole = before + [line for part in parts for line in part["entries"]]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole))
    verified = wr("audit", "verify", "--export", tmp_path / "log.jsonl")
    assert f"verified: {parts[-1]['last']} entries" in verified.stdout, verified.stdout
    whole[5]["transition"]["subject"] = "other"
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole))
    assert "broken at 6" in wr("audit", "verify", "--export", tmp_path / "log.jsonl").stdout


def test_topics_that_are_not_there_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(FILE.replace("export_topic: log", "export_topic: logs"))
    checked = wr("check", tmp_path)
    assert checked.returncode == 1
    assert "There is no topic `logs`. Did you mean `log`?" in checked.stdout
