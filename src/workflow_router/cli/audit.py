"""Owns `wr audit`. Refuses to add an entry, and to take the server's word for what it can check itself."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.follow import follow as follow_stream
from workflow_router.cli.group import Group
from workflow_router.cli.log import PAGE, Head, Log
from workflow_router.cli.terminal import Printer, as_text, progress
from workflow_router.core.errors import Conflict, InvalidInput
from workflow_router.core.proofs.checkpoint import Checkpoint, read_checkpoint, verify_checkpoint
from workflow_router.core.proofs.entries import PRUNED_AT_ONCE, Line, LogCheck, PrunedLines
from workflow_router.core.proofs.merkle import verify_inclusion

COLUMNS = ("position", "time_ms", "kind", "subject", "run", "actor")


@click.group(cls=Group, default="tail", epilog="Example: wr audit verify --store sqlite:///data/router.db")
def command() -> None:
    """Read, prove and verify the audit log."""


@command.command("tail", epilog="Example: wr audit tail --follow")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--after", type=click.IntRange(0), help="From behind this position on, instead of the latest.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@talks
def tail(client: Client, printer: Printer, limit: int, after: int | None, follow: bool) -> None:
    """Show the latest entries."""
    begin = max(0, cast("int", client.get("/api/audit/head")["position"]) - limit) if after is None else after
    found = client.list("/api/audit", after=begin, limit=limit)
    printer.table(map(_flat, found), COLUMNS, empty="No entries.", value=found)
    if follow:
        shown = cast("int", found[-1]["position"]) if found else begin
        for entry in follow_stream(client, "/api/observe", shown, place="position"):
            row = _flat(entry)
            printer.say("  ".join(as_text(name, row.get(name)) for name in COLUMNS), entry)


def _flat(entry: Mapping[str, object]) -> dict[str, object]:
    return {**entry, **cast("dict[str, object]", entry["transition"])}


@command.command("search", epilog="Example: wr audit search --actor ada --kind approval. --since 2026-11-01")
@click.option("--kind", help="Its kind, or the beginning of one.")
@click.option("--actor", help="Who did it.")
@click.option("--run", help="The run it belongs to.")
@click.option("--since", type=click.DateTime(), help="From this moment on, UTC.")
@click.option("--until", type=click.DateTime(), help="Before this moment, UTC.")
@click.option("--after", default=0, type=click.IntRange(0), help="From behind this position on.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@talks
def search(client: Client, printer: Printer, limit: int, after: int, **wanted: object) -> None:
    """Find entries by time, actor, run and kind."""
    for name in ("since", "until"):
        wanted[f"{name}_ms"] = _milliseconds(wanted.pop(name))
    found = client.list("/api/audit", after=after, limit=limit, **wanted)
    printer.table(map(_flat, found), COLUMNS, empty="No entries.", value=found)


def _milliseconds(moment: object) -> int | None:
    from datetime import UTC, datetime  # noqa: PLC0415  only a search by time needs it

    return round(moment.replace(tzinfo=UTC).timestamp() * 1000) if isinstance(moment, datetime) else None


@command.command("checkpoint", epilog="Example: wr audit checkpoint > /elsewhere/checkpoint.txt")
@click.option("--key", "show_key", is_flag=True, help="Show the public key that verifies checkpoints instead.")
@talks
def checkpoint(client: Client, printer: Printer, show_key: bool) -> None:
    """Sign the log as it is now, and print the checkpoint: keep it where nobody can reach both."""
    made = client.post("/api/audit/checkpoint", {})
    if show_key:
        printer.say(str(made["key"]), {"key": made["key"]})
    elif printer.as_json:
        printer.data(made)
    else:
        click.echo(str(made["note"]), nl=False)


@command.command("prove", epilog="Example: wr audit prove 42 --json > proof.json")
@click.argument("position", type=click.IntRange(1))
@talks
def prove(client: Client, printer: Printer, position: int) -> None:
    """Prove that an entry is in the log; the proof is checked here."""
    found = client.get(f"/api/audit/{position}/proof")
    line = msgspec.convert(found["entry"], Line)
    size, root = cast("int", found["size"]), bytes.fromhex(str(found["root"]))
    proof = [bytes.fromhex(part) for part in cast("list[str]", found["proof"])]
    wrong = LogCheck.wrong(line, position)
    if wrong is None and not verify_inclusion(bytes.fromhex(line.hash), position - 1, size, proof, root):
        wrong = "The proof does not lead from the entry to the root."
    if wrong is not None:
        printer.say(f"Entry {position} is not proved: {wrong}", {**found, "proved": False, "reason": wrong})
        raise click.exceptions.Exit(1)
    sentence = f"Entry {position} is in the log of {size} entries with root {root.hex()}, by {len(proof)} hashes."
    printer.say(sentence, {**found, "proved": True})


@command.command("redact", epilog="Example: wr audit redact 42 --reason 'request 17 under GDPR, article 17'")
@click.argument("position", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--by", default="", help="Who; the name of the key where keys are configured.")
@talks
def redact(client: Client, printer: Printer, position: int, reason: str, by: str) -> None:
    """Take actor and details out of an entry. Every proof stays as it is."""
    found = client.post(f"/api/audit/{segment(str(position))}/redact", {"reason": reason, "by": by})
    printer.say(f"Entry {position} tells of its actor and details no longer.", found)


@command.command("export", epilog="Example: wr audit export --out audit.jsonl")
@click.option("--out", default="-", type=click.File("wb"), help="Where to; the terminal by default.")
@click.option("--after", default=0, type=click.IntRange(0), help="From behind this position on.")
@talks
def export(client: Client, printer: Printer, out: IO[bytes], after: int) -> None:
    """Write the log as JSON Lines, to be verified anywhere: wr audit verify --export FILE."""
    head = _head(client)
    with progress(head.position - after, "Exporting", hidden=printer.as_json) as bar:
        for tile in _pruned(client, head, after):
            out.write(msgspec.json.encode(tile) + b"\n")
        first = after = max(after, head.pruned)
        while after < head.position:
            lines = msgspec.json.decode(client.fetch("/api/audit", after=after, limit=PAGE), type=list[msgspec.Raw])
            if not lines:
                break
            lines = lines[: head.position - after]
            out.write(b"".join(bytes(line) + b"\n" for line in lines))
            after += len(lines)
            bar.update(len(lines))
    if first == after < head.position:
        raise Conflict("The log was pruned meanwhile.", remedy="Export it again.")


def _head(client: Client) -> Head:
    return msgspec.json.decode(client.fetch("/api/audit/head"), type=Head)


def _pruned(client: Client, head: Head, after: int = 0) -> Iterator[PrunedLines]:
    """What is left of pruned entries; only for those who begin with the first."""
    for number in range(head.pruned // PRUNED_AT_ONCE if after == 0 else 0):
        yield msgspec.json.decode(client.fetch(f"/api/audit/tiles/{number}"), type=PrunedLines)


@command.command("verify", epilog='Example: wr audit verify --checkpoint kept.txt --key "$(cat audit.pub)"')
@click.option("--store", metavar="URL", help="A store that no server has open, in place of a server.")
@click.option("--export", "exported", type=click.File("rb"), help="A file that `wr audit export` wrote, likewise.")
@click.option(
    "--checkpoint", "kept_file", type=click.Path(path_type=Path), help="A checkpoint that was kept elsewhere."
)
@click.option("--key", help="The public key that has signed it; see `wr audit checkpoint --key`.")
@talks
def verify(
    client: Client,
    printer: Printer,
    store: str | None,
    exported: IO[bytes] | None,
    kept_file: Path | None,
    key: str | None,
) -> None:
    """Grow the log's tree anew; exits with 1 where an entry does not fit, and names the first.

    Whoever can write the whole store can also grow a new tree. That shows only against a checkpoint kept elsewhere.
    Without --key its signature is not checked: anybody could have written the file.
    """
    kept = None if kept_file is None else _kept(kept_file, key)
    if store is not None:
        verdict = _of_store(store, kept)
    else:
        verdict = _of_server(client, kept) if exported is None else _of_export(exported, kept)
    if verdict["intact"]:
        against = "" if kept is None else f", as the checkpoint of {kept.size} says"
        if kept is not None:
            verdict = {**verdict, "signature_checked": key is not None}
            against += "" if key is not None else " (its signature was not checked: give --key)"
        sentence = f"Audit log verified: {verdict['entries']} entries, root {verdict['head']}{against}."
        printer.say(sentence, verdict)
        return
    printer.say(f"The audit log is broken at {verdict['bad_position']}: {verdict['reason']}", verdict)
    raise click.exceptions.Exit(1)


def _kept(path: Path, key: str | None) -> Checkpoint:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read.", remedy="Give the file that the checkpoint was kept in."
        ) from error
    # A file that checkpoints are added to: the latest. Each is two paragraphs, what it says and who signed it.
    last = "\n\n".join(re.split(r"\n\n+", text.strip("\n"))[-2:]) + "\n"
    return read_checkpoint(last) if key is None else verify_checkpoint(last, key)


def _of_store(url: str, kept: Checkpoint | None) -> dict[str, object]:
    from workflow_router.db.open import verify_store  # noqa: PLC0415  the other commands need no database

    found = asyncio.run(verify_store(url, kept=None if kept is None else (kept.size, kept.root)))
    return {
        "intact": found.intact,
        "entries": found.entries,
        "head": found.head,
        "bad_position": found.bad_position,
        "reason": found.reason,
    }


def _of_server(client: Client, kept: Checkpoint | None) -> dict[str, object]:
    """The entries are followed here: a server that is asked whether it lies is no witness."""
    head, log = _head(client), Log(kept)
    for tile in _pruned(client, head):
        log.take_pruned(tile)
    with progress(head.position, "Verifying") as bar:
        while log.reason is None and log.position < head.position:
            limit = min(PAGE, head.position - log.position)
            lines = log.follow(client.fetch("/api/audit", after=log.position, limit=limit))
            if not lines:
                break
            bar.update(len(lines))
            if log.position == head.position and log.untold:
                head = _head(client)  # it may be told behind the head that was read, by whoever was at work meanwhile
    log.end_at(head)
    return _verdict(log)


def _of_export(file: IO[bytes], kept: Checkpoint | None) -> dict[str, object]:
    log = Log(kept)
    decode, decode_pruned = msgspec.json.Decoder(Line).decode, msgspec.json.Decoder(PrunedLines).decode
    while log.reason is None and (page := list(islice(file, PAGE))):
        for text in page:
            try:
                if text.startswith(b'{"number":'):
                    log.take_pruned(decode_pruned(text))
                else:
                    log.take([decode(text)])
            except (msgspec.MsgspecError, ValueError):
                log.refuse("The line cannot be read.")
            if log.reason is not None:
                break
    log.end()
    return _verdict(log)


def _verdict(log: Log) -> dict[str, object]:
    return {
        "intact": log.reason is None,
        "entries": log.position if log.bad_position is None else log.bad_position - 1,
        "head": log.root,
        "bad_position": log.bad_position,
        "reason": log.reason,
    }
