"""Owns what the demo ends with, as data (`--json`) and as tables. Refuses to compute what `account` did."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from workflow_router.cli.demo.account import Check, Found, by_status, is_accepted, is_refused
from workflow_router.cli.demo.api import Counts

# What the demo calls the broker's counts.
MESSAGES = {"published": "published", "delivered": "acked", "dead": "dead"}


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the deliveries."""

    sent: int
    accepted: int
    no_mapping: int
    duplicate: int
    refused: dict[str, int]
    sent_again: int


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """The kill in the middle."""

    after_answers: int
    runs_unfinished: int
    serving_again_s: float
    effects_repeated: int


class AuditResult(msgspec.Struct, frozen=True, kw_only=True):
    """The audit log."""

    entries: int
    verified: bool
    head: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `wr demo --json` prints."""

    ok: bool
    seed: int
    events: Events
    runs: Counts
    approvals: dict[str, int]
    dispatches: Counts
    messages: Counts
    audit: AuditResult
    crash: Crash
    mistakes: list[dict[str, str]]
    ready_s: float
    took_s: float


def summarise(found: Found, made: Sequence[Check], *, seed: int, crash: Crash, ready_s: float, took_s: float) -> Result:
    """The result of a demo."""
    answers = found.answers
    accepted = [answer for answer in answers if is_accepted(answer)]
    wrong = [check for check in made if not check.holds]
    agreed = sum(found.decided.values())
    refused = {
        "bad signature": sum(is_refused(answer) and answer.status == 401 for answer in answers),
        "malformed": sum(is_refused(answer) and answer.status == 400 for answer in answers),
    }
    return Result(
        ok=not wrong,
        seed=seed,
        events=Events(
            sent=len(answers),
            accepted=found.state.events.get("accepted", 0),
            no_mapping=found.state.events.get("unmapped", 0),
            duplicate=len(accepted) - found.state.events.get("accepted", 0),
            refused=refused,
            sent_again=sum(answer.tries > 1 for answer in answers),
        ),
        runs=by_status(found.runs),
        approvals={"approved": agreed, "rejected": len(found.decided) - agreed},
        dispatches=found.state.dispatches,
        messages={
            topic: {name: counts.get(of, 0) for name, of in MESSAGES.items()}
            for topic, counts in found.state.messages.items()
        },
        audit=AuditResult(entries=len(found.audit.entries), verified=found.audit.verified, head=found.audit.head),
        crash=crash,
        mistakes=[
            {"what": check.what, "expected": _short(check.expected), "found": _short(check.found)} for check in wrong
        ],
        ready_s=round(ready_s, 3),
        took_s=round(took_s, 1),
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


def show(result: Result, console: Console) -> None:
    """Print the result as tables."""
    events = result.events
    rows: list[tuple[str, str, str]] = [
        ("events", "accepted", f"{events.accepted} of {events.sent} sent, {events.no_mapping} of them with no mapping"),
        ("", "duplicate", f"{events.duplicate}, taken in once"),
        ("", "refused", ", ".join(f"{count} {why}" for why, count in events.refused.items())),
    ]
    for at, (workflow, counts) in enumerate(sorted(result.runs.items())):
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        rows.append(("" if at else "runs", workflow, told))
    agreed, refused = result.approvals["approved"], result.approvals["rejected"]
    rows.append(("people", "maintainer", f"{agreed} approved, {refused} rejected"))
    for at, (target, counts) in enumerate(sorted(result.dispatches.items())):
        told = f"{counts['succeeded']} succeeded, {counts['failed']} failed, {counts['failovers']} went to the next"
        rows.append(("" if at else "dispatches", target, told))
    for at, (topic, counts) in enumerate(sorted(result.messages.items())):
        told = f"{counts['published']} published, {counts['delivered']} delivered, {counts['dead']} dead"
        rows.append(("" if at else "messages", topic, told))
    crash = result.crash
    told = f"{crash.runs_unfinished} runs unfinished; serving again after {crash.serving_again_s:.2f} s"
    rows.append(("SIGKILL", f"after {crash.after_answers} answers", told))
    told = (
        f"{events.sent_again} deliveries sent again, {crash.effects_repeated} outside effects repeated under their key"
    )
    rows.append(("", "", told))
    verified = "audit log verified" if result.audit.verified else "[red]audit log BROKEN[/]"
    rows.append(("audit", f"{result.audit.entries} entries", verified))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
    for mistake in result.mistakes:
        console.print(f"[red]✗[/] {mistake['what']}: expected {mistake['expected']}, found {mistake['found']}")
    verdict = "[green]✓ Everything adds up.[/]" if result.ok else "[red]It does not add up.[/]"
    console.print(f"{verdict} ({result.took_s:.1f} s)")
