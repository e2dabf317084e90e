"""The checkout keeps every house rule, and every house rule finds the faults planted against it."""

import subprocess
from pathlib import Path

import pytest

from tests.tidy import rules
from tests.tidy.rules import RULES, Rule
from tests.tidy.tree import PACKAGE, Tree

ROOT = Path(__file__).parents[2]
CORE = PACKAGE + "core/probe.py"
INSERT = "-- name: put\nINSERT INTO audit_log (body) VALUES (:body);\n"
HOME = "/".join(["", "home", "me", "project"])
PROJECT = """
[build-system]
requires = ["hatchling>=1"]
[project]
dependencies = ["odd.part>=2; python_version > '3'"]
[project.optional-dependencies]
more = []
[dependency-groups]
some = []
"""

# A rule, and the files of a tree that breaks it.
FAULTS: list[tuple[Rule, dict[str, str]]] = [
    (rules.files_are_short, {CORE: "x = 1\n" * 401}),
    (rules.functions_are_short, {CORE: "def f():\n" + "    x = 1\n" * 70}),
    (rules.functions_are_short, {CORE: "class C:\n    async def f(self):\n" + "        x = 1\n" * 70}),
    (rules.modules_say_what_they_own, {CORE: "x = 1\n"}),
    (rules.no_catch_all_names, {PACKAGE + "core/helpers.py": ""}),
    (rules.no_catch_all_names, {PACKAGE + "core/utils/name.py": ""}),
    (rules.no_catch_all_names, {"tests/unit/common.py": ""}),
    (rules.utils_is_a_closed_list, {PACKAGE + "utils/text.py": ""}),
    (rules.utils_is_a_closed_list, {PACKAGE + "utils/ids.py": "def f():\n    import rich\n"}),
    (rules.ports_are_small, {CORE: "class P(Protocol):\n" + "".join(f"    def v{n}(self): ...\n" for n in range(11))}),
    (rules.both_databases_know_the_same_queries, {PACKAGE + "db/sqlite/queries/a.sql": "-- name: one\nSELECT 1;"}),
    (rules.both_databases_know_the_same_queries, {PACKAGE + "db/postgres/queries/a.sql": "-- name: one\nSELECT 1;"}),
    (
        rules.both_databases_know_the_same_queries,
        {PACKAGE + f"db/{one}/queries/a.sql": "-- name: one\nSELECT 1;" for one in ("sqlite", "postgres")},
    ),
    (rules.sql_lives_in_sql_files, {CORE: 'f("""\n  SELECT a\n  FROM b""")'}),
    (rules.sql_lives_in_sql_files, {CORE: 'f(f"DELETE FROM {table}")'}),
    (rules.only_audit_log_writes_audit, {PACKAGE + "db/postgres/queries/a.sql": INSERT, CORE: 'f("put")'}),
    (rules.only_audit_log_writes_audit, {PACKAGE + "db/queries/a.sql": INSERT, CORE: 'f("put")'}),
    (rules.only_audit_log_writes_audit, {PACKAGE + "db/sqlite/queries/a.sql": "-- name: cut\nDELETE FROM audit_log;"}),
    (
        rules.only_audit_log_writes_audit,
        {PACKAGE + "db/sqlite/queries/a.sql": "-- name: redact_audit_entry\nUPDATE audit_log SET body = NULL;"},
    ),
    (rules.nothing_foreign_is_executed, {CORE: "import pickle\n"}),
    (rules.nothing_foreign_is_executed, {CORE: "from marshal import loads\n"}),
    (rules.nothing_foreign_is_executed, {"examples/a/flow.py": "eval(text)\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # noqa\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # noqa: E501\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # type: ignore\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # type: ignore[attr-defined]\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # pyright: ignore[reportAny, reportX]\n"}),
    (rules.nobody_sleeps, {"tests/unit/test_a.py": "import time\ntime.sleep(1)\n"}),
    (rules.nobody_sleeps, {CORE: "from time import sleep\n"}),
    (rules.where_do_i_look_is_true, {"ARCHITECTURE.md": "| where do I look? | |\n|---|---|\n| x | `core/gone.py` |\n"}),
    (rules.where_do_i_look_is_true, {"README.md": "nothing"}),
    (rules.dependencies_are_explained, {"pyproject.toml": PROJECT, "docs/dependencies.md": "| `hatchling` | builds |"}),
    (rules.nothing_names_this_machine, {"docs/a.md": f"see {HOME}"}),
    (rules.nothing_names_this_machine, {"requirements/run.txt": "--extra-index-url here\n"}),
    (rules.nothing_names_this_machine, {"requirements/run.txt": "a @ https" + "://example.com/a.whl\n"}),
    (rules.links_lead_somewhere, {"docs/a.md": "[b](b.md)"}),
    (rules.semantics_are_tested, {"docs/broker.md": "| **Order** | per key | none |"}),
    (rules.semantics_are_tested, {"docs/broker.md": "| **Order** | per key [test_a](../tests/test_gone.py) | none |"}),
    (rules.promises_are_tested, {"README.md": "| G1 | durable | tested |"}),
    (rules.promises_are_tested, {"README.md": "| G1 | durable | tested: [kills](tests/crash/test_gone.py) |"}),
    (
        rules.promises_are_tested,
        {"README.md": "| G1 | tested: [a::test_b](tests/test_a.py) |", "tests/test_a.py": "def test_a(): ..."},
    ),
]

# Trees that come close to a fault and have none.
SOUND: list[tuple[Rule, dict[str, str]]] = [
    (rules.files_are_short, {CORE: "x = 1\n" * 400}),
    (rules.functions_are_short, {CORE: "@d\ndef f():\n" + "    x = 1\n" * 69}),
    (rules.modules_say_what_they_own, {CORE: '"""Owns."""\n', PACKAGE + "core/__init__.py": ""}),
    (rules.no_catch_all_names, {PACKAGE + "utils/ids.py": "", PACKAGE + "core/commons.py": ""}),
    (
        rules.utils_is_a_closed_list,
        {PACKAGE + "utils/ids.py": "import msgspec\nfrom workflow_router.utils.clock import C\n"},
    ),
    (rules.sql_lives_in_sql_files, {CORE: '"""SELECT a FROM b"""\nf("select one from the list", "UPDATE")\n'}),
    (
        rules.only_audit_log_writes_audit,
        {PACKAGE + "db/sqlite/queries/a.sql": INSERT, PACKAGE + "db/audit_log.py": 'f("put")'},
    ),
    (rules.nothing_foreign_is_executed, {CORE: "re.compile(x)\ncursor.execute(y)\ncel.eval(z)\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # pyright: ignore[reportAny, reportX]  the stub lies\n"}),
    (rules.ignores_give_reasons, {CORE: "x = 1  # noqa: S311, PLR2004  ids are not secret\n"}),
    (rules.nobody_sleeps, {CORE: "await asyncio.sleep(1)\n"}),
    (
        rules.dependencies_are_explained,
        {"pyproject.toml": PROJECT, "docs/dependencies.md": "| `hatchling` | x |\n| `odd.part` | y |"},
    ),
    (rules.nothing_names_this_machine, {"docs/a.md": "POST /api/work/home and example.com/home/a"}),
    (
        rules.promises_are_tested,
        {
            "README.md": "| G1 | tested: [`a::test_b`](tests/test_a.py) |\n| G2 | open |",
            "tests/test_a.py": "def test_b(): ...",
        },
    ),
]


def _tree(root: Path, files: dict[str, str]) -> Tree:
    subprocess.run(["git", "init", "-q", root], check=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Tree(root)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    complaints = rule(Tree(ROOT))
    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


@pytest.mark.parametrize(("rule", "files"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_found(rule: Rule, files: dict[str, str], tmp_path: Path) -> None:
    assert rule(_tree(tmp_path, files))


@pytest.mark.parametrize(("rule", "files"), SOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_sound_passes(rule: Rule, files: dict[str, str], tmp_path: Path) -> None:
    assert rule(_tree(tmp_path, files)) == []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _ in FAULTS} == set(RULES)
