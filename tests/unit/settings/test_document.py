"""YAML 1.2 with lines: what values become, and that hostile files end soon in one mistake."""

import time
from pathlib import Path

import pytest

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.settings import load_project
from workflow_router.settings.document import find, line_of, plain, read_document


def read(text: str) -> object:
    mistakes: list[Mistake] = []
    node = read_document(text, "router.yaml", mistakes)
    assert mistakes == []
    assert node is not None
    return plain(node)


def mistakes_of(text: str) -> list[Mistake]:
    mistakes: list[Mistake] = []
    read_document(text, "router.yaml", mistakes)
    return mistakes


def test_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    text = """
on: [yes, no, off, true, False, ~, null, '', "true"]
404: {true: 1, null: 2, 1.5: 3}
numbers: [1, -3, +4, 012, 0x1F, 0o17, 1e3, .5, 1., 1_000, 2026-01-31, 1:30]
empty:
block: |
  a
   b
folded: >-
  a
  b
"""
    assert read(text) == {
        "on": ["yes", "no", "off", True, False, None, None, "", "true"],
        "404": {"true": 1, "null": 2, "1.5": 3},
        "numbers": [1, -3, 4, 12, 31, 15, 1000.0, 0.5, 1.0, "1_000", "2026-01-31", "1:30"],
        "empty": None,
        "block": "a\n b\n",
        "folded": "a b",
    }


def test_aliases_share_their_value() -> None:
    assert read("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n") == {"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}] * 2}


def test_lines_are_those_of_keys_and_items() -> None:
    mistakes: list[Mistake] = []
    node = read_document("# c\na:\n  b:\n    - 1\n    - {c: 2,\n       d: 3}\n", "f", mistakes)
    assert node is not None
    assert line_of(node, ("a",)) == 2
    assert line_of(node, ("a", "b")) == 3
    assert line_of(node, ("a", "b", 0)) == 4
    assert line_of(node, ("a", "b", 1, "d")) == 6
    assert line_of(node, ("a", "b", 1, "absent", 7)) == 5
    assert find(node, ("a", "b", 1, "c")) is not None
    assert find(node, ("a", 0)) is None
    assert find(node, ("a", "b", 9)) is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\na: 2\n", 2, "`a` stands twice; first on line 1"),
        ("x: {a: 1, b: 2,\n  a: 3}\n", 2, "`a` stands twice"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a:\n\tb: 1\n", 2, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: *nope\n", 1, "no anchor &nope"),
        ("a: &a [*a]\n", 1, "no anchor &a"),
        ("a: &a 1\nb: &a 2\n", 2, "anchor &a is set twice"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("a: 1\nb: !!binary aGk=\n", 2, "tag"),
        ("a: {b: 1}\nc:\n  <<: {b: 2}\n", 3, "Merge keys"),
        ("? [1]\n: 2\n", 1, "key is no text"),
        ("a: 1e999\n", 1, "out of range"),
        ("a: \0\n", 1, "not YAML"),
    ],
)
def test_mistakes_have_their_line(text: str, line: int, said: str) -> None:
    found = mistakes_of(text)
    assert len(found) == 1
    assert found[0].line == line
    assert said in found[0].message
    assert found[0].remedy


def bomb(width: int, depth: int) -> str:
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(9, 9), "aliases written out"),
        ("[" * 100_000, "nests deeper"),
        ("{a: " * 100_000, "nests deeper"),
        ("- " * 100_000, "nests deeper"),
        ("a: " + "[" * 41 + "]" * 41, "nests deeper"),
        ("- x\n" * 200_000, "more than 50000 values"),
        ("x" * 1_100_000, "larger than 1048576 bytes"),
        ("? " * 100_000, "nests deeper|no text"),
        ("&a " * 100_000, "not YAML"),
        ('"' + "x" * 500_000, "not YAML"),
        (":" * 100_000, "not YAML"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_hostile_files_end_soon(text: str, said: str) -> None:
    started = time.perf_counter()
    found = mistakes_of(text)
    assert time.perf_counter() - started < 5
    assert len(found) == 1
    assert any(part in found[0].message for part in said.split("|")), found
    assert len(found[0].message) < 300


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"name: p\n" + b"#" * 10_000_000, 1, "larger than"),
        (b"\xff" * 10_000_000, 1, "larger than"),
        (b"name: p\nx: \xff\n", 2, "not UTF-8"),
        (b"", 1, "empty"),
        (b"# nothing\n", 1, "empty"),
        (b"\n- a\n", 2, "no map"),
        (b"just text", 1, "no map"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_files_that_are_no_project(tmp_path: Path, content: bytes, line: int, said: str) -> None:
    (tmp_path / "router.yaml").write_bytes(content)
    with pytest.raises(InvalidProject) as caught:
        load_project(tmp_path)
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].line == line
    assert said in caught.value.mistakes[0].message


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_bytes(b"\xef\xbb\xbfname: p\r\n")
    assert load_project(tmp_path).router.name == "p"
