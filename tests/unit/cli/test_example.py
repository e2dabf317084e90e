"""The example's own rules: when a person is asked, and how a talkative model is understood."""

from pathlib import Path
from types import ModuleType

import pytest

from workflow_router.app import load_routers
from workflow_router.cli.demo.example import copy_example, find_example
from workflow_router.core.errors import NotFound
from workflow_router.settings import load_project


@pytest.fixture(scope="module")
def workflows() -> ModuleType:
    import sys

    load_routers(load_project(find_example("github-triage")))
    return sys.modules["workflow_router_project.workflows"]


@pytest.mark.parametrize(
    ("changed", "risk", "asked"),
    [
        ({}, "low", False),
        ({}, "high", True),
        ({"changed_files": 41}, "low", True),
        ({"changed_files": 40}, "medium", False),
        ({"labels": ["security"]}, "low", True),
        ({"branch": "fix/token-check"}, "low", True),
        ({"title": "Rotate the SECRET"}, "low", True),
    ],
)
def test_a_person_is_asked_when_it_matters(
    workflows: ModuleType, changed: dict[str, object], risk: str, asked: bool
) -> None:
    plain = {"delivery": "1", "repository": "a/b", "number": 1, "title": "Tidy up", "author": "me", "branch": "tidy"}
    pull = workflows.PullRequest(**{**plain, "commit": "0", "changed_files": 2, "labels": [], **changed})
    assert bool(workflows.reasons_to_ask(pull, risk)) is asked


@pytest.mark.parametrize(
    ("answer", "label"),
    [("bug", "bug"), ("I would say: Feature, not a bug.", "feature"), ("no idea", "question"), ("", "question")],
)
def test_the_first_word_that_fits_is_taken(workflows: ModuleType, answer: str, label: str) -> None:
    assert workflows.pick(workflows.LABELS, answer, otherwise="question") == label


def test_an_example_is_copied_without_the_data_of_earlier_runs(tmp_path: Path) -> None:
    copied = copy_example("github-triage", tmp_path / "copy")
    assert {path.name for path in copied.iterdir()} == {".gitignore", "README.md", "router.yaml", "workflows.py"}
    with pytest.raises(NotFound, match="not installed"):
        find_example("no-such-example")
