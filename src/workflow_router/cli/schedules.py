"""Owns `wr schedules`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "cron", "every_s", "tz", "paused", "next_ms", "fired_ms")


@click.group(cls=Group, default="list", epilog="Example: wr schedules pause nightly")
def command() -> None:
    """List, pause, resume and trigger schedules."""


@command.command("list", epilog="Example: wr schedules list --json")
@talks
def list_schedules(client: Client, printer: Printer) -> None:
    """List the schedules and their next moments."""
    answer = client.list("/api/schedules")
    printer.table(answer, COLUMNS, empty="No schedules.", value=answer)


@command.command("pause", epilog="Example: wr schedules pause nightly")
@click.argument("name")
@talks
def pause(client: Client, printer: Printer, name: str) -> None:
    """Hold the schedule NAME."""
    printer.say(f"{name} is paused.", client.post(f"/api/schedules/{segment(name)}/pause", {}))


@command.command("resume", epilog="Example: wr schedules resume nightly")
@click.argument("name")
@talks
def resume(client: Client, printer: Printer, name: str) -> None:
    """Let the schedule NAME go on."""
    printer.say(f"{name} goes on.", client.post(f"/api/schedules/{segment(name)}/resume", {}))


@command.command("trigger", epilog="Example: wr schedules trigger nightly")
@click.argument("name")
@talks
def trigger(client: Client, printer: Printer, name: str) -> None:
    """Fire the schedule NAME now."""
    printer.say(f"{name} was fired.", client.post(f"/api/schedules/{segment(name)}/trigger", {}))
