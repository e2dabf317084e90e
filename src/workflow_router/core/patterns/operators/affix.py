"""Owns prefix and suffix. An empty one passes every string."""

from workflow_router.core.patterns.operators.operator import Operator, end_key


def prefix(wanted: str) -> Operator:
    """A string that begins with `wanted`."""
    return Operator(
        lambda value: isinstance(value, str) and value.startswith(wanted),
        end_key("head", wanted, folded=False, sure=True),
    )


def suffix(wanted: str) -> Operator:
    """A string that ends with `wanted`."""
    return Operator(
        lambda value: isinstance(value, str) and value.endswith(wanted),
        end_key("tail", wanted, folded=False, sure=True),
    )
