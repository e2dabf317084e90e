"""A person signs in to the console at the organisation's issuer."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.fixtures.provider import CLIENT, SECRET, Provider
from tests.fixtures.serving import served
from tests.ui.kit import opened
from tests.unit.network.test_oidc import issuing
from workflow_router.utils.clock import SystemClock

PROJECT = """
name: shop
settings:
  access:
    oidc:
      issuer: ISSUER
      audience: workflow-router
      allow_private: true
      name_claim: email
      roles: {ops: [viewer]}
      console: {client_id: "NAME", client_secret: {env: CLIENT_SECRET}, url: "HERE"}
"""


@contextlib.contextmanager
def provider() -> Generator[Provider, None, None]:
    """A provider on a loop of its own, since the browser's calls block this one."""
    found, ready = Provider(), threading.Event()
    found.clock.s = SystemClock().now_ms() / 1000 - 1_800_000_000
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    async def main() -> None:
        async with issuing(house=found):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_a_person_signs_in_at_the_organisation(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = f"http://127.0.0.1:{port}"
    with provider() as issuer:
        folder = tmp_path / "shop"
        folder.mkdir()
        text = PROJECT.replace("ISSUER", issuer.url).replace("NAME", CLIENT).replace("HERE", here)
        (folder / "router.yaml").write_text(text)
        with served(folder, {"CLIENT_SECRET": SECRET}, listen=f"127.0.0.1:{port}"), opened(browser) as page:
            issuer.refuses = True
            page.goto(here)
            page.get_by_role("link", name="Sign in with your organisation").click()
            expect(page.get_by_role("alert")).to_contain_text("did not succeed")
            issuer.refuses = False
            page.get_by_role("link", name="Sign in with your organisation").click()
            expect(page.locator(".who")).to_have_text("ann@example.com")
            expect(page.get_by_role("heading", name="Home")).to_be_visible()
            assert page.evaluate("document.cookie") == ""
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
