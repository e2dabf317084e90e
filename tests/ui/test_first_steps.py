"""What somebody meets who knows nothing yet: the demo, an empty router, and a first page that says what needs them."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Route, expect

from tests.fixtures.serving import request, served
from tests.ui.kit import opened, post, send


@contextmanager
def demo(folder: Path) -> Generator[str, None, None]:
    """`wr demo` on a terminal, once it serves on; its address. It is gone with its router when the block ends."""
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "workflow_router.cli", "demo", "--events", "20", "--port", "0", "--keep", folder]
    environ = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    with subprocess.Popen(command, stdout=its_end, stderr=its_end, stdin=its_end, env=environ) as process:
        os.close(its_end)
        said = ""
        try:
            while (found := re.search(r"open (http://\S+) in a browser", said)) is None:
                said += os.read(terminal, 65_536).decode()
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)
            os.close(terminal)


def test_a_newcomer_finds_why_a_pull_request_waits_approves_it_and_sees_the_run_finish(
    browser: Browser, tmp_path: Path
) -> None:
    """By nothing but what can be read on the pages."""
    with demo(tmp_path / "demo") as url, opened(browser) as page:
        page.goto(url)
        expect(page.get_by_text("Needs a person")).to_be_visible()
        page.get_by_text("risky-pull-request").first.click()
        expect(page.get_by_text("What is asked")).to_be_visible()
        expect(page.get_by_text("pull request", exact=True)).to_be_visible()
        expect(page.get_by_text("the risk is high").or_(page.get_by_text("it is about")).first).to_be_visible()
        page.get_by_label("Your name").fill("a newcomer")
        page.get_by_text("Approve", exact=True).click()
        expect(page.get_by_text("risky-pull-request is approved.")).to_be_visible()
        page.get_by_text("Open the run", exact=True).click()
        expect(page.get_by_text("completed").first).to_be_visible()
        expect(page.get_by_text("review_pull_request").first).to_be_visible()
    try:
        request(url, "GET", "/healthz")
    except ConnectionRefusedError:
        return
    raise AssertionError("The demo has ended and its router has not.")


def test_an_empty_router_says_how_to_begin_and_shows_the_first_event_arrive(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text("name: empty\n")
    with served(folder) as url, opened(browser, phone=True) as page:
        page.goto(url)
        expect(page.get_by_text("Nothing has come in yet")).to_be_visible()
        command = page.locator("pre", has_text="curl").inner_text()
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True).stdout
        assert json.loads(answer)["duplicate"] is False
        expect(page.get_by_text("Nothing has come in yet")).to_have_count(0)
        expect(page.get_by_text("event.accepted")).to_be_visible()
        expect(page.get_by_role("link", name="1 events accepted")).to_be_visible()


PROJECT = """\
name: needs
routes:
  weak:
    retry: {attempts: 1}
    targets:
      - {name: gone, kind: http, url: "http://127.0.0.1:9", allow_private: true, breaker: {failures: 1, open_s: 60}}
  strong:
    targets:
      - {name: echo, kind: http, url: {env: ECHO_URL}, allow_private: true}
topics: {orders: {}}
subscriptions: [{name: nobody-reads, topic: orders}]
limits:
  - {name: one-call, requests: 1, window: 1d, where: {route: strong}}
"""


def test_the_first_page_names_open_breakers_spent_budgets_and_stuck_subscriptions(
    browser: Browser, tmp_path: Path, echo: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text(PROJECT)
    with served(folder, {"ECHO_URL": echo}) as url, opened(browser) as page:
        for name in ("weak", "strong"):
            request(url, "POST", f"/dispatch/{name}/", b"{}", {"content-type": "application/json"})
        post(url, "/api/topics/orders/messages", {"body": {}})

        def long_ago(route: Route) -> None:
            """A subscription counts as stuck after minutes; this says that they have passed."""
            answer = route.fetch()
            route.fulfill(response=answer, json=[{**one, "stuck": True} for one in answer.json()])

        page.route("**/api/subscriptions", long_ago)
        page.goto(url)
        needs = page.locator(".need")
        expect(needs.get_by_role("link", name="weak → gone")).to_be_visible()
        expect(needs.get_by_role("link", name="one-call")).to_contain_text("nothing is left of it")
        expect(needs.get_by_role("link", name="nobody-reads")).to_contain_text("nobody takes them")
        needs.get_by_role("link", name="weak → gone").click()
        expect(page.get_by_role("heading", name="weak", level=1)).to_be_visible()
        send(url, "later", "unheard", "still up")
