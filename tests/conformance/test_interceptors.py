"""The verbs of living interceptors, of what they hold, and the views that tell of what happened."""

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import added
from workflow_router.core.model import Transition
from workflow_router.core.runtime_state.interceptor_ports import Held
from workflow_router.db.store import SqlStore

OUTSIDE = Held(
    id="h1",
    at="event.accepting",
    subject="order",
    tenant="default",
    interceptor="stay",
    version=1,
    place=0,
    verdict="hold",
    payload=b"{}",
    due_ms=1,
)


def test_a_change_is_a_version_with_its_author(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        made, entries = await added(
            store, lambda tx: tx.interceptors.change("r", b"{}", "live", author="ann", what="created")
        )
        assert made is not None
        assert [one.transition.kind for one in entries] == ["interceptor.created"]
        stale = await store.commit(
            lambda tx: tx.interceptors.change("r", b"{}", "live", author="bo", what="changed", expected=0)
        )
        assert stale is None
        assert await store.read(lambda tx: tx.interceptors.changes(after=0, limit=9)) == [made]
        assert await store.read(lambda tx: tx.interceptors.history("r")) == [made]

    backend.run(scenario)


def test_what_is_held_is_settled_once_and_performed_once(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        told = Transition(kind="interceptor.held", subject="stay")
        _, entries = await added(store, lambda tx: tx.held.keep(OUTSIDE, [told]))
        assert [one.transition.kind for one in entries] == ["interceptor.held"]
        _, entries = await added(store, lambda tx: tx.held.keep(OUTSIDE, [told]))
        assert entries == [], "the same thing is held once"
        (found,) = await store.read(lambda tx: tx.held.list_held(tenant="default", limit=9))
        assert [one.id for one in await store.read(lambda tx: tx.held.due(limit=9))] == ["h1"]
        assert await store.read(lambda tx: tx.held.next_due_ms()) == 1
        assert not await store.read(lambda tx: tx.held.any_in_runs())
        released = msgspec.structs.replace(found, status="released")
        assert await store.commit(lambda tx: tx.held.settle(released))
        assert not await store.commit(lambda tx: tx.held.settle(released))
        assert [one.status for one in await store.read(lambda tx: tx.held.due(limit=9))] == ["released"]
        await store.commit(lambda tx: tx.held.done("h1"))
        assert await store.read(lambda tx: tx.held.due(limit=9)) == []
        assert await store.read(lambda tx: tx.held.of_run("nobody", "0~")) == []

    backend.run(scenario)
