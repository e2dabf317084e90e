"""Owns which version of a name is in force: what the project declares, and what was changed through the API over it.

Pure, and the same in every process: versions are folded in the order of their changes. The rules:

- What the project declares (file or code) is in force where nobody changed it through the API as an *override*.
- A name that only the API made is in force in every process; a project that declares the same name takes it over.
- A version in the stage `shadow` or `canary` stands beside the last live one; a live one takes its place.
- A deleted override gives the name back to the project.
"""

import msgspec

from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.match import InForce, in_force
from workflow_router.core.event_mappings.ports import MappingVersion

API_RANK = 1 << 40  # what the API made comes after all that the project declares


class Overlay(msgspec.Struct, frozen=True):
    """What the API changed under one name.

    Attributes:
        base: the last live version; None where there is none.
        candidate: a version that is tried beside it.
        disabled: nothing of this name acts.
        override: it goes before what the project declares.
        rank: the first change of the name, by which names that the API made are put in order.
    """

    base: MappingVersion | None
    candidate: MappingVersion | None
    disabled: bool
    override: bool
    rank: int


def folded(overlay: Overlay | None, version: MappingVersion) -> Overlay | None:
    """The overlay after one more version; None where nothing is left of it."""
    rank = version.change if overlay is None else overlay.rank
    override = version.origin == "override"
    match version.stage:
        case "deleted":
            return None
        case "disabled":
            return Overlay(None, None, disabled=True, override=override, rank=rank)
        case "live":
            return Overlay(version, None, disabled=False, override=override, rank=rank)
        case _:
            base = None if overlay is None else overlay.base
            return Overlay(base, version, disabled=False, override=override, rank=rank)


def resolved(
    declared: tuple[Mapping, int] | None,
    overlay: Overlay | None,
    base: Mapping | None,
    candidate: Mapping | None,
) -> InForce | None:
    """What is in force under a name.

    Args:
        declared: what the project says, with its place.
        base: the overlay's base, compiled. None also where it does not compile any more.
        candidate: likewise.
    """
    if overlay is None or (declared is not None and not overlay.override):
        return None if declared is None else in_force(*declared)
    if overlay.disabled:
        return None
    rank = API_RANK + overlay.rank if declared is None else declared[1]
    if overlay.base is None and declared is not None:
        base = declared[0] if declared[0].stage == "live" else None
    return InForce(base, candidate, rank) if base is not None or candidate is not None else None
