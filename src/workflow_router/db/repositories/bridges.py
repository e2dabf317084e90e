"""Storage verbs of bridges to other message servers (`BridgeTransitions`)."""

from collections.abc import Callable, Sequence

from workflow_router.core.errors import Lost
from workflow_router.core.message_broker.bridge_ports import BridgeState, Counted
from workflow_router.core.model import Transition
from workflow_router.db.database import Session
from workflow_router.utils.codec import to_json, typed_from_json


class Bridges:
    """See `BridgeTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def hold(self, name: str, owner: str, *, until_ms: int) -> int | None:
        rows = await self._session.fetch("hold_bridge", name=name, owner=owner, until_ms=until_ms, now_ms=self._now_ms)
        return rows[0][0] if rows else None

    async def let_go(self, name: str, epoch: int) -> None:
        self._session.execute("let_go_bridge", name=name, epoch=epoch)

    async def mark(self, fresh: str) -> str:
        self._session.execute("keep_mark", mark=fresh)
        ((mark,),) = await self._session.fetch("bridge_mark")
        return mark

    async def admit(self, name: str, epoch: int, origin: str, positions: Sequence[int]) -> set[int]:
        rows = await self._session.fetch("bridge_epoch", name=name)
        if not rows or rows[0][0] != epoch:
            raise Lost(f"The bridge {name} belongs to another process now.")
        _, settled_origin, settled = rows[0]
        open_ones = [one for one in positions if origin != settled_origin or one > settled]
        entered = await self._session.fetch(
            "enter_inbox", bridge=name, origin=origin, positions=to_json(open_ones).decode()
        )
        return {position for (position,) in entered}

    async def settle(self, name: str, origin: str, position: int) -> None:
        self._session.execute("settle_bridge", bridge=name, origin=origin, position=position)
        self._session.execute("settle_inbox", bridge=name, origin=origin, position=position)

    async def tell(self, name: str, epoch: int, counted: Counted, warnings: Sequence[str] | None = None) -> None:
        self._session.execute(
            "count_bridge",
            name=name,
            epoch=epoch,
            sent=counted.sent,
            repeated=counted.repeated,
            received=counted.received,
            duplicates=counted.duplicates,
            echoes=counted.echoes,
        )
        if warnings is not None:
            text = to_json(list(warnings)).decode()
            self._session.execute("warn_bridge", name=name, epoch=epoch, warnings=text)

    async def fail(self, name: str, epoch: int, error: str | None) -> None:
        if error is not None:
            self._record(Transition(kind="bridge.failed", subject=name, detail={"error": error}))
        self._session.execute(
            "fail_bridge", name=name, epoch=epoch, error=error, error_ms=None if error is None else self._now_ms
        )

    async def states(self) -> list[BridgeState]:
        return [
            BridgeState(
                name=name,
                owner=owner,
                epoch=epoch,
                sent=sent,
                repeated=repeated,
                received=received,
                duplicates=duplicates,
                echoes=echoes,
                error=error,
                error_ms=error_ms,
                warnings=tuple(typed_from_json(warnings.encode(), list[str])),
            )
            for (
                name,
                owner,
                epoch,
                sent,
                repeated,
                received,
                duplicates,
                echoes,
                error,
                error_ms,
                warnings,
            ) in await self._session.fetch("bridge_states")
        ]
