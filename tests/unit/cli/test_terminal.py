"""Tables fit the terminal and keep ids whole; what comes from outside says nothing to the terminal."""

import pytest

from workflow_router.cli.terminal import Printer, inert

ID = "01a20730-d4e9-7005-89f7-1c430bb88053"
RUN = {"id": ID, "workflow": "review_pull_request", "version": "1", "status": "waiting"}
MOMENTS = {"created_ms": 1, "updated_ms": 2}
COLUMNS = ("id", "workflow", "version", "status", "created_ms", "updated_ms")


def printed(
    capsys: pytest.CaptureFixture[str], rows: list[dict[str, object]], columns: tuple[str, ...] = COLUMNS
) -> list[str]:
    Printer(as_json=False).table(rows, columns, empty="None.", value=rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_ids_and_times_stay_whole_however_narrow(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, [{**RUN, **MOMENTS}])
    assert sum(ID in line for line in lines) == 1
    assert any("1970-01-01 00:00:00" in line for line in lines)
    if width >= 60:
        assert max(map(len, lines)) <= width


def test_a_pipe_reads_one_row_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows: list[dict[str, object]] = [{"id": ID, "context": "x" * 500}, {"id": ID, "context": "y"}]
    assert len(printed(capsys, rows, ("id", "context"))) == 3


def test_what_would_be_a_tower_becomes_a_block(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, [{"id": ID, "context": "why " * 60}], ("id", "context"))
    assert lines == [f"id       {ID}", f"context  {'why ' * 60}"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("over\rwritten\x08", "over\\rwritten\\x08"),
        ("lines\nand\ttabs, ünï → 漢字", "lines\nand\ttabs, ünï → 漢字"),
    ],
)
def test_what_comes_from_outside_is_inert(
    text: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inert(text) == shown
    monkeypatch.setenv("COLUMNS", "200")
    Printer(as_json=False).say(text, None)
    assert capsys.readouterr().out == shown + "\n"
    if "\n" not in text:
        assert shown in "\n".join(printed(capsys, [{"id": ID, "name": text}], ("id", "name")))
