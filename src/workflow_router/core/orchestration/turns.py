"""Owns the order in which the branches of a run get their results: that of its history, one after the other.

What code does next may hang on which of its branches came first: `asyncio.wait`, `as_completed`, a queue between tasks.
So a replay gives results in the order in which they were committed, and between two of them, live as on replay, the
event loop turns a few times, so that the code has met the one before the other comes. Refuses to know what results are.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable

# Turns of the loop between two results: a task ends, `asyncio.wait` or `gather` hears of it, and then who awaits that.
GAP = 6
# Turns after which a result that nobody asks for is passed over: a branch was given up, or the code has changed.
PATIENCE = 100
# More new results than these on their way at once are no race but a crowd, and are not kept from one another.
FEW = 16


class Turns:
    """Of one run."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()  # numbers of results that are to be given, from the first that is left on
        self._left: set[int] = set()  # those of them that were not given yet
        self._recalled = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._crowd = False
        self._quiet = 0
        self._ticking = False
        self.given = 0

    def recall(self, numbers: Iterable[int]) -> None:
        """These are in the history, and will be asked for."""
        self._order = deque(sorted(numbers))
        self._left = set(self._order)
        self._recalled = max(self._order, default=0)

    def expect(self, number: int) -> None:
        """This one is on its way into the history."""
        self._order.append(number)
        self._left.add(number)
        if len(self._left) > FEW and self._order[0] > self._recalled:
            self._crowd = True

    def forget(self, numbers: Iterable[int]) -> None:
        """These will not be asked for."""
        self._left.difference_update(numbers)

    def take_at_once(self, number: int, *, alone: bool) -> bool:
        """Take the result with this number if it is its turn now; whether it is.

        Args:
            alone: the run has no branches, so that nothing can come between.
        """
        if alone and len(self._left) == 1 and self._order[0] == number and not self._waiting:  # as mostly
            self._order.clear()
            self._left.clear()
            self._crowd = False
            self.given += 1
            self._quiet = 0
            return True
        if self._waiting or not self._is_next(number) or not (alone or self._crowd or not self._ticking):
            return False
        if not (alone or self._crowd):
            self._tick_on()
        self._give(number)
        return True

    async def take(self, number: int) -> None:
        """Wait until it is the turn of the result with this number."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, turn))
        self._tick_on()
        await turn

    def _is_next(self, number: int) -> bool:
        order = self._order
        while order and order[0] not in self._left:
            order.popleft()
        return not order or number <= order[0]

    def _give(self, number: int) -> None:
        while self._order and self._order[0] <= number:  # those that were passed over are not waited for again
            self._left.discard(self._order.popleft())
        self._crowd = self._crowd and bool(self._left)
        self.given += 1
        self._quiet = 0

    def _tick_on(self) -> None:
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        """Once each turn of the loop, while there is something to give or not long after."""
        self._quiet += 1
        while self._waiting:
            number, turn = self._waiting[0]
            is_next = self._is_next(number)
            at_once = turn.done() or (is_next and self._crowd)
            if not (at_once or self._quiet >= (GAP if is_next else PATIENCE)):
                break
            heapq.heappop(self._waiting)
            if turn.done():  # whoever waited was cancelled
                self._left.discard(number)
            else:
                self._give(number)
                turn.set_result(None)
        self._ticking = False
        if self._waiting or self._quiet < GAP:
            self._tick_on()
