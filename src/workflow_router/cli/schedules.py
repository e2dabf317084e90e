"""Owns `wr schedules`. Refuses to touch a store: it asks the server."""

import click

from workflow_router.cli.client import Client, run_by_default, segment, talks
from workflow_router.cli.terminal import Printer

COLUMNS = ("name", "cron", "every_s", "tz", "paused", "next_ms", "fired_ms")


@click.group(invoke_without_command=True, epilog="Example: wr schedules pause nightly")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, pause, resume and trigger schedules."""
    run_by_default(ctx, list_schedules)


@command.command("list")
@talks
def list_schedules(client: Client, printer: Printer) -> None:
    """List the schedules and their next moments."""
    answer = client.list("/api/schedules")
    printer.table(answer, COLUMNS, empty="No schedules.", value=answer)


@command.command("pause")
@click.argument("name")
@talks
def pause(client: Client, printer: Printer, name: str) -> None:
    """Hold the schedule NAME."""
    printer.say(f"{name} is paused.", client.post(f"/api/schedules/{segment(name)}/pause", {}))


@command.command("resume")
@click.argument("name")
@talks
def resume(client: Client, printer: Printer, name: str) -> None:
    """Let the schedule NAME go on."""
    printer.say(f"{name} goes on.", client.post(f"/api/schedules/{segment(name)}/resume", {}))


@command.command("trigger")
@click.argument("name")
@talks
def trigger(client: Client, printer: Printer, name: str) -> None:
    """Fire the schedule NAME now."""
    printer.say(f"{name} was fired.", client.post(f"/api/schedules/{segment(name)}/trigger", {}))
