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
        is_run = self.path.startswith("/api/runs")
        content = problem if is_run else b"<html>"
        self.send_response(404 if is_run else 200)
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


def test_another_kind_of_server_is_told_from_ours(
    problems: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = wr(capsys, monkeypatch, "topics", "list", "--url", problems)
    assert code == 2
    assert "not a Workflow Router" in err
