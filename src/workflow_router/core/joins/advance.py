"""Owns how a join goes on: pure functions of what is held, an item, and the time. Refuses to keep or to fetch anything.

An item is alive while less than `within_ms` has passed since it came. For each place of a join only the latest item
(for a sequence: the chain that began last) is held: whatever an older one could complete, it can complete too.
"""

from workflow_router.core.errors import InvalidInput
from workflow_router.core.joins.join import EMPTY, Advanced, Held, Item, Join

_NONE: tuple[Item, ...] = ()


def advance(join: Join, held: Held, part: str, item: Item, now_ms: int) -> Advanced:
    """Take in an item of a part. For an absence that has run out, call `expire` first: this drops it.

    An item that is of several parts is given to the later one first, so that it does not take its own predecessor away.

    Raises:
        InvalidInput: the join has no such part.
    """
    if part not in join.parts:
        raise InvalidInput(f"The join has no part {part}.", remedy=f"Its parts are {', '.join(join.parts)}.")
    place = join.parts.index(part)
    chains = _alive(join, held, now_ms)
    if join.kind == "any":
        return Advanced(EMPTY, {part: (item,)})
    if join.kind == "count":
        return _count(join, chains[0], item)
    if join.kind == "absence":
        # What waits since longer goes on to wait: a second item of the first part does not put the deadline off.
        return Advanced(_held([chains[0] or (item,)]) if place == 0 else EMPTY)
    if join.kind == "sequence":
        return _extend(join, chains, place, item)
    chains[place] = (item,)
    if all(chains):
        return Advanced(EMPTY, dict(zip(join.parts, chains, strict=True)))
    return Advanced(_held(chains))


def expire(join: Join, held: Held, now_ms: int) -> Advanced:
    """Drop what is too old; for an absence that is what completes it."""
    chains = _alive(join, held, now_ms)
    if join.kind == "absence" and held.chains and held.chains[0] and not chains[0]:
        return Advanced(EMPTY, {join.parts[0]: held.chains[0]})
    return Advanced(_held(chains))


def due_ms(join: Join, held: Held) -> int | None:
    """When to call `expire`: the absence is complete, or the last thing held is too old. None where never."""
    if join.within_ms is None or not held.chains:
        return None
    # Of a count the latest item keeps it alive, of a sequence the first of each chain.
    firsts = [chain[-1 if join.kind == "count" else 0].at_ms for chain in held.chains if chain]
    return max(firsts) + join.within_ms if firsts else None


def _count(join: Join, chain: tuple[Item, ...], item: Item) -> Advanced:
    if any(one.id == item.id for one in chain):
        return Advanced(_held([chain]))
    chain = (*chain, item)
    if len(chain) < join.count:
        return Advanced(_held([chain]))
    return Advanced(EMPTY, {join.parts[0]: chain})


def _extend(join: Join, chains: list[tuple[Item, ...]], place: int, item: Item) -> Advanced:
    if place == 0:
        chains[0] = (item,)
    else:
        before = chains[place - 1]
        if not before or any(one.id == item.id for one in before):
            return Advanced(_held(chains))
        chains[place] = (*before, item)
    if chains[-1]:
        return Advanced(EMPTY, {name: (one,) for name, one in zip(join.parts, chains[-1], strict=True)})
    return Advanced(_held(chains))


def _alive(join: Join, held: Held, now_ms: int) -> list[tuple[Item, ...]]:
    places = 1 if join.kind in {"count", "absence"} else len(join.parts)
    chains = [*held.chains[:places], *[_NONE] * (places - len(held.chains))]  # the join may have been changed since
    if join.within_ms is None:
        return chains
    oldest_ms = now_ms - join.within_ms
    if join.kind == "count":
        return [tuple(item for item in chains[0] if item.at_ms > oldest_ms)]
    return [chain if chain and chain[0].at_ms > oldest_ms else _NONE for chain in chains]


def _held(chains: list[tuple[Item, ...]]) -> Held:
    return Held(tuple(chains)) if any(chains) else EMPTY
