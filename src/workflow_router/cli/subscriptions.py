"""Owns `wr subscriptions`. Refuses to touch a store: it asks the server."""

from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer
from workflow_router.cli.topics import json_of

COLUMNS = ("name", "topic", "target", "lag", "age", "waiting", "leased", "dead", "acknowledged")
MESSAGE_COLUMNS = ("message_id", "key", "attempt", "body", "token")
DEAD_COLUMNS = ("message_id", "key", "attempt", "error", "body")
TARGETS = ("start", "signal", "route", "handler")


def _path(name: str, verb: str = "") -> str:
    return f"/api/subscriptions/{segment(name)}{verb}"


def _row(one: dict[str, object]) -> dict[str, object]:
    progress = cast("dict[str, object]", one.get("progress") or {})
    target = next((f"{kind} {one[kind]}" for kind in TARGETS if one.get(kind)), "pull")
    age = f"{cast('int', progress.get('age_ms', 0)) / 1000:g} s"
    return {**progress, "name": one["name"], "topic": one["topic"], "target": target, "age": age}


@click.group(cls=Group, default="list", epilog="Example: wr subscriptions redrive billing --per-s 10")
def command() -> None:
    """List, create, delete, pull from, move and mend subscriptions."""


@command.command("list", epilog="Example: wr subscriptions list --json")
@talks
def list_subscriptions(client: Client, printer: Printer) -> None:
    """List subscriptions and how far each is."""
    found = client.list("/api/subscriptions")
    printer.table([_row(one) for one in found], COLUMNS, empty="No subscriptions.", value=found)


@command.command("create", epilog="""Example: wr subscriptions create billing orders --filter '{"key": ["c-1"]}'""")
@click.argument("name")
@click.argument("topic")
@click.option("--start", metavar="WORKFLOW", help="Start runs of it.")
@click.option("--signal", metavar="SIGNAL", help="Signal the run of --workflow that has the message's key.")
@click.option("--workflow", help="Whose runs --signal reaches.")
@click.option("--route", help="Send messages through this route as webhooks.")
@click.option("--secret-env", metavar="NAME", help="Variable of the server with the secret of webhooks.")
@click.option("--filter", "pattern", metavar="JSON", help="Pattern over key, headers and body.")
@click.option("--begin", default="now", show_default=True, help="now, beginning, or milliseconds since the epoch.")
@click.option("--max-deliveries", type=click.IntRange(1, 1_000), default=5, show_default=True)
@click.option("--lease-ms", type=click.IntRange(1), default=30_000, show_default=True)
@click.option("--on-failure", type=click.Choice(["block", "park"]), default="block", show_default=True)
@click.option("--prefetch", type=click.IntRange(1, 10_000), default=10_000, show_default=True)
@talks
def create(client: Client, printer: Printer, name: str, pattern: str | None, begin: str, **rule: object) -> None:
    """Create the subscription NAME of TOPIC, or change one that was created so."""
    body = {field: value for field, value in rule.items() if value is not None}
    body |= {"begin": int(begin) if begin.isdigit() else begin}
    body |= {} if pattern is None else {"filter": json_of("--filter", pattern)}
    printer.say(f"{name} is there.", client.put(_path(name), body))


@command.command("delete", epilog="Example: wr subscriptions delete billing --yes")
@click.argument("name")
@click.confirmation_option(prompt="Its place and dead letters are lost. Go on?")
@talks
def delete(client: Client, printer: Printer, name: str) -> None:
    """Delete the subscription NAME with its dead letters; the topic's messages stay."""
    printer.say(f"{name} is deleted.", client.delete(_path(name)))


@command.command("pull", epilog="Example: wr subscriptions pull billing --limit 1 --ack")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 500), default=10, show_default=True)
@click.option("--wait", "wait_s", type=click.FloatRange(0, 25), default=0.0, help="Seconds to wait for the first.")
@click.option("--ack", is_flag=True, help="Acknowledge them once they are printed.")
@talks
def pull(
    client: Client,
    printer: Printer,
    name: str,
    limit: int,
    wait_s: float,
    ack: bool,
) -> None:
    """Lease messages of NAME; without --ack they come again when their lease has run out."""
    found = client.post_list(_path(name, "/pull"), {"limit": limit, "wait_s": wait_s})
    printer.table(found, MESSAGE_COLUMNS, empty="No messages.", value=found)
    for one in found if ack else ():
        client.post(_path(name, "/ack"), {"message_id": one["message_id"], "token": one["token"]})


@command.command("ack", epilog="Example: wr subscriptions ack billing 0195b7a0-… 8f2c…")
@click.argument("name")
@click.argument("message")
@click.argument("lease")
@talks
def ack(client: Client, printer: Printer, name: str, message: str, lease: str) -> None:
    """Say that MESSAGE, which was pulled from NAME with the token LEASE, is done."""
    answer = client.post(_path(name, "/ack"), {"message_id": message, "token": lease})
    printer.say(f"{message} is done.", answer)


@command.command("nack", epilog="Example: wr subscriptions nack billing 0195b7a0-… 8f2c… --delay-ms 5000")
@click.argument("name")
@click.argument("message")
@click.argument("lease")
@click.option("--delay-ms", type=click.IntRange(0), help="Not before so long; by default later each time.")
@talks
def nack(client: Client, printer: Printer, name: str, message: str, lease: str, delay_ms: int | None) -> None:
    """Give MESSAGE, which was pulled from NAME with the token LEASE, back: it could not be handled."""
    body = {"message_id": message, "token": lease} | ({} if delay_ms is None else {"delay_ms": delay_ms})
    printer.say(f"{message} comes again.", client.post(_path(name, "/nack"), body))


@command.command("peek", epilog="Example: wr subscriptions peek billing --limit 1")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 500), default=10, show_default=True)
@talks
def peek(client: Client, printer: Printer, name: str, limit: int) -> None:
    """Show what NAME takes next, without taking it."""
    found = client.list(_path(name, "/messages"), limit=limit)
    printer.table(found, MESSAGE_COLUMNS[:-1], empty="No messages.", value=found)


@command.command("dead-letters", epilog="Example: wr subscriptions dead-letters billing")
@click.argument("name")
@talks
def dead_letters(client: Client, printer: Printer, name: str) -> None:
    """Show the dead letters of NAME with their errors."""
    found = client.list(_path(name, "/dead-letters"))
    printer.table(found, DEAD_COLUMNS, empty="No dead letters.", value=found)


@command.command("seek", epilog="Example: wr subscriptions seek billing beginning")
@click.argument("name")
@click.argument("to")
@talks
def seek(client: Client, printer: Printer, name: str, to: str) -> None:
    """Move NAME to `beginning`, `now`, or a time in milliseconds since the epoch."""
    answer = client.post(_path(name, "/seek"), {"to": int(to) if to.isdigit() else to})
    printer.say(f"{name} has {answer.get('lag')} messages to take.", answer)


@command.command("purge", epilog="Example: wr subscriptions purge billing --yes")
@click.argument("name")
@click.confirmation_option(prompt="What waits is not delivered any more. Go on?")
@talks
def purge(client: Client, printer: Printer, name: str) -> None:
    """Drop what waits for NAME; its dead letters stay."""
    printer.say(f"Nothing waits for {name}.", client.post(_path(name, "/purge"), {}))


@command.command(
    "redrive", epilog="""Example: wr subscriptions redrive billing --filter '{"key": ["c-1"]}' --per-s 10"""
)
@click.argument("name")
@click.option("--message", "message_id", help="Only this one.")
@click.option("--filter", "pattern", metavar="JSON", help="Pattern over key, headers, body and error.")
@click.option("--limit", type=click.IntRange(1), default=1_000_000, help="At most so many.")
@click.option("--per-s", type=click.FloatRange(0, 1_000, min_open=True), help="How many fall due a second.")
@talks
def redrive(
    client: Client,
    printer: Printer,
    name: str,
    message_id: str | None,
    pattern: str | None,
    limit: int,
    per_s: float | None,
) -> None:
    """Deliver dead letters of NAME again: all, one, or those that match."""
    body: dict[str, object] = {"message_id": message_id, "limit": limit, "per_s": per_s}
    body["filter"] = None if pattern is None else json_of("--filter", pattern)
    answer = client.post(_path(name, "/redrive"), body)
    printer.say(f"{answer.get('redriven')} will be delivered again.", answer)
