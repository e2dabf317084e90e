"""Owns `wr topics`. Refuses to touch a store: it asks the server."""

import sys
from typing import cast

import click

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.terminal import Printer
from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json

COLUMNS = ("name", "published", "ready", "leased", "acked", "dead")
MESSAGE_COLUMNS = ("message_id", "key", "published_ms", "body")


def json_of(where: str, text: str) -> object:
    """The JSON of an option or a line. Raises InvalidInput."""
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidInput(f"{where} is not JSON: {error}.", remedy="Quote it for your shell.") from None


def headers_of(given: tuple[str, ...]) -> dict[str, str]:
    """Headers given as NAME=VALUE. Raises InvalidInput."""
    pairs = [one.partition("=") for one in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise InvalidInput("A header is NAME=VALUE.", remedy="For example --header kind=order.")
    return {name: value for name, _, value in pairs}


@click.group(cls=Group, default="list", epilog="""Example: wr topics publish orders '{"id": 7}' --key c-1""")
def command() -> None:
    """List, create and delete topics; publish, peek and send requests."""


@command.command("list", epilog="Example: wr topics list --json")
@talks
def list_topics(client: Client, printer: Printer) -> None:
    """List topics with the counts of their messages."""
    found = client.list("/api/topics")
    rows = [{"name": one["name"], **cast("dict[str, object]", one["counts"])} for one in found]
    printer.table(rows, COLUMNS, empty="No topics.", value=found)


@command.command("create", epilog="Example: wr topics create orders --max-messages 100000 --keep 86400")
@click.argument("name")
@click.option("--max-messages", type=click.IntRange(1), help="Most that the slowest subscription may leave.")
@click.option("--max-bytes", type=click.IntRange(1), help="The same in bytes.")
@click.option(
    "--when-full",
    type=click.Choice(["refuse", "drop-oldest", "block"]),
    default="refuse",
    show_default=True,
    help="What a publisher to a full topic meets.",
)
@click.option("--keep", "keep_s", type=float, help="Seconds to keep what everybody has taken; for good by default.")
@click.option("--keep-messages", type=click.IntRange(1), help="Keep at most so many of those.")
@click.option("--deduplication", "deduplication_s", type=float, default=600.0, show_default=True, help="Seconds.")
@talks
def create(client: Client, printer: Printer, name: str, **rule: object) -> None:
    """Create the topic NAME, or change one that was created so."""
    printer.say(f"{name} is there.", client.put(f"/api/topics/{segment(name)}", rule))


@command.command("delete", epilog="Example: wr topics delete orders --yes")
@click.argument("name")
@click.confirmation_option(prompt="Its messages are deleted with it. Go on?")
@talks
def delete(client: Client, printer: Printer, name: str) -> None:
    """Delete the topic NAME, which nobody reads, and its messages."""
    printer.say(f"{name} is deleted.", client.delete(f"/api/topics/{segment(name)}"))


@command.command("publish", epilog="""Example: wr topics publish orders '{"id": 7}' --key c-1 --delay-ms 60000""")
@click.argument("topic")
@click.argument("body", required=False)
@click.option("--key", help="Messages of the same key are delivered in order.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; may stand several times.")
@click.option("--delay-ms", type=click.IntRange(0), default=0, help="Deliver it after so long.")
@click.option("--expires-ms", type=click.IntRange(1), help="Do not deliver it after so long.")
@click.option("--deduplication-id", help="Publish no second message with the same one.")
@click.option("--priority", type=click.IntRange(0, 9), default=0, help="1 to 9 are taken before others that wait.")
@click.option("--lines", is_flag=True, help="Publish each line of standard input as a message, all or none.")
@talks
def publish(
    client: Client,
    printer: Printer,
    topic: str,
    body: str | None,
    headers: tuple[str, ...],
    lines: bool,
    **options: object,
) -> None:
    """Publish BODY (JSON) to TOPIC, or each line of standard input."""
    if lines == (body is not None):
        raise InvalidInput("There is nothing to publish, or too much.", remedy="Give BODY, or --lines.")
    given = {name: value for name, value in options.items() if value is not None} | {"headers": headers_of(headers)}
    texts = [line for line in sys.stdin if line.strip()] if lines else [body or ""]
    messages = [{"body": json_of("A line" if lines else "BODY", text), **given} for text in texts]
    answer = client.post(f"/api/topics/{segment(topic)}/messages", messages if lines else messages[0])
    ids = cast("list[str]", answer.get("ids", []))
    printer.say(f"Published {ids[0] if len(ids) == 1 else f'{len(ids)} messages'}.", answer)


@command.command("peek", epilog="Example: wr topics peek orders --limit 1")
@click.argument("topic")
@click.option("--after", type=click.IntRange(0), default=0, help="Pass over so many.")
@click.option("--limit", type=click.IntRange(1, 500), default=10, show_default=True)
@talks
def peek(client: Client, printer: Printer, topic: str, after: int, limit: int) -> None:
    """Show messages of TOPIC, oldest first, without taking them."""
    found = client.list(f"/api/topics/{segment(topic)}/messages", after=after, limit=limit)
    printer.table(found, MESSAGE_COLUMNS, empty="No messages.", value=found)


@command.command("request", epilog="Example: wr topics request double 21 --within 5")
@click.argument("topic")
@click.argument("body")
@click.option("--within", type=click.FloatRange(0, 25, min_open=True), default=20.0, show_default=True, help="Seconds.")
@click.option("--id", "request_id", help="Asked again with the same one, it waits for the same reply.")
@talks
def request(client: Client, printer: Printer, topic: str, body: str, within: float, request_id: str | None) -> None:
    """Publish BODY (JSON) as a request to TOPIC, and print its reply."""
    given = {"body": json_of("BODY", body), "timeout_s": within} | ({"id": request_id} if request_id else {})
    answer = client.post(f"/api/topics/{segment(topic)}/requests", given)
    printer.data(answer if printer.as_json else answer.get("body"))
