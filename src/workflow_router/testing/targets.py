"""Owns fakes of targets: scripted answers and recorded calls. Refuses to guess: what is not scripted cannot connect."""

from collections.abc import Mapping

from workflow_router.core.dispatch_route.model import Headers
from workflow_router.core.dispatch_route.ports import Outgoing, TransportFailed
from workflow_router.utils.codec import to_json


class FakeAnswer:
    """An answer with JSON."""

    def __init__(self, body: object, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers: Headers = (("content-type", "application/json"), *headers.items())
        self._chunks = [to_json(body)]

    async def chunk(self) -> bytes:
        """See `Answer`."""
        return self._chunks.pop() if self._chunks else b""

    def close(self) -> None:
        """See `Answer`."""
        self._chunks.clear()


class FakeTargets:
    """A transport for tests: pass it as `targets` of `play`, or as `transport` of `embed`.

    Attributes:
        calls: what was sent, in order.

    Example:
        ```python
        targets = FakeTargets()
        targets.fail("http://first.example")
        targets.answer("http://second.example", {"answer": 42})
        ```
    """

    def __init__(self) -> None:
        self.calls: list[Outgoing] = []
        self._scripts: dict[str, list[tuple[object, int, Mapping[str, str]] | None]] = {}

    def answer(self, url: str, body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Add an answer to the script of URLs that begin with this; the last of a script is given again and again."""
        self._scripts.setdefault(url, []).append((body, status, headers or {}))

    def fail(self, url: str) -> None:
        """Add a connection that is refused to the script."""
        self._scripts.setdefault(url, []).append(None)

    async def send(self, request: Outgoing) -> FakeAnswer:
        """See `Transport`."""
        self.calls.append(request)
        begins = [url for url in self._scripts if request.url.startswith(url)]
        script = self._scripts[max(begins, key=len)] if begins else [None]
        step = script.pop(0) if len(script) > 1 else script[0]
        if step is None:
            reason = "the script says so" if begins else f"nothing is scripted for {request.url}"
            raise TransportFailed("connect", reason, sent=False)
        body, status, headers = step
        return FakeAnswer(body, status, headers)
