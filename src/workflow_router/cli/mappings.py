"""Owns `wr mappings`. Refuses to touch a store: it asks the server."""

import re
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.group import Group
from workflow_router.cli.mapping_graph import mermaid, tree
from workflow_router.cli.terminal import Printer, rows_of
from workflow_router.core.errors import InvalidInput, NotFound, RouterError
from workflow_router.utils.codec import from_json

COLUMNS = ("name", "version", "stage", "origin", "problem")
VERSION_COLUMNS = ("version", "stage", "origin", "author", "created_ms")
DIFFERENCE_COLUMNS = ("mapping", "before", "after", "gained", "lost", "failed")
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
OVERRIDE = click.option("--override", is_flag=True, help="Go before the mapping that the project declares.")


@click.group(cls=Group, default="list", epilog="Example: wr mappings put orders.yaml")
def command() -> None:
    """List, change, try and test mappings."""


@command.command("list", epilog="Example: wr mappings list --json")
@talks
def list_mappings(client: Client, printer: Printer) -> None:
    """List the mappings in force."""
    found = client.list("/api/mappings")
    printer.table(found, COLUMNS, empty="No mappings.", value=found)


@command.command("versions", epilog="Example: wr mappings versions orders")
@click.argument("name")
@talks
def versions(client: Client, printer: Printer, name: str) -> None:
    """List the versions of the mapping NAME, with their authors."""
    found = client.list(f"/api/mappings/{segment(name)}/versions")
    printer.table(found, VERSION_COLUMNS, empty="No versions.", value=found)


@command.command("show", epilog="Example: wr mappings show orders > orders.yaml; edit it; wr mappings put orders.yaml")
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="This version, in place of the one in force.")
@talks
def show(client: Client, printer: Printer, name: str, version: int | None) -> None:
    """Print the mapping NAME as a file that `put`, `test` and `backtest` take."""
    from workflow_router.cli.mapping_file import as_yaml  # noqa: PLC0415  YAML is slow to import

    if version is None:
        found = next((one for one in client.list("/api/mappings") if one["name"] == name), None)
    else:
        kept = client.list(f"/api/mappings/{segment(name)}/versions")
        found = next((one for one in kept if one["version"] == version), None)
    if found is None:
        said, verb = (name, "list") if version is None else (f"{name} in version {version}", f"versions {name}")
        raise NotFound(f"There is no mapping {said}.", remedy=f"List them with `wr mappings {verb}`.")
    printer.say(as_yaml({"name": name, **cast("dict[str, object]", found["rule"] or {})}).rstrip(), found)


@command.command("put", epilog="Example: wr mappings put orders.yaml --override")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@OVERRIDE
@talks
def put(client: Client, printer: Printer, file: Path, *, override: bool) -> None:
    """Create or change the mappings in FILE: YAML or JSON, one mapping, a list, or a whole router.yaml."""
    made: list[dict[str, object]] = []
    for rule in read_rules(file):
        given = {key: value for key, value in rule.items() if key != "name"}
        path = f"/api/mappings/{segment(str(rule['name']))}"
        made.append(client.put(path, {"rule": given, "override": override}))
    printer.say("\n".join(_made(one) for one in made), made)


@command.command("disable", epilog="Example: wr mappings disable orders")
@click.argument("name")
@OVERRIDE
@talks
def disable(client: Client, printer: Printer, name: str, *, override: bool) -> None:
    """Let the mapping NAME rest."""
    _change(client, printer, name, {"action": "disable", "override": override})


@command.command("enable", epilog="Example: wr mappings enable orders")
@click.argument("name")
@OVERRIDE
@talks
def enable(client: Client, printer: Printer, name: str, *, override: bool) -> None:
    """Let the mapping NAME act again."""
    _change(client, printer, name, {"action": "enable", "override": override})


@command.command("stage", epilog="Example: wr mappings stage orders canary --share 10")
@click.argument("name")
@click.argument("stage", type=click.Choice(["shadow", "canary", "live"]))
@click.option("--share", type=click.FloatRange(0, 100), help="Of a canary: for how many per cent of events it acts.")
@OVERRIDE
@talks
def set_stage(client: Client, printer: Printer, name: str, stage: str, share: float | None, *, override: bool) -> None:
    """Move the last version of the mapping NAME to another stage. `live` lets it take the place of the one before."""
    _change(client, printer, name, {"action": "stage", "stage": stage, "share": share, "override": override})


@command.command("rollback", epilog="Example: wr mappings rollback orders 3")
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@OVERRIDE
@talks
def roll_back(client: Client, printer: Printer, name: str, version: int, *, override: bool) -> None:
    """Put in force what VERSION of the mapping NAME said; it becomes a new version."""
    _change(client, printer, name, {"action": "rollback", "version": version, "override": override})


@command.command("delete", epilog="Example: wr mappings delete orders")
@click.argument("name")
@talks
def delete(client: Client, printer: Printer, name: str) -> None:
    """Delete the mapping NAME, or the override, which gives the name back to the project. Its versions stay."""
    made = client.delete(f"/api/mappings/{segment(name)}")
    printer.say(_made(made), made)


@command.command("test", epilog="""Example: echo '{"type": "order"}' | wr mappings test - --with draft.yaml""")
@click.argument("event", type=click.File("rb"))
@click.option("--with", "drafts", type=click.Path(path_type=Path, exists=True), help="Try these mappings instead.")
@talks
def test(client: Client, printer: Printer, event: IO[bytes], drafts: Path | None) -> None:
    """Say what the CloudEvent in EVENT (- for standard input) would do, without doing it."""
    try:
        given = from_json(event.read())
    except msgspec.DecodeError as error:
        raise InvalidInput(f"The event is not JSON: {error}.", remedy="Mend it.") from None
    rules = [] if drafts is None else read_rules(drafts)
    answer = client.post("/api/mappings/try", {"event": given, "mappings": rules})
    explanation = cast("dict[str, object]", answer["explained"])
    lines = explained_lines(explanation)
    for label, effects in cast("dict[str, list[object]]", answer["effects"]).items():
        lines += [f"{label} would: {msgspec.json.encode(effect).decode()}" for effect in effects]
    printer.say("\n".join(lines), answer)


@command.command("backtest", epilog="Example: wr mappings backtest orders.yaml --since 7d")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--since", default="7d", show_default=True, help="How far back: 30m, 12h, 7d.")
@talks
def backtest(client: Client, printer: Printer, file: Path, since: str) -> None:
    """Run the mappings in FILE over the kept events, beside those in force: shows the difference, does nothing."""
    since_ms = round(time.time() * 1000) - duration_ms(since)
    body = {"mappings": read_rules(file), "since_ms": since_ms}
    last = _followed(client.stream("/api/mappings/backtest", body), quiet=printer.as_json)
    rows = rows_of(last, "differences")
    printer.table(rows, DIFFERENCE_COLUMNS, empty="No mappings.", value=last)
    if printer.as_json:
        return
    for row in rows:
        for sample in rows_of(row, "gained_samples"):
            effects = msgspec.json.encode(sample["effects"]).decode()
            click.echo(f"+ {row['mapping']} would match {sample['event']}: {effects[:300]}")
        for lost in cast("list[str]", row["lost_samples"]):
            click.echo(f"- {row['mapping']} would no longer match {lost}")


@command.command("lint", epilog="Example: wr mappings lint --strict")
@click.option(
    "--events", type=click.IntRange(0, 10_000), default=1_000, show_default=True, help="Recent events to see."
)
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@talks
def lint(client: Client, printer: Printer, events: int, *, strict: bool) -> None:
    """Look the mappings over: what cannot match or act, what does the same, what no recent event meets.

    The exit code is 1 where there is an error.
    """
    found = client.get("/api/mappings/lint", events=events)
    rows = rows_of(found, "findings")
    lines = [f"{row['severity']}: {row['mapping']}: {row['message']} {row['remedy']}".rstrip() for row in rows]
    looked = f"{found['mappings']} mappings, {found['events']} events: {len(rows) or 'no'} findings"
    more = "." if found["complete"] else "; there is more than could be looked at."
    printer.say("\n".join([*lines, looked + more]), found)
    failing = {"error", "warning"} if strict else {"error"}
    if any(row["severity"] in failing for row in rows):
        raise SystemExit(1)


@command.command("graph", epilog="Example: wr mappings graph --format mermaid")
@click.option("--format", "form", type=click.Choice(["tree", "mermaid", "json"]), default="tree", show_default=True)
@talks
def graph(client: Client, printer: Printer, form: str) -> None:
    """Draw which event types lead to which mappings, and what these do."""
    found = client.list("/api/mappings/graph")
    if form == "json" or printer.as_json:
        printer.data(found)
        return
    click.echo("\n".join((mermaid if form == "mermaid" else tree)(found)) or "No mappings.")


def read_rules(file: Path) -> list[dict[str, object]]:
    """The mappings in a file. Raises InvalidInput."""
    from workflow_router.settings.rules import mappings_in  # noqa: PLC0415  it imports the language of patterns

    return mappings_in(file.read_text(encoding="utf-8"), file.name)


def duration_ms(text: str) -> int:
    """A duration such as 30m, 12h or 7d, in milliseconds. Raises InvalidInput."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise InvalidInput(f"{text!r} is no duration.", remedy="Write one such as 30m, 12h or 7d.")
    return int(found[1]) * UNITS_MS[found[2]]


def explained_lines(found: Mapping[str, object]) -> list[str]:
    """An explanation for people."""
    lines: list[str] = []
    for word in ("matched", "shadow", "held"):
        labels = cast("Sequence[str]", found.get(word) or ())
        if labels or word == "matched":
            lines.append(f"{word}: {', '.join(labels) or 'no mapping'}")
    for name, reason in cast("dict[str, str]", found.get("failed") or {}).items():
        lines.append(f"failed: {name}: {reason}")
    for miss in rows_of(found, "near"):
        lines.append(f"near: {miss['mapping']}")
        if miss.get("when"):
            lines.append(f"  {miss['when']}")
        for reason in rows_of(miss, "reasons"):
            values = ", ".join(cast("list[str]", reason["found"])) or "nothing"
            lines.append(f"  {reason['path']}: expected {reason['expected']}, found {values}")
    return lines + _class_lines(found)


def _class_lines(found: Mapping[str, object]) -> list[str]:
    """What the stages of an event's classifications found."""
    lines: list[str] = []
    for one in rows_of(found, "classes"):
        result = cast("Mapping[str, object]", one.get("result") or {})
        lines.append(f"class: {one['classifier']}: {result.get('class') or one['status']} (run {one['run']})")
        for stage in rows_of(result, "stages"):
            sure = f"{stage.get('class') or 'no class'}, {stage.get('confidence', 0.0)}"
            taken = "taken" if stage.get("accepted") else "passed on"
            lines.append(f"  {stage['stage']}: {sure}, {taken}. {stage.get('why', '')}".rstrip())
    return lines


def _followed(steps: Generator[dict[str, object], None, None], *, quiet: bool) -> dict[str, object]:
    """The last step; until then, a progress bar on standard error."""
    last: dict[str, object] = {}
    if quiet:
        for step in steps:
            last = step
    else:
        from rich.console import Console  # noqa: PLC0415  its import takes longer than most commands
        from rich.progress import Progress  # noqa: PLC0415  as above

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("events")
            for step in steps:
                last = step
                bar.update(task, completed=cast("int", step["done"]), total=cast("int", step["total"]))
    if not isinstance(last.get("differences"), list):
        raise RouterError("The server broke the backtest off.", remedy="See its log.")
    return last


def _change(client: Client, printer: Printer, name: str, change: Mapping[str, object]) -> None:
    made = client.post(f"/api/mappings/{segment(name)}/change", change)
    printer.say(_made(made), made)


def _made(version: Mapping[str, object]) -> str:
    return f"{version['name']} is now version {version['version']}, {version['stage']}."
