"""Owns the words of joins as frozen data: the join, an item that came, what is held so far. Refuses to decide."""

from typing import Literal, TypeAlias

import msgspec

from workflow_router.core.errors import InvalidInput

# Complex-event-processing operators (Etzion and Niblett, Event Processing in Action, chapter 9), by plainer names.
JoinKind: TypeAlias = Literal["all", "any", "absence", "count", "sequence"]

PARTS_MAX = 16
COUNT_MAX = 1_000


class Join(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has to come together, for one correlation key.

    Attributes:
        kind: `all`: each part; `any`: one of them; `absence`: the first part and then, within the time, none of the
            others; `count`: `count` items of the one part; `sequence`: each part in this order, whatever comes between.
        parts: their names.
        within_ms: the first and the last item lie less than this apart; None is no limit.
        count: how many, where that is the kind.

    Raises:
        InvalidInput: it can never be completed, or is larger than what is held.
    """

    kind: JoinKind
    parts: tuple[str, ...]
    within_ms: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= PARTS_MAX or len(set(self.parts)) != len(self.parts):
            raise InvalidInput(
                f"A join has 1 to {PARTS_MAX} parts of different names.", remedy="Name its parts accordingly."
            )
        if self.within_ms is not None and self.within_ms <= 0:
            raise InvalidInput("A join's time is not more than 0.", remedy="Give it a time, such as 10m.")
        if self.kind == "absence" and (self.within_ms is None or len(self.parts) == 1):
            raise InvalidInput(
                "An absence needs a time, and two parts: what comes, and what then does not.", remedy="Give it both."
            )
        if not 1 <= self.count <= COUNT_MAX or (self.kind == "count" and len(self.parts) > 1):
            raise InvalidInput(f"A count is of 1 to {COUNT_MAX} items of one part.", remedy="Write it accordingly.")


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that came.

    Attributes:
        id: the same id is the same item: it counts once, and fills one place of a sequence.
        at_ms: when it came.
        value: JSON, which is only carried along.
    """

    id: str
    at_ms: int
    value: msgspec.Raw = msgspec.Raw(b"null")


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What came so far, bounded by the join: a chain of items for each place.

    For `sequence` chain i is the one of i + 1 parts that began last; for `count` there is one chain of what came;
    otherwise chain i is empty or the item of part i.
    """

    chains: tuple[tuple[Item, ...], ...] = ()


EMPTY = Held()


class Advanced(msgspec.Struct, frozen=True, gc=False):
    """What an item, or the clock, made of it.

    Attributes:
        held: what is held from now on.
        completed: the items by part, where the join was completed: it starts anew.
    """

    held: Held
    completed: dict[str, tuple[Item, ...]] | None = None
