"""What expressions need of an expression engine. The library behind it can be replaced without touching its callers."""

from collections.abc import Collection, Mapping
from typing import Protocol


class Program(Protocol):
    """A compiled expression. Safe to share between threads and tasks."""

    @property
    def never_bool(self) -> bool:
        """Whether it is known already that the result is no bool, so that it cannot be a condition."""
        ...

    def evaluate(self, scope: Mapping[str, object]) -> object:
        """The result as plain JSON data. Raises ExpressionFailed; the error repeats nothing of the scope's values."""
        ...


class Engine(Protocol):
    """A compiler of expressions. It bounds recursion and iterations; the caller bounds input and work."""

    def compile(self, text: str, variables: Collection[str]) -> Program:
        """Compile an expression over these variables. Raises InvalidExpression with the line and column."""
        ...
