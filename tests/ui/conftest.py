"""Owns a real browser for tests of the console, and a router with something to look at."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.fixtures.serving import served
from tests.ui.kit import HOSTILE, send

PROJECT = Path(__file__).parent / "project"
# Chromium is not to call home: these tests need no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for a module: while it is driven an event loop runs in this thread, and no other test's can.

    Where it is missing the tests are skipped, but never where `NEED_CHROMIUM` is set.
    """
    path = shutil.which("chromium")
    if path is None:
        assert not os.environ.get("NEED_CHROMIUM"), "Install Debian's chromium: the console's tests need it."
        pytest.skip("There is no chromium here (apt-get install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a router with runs that wait, have failed and have completed."""
    folder = tmp_path_factory.mktemp("console") / "project"
    shutil.copytree(PROJECT, folder)
    with served(folder) as url:
        for at, (kind, text) in enumerate(
            [("ask", "A refund"), ("ask", HOSTILE), ("fail", "Broken"), ("long", "Long")]
        ):
            send(url, str(at), kind, text)
        yield url
