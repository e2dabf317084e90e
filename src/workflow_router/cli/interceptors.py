"""Owns `wr interceptors`. Refuses to touch a store: it asks the server."""

from pathlib import Path
from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.rule_file import FILE, VERSION, VERSIONS, rule_in
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "at", "verdict", "order", "stage", "version", "author")


@click.group(cls=Group, default="list", epilog="Example: wr interceptors set freeze freeze.yaml")
def command() -> None:
    """List interceptors, and change them while transitions go through them."""


@command.command("list", epilog="Example: wr interceptors list --json")
@talks
def list_interceptors(client: Client, printer: Printer) -> None:
    """List interceptors in the order in which they are asked."""
    found = client.list("/api/interceptors")
    printer.table([_row(one) for one in found], COLUMNS, empty="No interceptors.", value=found)


@command.command("show", epilog="Example: wr interceptors show freeze --json")
@click.argument("interceptor")
@talks
def show(client: Client, printer: Printer, interceptor: str) -> None:
    """Show the interceptor INTERCEPTOR, and its versions."""
    found = client.get(_path(interceptor))
    versions = client.list(f"{_path(interceptor)}/versions")
    value = {**found, "versions": versions}
    printer.table([_row(found)], COLUMNS, empty="", value=value)
    if not printer.as_json:
        printer.table(versions, VERSIONS, empty="It is as the project declares it.", value=versions)


@command.command("set", epilog="Example: wr interceptors set freeze freeze.yaml")
@click.argument("interceptor")
@FILE
@VERSION
@talks
def set_interceptor(client: Client, printer: Printer, interceptor: str, file: Path, version: int | None) -> None:
    """Create or change INTERCEPTOR from FILE: YAML or JSON, as `interceptors` of router.yaml would say it."""
    made = client.put(_path(interceptor, "", version), rule_in(file))
    printer.say(f"{interceptor} is in version {made['version']}.", made)


@command.command("disable", epilog="Example: wr interceptors disable freeze")
@click.argument("interceptor")
@VERSION
@talks
def disable(client: Client, printer: Printer, interceptor: str, version: int | None) -> None:
    """Take the interceptor INTERCEPTOR out of force; what it holds stays held."""
    made = client.post(_path(interceptor, "/disable", version), {})
    printer.say(f"{interceptor} is disabled, in version {made['version']}.", made)


@command.command("enable", epilog="Example: wr interceptors enable freeze")
@click.argument("interceptor")
@VERSION
@talks
def enable(client: Client, printer: Printer, interceptor: str, version: int | None) -> None:
    """Put the interceptor INTERCEPTOR in force that was disabled."""
    made = client.post(_path(interceptor, "/enable", version), {})
    printer.say(f"{interceptor} is enabled, in version {made['version']}.", made)


@command.command("delete", epilog="Example: wr interceptors delete freeze")
@click.argument("interceptor")
@VERSION
@talks
def delete(client: Client, printer: Printer, interceptor: str, version: int | None) -> None:
    """Delete INTERCEPTOR that was made here, or what was changed here of one that the project declares."""
    made = client.delete(_path(interceptor, "", version))
    printer.say(f"{interceptor} is deleted.", made)


def _path(interceptor: str, verb: str = "", version: int | None = None) -> str:
    return f"/api/interceptors/{segment(interceptor)}{verb}" + ("" if version is None else f"?version={version}")


def _row(found: dict[str, object]) -> dict[str, object]:
    rule = cast("dict[str, object]", found["interceptor"])
    at = rule["at"]
    kinds = ", ".join(cast("list[str]", at)) if isinstance(at, list) else at
    verdict = f"{rule['call']}()" if "call" in rule else rule.get("verdict", "observe")
    if found.get("problem"):
        verdict = f"cannot be asked: {found['problem']}"
    return {**found, "at": kinds, "verdict": verdict, "order": rule.get("order", 0)}
