"""Owns deciding whether what concurrent clients saw could have been one order of operations on one object. Pure.

A history is linearizable if each operation can be given a moment between its call and its answer, so that in the order
of these moments every answer is the one that a sequential model gives (Herlihy and Wing, "Linearizability: a
correctness condition for concurrent objects", 1990). The search is that of Wing and Gong ("Testing and verifying
concurrent objects", 1993): of the operations that nothing else had to come before, try each. What was tried is
remembered, as Lowe showed ("Testing for linearizability", 2017): the same operations done, in whatever order, to the
same state need no second look. By locality, histories of several objects are checked one by one.

Refuses to know what the objects are: a model is a function.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
C = TypeVar("C")
A = TypeVar("A")

CONFIGURATIONS_MAX = 1_000_000

Model = Callable[[S, C], tuple[S, A]]


@dataclass(frozen=True)
class Operation(Generic[C, A]):
    """A call, and what was heard of it.

    Attributes:
        began, ended: moments, no two of which are equal.
        heard: False where the caller never got an answer: it took effect before `ended`, or never.
    """

    call: C
    answer: A | None
    began: int
    ended: int
    heard: bool = True


class History(Generic[C, A]):
    """Operations as their clients see them, with the order of real time."""

    def __init__(self) -> None:
        self.operations: list[Operation[C, A]] = []
        self._moment = 0

    def _tick(self) -> int:
        self._moment += 1
        return self._moment

    async def record(
        self,
        call: C,
        doing: Awaitable[A],
        *,
        unheard: tuple[type[Exception], ...] = (),
        tells: Callable[[A], bool] = lambda _: True,
    ) -> A:
        """Do it and note it.

        Args:
            unheard: errors that hide whether it took effect.
            tells: whether the answer says anything about the object; one that does not is not noted.
        """
        began = self._tick()
        try:
            answer = await doing
        except unheard:
            self.operations.append(Operation(call, None, began, self._tick(), heard=False))
            raise
        if tells(answer):
            self.operations.append(Operation(call, answer, began, self._tick()))
        return answer


def stuck(history: Sequence[Operation[C, A]], initial: S, model: Model[S, C, A]) -> list[Operation[C, A]]:
    """Empty where the history is linearizable; else what is left where the search came furthest.

    Raises:
        MemoryError: the history is too concurrent to be decided.
    """
    operations = sorted(history, key=lambda operation: operation.began)
    tried: set[tuple[int, S]] = set()
    open_ = [(0, initial, 0)]  # which are done, the state they made, and when the last of them to begin began
    furthest = 0
    while open_:
        done, state, latest = open_.pop()
        left = [(at, one) for at, one in enumerate(operations) if not done >> at & 1]
        bound = min((one.ended for _, one in left if one.heard), default=None)
        if bound is None:
            return []
        if done.bit_count() > furthest.bit_count():
            furthest = done
        for at, one in reversed(left):
            if one.began > bound or (not one.heard and one.ended < latest):
                continue  # something had to come before it, or came too late to come after it
            after, answer = model(state, one.call)
            configuration = (done | 1 << at, after)
            if (answer != one.answer if one.heard else after == state) or configuration in tried:
                continue
            if len(tried) >= CONFIGURATIONS_MAX:
                raise MemoryError("The history is too concurrent to be decided.")
            tried.add(configuration)
            open_.append((*configuration, max(latest, one.began)))
    return [one for at, one in enumerate(operations) if one.heard and not furthest >> at & 1]
