"""Owns `wr routes`. Refuses to touch a store: it asks the server."""

from pathlib import Path
from typing import cast

import click
import msgspec

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.rule_file import FILE, VERSION, VERSIONS, rule_in
from workflow_router.cli.terminal import Printer
from workflow_router.cli.topics import json_of
from workflow_router.core.errors import InvalidInput

COLUMNS = ("name", "policy", "targets")
TARGETS = ("name", "ready", "in_flight", "limit", "concurrency", "waiting", "reason")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CHATS = {"openai"}  # kinds of targets that are asked as models are


@click.group(cls=Group, default="list", epilog="Example: wr routes weigh search old=90 new=10")
def command() -> None:
    """List routes, and change them while calls go through them."""


@command.command("list", epilog="Example: wr routes list --json")
@talks
def list_routes(client: Client, printer: Printer) -> None:
    """List routes with their targets."""
    found = client.list("/api/routes")
    rows = [{**one, "targets": ", ".join(map(_target, cast("list[object]", one["targets"])))} for one in found]
    printer.table(rows, COLUMNS, empty="No routes.", value=found)


@command.command("show", epilog="Example: wr routes show assistant --json")
@click.argument("route")
@talks
def show(client: Client, printer: Printer, route: str) -> None:
    """Show the route ROUTE: how its targets fare, their calls in flight and their limits, and its versions."""
    found = client.get(f"/api/routes/{segment(route)}")
    versions = client.list(f"/api/routes/{segment(route)}/versions")
    value = {**found, "versions": versions}
    if printer.as_json:
        printer.say("", value)
        return
    printer.say(f"{route}: version {found['version']} by {found['author']}, {found['stage']}", value)
    targets = cast("list[dict[str, object]]", found["targets"])
    printer.table(targets, TARGETS, empty="It is not in force.", value=targets)
    printer.table(versions, VERSIONS, empty="It is as the project declares it.", value=versions)


@command.command("set", epilog="Example: wr routes set search search.yaml")
@click.argument("route")
@FILE
@VERSION
@talks
def set_route(client: Client, printer: Printer, route: str, file: Path, version: int | None) -> None:
    """Create or change the route ROUTE from FILE: YAML or JSON, as `routes.ROUTE` of router.yaml would say it."""
    made = client.put(_path(route, "", version), rule_in(file))
    printer.say(f"{route} is in version {made['version']}.", made)


@command.command("weigh", epilog="Example: wr routes weigh search old=90 new=10")
@click.argument("route")
@click.argument("weights", nargs=-1, required=True, metavar="TARGET=WEIGHT...")
@VERSION
@talks
def weigh(client: Client, printer: Printer, route: str, weights: tuple[str, ...], version: int | None) -> None:
    """Change the weights of targets of the route ROUTE."""
    given: dict[str, float] = {}
    for one in weights:
        name, _, number = one.rpartition("=")
        try:
            given[name] = float(number)
        except ValueError:
            raise InvalidInput(f"{one!r} is no weight.", remedy="Write TARGET=WEIGHT, such as new=10.") from None
    made = client.post(_path(route, "/weights", version), {"weights": given})
    printer.say(f"{route} is in version {made['version']}.", made)


@command.command(
    "try",
    epilog="""Examples: wr routes try bank /accounts/7; wr routes try assistant --body '{"messages": [...]}'""",
)
@click.argument("route")
@click.argument("path", default="")
@click.option(
    "--method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), help="GET, or POST with a body."
)
@click.option("--body", metavar="JSON", help="What is sent; a model says hello without one.")
@talks
def try_route(client: Client, printer: Printer, route: str, path: str, method: str | None, body: str | None) -> None:
    """Send a request through ROUTE, for real: it counts against budgets, and `wr dispatches` says where it went."""
    found = client.get(f"/api/routes/{segment(route)}")
    given = None if body is None else json_of("--body", body)
    kinds = {one["kind"] for one in cast("list[dict[str, object]]", found["targets"])}
    if kinds & CHATS and not path:
        said = given if given is not None else {"messages": [{"role": "user", "content": "Say hello."}]}
        content = client.call("POST", "/v1/chat/completions", {"model": route, **cast("dict[str, object]", said)})
    else:
        verb = method or ("GET" if body is None else "POST")
        content = client.call(verb, f"/dispatch/{segment(route)}/{path.lstrip('/')}", given)
    try:
        answer: object = msgspec.json.decode(content)
        text = msgspec.json.format(content, indent=2).decode()
    except msgspec.DecodeError:
        answer = text = content.decode(errors="replace")
    printer.say(text, answer)


@command.command("disable", epilog="Example: wr routes disable search")
@click.argument("route")
@VERSION
@talks
def disable(client: Client, printer: Printer, route: str, version: int | None) -> None:
    """Take the route ROUTE out of force."""
    made = client.post(_path(route, "/disable", version), {})
    printer.say(f"{route} is disabled, in version {made['version']}.", made)


@command.command("enable", epilog="Example: wr routes enable search")
@click.argument("route")
@VERSION
@talks
def enable(client: Client, printer: Printer, route: str, version: int | None) -> None:
    """Put the route ROUTE in force that was disabled."""
    made = client.post(_path(route, "/enable", version), {})
    printer.say(f"{route} is enabled, in version {made['version']}.", made)


@command.command("delete", epilog="Example: wr routes delete search")
@click.argument("route")
@VERSION
@talks
def delete(client: Client, printer: Printer, route: str, version: int | None) -> None:
    """Delete the route ROUTE that was made here, or what was changed here of one that the project declares."""
    made = client.delete(_path(route, "", version))
    printer.say(f"{route} is deleted.", made)


def _path(route: str, verb: str, version: int | None) -> str:
    return f"/api/routes/{segment(route)}{verb}" + ("" if version is None else f"?version={version}")


def _target(target: object) -> str:
    fields = cast("dict[str, object]", target)
    return f"{fields['name']}{'' if fields['ready'] else ' (out)'}"
