"""Owns the demo's way to the router: the product's own HTTP transport, with whole answers. Refuses to repeat a call."""

from collections.abc import Mapping

from workflow_router.core.dispatch_route.model import Timeouts
from workflow_router.core.dispatch_route.ports import Outgoing
from workflow_router.network.http import HttpTransport

ANSWER_WITHIN_S = 10.0
ANSWER_MAX_BYTES = 256 * 1024 * 1024

_TIMEOUTS = Timeouts(first_byte_s=ANSWER_WITHIN_S, idle_s=ANSWER_WITHIN_S, total_s=ANSWER_WITHIN_S)


class Client:
    """Connections to this machine; to be closed."""

    def __init__(self) -> None:
        self._transport = HttpTransport()

    async def request(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises TransportFailed where there is none."""
        outgoing = Outgoing(
            method=method,
            url=url,
            headers=tuple((headers or {}).items()),
            body=body,
            timeouts=_TIMEOUTS,
            allow_private=True,
            answer_max_bytes=ANSWER_MAX_BYTES,
        )
        answer = await self._transport.send(outgoing)
        pieces: list[bytes] = []
        while piece := await answer.chunk():
            pieces.append(piece)
        return answer.status, b"".join(pieces)

    async def aclose(self) -> None:
        """Drop the connections."""
        await self._transport.close()
