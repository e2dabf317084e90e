"""`wr` against a running router: every command that talks to one, and what happens when something is in the way."""

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fixtures.serving import request, served, until, wr
from workflow_router.cli.demo.child import free_port
from workflow_router.cli.demo.example import copy_example
from workflow_router.cli.demo.github_events import sign

SECRET = "known to both"
REAL = Path(__file__).parents[2] / "../shared/data/github-webhooks.jsonl"
Json = dict[str, object]


@pytest.fixture(scope="module")
def model() -> Generator[str, None, None]:
    """The stand-in model server, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "workflow_router.cli.demo.stand_in_model", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"Stand-in" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_example("github-triage", tmp_path_factory.mktemp("cli") / "project")


@pytest.fixture(scope="module")
def url(project: Path, model: str) -> Generator[str, None, None]:
    environ = {"GITHUB_WEBHOOK_SECRET": SECRET, "MODEL_URL": model, "MODEL_KEY": "any"}
    with served(project, environ) as address:
        yield address


def answer(url: str, *arguments: str, given: str = "") -> object:
    """What a command prints as JSON."""
    done = wr(*arguments, "--json", url=url, given=given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_in_status(url: str, run: str, status: str) -> Json:
    deadline = time.monotonic() + 20
    while (found := cast("Json", answer(url, "runs", "show", run)))["status"] != status:
        assert time.monotonic() < deadline, found
    return found


PULL: Json = {
    "delivery": "d-1",
    "repository": "octo-org/api",
    "number": 1,
    "title": "Rotate the secret",
    "author": "me",
    "branch": "rotate",
    "commit": "0" * 40,
    "changed_files": 1,
    "labels": [],
}


def start_review(url: str, delivery: str) -> str:
    given = json.dumps({**PULL, "delivery": delivery})
    return str(cast("Json", answer(url, "runs", "start", "review_pull_request", "--input", given))["id"])


# --- commands -------------------------------------------------------------------------------------------------------


def test_a_run_is_started_waits_for_a_person_and_goes_on_when_one_decides(url: str, project: Path) -> None:
    run = start_review(url, "d-decided")
    run_in_status(url, run, "waiting")
    asked = [one for one in cast("list[Json]", answer(url, "approvals", "list")) if one["run"] == run]
    approval = str(asked[0]["id"])
    assert "it is about secret" in wr("approvals", url=url).stdout

    refused = wr("approvals", "decide", approval, "--approve", "--by", "ada", url=url)
    assert (refused.returncode, "maintainer" in refused.stderr) == (2, True)
    decided = wr("approvals", "decide", approval, "--approve", "--by", "ada", "--role", "maintainer", url=url)
    assert decided.stdout == f"{approval} is approved.\n"
    again = wr("approvals", "decide", approval, "--reject", "--by", "bob", "--role", "maintainer", url=url)
    assert (again.returncode, "Traceback" in again.stderr) == (2, False)

    found = run_in_status(url, run, "completed")
    assert cast("Json", found["output"])["state"] == "approved"
    assert "review:d-decided" in (project / "data" / "effects.jsonl").read_text()
    shown = wr("runs", "show", run, url=url).stdout
    told = cast("Json", answer(url, "runs", "show", run))
    (step,) = [one for one in cast("list[Json]", told["steps"]) if one["name"] == "post_review"]
    called = cast("Json", answer(url, "runs", "input", run, str(step["key"])))
    assert cast("Json", called["arguments"])["delivery"] == "d-decided"
    assert wr("runs", "input", run, "99/99", url=url).returncode == 2
    assert all(word in shown for word in ("risky-pull-request", "post_review", "review-model"))


def test_a_waiting_run_can_be_cancelled_once(url: str) -> None:
    run = start_review(url, "d-cancelled")
    run_in_status(url, run, "waiting")
    assert wr("runs", "signal", run, "nudge", "--value", '{"n": 1}', url=url).stdout == f"Sent nudge to {run}.\n"
    assert wr("runs", "cancel", run, url=url).stdout == f"{run} is cancelled.\n"
    assert wr("runs", "cancel", run, url=url).returncode == 2
    assert wr("runs", "resume", run, url=url).returncode == 2
    listed = cast("dict[str, list[Json]]", answer(url, "runs", "list", "--status", "cancelled"))
    assert run in {one["id"] for one in listed["runs"]}


def test_runs_are_paused_forked_compared_and_cancelled_by_filter(url: str) -> None:
    run = start_review(url, "d-paused")
    run_in_status(url, run, "waiting")
    assert wr("runs", "pause", run, url=url).stdout == f"{run} is suspended.\n"
    assert wr("runs", "resume", run, url=url).stdout.startswith(f"{run} is ")
    run_in_status(url, run, "waiting")
    forked = str(cast("Json", answer(url, "runs", "fork", run))["id"])
    run_in_status(url, forked, "waiting")
    compared = cast("list[Json]", answer(url, "runs", "diff", run, forked))
    assert compared[0]["what"] == "same"
    assert " completed: " in wr("runs", "diff", run, forked, url=url).stdout.splitlines()[1]
    assert wr("runs", "retry", forked, url=url).returncode == 2  # it did not fault
    for one in (run, forked):
        assert wr("runs", "pause", one, url=url).returncode == 0
    refused = wr("runs", "cancel", "--status", "suspended", url=url)
    assert (refused.returncode, "Add --yes" in refused.stderr) == (2, True)
    done = cast("Json", answer(url, "runs", "cancel", "--status", "suspended", "--yes"))
    assert sorted(cast("list[str]", done["done"])) == sorted([run, forked])
    assert done["refused"] == []
    assert cast("Json", answer(url, "runs", "show", forked))["status"] == "cancelled"


@pytest.mark.parametrize("shape", ["one", "list", "lines"])
def test_events_are_sent_listed_and_shown(url: str, shape: str) -> None:
    events = [
        {"type": "com.example.ping", "id": f"{shape}-{n}", "data": {"n": n}} for n in range(1 if shape == "one" else 3)
    ]
    whole = json.dumps(events[0]) if shape == "one" else json.dumps(events)
    given = "\n".join(map(json.dumps, events)) if shape == "lines" else whole
    sent = cast("list[Json]", answer(url, "events", "send", "-", given=given))
    assert [one["duplicate"] for one in sent] == [False] * len(events)
    again = wr("events", "send", "-", url=url, given=given)
    assert again.stdout == f"Sent {len(events)}, {len(events)} of them known before; 0 runs started.\n"
    shown = cast("dict[str, Json]", answer(url, "events", "show", str(sent[0]["id"])))
    assert shown["event"]["source"] == "/wr"
    assert "com.example.ping" in wr("events", url=url).stdout


def test_topics_are_listed_with_their_counts(url: str) -> None:
    release = {"delivery": "d-r", "repository": "a/b", "tag": "v1", "notes": None, "url": "https://example.org"}
    run = str(cast("Json", answer(url, "runs", "start", "prepare_release", "--input", json.dumps(release)))["id"])
    run_in_status(url, run, "completed")
    (topic,) = cast("list[dict[str, Json]]", answer(url, "topics", "list"))
    assert cast("int", topic["counts"]["published"]) >= 1
    assert "releases" in wr("topics", url=url).stdout


def test_messages_from_the_command_line(url: str) -> None:
    for arguments in (
        ("topics", "create", "live", "--max-messages", "9"),
        ("subscriptions", "create", "reader", "live", "--max-deliveries", "1", "--lease-ms", "1"),
    ):
        assert wr(*arguments, url=url).returncode == 0
    answer(url, "topics", "publish", "live", "1", "--key", "k", "--priority", "1", "--header", "a=b")
    published = cast("Json", answer(url, "topics", "publish", "live", "--lines", given="2\n3\n"))
    assert len(cast("list[str]", published["ids"])) == 2
    assert wr("topics", "publish", "live", url=url).returncode == 2
    assert [one["body"] for one in cast("list[Json]", answer(url, "topics", "peek", "live", "--after", "1"))] == [2, 3]
    assert len(cast("list[Json]", answer(url, "subscriptions", "peek", "reader", "--limit", "2"))) == 2
    assert "reader" in wr("subscriptions", url=url).stdout
    pulled = cast("list[Json]", answer(url, "subscriptions", "pull", "reader", "--limit", "1", "--ack"))
    assert [one["body"] for one in pulled] == [1]
    assert len(cast("list[Json]", answer(url, "subscriptions", "pull", "reader"))) == 2
    deadline = time.monotonic() + 10
    while len(cast("list[Json]", answer(url, "subscriptions", "dead-letters", "reader"))) < 2:
        answer(url, "subscriptions", "pull", "reader")  # which finds that their only lease has run out
        assert time.monotonic() < deadline
    redriven = answer(url, "subscriptions", "redrive", "reader", "--filter", '{"body": [3]}', "--per-s", "10")
    assert redriven == {"redriven": 1}
    assert answer(url, "subscriptions", "seek", "reader", "beginning") == {"lag": 3}
    assert wr("topics", "request", "live", "1", "--within", "0.1", url=url).returncode == 2
    for arguments in (
        ("subscriptions", "purge", "reader", "--yes"),
        ("subscriptions", "delete", "reader", "--yes"),
        ("topics", "delete", "live", "--yes"),
    ):
        assert wr(*arguments, url=url).returncode == 0


def test_a_pulled_message_is_given_back_and_done_by_hand(url: str) -> None:
    answer(url, "topics", "create", "hand")
    answer(url, "subscriptions", "create", "by-hand", "hand")
    answer(url, "topics", "publish", "hand", "1")
    first = cast("list[Json]", answer(url, "subscriptions", "pull", "by-hand"))[0]
    given_back = ("subscriptions", "nack", "by-hand", str(first["message_id"]), str(first["token"]), "--delay-ms", "0")
    assert wr(*given_back, url=url).stdout == f"{first['message_id']} comes again.\n"
    again = cast("list[Json]", answer(url, "subscriptions", "pull", "by-hand", "--wait", "10"))[0]
    assert (again["message_id"], again["attempt"]) == (first["message_id"], 2)
    done = ("subscriptions", "ack", "by-hand", str(again["message_id"]), str(again["token"]))
    assert wr(*done, url=url).stdout == f"{again['message_id']} is done.\n"
    assert wr(*done, url=url).returncode == 2
    assert answer(url, "subscriptions", "pull", "by-hand") == []


def test_workflows_mappings_and_routes_are_shown_and_tried(url: str, tmp_path: Path) -> None:
    assert "review_pull_request" in wr("workflows", url=url).stdout
    file = tmp_path / "triage.yaml"
    file.write_text(wr("mappings", "show", "triage-issue", url=url).stdout, encoding="utf-8")
    event = '{"type": "com.github.issues.opened", "data": {"issue": {}}}'
    assert "triage-issue" in wr("mappings", "test", "-", "--with", file, url=url, given=event).stdout
    assert wr("mappings", "put", file, "--override", url=url).stdout == "triage-issue is now version 2, live.\n"
    answer(url, "mappings", "delete", "triage-issue")
    missing = wr("mappings", "show", "triage-issue", "--version", "99", url=url)
    assert (missing.returncode, "wr mappings versions triage-issue" in missing.stderr) == (2, True)
    said = cast("Json", answer(url, "routes", "try", "review-model"))
    assert said["object"] == "chat.completion"
    assert answer(url, "events", "list", "--type", "com.none.") == {"events": [], "next": None}
    start_review(url, "d-paged")
    newest = cast("dict[str, list[Json]]", answer(url, "runs", "list", "--limit", "1"))["runs"]
    older = cast("dict[str, list[Json]]", answer(url, "runs", "--before", str(newest[0]["id"]), "--limit", "5"))["runs"]
    assert newest[0]["id"] not in {one["id"] for one in older}


def test_the_audit_log_is_read_and_verified(url: str) -> None:
    run = start_review(url, "d-audited")
    run_in_status(url, run, "waiting")
    assert run in wr("audit", "tail", "--limit", "50", url=url).stdout
    verified = wr("audit", "verify", url=url)
    assert (verified.returncode, verified.stdout.startswith("Audit log verified: ")) == (0, True)


def test_what_is_not_there_and_what_does_not_fit_is_told(url: str) -> None:
    for arguments, says in (
        (["runs", "show", "nothing"], "There is no run"),
        (["runs", "start", "nothing"], "There is no workflow nothing"),
        (["runs", "start", "triage_issue", "--input", "{}"], "does not fit"),
        (["runs", "signal", "nothing", "nudge"], "There is no run"),
        (["runs", "signal", "nothing", "nudge", "--value", "{"], "--value is not JSON"),
        (["events", "show", "nothing"], "There is no event"),
        (["runs", "list", "--status", "asleep"], "status"),
    ):
        done = wr(*arguments, url=url)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert says in done.stderr


# --- something in the way -------------------------------------------------------------------------------------------


def test_a_port_in_use_is_told(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = wr("serve", project, "--listen", f"127.0.0.1:{port}", "--store", "sqlite:///:memory:")
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "--listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_process_on_the_same_store_is_told(url: str, project: Path) -> None:
    store = f"sqlite:///{project}/data/router.db"
    second = wr("serve", project, "--listen", "127.0.0.1:0", "--store", store)
    for done in (second, wr("audit", "verify", "--store", store), wr("migrate", store)):
        assert done.returncode == 3
        assert "Another process" in done.stderr
        assert "Traceback" not in done.stderr
    assert request(url, "GET", "/readyz")[0] == 200


def test_a_new_store_is_migrated_once_and_verifies(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/new.db"
    assert wr("migrate", store).stdout.startswith("Applied ")
    assert wr("migrate", store).stdout == "It is up to date.\n"
    assert wr("audit", "verify", "--store", store).stdout.startswith("Audit log verified: 0 entries")


def test_a_store_newer_than_the_code_is_told_and_left_alone(tmp_path: Path, project: Path) -> None:
    file = tmp_path / "newer.db"
    assert wr("migrate", f"sqlite:///{file}").returncode == 0
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE migrations SET number = number + 9000, name = name || '_breaking'")
        connection.execute("INSERT INTO migrations SELECT number - 9000, name, checksum, applied_ms FROM migrations")
    before = file.read_bytes()
    for command in (
        ["migrate"],
        ["audit", "verify", "--store"],
        ["serve", project, "--listen", "127.0.0.1:0", "--store"],
    ):
        done = wr(*command, f"sqlite:///{file}")
        assert (done.returncode, "Traceback" in done.stderr) == (3, False)
        assert "newer" in done.stderr
    assert file.read_bytes() == before


def test_check_tells_every_mistake_at_once_with_line_and_remedy(tmp_path: Path) -> None:
    project = copy_example("github-triage", tmp_path / "project")
    file = project / "router.yaml"
    text = file.read_text()
    for right, wrong in (
        ("scheme: github", "scheme: gitbub"),
        ("policy: failover", "policy: fastest"),
        ("topic: releases,", "topic: release,"),
        ('when: "!event.data', 'when: "!!(event.data'),
        ("attempts: 4", "attempts: four"),
        ("listen: 127.0.0.1:8787", "listen: 8787"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    file.write_text(text)
    told = wr("check", project)
    assert told.returncode == 1
    lines = text.splitlines()
    found = cast("Json", json.loads(wr("check", project, "--json").stdout))
    mistakes = cast("list[Json]", found["mistakes"])
    assert len(mistakes) >= 6
    assert all(mistake["remedy"] for mistake in mistakes)
    blamed = {lines[cast("int", mistake["line"]) - 1].strip().partition(":")[0] for mistake in mistakes}
    assert {"listen", "when", "policy"} <= blamed
    assert told.stdout.count(str(file)) == len(mistakes)
    assert wr("serve", project).returncode == 2


def test_check_tells_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    project = copy_example("github-triage", tmp_path / "project")
    module = project / "workflows.py"
    text = module.read_text()
    module.write_text(text.replace("import asyncio", "import asyncio\nimport no_such_module"))
    told = wr("check", project)
    assert (told.returncode, "workflows.py:9:" in told.stdout) == (1, True)
    module.write_text(text.replace("async def triage_issue", "async def triage_issues"))
    told = wr("check", project)
    assert (told.returncode, "Did you mean `triage_issues`" in told.stdout) == (1, True)


# --- real webhooks --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="the file of real webhooks is not beside this checkout")
def test_every_real_webhook_is_accounted_for(tmp_path: Path, model: str) -> None:
    project = copy_example("github-triage", tmp_path / "project")
    environ = {"GITHUB_WEBHOOK_SECRET": SECRET, "MODEL_URL": model, "MODEL_KEY": "any"}
    records = [json.loads(line) for line in REAL.read_text().splitlines()]
    starts: Counter[str] = Counter()
    with served(project, environ) as url:
        for at, record in enumerate(records):
            body = json.dumps(record["payload"]).encode()
            headers = {"content-type": "application/json", "x-github-event": record["event"]}
            headers |= {"x-github-delivery": f"real-{at}", "x-hub-signature-256": sign(body, SECRET)}
            status, content = request(url, "POST", "/webhooks/github", body, headers)
            assert status == 202, (record["event"], content)
            wanted = expected_start(record["event"], record["payload"])
            assert len(json.loads(content)["runs"]) == (wanted is not None), (record["event"], content)
            starts.update([wanted] if wanted else [])
        assert len(records) == 238
        assert {"review_pull_request", "triage_issue", "prepare_release"} == set(starts)
        starts["announce_release"] = starts["prepare_release"]
        runs = until(url, settled)
        assert {name: sum(counts.values()) for name, counts in runs.items()} == starts
        assert all(set(counts) <= {"completed", "waiting"} for counts in runs.values())
        events = json.loads(request(url, "GET", "/api/state")[1])["events"]
        assert events["accepted"] == 238
        assert events["accepted"] - events["unmapped"] == sum(starts.values()) - starts["announce_release"]
        assert wr("audit", "verify", url=url).returncode == 0


def expected_start(event: str, payload: Json) -> str | None:
    """The workflow that the example's mappings promise, said once more in Python."""
    match event, payload.get("action"):
        case "pull_request", "opened" | "synchronize":
            return None if cast("Json", payload["pull_request"])["draft"] else "review_pull_request"
        case "issues", "opened":
            return "triage_issue"
        case "release", "published":
            return None if cast("Json", payload["release"])["prerelease"] else "prepare_release"
        case _:
            return None


def settled(state: dict[str, Any]) -> dict[str, dict[str, int]] | None:
    """The counts of runs, once none of them goes on by itself and no message is on its way."""
    moving = any(counts.get("running") for counts in state["runs"].values())
    under_way = any(counts.get("ready") or counts.get("leased") for counts in state["messages"].values())
    return None if moving or under_way else state["runs"]
