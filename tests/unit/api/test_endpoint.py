"""The table's parts by themselves: declaring, finding, counting, telling problems, streaming."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from workflow_router import Router, embed
from workflow_router.api import stream
from workflow_router.api.access import Access
from workflow_router.api.asgi import Message
from workflow_router.api.context import Context
from workflow_router.api.endpoint import Endpoint, endpoint
from workflow_router.api.metrics import Metrics
from workflow_router.api.problems import MethodNotAllowed, problem_of
from workflow_router.api.routing import Routes
from workflow_router.core.access.keys import AccessKeys
from workflow_router.core.access.model import LOCAL, Roles
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.access.sessions import Sessions
from workflow_router.core.errors import DispatchFailed, Forbidden, NotFound, Overloaded, RouterError, StoreUnavailable


def declared(method: str, path: str) -> Endpoint:
    async def one(context: Context, name: str) -> None:
        """Do it."""
        del context, name

    async def none(context: Context) -> None:
        """Do it."""
        del context

    return endpoint(method, path, tag="t", scope="any")(one if "{" in path else none)


def test_a_function_that_does_not_fit_its_path_is_refused() -> None:
    async def show(context: Context, name: str) -> None:
        """Show it."""
        del context, name

    for path in ("/a", "/a/{other}", "/a/{name}/{other}"):
        with pytest.raises(TypeError, match="show takes"):
            endpoint("GET", path, tag="t", scope="any")(show)


def test_a_fixed_segment_goes_before_a_parameter_and_nothing_is_guessed() -> None:
    fixed, named, inner = declared("GET", "/a/head"), declared("GET", "/a/{name}"), declared("POST", "/a/{name}/b")
    routes = Routes([named, fixed, inner])
    assert routes.find("/a/head").methods["GET"] is fixed
    assert routes.find("/a/he%61d").parameters == {"name": "head"}
    found = routes.find("/a/x%2Fy/b")
    assert (found.methods["POST"], found.parameters) == (inner, {"name": "x/y"})
    assert routes.find("/a/x").methods["HEAD"] is named
    for path in ("/a", "/a/", "/a//b", "/a/x/c", "/a/x/b/", "", "a/head", "/A/head"):
        assert not routes.find(path).methods, path
    with pytest.raises(ValueError, match="declared twice"):
        Routes([fixed, declared("GET", "/a/head")])


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (Overloaded("Full.", retry_after_s=1.2), 429, {b"retry-after": b"2"}),
        (StoreUnavailable("Down."), 503, {b"retry-after": b"1"}),
        (DispatchFailed("No.", retry_after_s=7), 502, {b"retry-after": b"7"}),
        (DispatchFailed("No."), 502, {}),
        (MethodNotAllowed("PUT", "GET, POST"), 405, {b"allow": b"GET, POST"}),
        (NotFound("There is no such thing."), 404, {}),
    ],
)
def test_problems_carry_the_headers_of_their_kind(error: RouterError, status: int, headers: dict[bytes, bytes]) -> None:
    told_status, told, body = problem_of(error)
    assert (told_status, dict(told)) == (status, headers)
    assert error.message.encode() in body


def test_labels_of_metrics_are_escaped() -> None:
    metrics = Metrics()
    metrics.requests[("GET", '/"\\\n', 200)] += 1
    assert 'endpoint="/\\"\\\\\\n"' in metrics.text({}).decode()


def test_hosts_that_may_be_called_can_be_told() -> None:
    async def main() -> None:
        async with embed(Router("x")) as runtime:
            keys = AccessKeys(runtime.store, runtime.clock, Roles())
            access = Access(
                runtime.live,
                keys,
                Refusals(runtime.store),
                Sessions(runtime.store, runtime.clock),
                hosts=["router.internal"],
            )
            assert await access.identify([(b"host", b"Router.Internal:80")]) is LOCAL
            assert await access.identify([]) is LOCAL
            with pytest.raises(Forbidden):
                await access.identify([(b"host", b"localhost")])

    asyncio.run(main())


class Caller:
    """A caller that reads only when it is let."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.reading = asyncio.Event()
        self.gone = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.reading.wait()
        self.sent.append(message["body"])

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_a_stream_does_not_run_ahead_of_a_caller_that_does_not_read() -> None:
    asked = 0
    closed = False

    async def pieces() -> AsyncGenerator[bytes, None]:
        nonlocal asked, closed
        try:
            while True:
                asked += 1
                yield b"x"
        finally:
            closed = True

    async def main() -> None:
        caller, closing = Caller(), asyncio.Event()
        sending = asyncio.create_task(stream.send_stream(pieces(), caller.receive, caller.send, closing))
        for _ in range(50):
            await asyncio.sleep(0)
        assert asked <= 2 * stream.PENDING_MAX
        caller.reading.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert asked > 3 * stream.PENDING_MAX
        caller.gone.set()
        await sending
        assert closed
        assert len(b"".join(caller.sent)) > stream.PENDING_MAX

    asyncio.run(main())


def test_a_stream_that_breaks_is_left_without_its_end() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"x"
        raise StoreUnavailable("Down.")

    async def main() -> None:
        caller = Caller()
        caller.reading.set()
        with pytest.raises(StoreUnavailable):
            await stream.send_stream(pieces(), caller.receive, caller.send, asyncio.Event())
        assert caller.sent == [b"x"]

    asyncio.run(main())
