"""docs/patterns.md is true: its examples match as they say, and what it calls refused is."""

import json
import re
from pathlib import Path

import pytest

from workflow_router.core.errors import InvalidPattern
from workflow_router.core.patterns import Pattern, PatternIndex

TEXT = (Path(__file__).parents[3] / "docs/patterns.md").read_text(encoding="utf-8")
EXAMPLES = [
    (pattern, mark == "✓", event)
    for pattern, lines in re.findall(r"```json\n([^`]*)```\n\n((?:- [✓✗] `.*`\n)+)", TEXT)
    for mark, event in re.findall(r"- ([✓✗]) `(.*)`\n", lines)
]
REFUSED = re.findall(r"^\| `([\[{].*)` \| `(\S+)` \| (.*) \|$", TEXT, re.MULTILINE)


def test_the_page_is_read_whole() -> None:
    assert len(EXAMPLES) == len(re.findall("^- [✓✗]", TEXT, re.MULTILINE)) > 80
    assert len(REFUSED) > 12


@pytest.mark.parametrize(("pattern", "matched", "event"), EXAMPLES)
def test_example(pattern: str, matched: bool, event: str) -> None:
    parsed = Pattern.parse(pattern)
    index = PatternIndex[str]()
    index.add("it", parsed)
    assert parsed.matches(json.loads(event)) == matched
    assert parsed.explain(json.loads(event)).matched == matched
    assert index.matching_json(event.encode()) == ["it"] * matched


@pytest.mark.parametrize(("pattern", "path", "reason"), REFUSED)
def test_refused(pattern: str, path: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        Pattern.parse(pattern)
    assert refused.value.path == path
    assert reason in refused.value.reason
