"""`wr` ends every error in one sentence with a remedy, a right exit code, and no traceback."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from workflow_router.cli import main as cli


def wr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["wr", *arguments])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    out, err = capsys.readouterr()
    return int(leaving.value.code or 0), out, err


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WR_URL", "WR_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_help_lists_every_command_with_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = wr(capsys, monkeypatch, "--help")
    assert code == 0
    for name in cli.COMMANDS:
        line = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 2
        assert wr(capsys, monkeypatch, name, "--help")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "No such command"),
        (["rnus"], 2, "Did you mean `wr runs`?"),
        (["mappings", "lisst"], 2, "Did you mean `wr mappings list`?"),
        (["approvals", "answer"], 2, "There are: decide, delegate"),
        (["runs", "show"], 2, "Example: wr runs show 0195"),
        (["runs", "list", "--status", "wating"], 2, "'waiting'"),
        (["approvals", "--status", "done"], 2, "'withdrawn'"),
        (["runs", "--stattus", "waiting"], 2, "--status"),
        (["runs", "watch", "x", "--status", "waiting"], 2, "RUN is one already"),
        (["top", "--url", "http://127.0.0.1:1"], 3, "wr serve"),
        (["runs", "list", "--limit", "0"], 2, "--limit"),
        (["runs", "--bad"], 2, "No such option"),
        (["runs", "list", "--url", "http://127.0.0.1:1"], 3, "wr serve"),
        (["runs", "list", "--url", "nowhere"], 2, "not an address"),
        (["runs", "start", "x", "--input", "{"], 2, "not JSON"),
        (["approvals", "decide", "x", "--by", "me"], 2, "--approve or --reject"),
        (["check", "/no/such/folder"], 1, "wr init"),
        (["serve", "/no/such/folder"], 2, "wr init"),
        (["migrate", "mysql://x"], 2, "sqlite://"),
        (["audit", "verify", "--store", "mysql://x"], 2, "sqlite://"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out, err = wr(capsys, monkeypatch, *arguments)
    assert found == code
    assert says in out + err
    assert "Traceback" not in out + err


def test_a_new_project_is_not_written_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wr(capsys, monkeypatch, "init", "mine")[0] == 0
    before = (tmp_path / "mine" / "router.yaml").read_text()
    code, _, err = wr(capsys, monkeypatch, "init", "mine")
    assert (code, "there already" in err) == (2, True)
    assert (tmp_path / "mine" / "router.yaml").read_text() == before
    assert wr(capsys, monkeypatch, "init", "-- bad name")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_new_projects_code_is_as_tidy_as_ours(tmp_path: Path) -> None:
    from workflow_router.cli.init import make_project

    make_project(tmp_path / "neat")
    ruff = Path(sys.executable).parent / "ruff"
    for check in (["check"], ["format", "--check"]):
        subprocess.run([ruff, *check, "--isolated", "--line-length", "120", tmp_path / "neat"], check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = wr(capsys, monkeypatch, "completion", shell)
    assert (code, "_WR_COMPLETE" in out) == (0, True)


class _Problems(http.server.BaseHTTPRequestHandler):
    """Answers with a problem document, or with something that is not JSON."""

    def do_GET(self) -> None:
        problem = b'{"title":"Not found","status":404,"detail":"There is no run x. List them with `wr runs`."}'
        known = {
            "/api/runs": (404, problem),
            "/api/keys": (404, b'{"detail":"There is no key x.","remedy":"List them with GET /api/access/keys."}'),
            "/api/holds": (401, b'{"detail":"There is no such key.","remedy":"Send the header Authorization."}'),
            "/api/events": (403, b'{"detail":"This needs the scope events:read.","remedy":"Use another."}'),
            "/api/state": (500, b"oh \x1b[2J"),
        }
        begun = (answer for path, answer in known.items() if self.path.startswith(path))
        status, content = next(begun, (200, b"<html>"))
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@pytest.fixture
def problems() -> Generator[str, None, None]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Problems) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_servers_problem_is_told_as_it_is(
    problems: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = wr(capsys, monkeypatch, "runs", "show", "x", "--url", problems)
    assert code == 2
    assert err == "Error: There is no run x. List them with `wr runs`.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["keys"], "There is no key x. List them with `wr access keys list`."),
        (["holds"], "There is no such key. Give a key with --token or WR_TOKEN; `wr access keys create NAME"),
        (["events"], "This needs the scope events:read. Use another. `wr access me` tells what you may do."),
        (["top", "--once"], "The server answered 500."),
    ],
)
def test_a_refusal_says_what_to_type_next(
    arguments: list[str],
    says: str,
    problems: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, err = wr(capsys, monkeypatch, *arguments, "--url", problems)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {says}")
    assert "GET /api" not in err
    assert "\x1b" not in err


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_project_that_is_no_yaml_is_told_with_its_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "router.yaml").write_text("name: x\nmappings: [\n  - {a: b\n", encoding="utf-8")
    code, out, err = wr(capsys, monkeypatch, command, str(tmp_path))
    assert code == (1 if command == "check" else 2)
    assert "router.yaml:3: This is not YAML" in out + err
    assert "Check indentation and quotes." in out + err


def test_another_kind_of_server_is_told_from_ours(
    problems: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = wr(capsys, monkeypatch, "topics", "list", "--url", problems)
    assert code == 2
    assert "not a Workflow Router" in err
