"""Shell completion: of commands, options, and of what a running router knows, in a real bash; and for zsh and fish."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fixtures.serving import served, wr
from tests.fixtures.terminal import in_terminal

BIN = Path(sys.executable).parent
CODE = """
from workflow_router import Router

router = Router("shop")


@router.workflow
async def ship_order(order: str) -> str:
    return order
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    folder = tmp_path_factory.mktemp("completion") / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text("name: shop\npython: [shop.py]\ntopics: {orders-in: {}}\n", encoding="utf-8")
    (folder / "shop.py").write_text(CODE, encoding="utf-8")
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `wr` is this one."""
    folder = tmp_path_factory.mktemp("bin")
    script = f'#!/bin/sh\nexec {sys.executable} -m workflow_router.cli "$@"\n'
    (folder / "wr").write_text(script, encoding="utf-8")
    (folder / "wr").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def offered(words: str, url: str, shell: str = "bash") -> list[str]:
    """What a shell is told for the last of these words."""
    given = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "fish": {"COMP_WORDS": words, "COMP_CWORD": words.rsplit(" ", maxsplit=1)[-1]},
    }[shell]
    environ = {**os.environ, **given, "_WR_COMPLETE": f"{shell}_complete", "WR_URL": url}
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'wr'; from workflow_router.cli.main import main; main()",
    ]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_commands_options_ids_and_names_are_offered(url: str) -> None:
    run = wr("runs", "start", "ship_order", "--input", '"o-1"', "--json", url=url).stdout.split('"')[3]
    assert "plain,watch" in offered("wr runs ", url)
    assert offered("wr runs show 0", url) == [f"plain,{run}"]
    assert offered("wr runs start sh", url) == ["plain,ship_order"]
    assert offered("wr runs list --workflow ", url) == ["plain,ship_order"]
    assert offered("wr topics peek ", url) == ["plain,orders-in"]
    assert offered("wr topics delete o", url) == ["plain,orders-in"]
    assert offered("wr runs --stat", url) == ["plain,--status"]
    assert offered("wr runs watch --status fau", url) == ["plain,faulted"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_the_same(shell: str, url: str) -> None:
    assert "ship_order" in " ".join(offered("wr runs start sh", url, shell))


def test_nothing_is_offered_where_no_server_is(url: str) -> None:
    assert url
    assert offered("wr runs start ", "http://127.0.0.1:1") == []


def test_a_real_bash_completes(url: str, path: str) -> None:
    environ = {"WR_URL": url, "PATH": path, "PS1": "$ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
    with in_terminal(["bash", "--norc", "--noprofile", "-i"], environ, columns=200) as terminal:
        terminal.press(b'eval "$(wr completion bash)" && echo lo""aded\n')
        terminal.until("loaded")
        terminal.press(b"wr topi\tpe\to\t")
        terminal.until("orders-in")
        terminal.press(b"\n")
        terminal.until("No messages")
        terminal.press(b"exit\n")
        terminal.end()
