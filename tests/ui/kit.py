"""Owns what tests of the console share: a page that notices mistakes, and talking to the router beside it."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Dialog, Page

from tests.fixtures.serving import request

HOSTILE = "<img src=x onerror=alert(1)> \u202edrow\u202c \x1b[31mred </script><script>alert(2)</script>"


@contextmanager
def opened(browser: Browser, *, dark: bool = False, phone: bool = False) -> Generator[Page, None, None]:
    """A page of its own; anything that a script did not expect fails the test."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("dialog", lambda dialog: _answer(dialog, mistakes))
    page.on("console", lambda said: mistakes.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert mistakes == []


def _answer(dialog: Dialog, mistakes: list[str]) -> None:
    """Agree to what the console asks. It has no alerts: one is a script that should not have run."""
    if dialog.type == "alert":
        mistakes.append(f"alert: {dialog.message}")
    dialog.accept()


def post(url: str, path: str, body: object) -> Any:
    """The JSON of the answer to what is posted to the API."""
    status, answer = request(url, "POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    assert status < 300, answer
    return json.loads(answer)


def the_run(url: str, workflow: str, *, latest: bool = False) -> str:
    """The id of the oldest run of a workflow, or of the latest."""
    found = get(url, f"/api/runs?workflow={workflow}&limit=50")["runs"]
    return str(found[0 if latest else -1]["id"])


def send(url: str, own_id: str, kind: str, text: str) -> None:
    """Post an event that starts the workflow `kind`."""
    event = {
        "specversion": "1.0",
        "id": own_id,
        "source": "/shop",
        "type": f"com.example.{kind}",
        "data": {"text": text},
    }
    headers = {"content-type": "application/cloudevents+json"}
    status, body = request(url, "POST", "/events", json.dumps(event).encode(), headers)
    assert status == 202, body


def get(url: str, path: str) -> Any:
    """The JSON at a path of the API."""
    status, body = request(url, "GET", path)
    assert status == 200, body
    return json.loads(body)
