"""Owns `wr events`. Refuses to touch a store: it asks the server."""

import uuid
from typing import IO, cast

import click
import msgspec

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.mappings import explained_lines
from workflow_router.cli.terminal import Printer, rows_of
from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json

COLUMNS = ("id", "type", "source", "matched", "received_ms")
BATCH = 100


@click.group(cls=Group, default="list", epilog="Example: wr events send order.json")
def command() -> None:
    """List, show and send events."""


@command.command("list", epilog="Example: wr events list --type com.github. --text octo-org/api")
@click.option("--type", "kind", help="Only those whose type begins so.")
@click.option("--mapping", help="Only those that this mapping matched; '' for those that none did.")
@click.option("--text", help="Only those with this text in an attribute.")
@click.option("--before", metavar="EVENT", help="Only those older than this event: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@talks
def list_events(client: Client, printer: Printer, kind: str | None, limit: int, **wanted: str | None) -> None:
    """List events, newest first."""
    answer = client.get("/api/events", type=kind, limit=limit, **wanted)
    printer.table(rows_of(answer, "events"), COLUMNS, empty="No events.", value=answer)


@command.command("show", epilog="Example: wr events show 0199f0c2-…")
@click.argument("event")
@talks
def show(client: Client, printer: Printer, event: str) -> None:
    """Show the event EVENT, by the id it was given here."""
    answer = client.get(f"/api/events/{segment(event)}")
    printer.say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode(), answer)


@command.command("send", epilog="""Example: echo '{"type": "com.example.ping"}' | wr events send -""")
@click.argument("file", type=click.File("rb"))
@talks
def send(client: Client, printer: Printer, file: IO[bytes]) -> None:
    """Send the CloudEvents in FILE (- for standard input): one, a list, or one a line.

    Where an event has no `specversion`, `id` or `source`, it gets 1.0, a new one, and /wr.
    """
    events = [_complete(event) for event in _read(file.read())]
    answers = [answer for at in range(0, len(events), BATCH) for answer in client.send(events[at : at + BATCH])]
    started = sum(len(cast("list[str]", answer["runs"])) for answer in answers)
    duplicates = sum(bool(answer["duplicate"]) for answer in answers)
    printer.say(f"Sent {len(answers)}, {duplicates} of them known before; {started} runs started.", answers)


@command.command("explain", epilog="Example: wr events explain 0199f0c2-…")
@click.argument("event")
@talks
def explain(client: Client, printer: Printer, event: str) -> None:
    """Say which mappings EVENT matched and which came near, and why not, by those in force when it came."""
    answer = client.get(f"/api/events/{segment(event)}/explain")
    printer.say("\n".join(explained_lines(answer)), answer)


@command.command("replay", epilog="Example: wr events replay 0199f0c2-… --only orders --yes")
@click.argument("events", nargs=-1, required=True)
@click.option("--only", multiple=True, help="Only this mapping may take part; may be given several times.")
@click.option("--yes", is_flag=True, help="Needed, because everything that they start is started again.")
@talks
def replay(client: Client, printer: Printer, events: tuple[str, ...], only: tuple[str, ...], *, yes: bool) -> None:
    """Take the accepted EVENTS in again, with all effects, as new events that say which they repeat."""
    if not yes:
        raise InvalidInput(
            f"This starts again what {len(events)} events started.", remedy="Add --yes if that is what you want."
        )
    answers = client.post_list("/api/events/replay", {"events": events, "only": list(only) or None})
    started = sum(len(cast("list[str]", answer["runs"])) for answer in answers)
    printer.say(f"Replayed {len(answers)}; {started} runs started.", answers)


def _read(content: bytes) -> list[object]:
    try:
        found = from_json(content)
    except msgspec.DecodeError as error:
        try:
            return [from_json(line) for line in content.splitlines() if line.strip()]
        except msgspec.DecodeError:
            raise InvalidInput(f"The file is neither JSON nor JSON lines: {error}.", remedy="Mend it.") from None
    return cast("list[object]", found) if isinstance(found, list) else [found]


def _complete(event: object) -> dict[str, object]:
    if not isinstance(event, dict):
        raise InvalidInput("An event is a JSON object.", remedy='Write {"type": …, "data": …}.')
    return {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/wr"} | cast("dict[str, object]", event)
