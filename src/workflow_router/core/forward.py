"""Owns the router's own workflow: a call that a mapping makes is a small run, so it is as durable as any other run.

It is tried until it succeeds, with the same idempotency key each time; after `TRIES`, or where it could never be sent,
it faults, and can be resumed like any run. Refuses calls of its own: they leave through the route of the mapping.
"""

from workflow_router.core.errors import InvalidInput, StepFailed
from workflow_router.core.event_mappings.perform import FORWARD
from workflow_router.core.router import Router
from workflow_router.utils.backoff import Backoff

TRIES = 12  # over about an hour and a half, beside what the route itself tries
_BACKOFF = Backoff(first_s=1.0, factor=3.0, max_s=900.0, jitter=0.5)


def forwarding() -> Router:
    """A router with the workflow of calls that mappings make."""
    router = Router("router")

    @router.workflow(name=FORWARD)
    async def forward(route: str, path: str | None, method: str, body: object, key: str) -> object:
        for tries in range(1, TRIES):
            try:
                return await _call(router, route, path, method, body, key)
            except StepFailed as error:
                if error.context.get("error_type") == InvalidInput.type:  # it would be the same every time
                    raise
                await router.sleep(_BACKOFF.wait_s(tries, await router.random()))
        return await _call(router, route, path, method, body, key)

    del forward
    return router


async def _call(router: Router, route: str, path: str | None, method: str, body: object, key: str) -> object:
    return await router.dispatch(route, body, path=path, method=method, headers={"idempotency-key": key})
