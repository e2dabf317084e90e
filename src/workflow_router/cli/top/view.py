"""Owns how `wr top` looks: a picture of facts for a width and a height. Refuses to ask for anything."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from rich.text import Text

from workflow_router.cli.terminal import inert
from workflow_router.cli.top.facts import Facts, Row
from workflow_router.core.limits.model import NANO, Unit, told

BARS = "▁▂▃▄▅▆▇█"
_Cells = Sequence[tuple[str, int]]
TARGET: _Cells = (("state", 7), ("busy", 6), ("calls", 7), ("failed", 7), ("p50", 8), ("p95", 8), ("cost", 9))
LAG: _Cells = (("state", 7), ("lag", 10), ("oldest", 10), ("leased", 10), ("dead", 10))
BAR = 12
NOTHING = "-"
TOOK = (("calls", ("p50", "p95", "p99")), ("runs", ("p50", "p95")))
SPANS = (("d", 86_400_000, 172_800_000), ("h", 3_600_000, 7_200_000), ("min", 60_000, 120_000), ("s", 1_000, 1_000))
NEAR = 0.8  # of a budget
LEAST = 2  # lines of a section: its heading, and one row
STYLES = {"asked": "yellow", "held": "magenta", "suspended": "magenta"}
BAD = "red"


class _Section:
    """A heading with titles of columns, rows, and what is said where there are none."""

    def __init__(self, title: str, rows: Sequence[Text], empty: str, titles: _Cells = ()) -> None:
        self.rows = rows or [Text(f"  {empty}", style="dim")]
        self._title = title
        self._titles = titles
        self._count = len(rows)

    def lines(self, height: int, width: int) -> list[Text]:
        """The heading and as many rows as there is room for."""
        room = max(1, height - 1)
        part = f"{room} of {self._count}" if self._count > room else f"{self._count or ''}"
        heading = Text(_cut(f"{self._title} {part}", _name_room(width)), style="bold")
        for title, wide in self._titles:
            heading.append(f"{title:>{wide}}", style="dim")
        return [heading, *self.rows[:room]]


def picture(facts: Facts, width: int, height: int | None, *, problem: str = "", keys: str = "") -> list[Text]:
    """Lines that fit.

    Args:
        height: how many lines at most; None for all there is.
        problem: why the facts are old, if they are.
        keys: what one may press.
    """
    top = [_head(facts, width, problem, keys), _totals(facts), *_hour(facts, width)]
    sections = [
        _Section("NEEDS A PERSON", [_need(one, width) for one in facts.needs], "Nobody is waited for."),
        _Section("TARGETS", [_target(one, width) for one in facts.targets], "No routes.", TARGET),
        _Section("TOPICS", [_lag(one, width) for one in facts.subscriptions], "No subscriptions.", LAG),
        _Section("BUDGETS", [_budget(one, width) for one in facts.budgets], "No limits or budgets."),
    ]
    if facts.hidden:
        top.append(Text(f"Not for this key: {', '.join(facts.hidden)}.", style="dim"))
    wanted = [1 + len(one.rows) for one in sections]
    heights = wanted if height is None else _shared(wanted, height - len(top))
    lines = [*top, *(line for one, room in zip(sections, heights, strict=True) for line in one.lines(room, width))]
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return lines if height is None else lines[:height]


def _shared(wanted: Sequence[int], height: int) -> list[int]:
    """Lines for each section: what it wants where there is room, else all shrink alike, the longest first."""
    given = list(wanted)
    while sum(given) > height and max(given) > LEAST:
        given[given.index(max(given))] -= 1
    return given


def _head(facts: Facts, width: int, problem: str, keys: str) -> Text:
    at = datetime.fromtimestamp(facts.at_s, UTC).strftime("%H:%M:%S")
    line = Text().append("wr top  ", style="bold").append(inert(facts.url))
    line.append(f"  {problem or at + ' UTC'}", style=BAD if problem else "dim")
    room = width - line.cell_len - len(keys)
    return line.append(" " * room + keys, style="dim") if room > 1 and keys else line


def _sum(facts: Facts, part: str, *names: str) -> int:
    found = cast("dict[str, dict[str, int]]", facts.state.get(part) or {})
    return sum(one.get(name, 0) for one in found.values() for name in names)


def _totals(facts: Facts) -> Text:
    line = Text().append("runs    ", style="bold")
    for status in ("running", "waiting", "pending", "suspended", "faulted", "completed"):
        count = _sum(facts, "runs", status)
        style = BAD if count and status in {"faulted", "suspended"} else "dim" if not count else ""
        line.append(f"{count:,} {status}  ", style=style)
    return line


def _hour(facts: Facts, width: int) -> list[Text]:
    """Throughput and latency of the last hour, each with its minutes."""
    if facts.hour is None:
        return []
    minutes = cast("list[dict[str, int]]", facts.hour["minutes"])
    rows: list[tuple[str, str, Callable[[Mapping[str, int]], int]]] = []
    events, done, failed = (sum(one[name] for one in minutes) for name in ("events", "completed", "faulted"))
    rows.append(("events", f"{events:,} in the last hour", lambda one: one["events"]))
    rows.append(("runs", f"{done:,} completed, {failed:,} faulted", lambda one: one["completed"] + one["faulted"]))
    answered, lost = (sum(one[name] for one in minutes) for name in ("answered", "failed"))
    rows.append(("calls", f"{answered:,} answered, {lost:,} failed", lambda one: one["answered"] + one["failed"]))
    room = min(len(minutes), max(0, width - 40))
    lines: list[Text] = []
    for name, said, of in rows:
        line = Text().append(f"{name:<8}", style="bold").append(f"{said:<30}  ")
        lines.append(line.append(_spark([of(one) for one in minutes[len(minutes) - room :]]), style="cyan"))
    took = [(name, facts.hour.get(name), ranks) for name, ranks in TOOK]
    spreads = [f"{name} {_spread(cast('Row', found), ranks)}" for name, found, ranks in took if found]
    lines.append(Text().append("took    ", style="bold").append("   ".join(spreads) or NOTHING))
    return lines


def _spark(values: Sequence[int]) -> str:
    most = max(values, default=0)
    return "".join(BARS[round(value / most * (len(BARS) - 1))] if value else " " for value in values) if most else ""


def _spread(found: Row, ranks: Sequence[str]) -> str:
    return "  ".join(f"{rank} {_span(cast('int', found[f'{rank}_ms']))}" for rank in ranks)


def _span(ms: int | None) -> str:
    if ms is None:
        return NOTHING
    for unit, size, least in SPANS:
        if ms >= least:
            return f"{ms / size:.3g} {unit}"
    return f"{ms} ms"


def _cut(text: object, width: int) -> str:
    shown = Text(" ".join(inert(str(text)).split()))
    shown.truncate(width, overflow="ellipsis", pad=True)
    return shown.plain


def _need(one: Mapping[str, object], width: int) -> Text:
    what = str(one["what"])
    room = max(12, min(28, width // 4))
    line = Text().append(f"  {what:<10}", style=STYLES.get(what, BAD)).append(_cut(one["name"], room), style="bold")
    return line.append(f"  {one['why'] or one['command']}")


def _name_room(width: int) -> int:
    return max(16, min(44, width - sum(room for _, room in TARGET)))


def _named(name: str, width: int) -> Text:
    return Text("  " + _cut(name, _name_room(width) - 2))


def _target(one: Mapping[str, object], width: int) -> Text:
    line, ready = _named(f"{one['route']} → {one['target']}", width), bool(one["ready"])
    line.append(f"{'ready' if ready else 'out':>7}", style="green" if ready else BAD)
    p50, p95 = (_span(cast("int | None", one[name])) for name in ("p50_ms", "p95_ms"))
    line.append(f"{one['in_flight']:>6}{one['calls']:>7,}{one['failed']:>7,}{p50:>8}{p95:>8}")
    cost = cast("int", one["cost"])
    return line.append(f"{f'${cost / NANO:,.{2 if cost >= NANO else 4}f}' if cost else NOTHING:>9}")


def _lag(one: Mapping[str, object], width: int) -> Text:
    line, stuck, dead = _named(f"{one['topic']} → {one['name']}", width), bool(one["stuck"]), cast("int", one["dead"])
    line.append(f"{'stuck' if stuck else 'ok':>7}", style=BAD if stuck else "green")
    line.append(
        f"{one['lag']:>10,}{_span(cast('int', one['age_ms'])) if one['lag'] else NOTHING:>10}{one['leased']:>10,}"
    )
    return line.append(f"{dead:>10,}", style=BAD if dead else "")


def _budget(one: Mapping[str, object], width: int) -> Text:
    """How much of it is used, by whoever used most."""
    amount, used, unit = cast("int", one["amount"]), cast("int", one["used"]), cast("Unit", one["unit"])
    share = min(1.0, used / amount) if amount else 1.0
    line = _named(str(one["name"]), width)
    style = BAD if share >= 1 else "yellow" if share >= NEAR else "green"
    line.append("█" * round(share * BAR) + "░" * (BAR - round(share * BAR)), style=style)
    line.append(f" {share:>4.0%}  {told(unit, used)} of {told(unit, amount)} {inert(str(one['window']))}")
    most = f" for {one['subject']}, the most of {one['subjects']}" if one["subject"] else ""
    return line.append(inert(most), style="dim")
