"""Owns what a caller who is bound to a tenant may see: guards of what a path names, and of entries of the audit log.

Refuses by default: an entry of a kind that is not known to be some tenant's is nobody's. What is another tenant's is
told of as if it were not there.
"""

from collections.abc import Mapping

from workflow_router.api.context import Context
from workflow_router.core.errors import NotFound
from workflow_router.core.model import AuditEntry, Transition

# What belongs to a tenant, by the first word of an entry's kind; the log also tells of what belongs to the house.
_THINGS = frozenset({"access", "approval", "delegation", "dispatch", "event", "hold", "message", "run", "signal"})
_OF_THE_HOUSE = frozenset({"message.dropped"})  # it tells of a subscription
_RUNS = ("run_id", "other")


async def of_run(context: Context, tenant: str, path: Mapping[str, str]) -> None:
    """Every run that the path names is the tenant's; one that was archived is nobody's. Raises NotFound."""
    for name in _RUNS:
        if name in path:
            run = await context.runtime.store.read(lambda tx, i=path[name]: tx.runs.find(i))
            if run is None or run.tenant != tenant:
                raise NotFound("There is no run of this id.", remedy="List them with GET /api/runs.")


async def of_hold(context: Context, tenant: str, path: Mapping[str, str]) -> None:
    """What the path names is held of the tenant. Raises NotFound."""
    found = await context.runtime.interception.holds.find(path["hold"])
    if found.tenant != tenant:
        raise NotFound(f"There is no hold {path['hold'][:100]}.", remedy="List them with `wr holds`.")


async def of_entry(context: Context, tenant: str, path: Mapping[str, str]) -> None:
    """The entry of the audit log at the path's position is the tenant's; what is no position is left to the endpoint.

    Raises NotFound.
    """
    text = path["position"]
    if text.isascii() and text.isdecimal() and len(text) < 19:
        entry = await context.runtime.store.read(lambda tx: tx.audit.find(int(text)))
        if entry is None or not is_of(entry.transition, tenant):
            raise NotFound("There is no entry at this position, or it was pruned.", remedy="See /api/audit/head.")


def is_of(transition: Transition, tenant: str) -> bool:
    """Whether an entry tells of what is the tenant's."""
    if transition.tenant != tenant:
        return False
    if transition.kind in _OF_THE_HOUSE:
        return False
    return transition.run is not None or transition.kind.partition(".")[0] in _THINGS


def own_entries(entries: list[AuditEntry], tenant: str | None) -> list[AuditEntry]:
    """Those of one tenant; all of them where it is None."""
    return entries if tenant is None else [one for one in entries if is_of(one.transition, tenant)]
