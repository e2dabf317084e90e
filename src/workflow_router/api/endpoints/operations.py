"""Owns the doors of operation: alive, ready, metrics, and the description of the API. Refuses secrets."""

import msgspec

from workflow_router.api.context import Context
from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.measured import families
from workflow_router.api.metrics import MEDIA_TYPE as METRICS
from workflow_router.api.metrics import OPENMETRICS
from workflow_router.api.request import JSON, Request, Response
from workflow_router.core.errors import StoreError, StoreUnavailable

TAG = "operations"


class Status(msgspec.Struct, frozen=True):
    """How the process fares."""

    status: str


@endpoint("GET", "/healthz", tag=TAG, scope=PUBLIC)
async def get_health() -> Status:
    """Tell that the process is alive."""
    return Status("ok")


@endpoint("GET", "/readyz", tag=TAG, scope=PUBLIC, errors=(StoreError,))
async def get_readiness(context: Context) -> Status:
    """Tell that the process takes work: its store answers, and it is not about to stop."""
    if context.closing.is_set():
        raise StoreUnavailable("The process is about to stop.", remedy="Ask another one.")
    await context.runtime.observation.head()
    return Status("ready")


@endpoint("GET", "/metrics", tag=TAG, scope="state:read", produces={METRICS: None, OPENMETRICS: None})
async def get_metrics(context: Context, request: Request) -> Response:
    """Tell the counters of this process, in the Prometheus text format, or as OpenMetrics to who asks for it."""
    gauges = {
        "backlog": ("Runs in this process that go on or wait.", float(context.runtime.engine.backlog)),
        "observers": ("Open streams of transitions.", float(context.observers)),
        "audit_position": ("Position of the last audit entry.", float(await context.runtime.observation.head())),
    }
    accepted = request.header(b"accept") or ""
    open_metrics = "application/openmetrics-text" in accepted
    text = context.metrics.text(gauges, await families(context.runtime), open_metrics=open_metrics)
    return Response(text, content_type=OPENMETRICS if open_metrics else METRICS)


@endpoint("GET", "/openapi.json", tag=TAG, scope="any", tenants="shared", produces={JSON: object})
async def get_openapi(context: Context) -> Response:
    """Describe this API (OpenAPI 3.1)."""
    if context.description is None:
        from workflow_router.api.openapi import describe  # noqa: PLC0415  it needs the table that this module is in
        from workflow_router.api.table import ENDPOINTS as TABLE  # noqa: PLC0415  the same

        context.description = describe(TABLE, context.version())
    return Response(context.description)


ENDPOINTS = (get_health, get_readiness, get_metrics, get_openapi)
