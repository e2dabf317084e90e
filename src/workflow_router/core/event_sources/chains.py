"""Owns finding which mappings led to something that happened, so that no event brings itself about for ever.

What a mapping starts or publishes keeps the chain of mappings behind it; what comes of that (a child run, a message
that a run publishes) has it as its cause. Refuses to guess: code that sends events from outside begins a new chain.
"""

from workflow_router.core.ports import Transaction

HOPS_MAX = 64


async def chain_behind(tx: Transaction, cause: str | None) -> str | None:
    """The chain, as events carry it, of the mapping that led to the run or message of this id; None where none did."""
    for _ in range(HOPS_MAX):
        if cause is None:
            return None
        chain = await tx.targets.chain(cause)
        if chain is not None:
            return chain
        run = await tx.runs.find(cause)
        if run is None:
            return None
        cause = run.cause or run.parent
    return None
