"""The verbs of dispatch records."""

import msgspec

from tests.conformance.conftest import Backend
from tests.conformance.support import added, dispatch
from workflow_router.core.dispatch_route.journal import KeptBodies
from workflow_router.core.dispatch_route.model import Attempt
from workflow_router.core.states import DispatchStatus
from workflow_router.db.store import SqlStore
from workflow_router.utils.codec import to_json


def attempts(*said: tuple[str, int | None, str | None]) -> bytes:
    """Attempts as the dispatcher writes them: target, status, error."""
    return to_json(
        [
            Attempt(target=target, status=status, error=error, started_ms=1, first_byte_ms=None, total_ms=2.5)
            for target, status, error in said
        ]
    )


def test_an_intent_lands_once_and_is_finished(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        landed, entries = await added(store, lambda tx: tx.dispatches.intend(dispatch()))
        assert (landed, [entry.transition.kind for entry in entries]) == (True, ["dispatch.intended"])
        assert await added(store, lambda tx: tx.dispatches.intend(dispatch())) == (False, [])
        done = msgspec.structs.replace(
            dispatch(status=DispatchStatus.SUCCEEDED), target="backup", usage=None, finished_ms=9
        )
        _, entries = await added(store, lambda tx: tx.dispatches.finish(done))
        assert [entry.transition.kind for entry in entries] == ["dispatch.succeeded"]
        assert await store.read(lambda tx: tx.dispatches.find("dispatch-1")) == done
        assert await store.read(lambda tx: tx.dispatches.find("dispatch-2")) is None

    backend.run(scenario)


def test_an_outcome_without_an_intent_is_kept(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        record = dispatch(2, status=DispatchStatus.FAILED, run=None)
        await store.commit(lambda tx: tx.dispatches.finish(record))
        assert await store.read(lambda tx: tx.dispatches.latest(tenant="default", run=None, limit=9)) == [record]

    backend.run(scenario)


def test_latest_is_newest_first(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number in (1, 3, 2):
            await store.commit(lambda tx, n=number: tx.dispatches.intend(dispatch(n, run="r1" if n < 3 else "r2")))

        async def latest(run: str | None, limit: int = 9) -> list[str]:
            found = await store.read(lambda tx: tx.dispatches.latest(tenant="default", run=run, limit=limit))
            return [record.id for record in found]

        assert await latest(None) == ["dispatch-3", "dispatch-2", "dispatch-1"]
        assert await latest(None, 1) == ["dispatch-3"]
        assert await latest("r1") == ["dispatch-2", "dispatch-1"]

    backend.run(scenario)


def test_counts_are_by_target(backend: Backend) -> None:
    async def scenario(store: SqlStore) -> None:
        for number, made in enumerate(
            (
                attempts(("a", 200, None)),
                attempts(("a", 503, "busy"), ("a", None, "reset"), ("b", 200, None)),
                attempts(("a", 200, "the stream broke"), ("b", 404, None)),
                attempts(),
            )
        ):
            record = dispatch(number, status=DispatchStatus.SUCCEEDED, attempts=made)
            await store.commit(lambda tx, r=record: tx.dispatches.finish(r))
        assert await store.read(lambda tx: tx.dispatches.counts(tenant="default")) == {
            "a": {"succeeded": 1, "failed": 3, "failovers": 2},
            "b": {"succeeded": 1, "failed": 1, "failovers": 0},
        }
        assert await store.read(lambda tx: tx.dispatches.counts(tenant="other")) == {}

    backend.run(scenario)


def test_bodies_are_kept_once_and_forgotten_when_due(backend: Backend) -> None:
    def bodies(number: int, expires_ms: int, request: str | None = "{}") -> KeptBodies:
        return KeptBodies(
            dispatch=f"dispatch-{number}",
            tenant="default",
            request=request,
            answer=None,
            note="why",
            readers=("admin", "b"),
            created_ms=1,
            expires_ms=expires_ms,
        )

    async def scenario(store: SqlStore) -> None:
        kept = [bodies(1, 10), bodies(2, 20), bodies(3, 30), bodies(1, 99, "again")]
        _, entries = await added(store, lambda tx: tx.dispatches.keep(kept))
        assert entries == []
        assert await store.read(lambda tx: tx.dispatches.kept("dispatch-1")) == bodies(1, 10)
        assert await store.read(lambda tx: tx.dispatches.kept("dispatch-9")) is None
        assert await store.commit(lambda tx: tx.dispatches.forget(20, limit=1)) == 1
        assert await store.read(lambda tx: tx.dispatches.kept("dispatch-1")) is None
        assert await store.commit(lambda tx: tx.dispatches.forget(20, limit=9)) == 1
        assert await store.commit(lambda tx: tx.dispatches.forget(20, limit=9)) == 0
        assert await store.read(lambda tx: tx.dispatches.kept("dispatch-3")) == bodies(3, 30)

    backend.run(scenario)
