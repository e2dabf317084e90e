"""Owns the table of endpoints: every operation there is. Refuses anything that is not in it."""

from workflow_router.api.endpoint import Endpoint
from workflow_router.api.endpoints import (
    approvals,
    audit,
    bridges,
    dispatches,
    events,
    limits,
    mapping_lint,
    mappings,
    operations,
    routes,
    run_view,
    runs,
    schedules,
    state,
    subscriptions,
    time_machine,
    topics,
    updates,
)

ENDPOINTS: tuple[Endpoint, ...] = (
    *events.ENDPOINTS,
    *mappings.ENDPOINTS,
    *mapping_lint.ENDPOINTS,
    *runs.ENDPOINTS,
    *run_view.ENDPOINTS,
    *updates.ENDPOINTS,
    *time_machine.ENDPOINTS,
    *approvals.ENDPOINTS,
    *topics.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *bridges.ENDPOINTS,
    *limits.ENDPOINTS,
    *schedules.ENDPOINTS,
    *routes.ENDPOINTS,
    *dispatches.ENDPOINTS,
    *state.ENDPOINTS,
    *audit.ENDPOINTS,
    *operations.ENDPOINTS,
)
