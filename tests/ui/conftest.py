"""Owns a real browser for tests of the console, and a router with something to look at."""

import os
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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


class _Echo(BaseHTTPRequestHandler):
    """Answers each POST with its body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  it says nothing
        """Say nothing."""


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """The address of a service that routes can call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to be served."""
    folder = tmp_path_factory.mktemp("console") / "project"
    shutil.copytree(PROJECT, folder)
    return folder


@pytest.fixture(scope="module")
def router(project: Path, echo: str) -> Iterator[str]:
    """The address of a router with runs that wait, have failed and have completed."""
    with served(project, {"ECHO_URL": echo}) as url:
        for at, (kind, text) in enumerate(
            [("ask", "A refund"), ("ask", HOSTILE), ("fail", "Broken"), ("long", "Long")]
        ):
            send(url, str(at), kind, text)
        yield url
