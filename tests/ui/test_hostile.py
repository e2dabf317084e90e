"""What the console does with hostile values, with a router that goes away, and for those who may do little."""

import json
import shutil
import socket
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.fixtures.serving import request, served, wr
from tests.ui.conftest import PROJECT
from tests.ui.kit import HOSTILE, get, opened, post, send, the_run

JSON = {"content-type": "application/json"}


def hostile(url: str) -> list[str]:
    """Put something hostile wherever somebody outside may write, and name the pages that show it."""
    large = HOSTILE + "x" * 1_000_000
    event = {
        "specversion": "1.0",
        "id": HOSTILE,
        "source": "/%3Cb%3Ex",
        "type": f"com.example.{HOSTILE}",
        "subject": HOSTILE,
    }
    plain = HOSTILE.replace("\x1b", "")  # CloudEvents forbids control characters in attributes
    event = {"specversion": "1.0", "id": plain, "source": "/%3Cb%3Ex", "type": f"com.example.{plain}", "subject": plain}
    headers = {"content-type": "application/cloudevents+json"}
    status, body = request(url, "POST", "/events", json.dumps({**event, "data": {HOSTILE: large}}).encode(), headers)
    assert status == 202, body
    accepted = json.loads(body)["id"]
    for kind in ("ask", "fail", "careful"):
        send(url, f"hostile-{kind}", kind, HOSTILE)
    published = {"body": {HOSTILE: HOSTILE}, "key": HOSTILE, "headers": {"x": "<i>y</i>"}}
    (message,) = post(url, "/api/topics/answers/messages", published)["ids"]
    run = the_run(url, "fail", latest=True)
    approval = get(url, "/api/approvals?limit=500")[-1]["id"]
    return [
        *("home", "approvals", "events", "runs", "broker", "broker/archive", "broker?topic=answers", "audit", "holds"),
        *("routes", "mappings", f"events/{accepted}", f"trace/{accepted}", f"trace/{accepted}?view=graph"),
        *(f"runs/{run}", f"runs/{run}?tab=Graph", f"runs/{run}?tab=Values", f"runs/{run}?tab=JSON", f"trace/{run}"),
        *(f"approvals/{approval}", f"trace/{message}", f"mappings?try={accepted}"),
        *(f"runs/{HOSTILE}", f"trace/{HOSTILE}", f"mappings/{HOSTILE}", f"{HOSTILE}", f"events?text={HOSTILE}"),
    ]


def test_what_is_hostile_is_text_on_every_page(browser: Browser, router: str) -> None:
    paths = hostile(router)
    with opened(browser) as page:
        for path in paths:
            page.goto(f"{router}/#/{path}")
            expect(page.locator("main h1, main .notice, main .empty").first).to_be_visible()
            expect(page.locator(".skeleton")).to_have_count(0)
            assert page.locator("main img, main script, main b b, main i i").count() == 0, path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_restart_of_the_router_is_got_over_without_a_reload(browser: Browser, tmp_path: Path, echo: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder)
    environ, listen = {"ECHO_URL": echo}, f"127.0.0.1:{port}"
    with opened(browser) as page:
        with served(folder, environ, listen=listen) as url:
            send(url, "1", "speak", "Before")
            run = the_run(url, "speak")
            page.goto(f"{url}/#/runs/{run}?tab=Streams")
            expect(page.get_by_label("Stream tokens")).to_contain_text("Hear: Before")
            expect(page.locator(".foot .status")).to_have_text("live")
        expect(page.locator(".foot .status")).to_contain_text("no answer")
        with served(folder, environ, listen=listen) as url:
            expect(page.locator(".foot .status")).to_have_text("live")
            post(url, f"/api/runs/{run}/signals/go", {"value": 1})
            expect(page.get_by_label("Stream tokens")).to_have_text("Hear: Before, and this.")
            expect(page.locator(".head .status")).to_have_text("completed")


def test_who_may_only_look_signs_in_and_is_offered_nothing_else(browser: Browser, tmp_path: Path, echo: str) -> None:
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder)
    with served(folder, {"ECHO_URL": echo}) as url:
        send(url, "1", "ask", "A refund")
        run = the_run(url, "ask")
        made = wr("access", "keys", "create", "root", "--role", "admin", "--json", url=url)
        root = {**JSON, "authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        asked = json.dumps({"name": "ada", "roles": ["viewer"]}).encode()
        ada = json.loads(request(url, "POST", "/api/access/keys", asked, root)[1])["key"]
        with opened(browser) as page:
            page.goto(f"{url}/#/runs/{run}")
            key = page.get_by_label("API key")
            key.fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_contain_text("There is no such key.")
            key.fill(ada)
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator(".head .status")).to_have_text("waiting")
            expect(page.locator(".who")).to_have_text("ada")
            expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
            expect(page.get_by_role("link", name="Audit", exact=True)).to_have_count(0)
            assert page.evaluate("document.cookie + JSON.stringify([sessionStorage, localStorage])") == "[{},{}]"
            page.reload()
            expect(page.locator(".who")).to_have_text("ada")
            page.evaluate("fetch('/api/session', {method: 'DELETE'})")  # in another tab
            page.evaluate("location.hash = '#/events'")  # not by its link, which goes as soon as the page hears of it
            expect(key).to_be_visible()
            key.fill(ada)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="Events")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(key).to_be_visible()
