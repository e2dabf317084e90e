"""What `settings: approvals:` of a project does when `wr check` and `wr serve` meet it, and what `decide` shows."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.serving import WR, request, served, until, wr
from workflow_router.core.runtime_state.approval_messages import SignedDecision, sign_decision

FILE = """\
name: office
python: [workflows.py]
topics: {notices: {}, decisions: {}}
settings:
  approvals:
    url: https://router.example
    link_secret: {env: LINK_SECRET_OF_TEST}
    message_secret: [{env: NEW_SECRET_OF_TEST}, {file: old.secret}]
    topic: notices
    decisions_topic: decisions
"""
WORKFLOWS = """\
from workflow_router import Router

router = Router("office")


@router.workflow
async def buy(what: str) -> list[object]:
    answer = await router.approve("buy", subject={"what": what}, people=["ann", "bob"])
    return [answer.status, [one.via for one in answer.decisions]]
"""
SECRETS = {"LINK_SECRET_OF_TEST": "l" * 32, "NEW_SECRET_OF_TEST": "n" * 32}


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    folder = tmp_path / "office"
    folder.mkdir()
    (folder / "router.yaml").write_text(FILE)
    (folder / "workflows.py").write_text(WORKFLOWS)
    (folder / "old.secret").write_text("o" * 32)
    return folder


def call(url: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    status, answer = request(url, method, path, None if body is None else json.dumps(body).encode(), headers)
    return status, json.loads(answer)


def asked(url: str, what: str) -> dict[str, Any]:
    """The approval that a new run asks for, once it does."""
    run = call(url, "POST", "/api/runs", {"workflow": "buy", "input": what})[1]["id"]

    def found(_: object) -> dict[str, Any] | None:
        listed = call(url, "GET", "/api/approvals?status=open")[1]
        return next((one for one in listed if one["run"] == run), None)

    return until(url, found)


def output(url: str, run: str) -> Any:
    return until(url, lambda _: call(url, "GET", f"/api/runs/{run}")[1].get("output"))


def test_links_and_messages_are_signed_with_what_the_settings_name(project: Path) -> None:
    with served(project, SECRETS) as url:
        first = asked(url, "ink")
        made = call(url, "POST", f"/api/approvals/{first['id']}/links", {"person": "ann", "approved": True})[1]
        assert made["url"].startswith("https://router.example/approve/")
        path = made["url"].removeprefix("https://router.example")
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert request(url, "POST", path, b"", form)[0] == 200
        assert output(url, first["run"]) == ["approved", ["link"]]
        for secret in (b"n" * 32, b"o" * 32):
            one = asked(url, secret.decode())
            said = SignedDecision(
                approval=one["id"], by="bob", approved=True, hash=one["hash"], expires_ms=4_000_000_000_000
            )
            message = {"body": json.loads(json.dumps(sign_decision(secret, said)))}
            assert call(url, "POST", "/api/topics/decisions/messages", message)[0] == 201
            assert output(url, one["run"]) == ["approved", ["message"]]
        notices = call(url, "GET", "/api/topics/notices/messages")[1]
        assert "https://router.example/approve/" in json.dumps(notices[0]["body"])


def test_a_secret_that_is_not_set_is_told_by_check_and_by_serve(project: Path) -> None:
    checked = wr("check", project, "--json")
    assert checked.returncode == 0, checked.stdout
    warned = [(one["line"], one["message"]) for one in json.loads(checked.stdout)["warnings"]]
    assert warned == [
        (7, "The variable LINK_SECRET_OF_TEST is not set."),
        (8, "The variable NEW_SECRET_OF_TEST is not set."),
    ]
    with served(project) as url:
        approval = asked(url, "ink")
        said = {"person": "ann", "approved": True}
        status, problem = call(url, "POST", f"/api/approvals/{approval['id']}/links", said)
        assert (status, problem["remedy"]) == (404, "Declare it below settings.approvals.")
        assert (
            "router.yaml:7: The variable LINK_SECRET_OF_TEST is not set." in (project.parent / "router.log").read_text()
        )


def test_topics_that_are_not_there_are_mistakes(project: Path) -> None:
    (project / "router.yaml").write_text(FILE.replace("topic: notices", "topic: notice"))
    checked = wr("check", project)
    assert checked.returncode == 1
    assert "router.yaml:9: There is no topic `notice`. Did you mean `notices`?" in checked.stdout
    assert wr("serve", project).returncode == 2


def test_a_secret_in_the_file_is_warned_of_and_its_default_refused(project: Path) -> None:
    (project / "router.yaml").write_text(FILE.replace("{env: LINK_SECRET_OF_TEST}", "{value: not-so-secret-at-all}"))
    found = wr("check", project).stdout
    assert "router.yaml:7: warning: A secret stands in the file." in found
    assert "not-so-secret" not in found
    (project / "router.yaml").write_text(FILE.replace("LINK_SECRET_OF_TEST}", "LINK_SECRET_OF_TEST, default: x}"))
    assert wr("check", project).returncode == 1


def decide_at_a_terminal(url: str, approval: str, answer: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    command = [*WR, "approvals", "decide", approval, "--approve", "--by", "ann", "--url", url]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        assert process.stdout is not None
        said = process.stdout.read()
        code = process.wait(30)
    os.close(ours)
    return code, said


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
def test_who_decides_sees_what_is_approved_and_sends_its_hash(project: Path) -> None:
    with served(project, SECRETS) as url:
        approval = asked(url, "ink")
        own, seen = approval["id"], approval["hash"]
        assert f"hash: {seen}" in wr("approvals", "show", own, url=url).stdout
        refused = wr("approvals", "decide", own, "--approve", "--by", "ann", "--hash", "0" * 64, url=url)
        assert refused.returncode == 2
        assert "something else" in refused.stderr
        code, said = decide_at_a_terminal(url, own, "n\n")
        assert code == 130  # as where Ctrl-C was pressed
        assert 'subject: {"what":"ink"}' in said
        assert f"hash: {seen}" in said
        assert call(url, "GET", f"/api/approvals/{own}")[1]["decisions"] == []
        code, said = decide_at_a_terminal(url, own, "y\n")
        assert (code, "is approved" in said) == (0, True)
        approval = asked(url, "pens")
        done = wr(
            "approvals", "decide", approval["id"], "--approve", "--by", "ann", "--hash", approval["hash"], url=url
        )
        assert done.returncode == 0
