"""Owns equality with literals: strings, numbers, booleans, null."""

from collections.abc import Sequence
from decimal import Decimal

from workflow_router.core.patterns.operators.operator import WHOLE, Key, Operator, Test
from workflow_router.core.patterns.values import identity, number


def exact(literals: Sequence[object]) -> Operator:
    """A value equal to one of the literals, as JSON sees equality: 1 = 1.0, true is not 1, "1" is not 1."""
    return Operator(one_of(literals), tuple(key for literal in literals for key in _keys(literal)))


def one_of(literals: Sequence[object]) -> Test:
    """The test for membership."""
    if all(isinstance(literal, str) for literal in literals):
        return (tuple(literals) if len(literals) == 1 else frozenset(literals)).__contains__
    wanted = frozenset(identity(literal) for literal in literals)
    return lambda value: identity(value) in wanted


def _keys(literal: object) -> list[Key]:
    """Python finds true under 1, and 10**23 not under 1e23: numbers are checked again, and large ones have two keys."""
    if isinstance(literal, str) or literal is None:
        return [Key(WHOLE, literal, sure=True)]
    keys = [Key(WHOLE, literal, sure=False)]
    near = number(literal)
    if near is not None and not isinstance(literal, bool) and abs(near) > 2**53:
        whole = Decimal(repr(near))
        keys = [Key(WHOLE, near, sure=False)]
        if whole == whole.to_integral_value():
            keys.append(Key(WHOLE, int(whole), sure=False))
    return keys
