"""The pytest plugin, in a project of its own."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import random
from workflow_router import Router

router = Router("mine")
turns = []

@router.step
async def one(): return 1

@router.step
async def other(): return 2

@router.workflow
async def steady():
    await router.sleep("30d")
    return await one()

@router.workflow
async def flips():
    turns.append(1)
    return await (one() if len(turns) % 2 else other())

def result_of(workflow):
    async def scenario(stage):
        return await stage.result(await stage.start(workflow))
    return scenario

def test_steady(play):
    assert play(result_of(steady), router) == 1

def test_flips(play):
    play(result_of(flips), router)

def test_targets(targets):
    assert targets.calls == []
"""


def test_fixtures_play_workflows_and_replay_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "workflow_router.pytest_plugin", "-q")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*flips is not deterministic*"])


def test_the_plugin_imports_nothing_that_other_projects_would_wait_for() -> None:
    code = """
import sys, pytest
before = set(sys.modules)
import workflow_router.pytest_plugin
print(*set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"workflow_router", "workflow_router.pytest_plugin"}
