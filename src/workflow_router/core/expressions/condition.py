"""Owns conditions: expressions that answer yes or no. Refuses truthiness: a result that is no bool is an error."""

from collections.abc import Collection, Mapping

from workflow_router.core.errors import ExpressionFailed, InvalidExpression
from workflow_router.core.expressions.ports import Engine, Program
from workflow_router.core.expressions.program import VARIABLES, compile_program
from workflow_router.core.expressions.wording import quote


class Condition:
    """A compiled condition."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str, program: Program) -> None:
        self.text = text
        self._program = program

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def holds(self, scope: Mapping[str, object]) -> bool:
        """Whether it is true of the scope, which holds plain JSON data by variable.

        Raises:
            ExpressionFailed: it reads what is missing, breaks a limit, or is neither true nor false.
        """
        result = self._program.evaluate(scope)
        if isinstance(result, bool):
            return result
        raise ExpressionFailed(
            f"Condition {quote(self.text)} is neither true nor false here.", remedy="Compare it: … == true."
        )


def compile_condition(text: str, *, variables: Collection[str] = VARIABLES, engine: Engine | None = None) -> Condition:
    """Compile a CEL condition that may read these variables. Raises InvalidExpression."""
    program = compile_program(text, variables, engine)
    if program.never_bool:
        raise InvalidExpression(f"Condition {quote(text)} is never true or false.", remedy="Compare it: … == true.")
    return Condition(text, program)
