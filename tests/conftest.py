"""Owns what every suite shares: the real servers, and how often fault suites repeat themselves."""

import signal
from collections.abc import Callable

import pytest

from tests import soaking

pytest_plugins = ["tests.fixtures.postgres"]


def pytest_configure() -> None:
    """Let Ctrl-C end the programs that tests start, also where a shell has told background jobs to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """`rounds(few, many)`: how often a fault suite repeats itself, few times here and many times in `make soak`."""
    return soaking.rounds


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What repeats itself belongs to `make soak`, where nothing is too slow."""
    for item in items:
        if "rounds" in getattr(item, "fixturenames", ()):
            item.add_marker("soak")
        if soaking.SHARE:
            item.add_marker(pytest.mark.timeout(0), append=False)
