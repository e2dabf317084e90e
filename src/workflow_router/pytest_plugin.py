"""Owns the pytest plugin: the fixtures `play` and `targets`. Imports the system only in a test that asks for them."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from workflow_router.testing import FakeTargets


@pytest.fixture
def targets() -> "FakeTargets":
    """Fakes of what routes call, which `play` of the same test uses."""
    from workflow_router.testing import FakeTargets  # noqa: PLC0415  other projects' tests need not pay for its import

    return FakeTargets()


@pytest.fixture
def play(targets: "FakeTargets") -> Any:
    """`workflow_router.testing.play` with the test's `targets`."""
    from functools import partial  # noqa: PLC0415  as above

    from workflow_router.testing import play as plays  # noqa: PLC0415  as above

    return partial(plays, targets=targets)
