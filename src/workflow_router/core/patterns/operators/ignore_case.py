"""Owns equality, prefix and suffix without regard to case.

As in event-ruler each character stands for its lower-case and its upper-case form, taken alone and by the root locale,
so that "straße" finds "STRASSE", and final sigma does not find sigma. Refuses normalisation and the case of characters
beyond U+FFFF.
"""

from collections.abc import Callable

from workflow_router.core.patterns.operators.operator import Feature, Key, Operator, Test, end_key


def equals_ignore_case(wanted: str) -> Operator:
    """A string equal to `wanted` but for case."""
    keys: tuple[Key, ...] = ()
    if _keeps_fold(wanted):
        keys = (Key(Feature("whole", 0, folded=True), wanted.casefold(), sure=False),)
    return Operator(ignoring_case(wanted, "whole"), keys)


def prefix_ignore_case(wanted: str) -> Operator:
    """A string that begins with `wanted` but for case."""
    return Operator(ignoring_case(wanted, "head"), _end_keys("head", wanted))


def suffix_ignore_case(wanted: str) -> Operator:
    """A string that ends with `wanted` but for case."""
    return Operator(ignoring_case(wanted, "tail"), _end_keys("tail", wanted))


def ignoring_case(wanted: str, end: str) -> Test:
    """The test: the whole value, or its head or tail, is `wanted` but for case."""
    if wanted.isascii():
        return _ascii(wanted.lower(), end)
    return _unicode([_forms(character) for character in wanted], end)


def _ascii(wanted: str, end: str) -> Test:
    size = len(wanted)
    if end == "whole":
        return lambda value: (
            isinstance(value, str) and len(value) == size and value.isascii() and value.lower() == wanted
        )
    cut: Callable[[str], str] = (
        (lambda value: value[:size]) if end == "head" else (lambda value: value[len(value) - size :])
    )

    def passes(value: object) -> bool:
        if not isinstance(value, str) or len(value) < size:
            return False
        part = cut(value)
        return part.isascii() and part.lower() == wanted

    return passes


def _unicode(forms: list[tuple[str, ...]], end: str) -> Test:
    """Forms may differ in length ("ß", "SS"), so all positions that can be reached are followed at once."""
    if end == "tail":
        forms = [tuple(form[::-1] for form in one) for one in reversed(forms)]

    def passes(value: object) -> bool:
        if not isinstance(value, str):
            return False
        text = value[::-1] if end == "tail" else value
        reached = {0}
        for one in forms:
            reached = {at + len(form) for at in reached for form in one if text.startswith(form, at)}
            if not reached:
                return False
        return end != "whole" or len(text) in reached

    return passes


def _forms(character: str) -> tuple[str, ...]:
    if ord(character) > 0xFFFF:
        return (character,)
    return tuple({character, character.lower(), character.upper()})


def _keeps_fold(wanted: str) -> bool:
    """Whether everything `wanted` stands for folds to the same string, so that it can be looked up folded."""
    return all(len({form.casefold() for form in _forms(character)}) == 1 for character in wanted)


def _end_keys(end: str, wanted: str) -> tuple[Key, ...]:
    single = all(len(form) == len(form.casefold()) == 1 for character in wanted for form in _forms(character))
    return end_key(end, wanted.casefold(), folded=True, sure=False) if single and _keeps_fold(wanted) else ()
