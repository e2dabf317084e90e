"""Owns the doors of operation: alive, ready, metrics, and the description of the API. Refuses secrets."""

from collections.abc import Callable

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.metrics import MEDIA_TYPE as METRICS
from workflow_router.api.metrics import Family
from workflow_router.api.request import JSON, Response
from workflow_router.core.errors import StoreError, StoreUnavailable
from workflow_router.core.message_broker.bridge_ports import BridgeState
from workflow_router.core.message_broker.ports import Progress

TAG = "operations"


class Status(msgspec.Struct, frozen=True):
    """How the process fares."""

    status: str


@endpoint("GET", "/healthz", tag=TAG, public=True)
async def get_health() -> Status:
    """Tell that the process is alive."""
    return Status("ok")


@endpoint("GET", "/readyz", tag=TAG, public=True, errors=(StoreError,))
async def get_readiness(context: Context) -> Status:
    """Tell that the process takes work: its store answers, and it is not about to stop."""
    if context.closing.is_set():
        raise StoreUnavailable("The process is about to stop.", remedy="Ask another one.")
    await context.runtime.observation.head()
    return Status("ready")


@endpoint("GET", "/metrics", tag=TAG, produces={METRICS: None})
async def get_metrics(context: Context) -> Response:
    """Tell the counters of this process, in the Prometheus text format."""
    gauges = {
        "backlog": ("Runs in this process that go on or wait.", float(context.runtime.engine.backlog)),
        "observers": ("Open streams of transitions.", float(context.observers)),
        "audit_position": ("Position of the last audit entry.", float(await context.runtime.observation.head())),
    }
    return Response(
        context.metrics.text(gauges, [*await _subscriptions(context), *await _bridges(context)]), content_type=METRICS
    )


async def _subscriptions(context: Context) -> list[Family]:
    progress = await context.runtime.broker.progress()
    stuck = context.runtime.broker.stuck

    def family(name: str, help_text: str, value: Callable[[Progress], float]) -> Family:
        return Family(
            f"subscription_{name}", help_text, [({"subscription": one.name}, float(value(one))) for one in progress]
        )

    return [
        family("lag", "Messages that a subscription has not taken.", lambda one: one.lag),
        family("lag_bytes", "Bytes that a subscription has not taken.", lambda one: one.lag_bytes),
        family("age_seconds", "Age of the oldest message not taken.", lambda one: one.age_ms / 1000),
        family("waiting", "Messages that wait to be delivered again or later.", lambda one: one.waiting),
        family("leased", "Messages that consumers have.", lambda one: one.leased),
        family("dead", "Dead letters.", lambda one: one.dead),
        family("stuck", "1 where messages wait and nobody takes them.", lambda one: one.name in stuck),
    ]


async def _bridges(context: Context) -> list[Family]:
    bridges = context.runtime.broker.bridges
    if not bridges.bridges:
        return []
    states = (await bridges.states()).values()

    def family(name: str, help_text: str, value: Callable[[BridgeState], float]) -> Family:
        return Family(f"bridge_{name}", help_text, [({"bridge": one.name}, float(value(one))) for one in states])

    return [
        family("sent", "Messages that the other server confirmed.", lambda one: one.sent),
        family("received", "Messages that came in.", lambda one: one.received),
        family("duplicates", "Messages that came in again, and were dropped.", lambda one: one.duplicates),
        family("echoes", "Messages that would have gone back to where they came from.", lambda one: one.echoes),
        family("down", "1 while the bridge stands still.", lambda one: one.error is not None),
    ]


@endpoint("GET", "/openapi.json", tag=TAG, produces={JSON: object})
async def get_openapi(context: Context) -> Response:
    """Describe this API (OpenAPI 3.1)."""
    if context.description is None:
        from workflow_router.api.openapi import describe  # noqa: PLC0415  it needs the table that this module is in
        from workflow_router.api.table import ENDPOINTS as TABLE  # noqa: PLC0415  the same

        context.description = describe(TABLE, context.version())
    return Response(context.description)


ENDPOINTS = (get_health, get_readiness, get_metrics, get_openapi)
