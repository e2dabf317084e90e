"""The verbs of living routes."""

import asyncio

import pytest

from tests.conformance.conftest import Backend
from tests.conformance.support import added
from workflow_router.core import rule_history
from workflow_router.core.errors import StoreUnavailable
from workflow_router.core.ports import Transaction
from workflow_router.core.rule_history import RuleHistory
from workflow_router.core.rule_versions import RuleTransitions, RuleVersion
from workflow_router.db.store import SqlStore


async def change(store: SqlStore, name: str, text: bytes = b"{}", *, expected: int | None = None) -> RuleVersion | None:
    return await store.commit(
        lambda tx: tx.routes.change(name, text, "live", author="ann", what="changed", expected=expected)
    )


def test_each_change_is_a_version_with_its_author_and_an_audit_entry(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        made, entries = await added(
            store, lambda tx: tx.routes.change("r", b'{"a":1}', "live", author="ann", what="created")
        )
        assert made == RuleVersion(
            name="r",
            version=1,
            change=1,
            specification=b'{"a":1}',
            stage="live",
            author="ann",
            created_ms=backend.clock.now_ms(),
        )
        (entry,) = [entry.transition for entry in entries]
        assert (entry.kind, entry.subject, entry.actor) == ("route.created", "r", "ann")
        assert entry.detail == {"version": 1, "stage": "live"}
        other = await change(store, "other")
        again = await change(store, "r", b'{"a":2}')
        assert other is not None
        assert again is not None
        assert [(one.version, one.change) for one in (other, again)] == [(1, 2), (2, 3)]
        assert await store.read(lambda tx: tx.routes.history("r")) == [made, again]
        assert await store.read(lambda tx: tx.routes.changes(after=1, limit=9)) == [other, again]
        assert await store.read(lambda tx: tx.routes.changes(after=0, limit=1)) == [made]

    backend.run(scenario)


def test_of_two_changes_of_one_version_one_lands(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        await change(store, "r")
        made = await asyncio.gather(*(change(store, "r", text, expected=1) for text in (b"1", b"2")))
        assert [None if one is None else one.specification for one in made] == [b"1", None]
        assert await added(
            store, lambda tx: tx.routes.change("r", b"3", "live", author="bob", what="changed", expected=0)
        ) == (None, [])
        assert len(await store.read(lambda tx: tx.routes.history("r"))) == 2

    backend.run(scenario)


def test_what_was_read_in_vain_is_read_again(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_history, "PAGE", 1)

    async def scenario(store: SqlStore) -> None:
        reads, taken = 0, list[str]()

        def verbs(tx: Transaction) -> RuleTransitions:
            nonlocal reads
            reads += 1
            if reads == 2:
                raise StoreUnavailable("The disk is away.")
            return tx.routes

        history = RuleHistory(store, "route", verbs, lambda found: taken.extend(one.name for one in found))
        for name in ("a", "b"):
            await change(store, name)
        with pytest.raises(StoreUnavailable):
            await history.refresh()
        await history.refresh()
        await history.refresh()
        assert taken == ["a", "b"]

    backend.run(scenario)


def test_routes_outlive_the_store_that_wrote_them(lasting_backend: Backend) -> None:
    async def write(store: SqlStore) -> None:
        await change(store, "r", b'{"a":1}')

    async def read(store: SqlStore) -> None:
        (found,) = await store.read(lambda tx: tx.routes.changes(after=0, limit=9))
        assert (found.name, found.specification) == ("r", b'{"a":1}')

    lasting_backend.run(write)
    lasting_backend.run(read)
