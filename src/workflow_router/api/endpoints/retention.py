"""Owns the door that archives finished runs. Refuses rules: those are orchestration's."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.endpoints.runs import TAG
from workflow_router.api.request import Request
from workflow_router.core.errors import InvalidInput, StoreUnavailable
from workflow_router.core.orchestration.retention import ArchivedPage, Keeping


class ArchiveRuns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which finished runs to archive, a page at a time: those that ended so many days ago, as is configured without.

    `after` is the `next` of the page before; with `dry_run` they are only counted.
    """

    older_than_days: Annotated[float, Meta(ge=0, le=36_500)] | None = None
    workflow: str | None = None
    dry_run: bool = False
    after: Annotated[int, Meta(ge=0, lt=2**62)] = 0


@endpoint("POST", "/api/runs/archive", tag=TAG, scope="admin", errors=(InvalidInput, StoreUnavailable))
async def archive_runs(context: Context, request: Request, body: ArchiveRuns) -> ArchivedPage:
    """Write a page of finished runs to the archive and remove them from the store."""
    retention = context.runtime.retention
    keeping = retention.keeping if body.older_than_days is None else Keeping(days=body.older_than_days)
    return await retention.archive(
        keeping, after=body.after, actor=request.caller or "api", workflow=body.workflow, dry_run=body.dry_run
    )


ENDPOINTS = (archive_runs,)
