"""Owns conditions and templates: CEL behind a port, and a plain-Python fast path for paths and constants.

Refuses clocks, environment variables, I/O and unbounded work: an expression sees its scope and nothing else.
"""

from workflow_router.core.expressions.condition import Condition, compile_condition
from workflow_router.core.expressions.program import VARIABLES
from workflow_router.core.expressions.template import Template, compile_template

__all__ = ["VARIABLES", "Condition", "Template", "compile_condition", "compile_template"]
