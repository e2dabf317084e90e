"""Owns what every suite shares: the real servers, and how often fault suites repeat themselves."""

import os
from collections.abc import Callable

import pytest

pytest_plugins = ["tests.fixtures.postgres"]


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """`rounds(few, many)`: how often a fault suite repeats itself, few times here and many times in `make soak`."""
    soaking = bool(os.environ.get("SOAK"))
    return lambda few, many: many if soaking else few
