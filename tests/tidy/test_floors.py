"""The import contracts of pyproject.toml hold, and each breaks when its violation is planted in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

# Contract, file, and what is added to it.
VIOLATIONS = [
    ("floors", "core/model.py", "import workflow_router.db.probe"),
    ("floors", "utils/ids.py", "import workflow_router.core.model"),
    ("floors", "db/probe.py", "import workflow_router.network"),
    ("floors", "api/probe.py", "import workflow_router.db"),
    ("floors", "network/probe.py", "import workflow_router.api"),
    ("floors", "settings/probe.py", "import workflow_router.app"),
    ("floors", "app/running.py", "import workflow_router.cli"),
    ("floors", "cli/probe.py", "import workflow_router.testing"),
    ("floors", "db/probe.py", "def late():\n    import workflow_router.network"),
    (
        "floors",
        "db/probe.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import workflow_router.network",
    ),
    ("floors", "helpers.py", "x = 1"),
    ("engines", "core/event_mappings/probe.py", "import workflow_router.core.orchestration"),
    ("engines", "core/orchestration/probe.py", "import workflow_router.core.dispatch_route"),
    ("engines", "core/dispatch_route/probe.py", "import workflow_router.core.message_broker"),
    ("engines", "core/message_broker/probe.py", "import workflow_router.core.runtime_state"),
    ("engines", "core/runtime_state/probe.py", "import workflow_router.core.event_mappings"),
    ("engines", "core/runtime_state/probe.py", "import workflow_router.core.router"),
    ("engines", "core/message_broker/probe.py", "import workflow_router.core.runtime"),
    ("engines", "core/ports.py", "import workflow_router.core.orchestration.probe"),
    ("engines", "core/model.py", "import workflow_router.core.patterns"),
    ("engines", "core/probe.py", "x = 1"),
    ("pure-core", "core/probe.py", "import apsw"),
    ("pure-core", "core/probe.py", "import asyncpg"),
    ("pure-core", "core/probe.py", "import aiohttp"),
    ("pure-core", "core/probe.py", "from starlette.applications import Starlette"),
    ("pure-core", "utils/probe.py", "import nats"),
    ("drivers", "api/probe.py", "import apsw"),
    ("message-servers", "network/probe.py", "import nats"),
    ("package-root", "cli/probe.py", "from workflow_router import Router"),
]
# Modules that the violations above import, made where the tree has not got them.
TARGETS = [
    "app/running.py",
    "testing/__init__.py",
    "settings/__init__.py",
    "core/router.py",
    "core/runtime.py",
    "core/orchestration/probe.py",
    "db/probe.py",
]


def _lint(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [LINT, "--no-cache", "--no-logo", *options]
    path = {**os.environ, "PYTHONPATH": str(tree / "src")}
    return subprocess.run(command, cwd=tree, env=path, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "src" / "workflow_router"
    for name in TARGETS:
        package.joinpath(name).parent.mkdir(exist_ok=True)
        package.joinpath(name).touch()
    return tmp_path


def test_every_contract_holds() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "file", "text"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(contract: str, file: str, text: str, copy: Path) -> None:
    path = copy / "src" / "workflow_router" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as module:
        module.write(f"\n{text}\n")
    result = _lint(copy, "--contract", contract)
    _, _, broken = result.stdout.partition("Broken contracts")
    assert ".".join(path.relative_to(copy / "src").with_suffix("").parts) in broken, result.stdout + result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("contract", ["floors", "engines", "pure-core", "drivers", "package-root"])
def test_the_copy_itself_is_sound(contract: str, copy: Path) -> None:
    result = _lint(copy, "--contract", contract)
    assert result.returncode == 0, result.stdout + result.stderr
