"""The console in a real browser: what people come for, on every page, in light and dark, on a desk and on a phone."""

import json
import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.fixtures.serving import request, wr
from tests.ui.kit import HOSTILE, get, opened, send, the_run

PAGES = ["home", "approvals", "events", "mappings", "runs", "routes", "broker", "holds", "trace", "audit"]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
SHOTS = os.environ.get("SCREENSHOTS")


def looked_at(page: Page, name: str) -> None:
    """Keep a picture, where `SCREENSHOTS` names a folder."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_a_newcomer_finds_why_a_run_waits_and_decides(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(router)
        page.get_by_role("link", name="refund", exact=False).filter(has_text="A refund").click()
        expect(page.get_by_text("it is much")).to_be_visible()
        page.get_by_label("Your name").fill("ada")
        page.get_by_label("amount").fill("12")
        page.get_by_label("speed").select_option("fast")
        looked_at(page, "approval")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("refund is approved.")).to_be_visible()
        page.get_by_role("link", name="Open the run").click()
        expect(page.locator(".head .status")).to_have_text("completed")
        page.get_by_role("button", name="answers").click()
        looked_at(page, "run")
    decided = get(router, "/api/approvals?status=approved")[0]["decisions"][0]
    assert (decided["by"], decided["values"]) == ("ada", {"amount": 12, "speed": "fast"})


def test_a_run_that_failed_is_tried_again(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'fail')}")
        expect(page.get_by_text("No luck with Broken").first).to_be_visible()
        page.get_by_role("button", name="Retry from the failed step").click()
        expect(page).not_to_have_url(f"{router}/#/runs/{the_run(router, 'fail')}")
        expect(page.locator(".head .status")).to_have_text("faulted")


def test_a_run_that_waits_is_cancelled(browser: Browser, router: str) -> None:
    send(router, "to-cancel", "ask", "To cancel")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs?status=waiting")
        page.get_by_role("link", name="ask").first.click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel the run").click()
        expect(page.locator(".head .status")).to_have_text("cancelled")


def test_what_happens_is_seen_without_a_reload(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/events")
        expect(page.get_by_role("status").filter(has_text="live")).to_be_attached()
        rows = page.locator("tbody tr")
        expect(rows.first).to_be_visible()
        before = rows.count()
        send(router, "live", "long", "While somebody looks")
        expect(rows).to_have_count(before + 1)


def test_many_steps_are_drawn_as_they_come_into_sight(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'long')}")
        expect(page.locator(".head .status")).to_have_text("completed")
        steps = page.locator(".waterfall .step")
        expect(steps.first).to_be_visible()
        assert steps.count() < 100
        page.locator(".waterfall .rows").evaluate("one => { one.scrollTop = one.scrollHeight; }")
        steps.last.click()
        expect(page.locator(".facts").get_by_text("399", exact=True)).to_be_visible()


def test_what_is_hostile_stays_text(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/approvals")
        page.locator("tr", has_text="onerror").click()
        expect(page.locator("dd", has_text="onerror").first).to_have_text(HOSTILE)
        assert page.locator("main img, main script").count() == 0


def test_a_mapping_is_checked_as_it_is_typed_and_tried(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/mappings/asks")
        page.get_by_role("button", name="Change").click()
        expect(page.get_by_text("It is well formed.")).to_be_visible()
        rule = page.get_by_role("textbox", name="Rule")
        rule.fill('{"name": "asks", "on": {"type": [{"numeric": ["<>", 1]}]}, "start": "ask"}')
        expect(page.get_by_role("alert")).to_contain_text("numeric")
        rule.fill(
            '{"name": "asks", "on": {"type": ["com.example.ask"]}, "when": "true",'
            ' "start": "ask", "input": "${ event.data.text }"}'
        )
        page.get_by_role("button", name="Publish as live").click()
        expect(page.get_by_text("asks is in force.")).to_be_visible()
        expect(page.locator(".head .sub")).to_contain_text("version 2")


def test_one_picture_leads_from_an_event_to_all_it_caused(browser: Browser, router: str) -> None:
    send(router, "traced", "fail", "Traced")
    with opened(browser) as page:
        page.goto(f"{router}/#/events")
        page.get_by_role("link", name="com.example.fail").first.click()
        page.get_by_role("link", name="What it caused").click()
        for name in ("com.example.fail", "fails@1", "note", "break_off"):
            expect(page.locator(".waterfall .step", has_text=name).first).to_be_visible()
        page.locator(".waterfall .step", has_text="break_off").click()
        looked_at(page, "trace")
        expect(page.locator(".panel header .status")).to_have_text("faulted")
        expect(page.get_by_role("heading", name="Called with")).to_be_visible()
        expect(page.locator(".panel.detail")).to_contain_text('"text": "Traced"')


def test_a_breakpoint_holds_until_it_is_released_with_another_value(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/holds")
        page.get_by_role("button", name="New interceptor").click()
        page.get_by_role("textbox", name="Name", exact=True).fill("slowly")
        page.get_by_role("textbox", name="subject").fill("tread")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("slowly is in force.")).to_be_visible()
        send(router, "careful", "careful", "as sent")
        page.get_by_role("link", name="step.starting").click()
        fields = page.get_by_role("textbox", name="Fields")
        fields.fill(fields.input_value().replace("as sent", "as changed"))
        looked_at(page, "held")
        page.get_by_role("button", name="Release").click()
        expect(page.get_by_text("It is released.")).to_be_visible()
        page.locator(".facts a[href^='#/runs/']").click()
        expect(page.locator(".head .status")).to_have_text("completed")
    assert get(router, f"/api/runs/{the_run(router, 'careful')}")["output"] == "as changed"


def test_an_entry_is_proved_in_the_browser(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        for position in (1, 7, get(router, "/api/audit/head")["position"]):
            page.goto(f"{router}/#/audit/{position}")
            page.get_by_role("button", name="Prove it").click()
            expect(page.get_by_text("The entry is in the log.")).to_be_visible()


def test_the_log_is_held_against_a_checkpoint_kept_elsewhere(browser: Browser, router: str) -> None:
    kept = request(router, "POST", "/api/audit/checkpoint", b"{}", {"content-type": "application/json"})[1]
    note = json.loads(kept)["note"]
    send(router, "after-the-checkpoint", "fail", "Later")
    first, size, _, *rest = note.split("\n")
    false = "\n".join((first, size, "A" * 43 + "=", *rest))
    with opened(browser) as page:
        page.goto(f"{router}/#/audit")
        page.get_by_role("button", name="Verify against a checkpoint").click()
        pasted = page.get_by_role("textbox", name="Checkpoint")
        for text, said in [
            (note, f"The first {size} of"),
            (false, "The log is not what the checkpoint covered."),
            ("no checkpoint", "A checkpoint has the log's name"),
        ]:
            pasted.fill(text)
            page.get_by_role("button", name="Verify", exact=True).click()
            expect(page.get_by_role("dialog")).to_contain_text(said)


def test_the_log_is_searched_and_what_is_found_saved(browser: Browser, router: str, tmp_path: Path) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/audit")
        page.get_by_label("kind").fill("run.faulted")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("tbody tr", has_text="run.started")).to_have_count(0)
        for kind in ("run.faulted", ""):
            page.goto(f"{router}/#/audit?kind={kind}")
            expect(page.locator("tbody tr").first).to_be_visible()
            with page.expect_download() as saved:
                page.get_by_role("button", name="Export").click()
            saved.value.save_as(tmp_path / f"found{kind}.jsonl")
    found = [json.loads(line) for line in (tmp_path / "foundrun.faulted.jsonl").read_text().splitlines()]
    assert found and {one["transition"]["kind"] for one in found} == {"run.faulted"}
    verified = wr("audit", "verify", "--export", tmp_path / "found.jsonl")
    assert verified.returncode == 0, verified.stderr


def test_a_false_proof_does_not_hold(browser: Browser, router: str) -> None:
    """The control: what the router says is changed on its way, as a router that lies would."""
    with opened(browser) as page:

        def lie(route: Route) -> None:
            answer = route.fetch()
            told = answer.json()
            told["entry"]["transition"]["subject"] = "another"
            route.fulfill(response=answer, json=told)

        page.route("**/proof", lie)
        page.goto(f"{router}/#/audit/3")
        page.get_by_role("button", name="Prove it").click()
        expect(page.get_by_text("tampered with")).to_be_visible()


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light-desk", "dark-phone"])
def test_every_page_can_be_used_by_everybody(browser: Browser, router: str, *, dark: bool, phone: bool) -> None:
    run = the_run(router, "fail")
    with opened(browser, dark=dark, phone=phone) as page:
        paths = [
            *PAGES,
            f"runs/{run}",
            f"runs/{run}?tab=Graph",
            f"runs/{the_run(router, 'ask')}",
            f"trace/{run}?view=graph",
            *(f"approvals/{one['id']}" for one in get(router, "/api/approvals")[:3]),  # those that were decided, too
            "broker/archive",
            "mappings/asks",
            "routes/echo",
            "audit/3",
        ]
        for path in paths:
            page.goto(f"{router}/#/{path}")
            expect(page.locator("main h1").first).to_be_visible()
            expect(page.locator(".skeleton")).to_have_count(0)
            looked_at(page, f"{path.replace('/', '-')}-{'dark-phone' if phone else 'light-desk'}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{path} is wider than the screen"
            )
            if path == paths[0]:  # pages are parts of one document: what checks them is loaded once
                Axe().run(page, options=RULES)  # pyright: ignore[reportUnknownMemberType]  it says only "dict"
            violations = page.evaluate("async (rules) => (await axe.run(document, rules)).violations", RULES)
            assert violations == [], f"{path}: {violations}"
