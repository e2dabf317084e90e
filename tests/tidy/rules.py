"""Owns the house rules that no other checker knows. A rule takes a tree and returns its complaints, one a line."""

import ast
import re
import sys
import tomllib
from collections.abc import Callable

from tests.tidy.tree import PACKAGE, Tree, calls, imports, strings

Rule = Callable[[Tree], list[str]]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PORT_VERBS_MAX = 10
UTILS = {"__init__", "backoff", "clock", "codec", "ids"}
CATCH_ALLS = {"common", "helper", "helpers", "misc", "util", "utils"}
DIALECTS = ("sqlite", "postgres")


def files_are_short(tree: Tree) -> list[str]:
    """No Python file has more than 400 lines."""
    lengths = {path: tree.read(path).count("\n") for path, _ in tree.python()}
    return [f"{path}: {length} lines" for path, length in lengths.items() if length > FILE_LINES_MAX]


def functions_are_short(tree: Tree) -> list[str]:
    """No function has more than 70 lines, its decorators not counted."""
    return [
        f"{path}:{node.lineno}: {node.name} has {length} lines"
        for path, module in tree.python()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def modules_say_what_they_own(tree: Tree) -> list[str]:
    """Each module opens with a docstring; an empty `__init__.py` has nothing to say."""
    return [f"{path}: no docstring" for path, module in tree.python() if module.body and not ast.get_docstring(module)]


def no_catch_all_names(tree: Tree) -> list[str]:
    """No module or folder is named after its being useful, but for the closed list `utils`."""
    allowed = PACKAGE + "utils/"
    return [
        f"{path}: a catch-all name"
        for path, _ in tree.python()
        if CATCH_ALLS & set(path.removeprefix(allowed).removesuffix(".py").split("/"))
    ]


def utils_is_a_closed_list(tree: Tree) -> list[str]:
    """`utils` holds clock, ids, codec and backoff, on the standard library and msgspec alone."""
    found: list[str] = []
    for path, module in tree.python(PACKAGE + "utils/"):
        if path.removeprefix(PACKAGE + "utils/").removesuffix(".py") not in UTILS:
            found.append(f"{path}: not on the list {sorted(UTILS)}")
        found += [
            f"{path}:{line}: imports {name}"
            for line, name in imports(module)
            if not name.startswith("workflow_router.utils.")
            if name.partition(".")[0] not in sys.stdlib_module_names | {"msgspec"}
        ]
    return found


def ports_are_small(tree: Tree) -> list[str]:
    """A Protocol of core has ten verbs at most."""
    return [
        f"{path}:{node.lineno}: {node.name} has {verbs} verbs"
        for path, module in tree.python(PACKAGE + "core/")
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and "Protocol" in {ast.unparse(base) for base in node.bases}
        if (verbs := sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body))
        > PORT_VERBS_MAX
    ]


def queries_of(tree: Tree, dialect: str) -> dict[str, str]:
    """Text of each named query that only this database is asked; of those that both are, where it is empty."""
    folder = f"{PACKAGE}db/{dialect}/queries/".replace("//", "/")
    text = "\n".join(tree.read(path) for path in tree.files if path.startswith(folder) and path.endswith(".sql"))
    parts = (part.partition("\n") for part in text.split("-- name:")[1:])
    return {name.strip(): body for name, _, body in parts}


def both_databases_know_the_same_queries(tree: Tree) -> list[str]:
    """`db/sqlite/queries` and `db/postgres/queries` name the same queries, and none that are the same."""
    one, other = (queries_of(tree, dialect) for dialect in DIALECTS)
    missing = [f"{name}: only in db/{DIALECTS[name in other]}/queries" for name in sorted(one.keys() ^ other.keys())]

    def said(body: str) -> list[str]:
        return [line for line in body.split("\n") if line.strip() and not line.lstrip().startswith("--")]

    alike = sorted(name for name in one.keys() & other.keys() if said(one[name]) == said(other[name]))
    return missing + [f"{name}: the same twice, which is for db/queries" for name in alike]


def sql_lives_in_sql_files(tree: Tree) -> list[str]:
    """No SQL that reads or changes rows stands in Python."""
    statement = re.compile(r"\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s)", re.DOTALL)
    return [
        f"{path}:{line}: SQL in Python"
        for path, module in tree.python("src/")
        for line, text in strings(module)
        if statement.match(text)
    ]


def only_audit_log_writes_audit(tree: Tree) -> list[str]:
    """Queries that write the audit log are named in `db/audit_log.py` alone; what a leaf covers is never changed."""
    allowed = {"redact_audit_entry": "actor = NULL, private = NULL, salt = NULL WHERE", "prune_audit_entries": ""}
    found: list[str] = []
    writers: set[str] = set()
    for dialect in (*DIALECTS, ""):
        for name, body in queries_of(tree, dialect).items():
            if re.search(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+audit_\w+", body, re.IGNORECASE):
                writers.add(name)
            changes = re.search(r"\b(UPDATE|DELETE\s+FROM|REPLACE\s+INTO)\s+audit_log\b", body, re.IGNORECASE)
            if changes and (name not in allowed or allowed[name] not in body):
                found.append(f"The query {name} changes entries that are written")
    return found + [
        f"{path}:{line}: uses the query {text}"
        for path, module in tree.python("src/")
        if path != PACKAGE + "db/audit_log.py"
        for line, text in strings(module)
        if text in writers
    ]


def nothing_foreign_is_executed(tree: Tree) -> list[str]:
    """No eval, exec, pickle or their kin."""
    modules = {"dill", "marshal", "pickle", "shelve"}
    builtins = {"__import__", "builtins.eval", "builtins.exec", "compile", "eval", "exec"}
    found: list[str] = []
    for path, module in tree.python("src/", "examples/"):
        found += [f"{path}:{line}: imports {n}" for line, n in imports(module) if n.partition(".")[0] in modules]
        found += [f"{path}:{line}: calls {name}" for line, name in calls(module) if name in builtins]
    return found


def ignores_give_reasons(tree: Tree) -> list[str]:
    """Each ignore names the rule it sets aside and says why, in two words at least."""
    ignore = re.compile(
        r"#\s*(?P<kind>noqa|type:\s*ignore|pyright:\s*ignore|pragma:|fmt:\s*\w+)(?P<rest>.*)", re.IGNORECASE
    )
    rule = re.compile(r"\s*:?\s*\[?[A-Za-z]+\d*(?:\s*,\s*[A-Za-z]+\d*)*\]?\s+\S+\s+\S+")
    return [
        f"{path}:{line}: {text}"
        for path, line, text in tree.comments()
        if (match := ignore.search(text)) and not rule.match(match["rest"])
    ]


def nobody_sleeps(tree: Tree) -> list[str]:
    """No `time.sleep`: time is passed in, and tests wait for what happens."""
    found: list[str] = []
    for path, module in tree.python("src/", "tests/"):
        found += [f"{path}:{line}: sleeps" for line, name in calls(module) if name == "time.sleep"]
        found += [f"{path}:{line}: imports sleep" for line, name in imports(module) if name == "time.sleep"]
    return found


def where_do_i_look_is_true(tree: Tree) -> list[str]:
    """Each path in the table of ARCHITECTURE.md exists, and the table is there."""
    _, _, section = tree.read("ARCHITECTURE.md").partition("where do I look?")
    rows = [line for line in section.split("\n\n")[0].splitlines() if line.startswith("|")]
    paths = [path for row in rows for path in re.findall(r"`([\w/.]+\.(?:py|sql))`", row)]
    if not paths:
        return ["ARCHITECTURE.md: no table `where do I look?`"]
    return [f"ARCHITECTURE.md: {path} is not there" for path in paths if PACKAGE + path not in tree.files]


def dependencies_are_explained(tree: Tree) -> list[str]:
    """Each dependency of pyproject.toml has its row in docs/dependencies.md, and each row its dependency."""
    project = tomllib.loads(tree.read("pyproject.toml"))
    wanted: list[object] = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for group in (*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()):
        wanted += group
    names = {re.split(r"[^\w.-]", line)[0] for line in wanted if isinstance(line, str)}
    rows = set(re.findall(r"^\| `([\w.-]+)` \|", tree.read("docs/dependencies.md"), re.MULTILINE))
    return [f"{name}: no row in docs/dependencies.md" for name in sorted(names - rows)] + [
        f"{name}: explained, but not a dependency" for name in sorted(rows - names)
    ]


def nothing_names_this_machine(tree: Tree) -> list[str]:
    """No tracked text names a folder of somebody's machine, and no requirement names an index."""
    places = re.compile(r"(?<![\w.:/-])/(?:work|root|home|Users|opt)/\w")
    index = re.compile(r"^\s*(?:-i\b|-f\b|--(?:extra-)?index-url|--find-links)|://", re.MULTILINE)
    return [f"{path}: names a folder of a machine" for path in tree.files if places.search(tree.read(path))] + [
        f"{path}: names an index"
        for path in tree.files
        if path.startswith("requirements/") and index.search(tree.read(path))
    ]


def links_lead_somewhere(tree: Tree) -> list[str]:
    """Each relative link in a Markdown file leads to a file or folder of this tree."""
    return [
        f"{path}: {target} is not there"
        for path in tree.files
        if path.endswith(".md")
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", tree.read(path))
        if not (tree.root / path).parent.joinpath(target).exists()
    ]


def promises_are_tested(tree: Tree) -> list[str]:
    """A promise that the README calls tested (`| G1 | … | tested: [name](tests/…) |`) links to tests that exist."""
    found: list[str] = []
    for row in re.findall(r"^\| G\d.*$", tree.read("README.md"), re.MULTILINE):
        if "tested" not in row.casefold():
            continue
        links = re.findall(r"\[([^\]]+)\]\((tests/[^)#\s]+)", row)
        if not links:
            found.append(f"README.md: no test is linked in: {row}")
        for label, path in links:
            name = label.strip("`").rpartition("::")[2]
            if path not in tree.files or (name.startswith("test_") and f"def {name}(" not in tree.read(path)):
                found.append(f"README.md: {label} is not in {path}")
    return found


def semantics_are_tested(tree: Tree) -> list[str]:
    """What docs/broker.md says of us (`| **…** | ours [test_a](../tests/…) | theirs |`) links to a test of it."""
    page = "docs/broker.md"
    if page not in tree.files:
        return []
    found: list[str] = []
    for row in re.findall(r"^\| \*\*.*$", tree.read(page), re.MULTILINE):
        links = re.findall(r"\[(test_\w+)\]\(\.\./(tests/[^)#\s]+)\)", row.split("|")[2])
        if not links:
            found.append(f"{page}: no test is linked in: {row}")
        found += [
            f"{page}: {name} is not in {path}"
            for name, path in links
            if path not in tree.files or f"def {name}(" not in tree.read(path)
        ]
    return found


RULES: tuple[Rule, ...] = (
    files_are_short,
    functions_are_short,
    modules_say_what_they_own,
    no_catch_all_names,
    utils_is_a_closed_list,
    ports_are_small,
    both_databases_know_the_same_queries,
    sql_lives_in_sql_files,
    only_audit_log_writes_audit,
    nothing_foreign_is_executed,
    ignores_give_reasons,
    nobody_sleeps,
    where_do_i_look_is_true,
    dependencies_are_explained,
    nothing_names_this_machine,
    links_lead_somewhere,
    promises_are_tested,
    semantics_are_tested,
)
