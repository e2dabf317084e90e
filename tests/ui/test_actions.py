"""What can be done in the console, each in a real browser against a real router."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.ui.kit import HOSTILE, get, opened, post, send, the_run


def step(page: Page, name: str) -> None:
    """Choose a step in the picture."""
    page.locator(".waterfall .step", has_text=name).last.click()


def status(page: Page) -> None:
    """Expect that the run that is shown has completed."""
    expect(page.locator(".head .status")).to_have_text("completed")


def test_a_run_is_forked_from_a_step_with_another_result_and_compared(browser: Browser, router: str) -> None:
    send(router, "to-fork", "fail", "To fork")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'fail', latest=True)}")
        step(page, "break_off")
        page.get_by_role("button", name="Fork from here").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Other result of a step before it").select_option(label="1. note (0)")
        dialog.get_by_label("Its result").fill('"Forked"')
        dialog.get_by_role("button", name="Fork", exact=True).click()
        expect(page.get_by_text("No luck with Forked").first).to_be_visible()
        page.get_by_role("tab", name="Compare").click()
        expect(page.get_by_role("heading", name="2 of 2 steps differ")).to_be_visible()
        expect(page.locator(".pair").first).to_contain_text("Forked")


def test_a_state_is_edited_and_the_run_goes_on_with_it(browser: Browser, router: str) -> None:
    send(router, "bounded", "bounded", "Too much")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'bounded')}?tab=State")
        state = page.get_by_label("State names", exact=False)
        expect(state).to_have_value(re.compile('"amount": 9'))
        state.fill('{"text": "Too much", "amount": ')
        expect(page.get_by_role("alert")).to_contain_text("not JSON")
        state.fill('{"text": "Too much", "amount": 4}')
        page.get_by_role("button", name="Set and retry").click()
        status(page)
    assert get(router, f"/api/runs/{the_run(router, 'bounded', latest=True)}")["output"] == 4


def test_a_run_is_paused_and_goes_on(browser: Browser, router: str) -> None:
    send(router, "to-pause", "ask", "To pause")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'ask', latest=True)}")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".head .status")).to_have_text("suspended")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".head .status")).to_have_text("waiting")


def test_a_filter_is_kept_and_all_its_runs_are_acted_on(browser: Browser, router: str) -> None:
    for at in range(3):
        send(router, f"bulk-{at}", "speak", "In bulk")
    with opened(browser) as page:
        page.goto(f"{router}/#/runs?workflow=speak&status=waiting")
        expect(page.locator("tbody tr")).to_have_count(3)
        page.get_by_role("button", name="Save this filter").click()
        page.get_by_role("button", name="Save", exact=True).click()
        page.goto(f"{router}/#/runs")
        page.get_by_role("link", name="waiting speak").click()
        page.get_by_role("button", name="Cancel all").click()
        page.get_by_role("button", name="Do it").click()
        expect(page.get_by_text("cancel: 3 done")).to_be_visible()
        expect(page.get_by_role("heading", name="No runs")).to_be_visible()
        page.get_by_role("button", name="Forget waiting speak").click()
        expect(page.get_by_role("link", name="waiting speak")).to_have_count(0)


def test_a_stream_is_read_as_it_is_written_also_over_a_reload(browser: Browser, router: str) -> None:
    send(router, "speaks", "speak", HOSTILE)
    run = the_run(router, "speak", latest=True)
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{run}?tab=Streams")
        shown = page.get_by_label("Stream tokens")
        expect(shown).to_contain_text(f"Hear: {HOSTILE}")
        page.reload()
        expect(shown).to_contain_text(f"Hear: {HOSTILE}")
        post(router, f"/api/runs/{run}/signals/go", {"value": 1})
        expect(shown).to_have_text(f"Hear: {HOSTILE}, and this.")
        status(page)


def test_each_thing_of_a_cause_tells_all_that_is_known_of_it(browser: Browser, router: str) -> None:
    send(router, "called", "call", "Hello")
    run = the_run(router, "call")
    with opened(browser) as page:
        page.goto(f"{router}/#/trace/{run}?view=graph")
        detail = page.locator(".detail")
        expect(detail).to_contain_text("Hello")  # of the run, which was asked for
        for name, said in [
            ("com.example.call", '"text": "Hello"'),
            ("calls@1", "calls@1 matched"),
            ("first", "first answered 200"),
        ]:
            page.locator(".graph .node", has_text=name).last.click()
            expect(detail).to_contain_text(said)
        page.locator(".graph .node", has=page.locator(".kind[title=dispatch]")).click()
        expect(detail).to_contain_text("first: picked, drawn by weight")
        detail.get_by_role("tab", name="Audit").click()
        expect(detail.locator("li").first).to_contain_text("dispatch.")
        detail.get_by_role("tab", name="JSON").click()
        expect(detail).to_contain_text('"route": "echo"')


def test_a_cause_grows_before_the_eyes_as_a_tree_and_as_a_graph(browser: Browser, router: str) -> None:
    send(router, "grows", "speak", "Grow")
    run = the_run(router, "speak", latest=True)
    with opened(browser) as page:
        page.goto(f"{router}/#/trace/{run}?view=graph")
        nodes = page.locator(".graph .node")
        expect(nodes.filter(has_text="go")).to_contain_text("waiting")
        nodes.filter(has_text="speak").last.click()
        page.locator(".detail").get_by_role("tab", name="Streams").click()
        expect(page.get_by_label("Stream tokens")).to_contain_text("Hear: Grow")
        post(router, f"/api/runs/{run}/signals/go", {"value": 1})
        expect(nodes.filter(has_text="go")).to_contain_text("completed")
        expect(nodes.filter(has_text="speak").last).to_contain_text("completed")
        expect(page.get_by_label("Stream tokens")).to_have_text("Hear: Grow, and this.")
        page.get_by_role("tab", name="Timeline").click()
        expect(page.locator(".waterfall .step", has_text="speak").last).to_contain_text("completed")


def test_an_interceptor_is_made_of_a_transition_that_was_seen(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/runs/{the_run(router, 'fail')}")
        step(page, "break_off")
        page.get_by_role("tab", name="About").last.click()
        page.get_by_role("link", name="Make an interceptor of it").click()
        expect(page.get_by_role("textbox", name="subject")).to_have_value("break_off")
        expect(page.get_by_role("combobox", name="at")).to_have_value("step.starting")
        page.get_by_role("textbox", name="Name", exact=True).fill("seen")
        page.get_by_role("combobox", name="verdict").select_option("observe")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("seen is in force.")).to_be_visible()
        page.locator("tr", has_text="seen").get_by_role("button", name="Disable").click()
        expect(page.locator("tr", has_text="seen").get_by_role("button", name="Enable")).to_be_visible()


def test_a_mapping_goes_from_draft_over_shadow_to_live_and_back(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/mappings")
        page.get_by_role("tab", name="What leads to what").click()
        expect(page.locator(".coverage path")).to_have_count(14)
        page.get_by_label("Narrow the map").fill("careful")
        expect(page.locator(".coverage path")).to_have_count(2)
        page.locator(".coverage a.box", has_text="is-careful").click()
        page.get_by_role("button", name="Change").click()
        rule = page.get_by_role("textbox", name="Rule")
        rule.fill('{"name": "is-careful", "on": {"type": ["com.example.fail"]}, "start": "careful", "input": "x"}')
        expect(page.locator(".difference .added").first).to_be_visible()
        page.get_by_role("button", name="Over the archive").click()
        expect(page.get_by_text(re.compile(r"Of \d+ events \d+ matched before"))).to_be_visible()
        page.get_by_role("spinbutton", name="Share of events, percent").fill("25")
        page.get_by_role("button", name="Publish as canary").click()
        expect(page.get_by_text("is-careful is tried as canary.")).to_be_visible()
        (canary,) = [one for one in get(router, "/api/mappings") if one["stage"] == "canary"]
        assert (canary["name"], canary["rule"]["share"]) == ("is-careful", 0.25)
        page.get_by_role("button", name="Change").click()
        page.get_by_role("button", name="Publish as shadow").click()
        expect(page.get_by_text("is-careful is tried as shadow.")).to_be_visible()
        page.get_by_role("button", name="Make it live").click()
        expect(page.locator(".head .sub")).to_contain_text("version 4")
        page.locator(".version", has_text="project").get_by_role("button", name="Roll back to it").click()
        expect(page.locator(".head .sub")).to_contain_text("version 5")
    assert {one["stage"] for one in get(router, "/api/mappings")} == {"live"}


def test_an_event_that_came_is_found_and_tried_again_without_effects(browser: Browser, router: str) -> None:
    send(router, "unmapped", "unheard", "Nobody hears")
    with opened(browser) as page:
        page.goto(f"{router}/#/events")
        page.get_by_label("Matched").select_option(label="nothing")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_role("link", name="com.example.unheard").click()
        page.get_by_role("link", name="Try it").click()
        event = page.get_by_role("textbox", name="CloudEvent")
        expect(event).to_have_value(re.compile("com.example.unheard"))
        event.fill(event.input_value().replace("com.example.unheard", "com.example.fail"))
        page.get_by_role("button", name="Try", exact=True).click()
        expect(page.get_by_role("dialog").get_by_text("fails@1 matched")).to_be_visible()


def test_a_route_is_tried_weighed_and_explained(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(f"{router}/#/routes/echo")
        page.get_by_role("button", name="Try a request").click()
        page.get_by_role("textbox", name="Request").fill('{"said": "in the console"}')
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_label("Answer")).to_contain_text("in the console")
        page.keyboard.press("Escape")
        page.locator("tbody tr", has_text="succeeded").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("first")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Change weights").click()
        page.get_by_role("spinbutton", name="second").fill("3")
        expect(page.get_by_role("dialog")).to_contain_text("75 %")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("The weights are in force.")).to_be_visible()
        expect(page.locator("tr", has_text="second").locator("td").last).to_have_text("3")
        expect(page.get_by_role("meter").first).to_be_visible()


def test_a_dead_letter_is_looked_at_edited_and_sent_again(browser: Browser, router: str) -> None:
    post(router, "/api/topics/orders/messages", {"body": {"n": HOSTILE}, "key": "k"})
    (pulled,) = post(router, "/api/subscriptions/hard/pull", {"limit": 1})
    given = {"message_id": pulled["message_id"], "token": pulled["token"], "attempt": 1, "error": f"no stock {HOSTILE}"}
    post(router, "/api/subscriptions/hard/nack", given)
    with opened(browser) as page:
        page.goto(router)
        page.get_by_role("link", name="dead letters hard").click()
        page.get_by_role("button", name="Look").click()
        page.get_by_role("textbox", name="Body").fill('{"n": "mended"}')
        page.get_by_role("button", name="Publish the edited one").click()
        expect(page.get_by_text("It is published with the other body")).to_be_visible()
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_role("heading", name="No dead letters")).to_be_visible()
        page.get_by_role("tab", name="What comes next").click()
        expect(page.locator("tbody tr", has_text="mended")).to_be_visible()
        page.get_by_role("button", name="Move…").click()
        page.get_by_role("radio", name="Now").check()
        page.get_by_role("button", name="Move", exact=True).click()
        expect(page.get_by_text("Moved. 0 messages are to come.")).to_be_visible()


def test_the_keyboard_leads_to_pages_and_to_what_an_id_belongs_to(browser: Browser, router: str) -> None:
    with opened(browser) as page:
        page.goto(router)
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        expect(page.get_by_role("img", name=re.compile("Throughput: runs completed"))).to_be_visible()
        page.keyboard.press("g")
        page.keyboard.press("r")
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("Messages")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("/")
        expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
        page.keyboard.type(the_run(router, "fail"))
        page.keyboard.press("Enter")
        expect(page.locator(".waterfall .step", has_text="break_off").first).to_be_visible()
