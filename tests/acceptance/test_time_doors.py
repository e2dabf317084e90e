"""The doors of time, as users meet them: updates and states of runs, and schedules of router.yaml."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.fixtures.serving import request, served, until, wr

CODE = """
from dataclasses import dataclass, field

from workflow_router import Router

router = Router("shop")


@dataclass
class Cart:
    items: list[str] = field(default_factory=list)
    paid: bool = False


@router.on_update()
async def add(cart: Cart, item: str) -> int:
    if item == "stone":
        raise ValueError("not for sale")
    cart.items.append(item)
    await router.publish_state({"items": cart.items})
    return len(cart.items)


@router.on_update()
async def pay(cart: Cart) -> None:
    cart.paid = True


@router.workflow
async def buy() -> list[str]:
    cart = Cart()
    while not cart.paid:
        await router.handle(add, pay, to=cart)
    return cart.items


@router.workflow
async def report(kind: str) -> str:
    return kind
"""
PROJECT = """
name: shop
schedules:
  - {name: daily, cron: "0 9 * * MON-FRI", tz: Europe/Berlin, start: report, input: daily}
  - {name: often, every_s: 21600, overlap: skip}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    folder = tmp_path_factory.mktemp("time") / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "shop.py").write_text(CODE, encoding="utf-8")
    with served(folder) as address:
        yield address


def said(url: str, *arguments: str) -> Any:
    done = wr(*arguments, "--json", url=url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def post(url: str, path: str, body: object) -> tuple[int, Any]:
    status, answer = request(url, "POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    return status, json.loads(answer)


def test_a_run_is_updated_and_shows_its_state(url: str) -> None:
    run = said(url, "runs", "start", "buy")["id"]
    assert said(url, "runs", "state", run) == {"state": None, "updated_ms": None}
    path = f"/api/runs/{run}/updates"
    assert post(url, f"{path}/add", {"value": "tea", "id": "u1"}) == (200, {"id": "u1", "answer": 1})
    assert said(url, "runs", "update", run, "add", "--input", '"milk"')["answer"] == 2
    assert post(url, f"{path}/add", {"value": "tea", "id": "u1"}) == (200, {"id": "u1", "answer": 1})
    state = json.loads(request(url, "GET", f"/api/runs/{run}/state")[1])
    assert state["state"] == {"items": ["tea", "milk"]}
    assert state["updated_ms"] > 0
    for body, name, status, kind in (
        ({"value": 5}, "add", 400, "invalid-input"),
        ({"value": "stone"}, "add", 422, "update-rejected"),
        ({}, "else", 404, "not-found"),
        ({"value": "tea", "within_s": 0}, "add", 400, "invalid-input"),
    ):
        found, problem = post(url, f"{path}/{name}", body)
        assert (found, problem["type"]) == (status, f"urn:workflow-router:problem:{kind}")
    refused = wr("runs", "update", run, "add", "--input", '"stone"', url=url)
    assert refused.returncode != 0
    assert "not for sale" in refused.stderr
    assert said(url, "runs", "update", run, "pay")["answer"] is None
    until(url, lambda _: said(url, "runs", "show", run)["status"] == "completed" or None)
    assert said(url, "runs", "show", run)["output"] == ["tea", "milk"]
    assert post(url, f"{path}/pay", {})[0] == 409
    assert request(url, "GET", "/api/runs/none/state")[0] == 404


def test_schedules_are_listed_paused_and_fired(url: str) -> None:
    found = json.loads(request(url, "GET", "/api/schedules")[1])
    assert [(one["name"], one["cron"], one["every_s"], one["tz"], one["overlap"], one["paused"]) for one in found] == [
        ("daily", "0 9 * * MON-FRI", None, "Europe/Berlin", "allow", False),
        ("often", None, 21600.0, "UTC", "skip", False),
    ]
    assert all(one["next_ms"] > 0 and one["fired_ms"] is None for one in found)
    assert said(url, "schedules", "pause", "often")["paused"] is True
    assert [one["paused"] for one in said(url, "schedules", "list")] == [False, True]
    assert said(url, "schedules", "resume", "often")["paused"] is False
    (run,) = said(url, "schedules", "trigger", "daily")["runs"]
    until(url, lambda _: said(url, "runs", "show", run)["status"] == "completed" or None)
    assert said(url, "runs", "show", run)["output"] == "daily"
    missing = wr("schedules", "pause", "nothing", url=url)
    assert (missing.returncode != 0, "no schedule nothing" in missing.stderr) == (True, True)
    assert "daily" in wr("schedules", url=url).stdout
