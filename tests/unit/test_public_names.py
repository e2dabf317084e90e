"""The public names: each is there, others are not, and none costs anything before it is used."""

import subprocess
import sys

import pytest

import workflow_router


@pytest.mark.parametrize("name", workflow_router.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(workflow_router, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="Rooter"):
        _ = workflow_router.Rooter  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]  that it is not there is the point
    assert dir(workflow_router) == sorted(workflow_router.__all__)


def test_importing_the_package_loads_no_engine() -> None:
    code = "import sys, workflow_router; print([name for name in sys.modules if name.startswith('workflow_router.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
