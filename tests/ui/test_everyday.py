"""What makes a console pleasant all day: nothing moves under the hand, a link leads back to the same sight, and what a
run waits for is said in words."""

import json
import re

from playwright.sync_api import Browser, Page, expect

from tests.fixtures.serving import request
from tests.ui.kit import get, opened, post, send, the_run

MARK = "one => { one.seenBefore = true; }"
SAME = "one => one.seenBefore === true"


def scrolled(page: Page) -> float:
    return float(page.evaluate("scrollY"))


def test_what_is_in_hand_stays_while_the_page_follows_what_happens(browser: Browser, router: str) -> None:
    """A button is not another one at each refresh; focus, text, an open detail and the place on the page stay."""
    send(router, "in-hand", "speak", "In hand")
    run = the_run(router, "speak", latest=True)
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{run}")
        page.locator(".waterfall .step", has_text="tokens").click()
        page.locator(".detail").get_by_role("tab", name="JSON").click()
        pause, tab = page.get_by_role("button", name="Pause"), page.locator(".detail").get_by_role("tab", name="JSON")
        for one in (pause, tab):
            one.evaluate(MARK)
        tab.focus()
        with page.expect_response(lambda answer: answer.url.endswith(f"/api/runs/{run}")):
            post(router, f"/api/runs/{run}/signals/nobody-waits-for-it", {})
            post(router, f"/api/runs/{run}/pause", {})
        expect(page.locator(".head .status")).to_have_text("suspended")
        expect(tab).to_be_focused()
        assert tab.evaluate(SAME)
        post(router, f"/api/runs/{run}/resume", {})
        expect(page.locator(".head .status")).to_have_text("waiting")
        page.goto(f"{router}/#/holds")
        rules = page.get_by_role("button", name="New interceptor")
        rules.evaluate(MARK)
        page.goto(f"{router}/#/runs")
        expect(page.locator("tbody tr").first).to_be_visible()
        row = page.locator("tbody tr", has_text="speak").first
        row.evaluate(MARK)
        field = page.get_by_placeholder("customer=ada", exact=False)
        field.press_sequentially("half")
        before = page.locator("tbody tr").count()
        send(router, "meanwhile", "long", "Meanwhile")
        expect(page.locator("tbody tr")).to_have_count(before + 1)
        expect(field).to_be_focused()
        expect(field).to_have_value("half")
        assert page.locator("tbody tr", has_text="speak").first.evaluate(SAME)


def test_a_state_that_is_being_edited_is_not_written_over_by_the_run(browser: Browser, router: str) -> None:
    send(router, "edited", "bounded", "Edited")
    run = the_run(router, "bounded", latest=True)
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{run}?tab=State")
        state = page.get_by_label("State names", exact=False)
        state.fill('{"text": "mine", "amount": 9}')
        edit = json.dumps({"set": {"amount": 1}, "resume": False}).encode()
        status, body = request(router, "PATCH", f"/api/runs/{run}/state", edit, {"content-type": "application/json"})
        assert status == 200, body
        expect(page.get_by_text("The run has published another state meanwhile.")).to_be_visible()
        expect(state).to_have_value('{"text": "mine", "amount": 9}')
        page.get_by_role("button", name="Take that one").click()
        expect(state).to_have_value(re.compile('"amount": 1'))


def test_a_link_a_reload_and_going_back_lead_to_the_same_sight(browser: Browser, router: str) -> None:
    run = the_run(router, "fail")
    for number in range(40):
        send(router, f"many-{number}", "unheard", "To scroll")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{run}")
        parts = page.get_by_role("tablist", name="Parts of the run")
        parts.get_by_role("tab", name="Values").click()
        expect(page).to_have_url(f"{router}/#/runs/{run}?tab=Values")
        page.reload()
        expect(parts.get_by_role("tab", name="Values")).to_have_attribute("aria-selected", "true")
        page.goto(f"{router}/#/trace/{run}")
        page.get_by_role("tab", name="Graph").click()
        page.reload()
        expect(page.locator(".graph .node").first).to_be_visible()
        page.goto(f"{router}/#/events")
        expect(page.locator("tbody tr").nth(30)).to_be_visible()
        page.evaluate("scrollTo(0, 700)")
        page.locator("tbody tr").nth(25).get_by_role("link").first.click()
        expect(page.get_by_role("heading", name="Attributes")).to_be_visible()
        assert scrolled(page) == 0
        page.go_back()
        expect(page.get_by_role("heading", name="Events")).to_be_visible()
        expect(page.locator("tbody tr").nth(25)).to_be_in_viewport()


def test_what_a_run_waits_for_is_said_and_given(browser: Browser, router: str) -> None:
    send(router, "signalled", "speak", "Signal")
    run = the_run(router, "speak", latest=True)
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{run}")
        expect(page.locator(".notice.wait")).to_contain_text("for the signal go.")
        page.locator(".waterfall .step", has_text="go").last.click()
        page.get_by_role("button", name="Send the signal").click()
        page.get_by_role("textbox", name="Value").fill('"from the console"')
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.locator(".head .status")).to_have_text("completed")
        page.get_by_role("button", name="Waits folded").or_(page.locator(".waterfall .marks")).first.wait_for()


def test_a_run_that_is_held_says_by_what_and_leads_to_its_release(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/holds?at=step&subject=tread")
        page.get_by_role("textbox", name="Name", exact=True).fill("brake")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("brake is in force.")).to_be_visible()
        send(router, "braked", "careful", "Braked")
        page.goto(f"{router}/#/runs?status=waiting")
        page.locator("tbody tr", has_text="held by brake").get_by_role("link").first.click()
        expect(page.locator(".notice.warn")).to_contain_text("by brake, at step.starting of tread")
        page.get_by_role("link", name="Look and release").click()
        fields = page.get_by_role("textbox", name="Fields")
        fields.fill(fields.input_value() + "}")
        expect(page.get_by_role("alert")).to_contain_text("not JSON")
        expect(page.get_by_role("button", name="Release")).to_be_disabled()
        page.get_by_role("button", name="Deny").click()
        expect(page.get_by_text("It is denied.")).to_be_visible()
        page.goto(router)
        page.locator(".feed").first.get_by_role("link", name="brake").first.click()
        rule = page.get_by_role("textbox", name="Rule")
        rule.fill(rule.input_value().replace('"hold"', '"observe"'))
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("brake is in force as version 2.")).to_be_visible()
        page.get_by_role("link", name="brake").first.click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_text("brake is deleted.")).to_be_visible()
        expect(page.get_by_role("link", name="brake")).to_have_count(0)


def test_a_run_is_started_and_a_mapping_written_by_hand(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/runs?workflow=speak")
        page.get_by_role("button", name="Start a run").click()
        page.get_by_role("textbox", name="Input").fill('"By hand"')
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("h1")).to_have_text("speak")
        page.get_by_role("tab", name="Values").click()
        expect(page.get_by_label("Input", exact=True)).to_contain_text("By hand")
        page.goto(f"{router}/#/mappings")
        page.get_by_role("button", name="New mapping").click()
        page.get_by_role("textbox", name="Name").fill("by-hand")
        page.get_by_role("button", name="Write its rule").click()
        rule = page.get_by_role("textbox", name="Rule")
        rule.fill(rule.input_value().replace("com.example.hello", "com.example.by-hand"))
        expect(page.get_by_text("It is well formed.")).to_be_visible()
        page.get_by_role("button", name="Publish as live").click()
        expect(page).to_have_url(f"{router}/#/mappings/by-hand")
        expect(page.locator("h1")).to_have_text("by-hand")
    (made,) = [one for one in get(router, "/api/mappings") if one["name"] == "by-hand"]
    assert made["stage"] == "live"


def test_a_page_that_cannot_be_drawn_says_so_and_the_others_go_on(browser: Browser, router: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/api/topics", lambda route: route.fulfill(json=[{"name": "without what a topic has"}]))
    page.goto(f"{router}/#/broker")
    expect(page.get_by_role("alert")).to_contain_text("What it shows is in the API, too.")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    context.close()
