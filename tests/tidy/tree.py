"""Owns reading a checkout for the house rules: its files, their text and their syntax trees."""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "src/workflow_router/"
PYTHON_FOLDERS = ("src/", "tests/", "benchmarks/", "examples/", "docs/")


class Tree:
    """A checkout: what git tracks in `root`, or would track once it is added."""

    def __init__(self, root: Path) -> None:
        git = [
            "git",
            "-c",
            "safe.directory=*",
            "-C",
            root,
        ]  # a checkout may belong to another user than the one testing
        command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        self.root = root
        self.files = sorted({path for path in listed if path and (root / path).is_file()})

    def read(self, path: str) -> str:
        """Text of a file; empty where it is not text or not there."""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            return ""

    def python(self, *folders: str) -> Iterator[tuple[str, ast.Module]]:
        """Path and syntax tree of each Python file in these folders."""
        for path in self.files:
            if path.startswith(folders or PYTHON_FOLDERS) and path.endswith(".py"):
                yield path, ast.parse(self.read(path), path)

    def comments(self) -> Iterator[tuple[str, int, str]]:
        """Path, line and text of each Python comment."""
        for path in self.files:
            if path.startswith(PYTHON_FOLDERS) and path.endswith(".py"):
                for token in tokenize.generate_tokens(io.StringIO(self.read(path)).readline):
                    if token.type == tokenize.COMMENT:
                        yield path, token.start[0], token.string


def calls(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each call in a module."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def imports(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of whatever a module imports, wherever the import stands."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def strings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and value of each string in a module; docstrings are prose, so they are left out."""
    prose = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
