"""The verbs of living routes."""

import asyncio

from tests.conformance.conftest import Backend
from tests.conformance.support import added
from workflow_router.core.dispatch_route.journal import RouteVersion
from workflow_router.db.store import SqlStore


async def change(
    store: SqlStore, name: str, text: bytes = b"{}", *, expected: int | None = None
) -> RouteVersion | None:
    return await store.commit(
        lambda tx: tx.routes.change(name, text, "live", author="ann", what="changed", expected=expected)
    )


def test_each_change_is_a_version_with_its_author_and_an_audit_entry(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        made, entries = await added(
            store, lambda tx: tx.routes.change("r", b'{"a":1}', "live", author="ann", what="created")
        )
        assert made == RouteVersion(
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


def test_routes_outlive_the_store_that_wrote_them(lasting_backend: Backend) -> None:
    async def write(store: SqlStore) -> None:
        await change(store, "r", b'{"a":1}')

    async def read(store: SqlStore) -> None:
        (found,) = await store.read(lambda tx: tx.routes.changes(after=0, limit=9))
        assert (found.name, found.specification) == ("r", b'{"a":1}')

    lasting_backend.run(write)
    lasting_backend.run(read)
