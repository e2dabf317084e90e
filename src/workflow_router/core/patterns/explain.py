"""Owns the answer to "why did it (not) match": what each field asked for, what the event had, and how near it came."""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from workflow_router.core.patterns.tree import Branch, Path
from workflow_router.core.patterns.values import reach, values_at
from workflow_router.utils.codec import to_json

FOUND_MAX = 10  # values shown of a field


class Finding(msgspec.Struct, frozen=True):
    """One condition of the pattern.

    Attributes:
        path: dotted path of the field.
        expected: what was asked of it, JSON.
        found: the event's values there, JSON, the first ten.
        ok: whether the condition holds.
    """

    path: str
    expected: str
    found: tuple[str, ...]
    ok: bool

    def line(self) -> str:
        """One line of text."""
        found = ", ".join(self.found) or "nothing"
        return f"{'ok  ' if self.ok else 'FAIL'} {self.path}: expected {self.expected}, found {found}"


class Explanation(msgspec.Struct, frozen=True):
    """The verdict on one event; of a pattern with `$or`, the findings of the alternative that came nearest.

    Attributes:
        matched: whether the pattern matches.
        findings: every condition.
        failed: how many conditions fail.
        near: it does not match, but all conditions except one hold.
    """

    matched: bool
    findings: tuple[Finding, ...]
    failed: int
    near: bool

    def lines(self) -> list[str]:
        """The explanation as text."""
        verdict = "matches" if self.matched else "does not match" + (", but came near" if self.near else "")
        return [verdict, *(finding.line() for finding in self.findings)]


def explain(branches: tuple[Branch, ...], event: Mapping[str, object]) -> Explanation:
    """Explain the branch with the fewest failures."""
    found = [_branch(branch, event) for branch in branches]
    return min(found, key=lambda one: (not one.matched, one.failed))


def _branch(branch: Branch, event: Mapping[str, object]) -> Explanation:
    findings = tuple(_findings(branch, event, ()))
    matched = branch.node.holds(event)
    if not matched and all(finding.ok for finding in findings):
        findings = (*findings, Finding("$", "all of this in the same element of the array", (), ok=False))
    elif matched:  # what another element has does not matter
        findings = tuple(msgspec.structs.replace(finding, ok=True) for finding in findings)
    failed = sum(not finding.ok for finding in findings)
    return Explanation(matched, findings, failed, near=failed == 1 < len(findings))


def _findings(branch: Branch, owner: object, prefix: Path) -> Iterator[Finding]:
    for path, field in branch.fields:
        values = values_at(owner, path)
        shown = tuple(_text(value) for value in islice(values, FOUND_MAX))
        yield Finding(".".join((*prefix, *path)), field.text, shown, field.accepts(values))
    for path, one in branch.alls:
        holders = reach(owner, path)
        best = min(([*_findings(one, each, (*prefix, *path))] for each in holders), key=_failures, default=None)
        yield from best if best is not None else _findings(one, {}, (*prefix, *path))
    for path, several in branch.nots:
        broken = any(one.node.holds(each) for each in reach(owner, path) for one in several)
        yield Finding(".".join((*prefix, *path, "$not")), "that this does not hold", (), not broken)


def _failures(findings: list[Finding]) -> int:
    return sum(not finding.ok for finding in findings)


def _text(value: object) -> str:
    try:
        return to_json(value).decode()
    except (TypeError, UnicodeError):
        return repr(value)
