"""Owns the doors to what is said about mappings: lint, and their relation to event types. Refuses to change any."""

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.core.event_mappings.lint import EVENTS_MAX, Linted, lint
from workflow_router.core.event_mappings.relations import Relation, relations

TAG = "mappings"


class LintQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the newest accepted events are looked at."""

    events: Annotated[int, Meta(ge=0, le=EVENTS_MAX)] = 1_000


@endpoint("GET", "/api/mappings/lint", tag=TAG, scope="mappings:read")
async def lint_mappings(context: Context, query: LintQuery) -> Linted:
    """Look over the mappings in force: what cannot match or act, what does the same, and what no recent event meets."""
    runtime = context.runtime

    def known(does: str, name: str) -> Collection[str] | None:
        names: Collection[str] = ()
        match does:
            case "start":
                names = runtime.workflows.keys()
            case "publish":
                names = runtime.broker.topics.topics
            case "dispatch":
                names = runtime.dispatcher.routes.keys()
            case _:
                return None
        return None if name in names else names

    return await lint(runtime.store, runtime.mappings, runtime.ingest.matcher, known, events=query.events)


@endpoint("GET", "/api/mappings/graph", tag=TAG, scope="mappings:read")
async def graph_mappings(context: Context) -> list[Relation]:
    """List which event types lead to which mappings, and what these start, publish or send."""
    return relations(context.runtime.ingest.mappings)


ENDPOINTS = (lint_mappings, graph_mappings)
