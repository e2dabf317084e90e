"""Owns the versions of living rules of one kind: making one, and taking up those that were made here or elsewhere.

Each change is in force when `make` returns; other processes on the same store take it up within a second. Refuses to
know what a rule says: whoever has the rules compiles them before, and puts in force what is handed to it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from workflow_router.core.errors import Conflict
from workflow_router.core.follow import Follower
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.rule_versions import RuleTransitions, RuleVersion

PAGE = 1_000


class RuleHistory:
    """The versions of the rules of one kind.

    Args:
        kind: such as `route`.
        verbs: theirs of a transaction.
        take_up: given what is new, in the order of commits; puts it in force.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        verbs: Callable[[Transaction], RuleTransitions],
        take_up: Callable[[Sequence[RuleVersion]], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._kind = kind
        self._verbs = verbs
        self._take_up = take_up
        self._change = 0
        self._follower = Follower(f"{kind}s", self.refresh, sleep)
        self._refreshing = asyncio.Lock()

    async def open(self) -> None:
        """Take up what the store holds, and look for what others change."""
        await self.refresh()
        self._follower.open(None if self._store.poll_s is None else self._store.poll_s / 2)

    async def close(self) -> None:
        """Stop looking."""
        await self._follower.close()

    async def refresh(self) -> None:
        """Take up what was changed since the last time."""
        async with self._refreshing:
            found: list[RuleVersion] = []
            after = self._change
            while True:
                page = await self._store.read(lambda tx, a=after: self._verbs(tx).changes(after=a, limit=PAGE))
                found += page
                after = page[-1].change if page else after
                if len(page) < PAGE:
                    break
            if found:
                self._take_up(found)
            self._change = after  # not before: what was read in vain must be read again

    async def of(self, name: str) -> list[RuleVersion]:
        """The versions of a rule, oldest first; those of the project's files are not among them."""
        return await self._store.read(lambda tx: self._verbs(tx).history(name))

    async def make(
        self, name: str, specification: bytes, stage: str, *, author: str, what: str, expected: int | None
    ) -> RuleVersion:
        """Make a version and put it in force. Raises Conflict where `expected` is no longer the last one."""
        made = await self._store.commit(
            lambda tx: self._verbs(tx).change(name, specification, stage, author=author, what=what, expected=expected)
        )
        if made is None:
            raise Conflict(
                f"{self._kind.capitalize()} {name!r} was changed meanwhile.",
                remedy="Read it again, and change what it is now.",
            )
        await self.refresh()
        return made
