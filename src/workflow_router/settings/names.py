"""Owns that every mapping has a name of its own, also those that joins, schedules and classes are made of.

Refuses to choose: of two that share a name, one would silently be missing.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from workflow_router.settings.document import Where
from workflow_router.settings.steps import known

if TYPE_CHECKING:
    from workflow_router.settings.model import RouterFile


def check_names(router: "RouterFile", mistaken: Callable[[Where, str, str], None]) -> None:
    """Tell of every mapping that has the name of another, where both are made of different parts of the file."""
    first: dict[str, tuple[Where, str]] = {}
    for name, where, whose in names_in(router):
        before = first.setdefault(name, (where, whose))
        if before[0][0] != where[0]:  # within one section it is told there
            mistaken(where, f"`{name}` is the name of {whose}, and of {before[1]}.", "Name one of them otherwise.")


def names_in(router: "RouterFile") -> Iterable[tuple[str, Where, str]]:
    """Names of mappings as they will be in force, where they come from, and what they are. Wrong parts are None."""
    for at, mapping in known(enumerate(router.mappings or [])):
        yield mapping.name, ("mappings", at), "a mapping"
    for at, join in known(enumerate(router.joins or [])):
        yield join.name, ("joins", at), "a join"
        for part in join.parts or {}:
            yield (
                f"{join.name}.{part}",
                ("joins", at, "parts", part),
                f"the mapping of a part of the join `{join.name}`",
            )
    for at, schedule in known(enumerate(router.schedules or [])):
        if schedule.start is not None:
            yield f"schedule.{schedule.name}", ("schedules", at), "the mapping of a schedule"
    for name in router.classes or {}:
        yield f"class.{name}", ("classes", name), "the mapping of classes"
