"""Owns the doors of living mappings: list, change, versions, stages, try-out, backtest. Refuses to judge a rule."""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request, Response
from workflow_router.core.classify import Classification, classifications
from workflow_router.core.errors import Conflict, InvalidEvent, InvalidInput, NotFound
from workflow_router.core.event_mappings.archive import Progress
from workflow_router.core.event_mappings.cloudevents import STRUCTURED, parse_http
from workflow_router.core.event_mappings.explain import Explained, Tried, try_out
from workflow_router.core.event_mappings.ingest import Accepted
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.core.event_mappings.ports import MappingVersion
from workflow_router.utils.codec import to_json

TAG = "mappings"
EVENT_STREAM = "text/event-stream"
BACKTEST_MAX = 100

Rule = dict[str, object]
Share = Annotated[float, Meta(ge=0, le=100)]


class MappingView(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping in force: its rule as it was written, its version and stage, and whose it is.

    `origin` is `project`, `api`, or `override` where the API goes before what the project declares.
    """

    name: str
    version: int
    stage: str
    origin: str
    rule: Raw
    problem: str | None = None


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a mapping, with its author. `rule` is null where it is a deletion."""

    name: str
    version: int
    stage: str
    origin: str
    author: str
    created_ms: int
    rule: Raw

    @classmethod
    def of(cls, one: MappingVersion) -> "VersionView":
        return cls(
            name=one.name,
            version=one.version,
            stage=one.stage,
            origin=one.origin,
            author=one.author,
            created_ms=one.created_ms,
            rule=Raw(one.specification),
        )


class PutMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule, with the fields of a mapping in `router.yaml`.

    With `override` it goes before one that the project declares; `expected` is the last version that was seen, 0 for
    none: where there is another by now, nothing is changed.
    """

    rule: Rule
    override: bool = False
    expected: Annotated[int, Meta(ge=0)] | None = None


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of what a mapping does: its stage, whether it rests, or back to an earlier version."""

    action: Literal["disable", "enable", "stage", "rollback"]
    stage: Literal["live", "canary", "shadow"] | None = None
    share: Share | None = None
    version: Annotated[int, Meta(ge=1)] | None = None
    override: bool = False


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CloudEvent (`type` is enough), and draft mappings to try it on instead of those in force."""

    event: dict[str, object]
    mappings: Annotated[list[Rule], Meta(max_length=BACKTEST_MAX)] = []


class Backtest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New or changed mappings, each with its `name`, and over which time."""

    mappings: Annotated[list[Rule], Meta(min_length=1, max_length=BACKTEST_MAX)]
    since_ms: Annotated[int, Meta(ge=0)] = 0
    until_ms: Annotated[int, Meta(ge=0)] | None = None


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted events to take in again, with all effects; `only` names the mappings that may take part."""

    events: Annotated[list[str], Meta(min_length=1, max_length=1_000)]
    only: list[str] | None = None


def _author(request: Request) -> str:
    return request.caller or "api"


class ExplainedEvent(Explained, frozen=True, kw_only=True):
    """What became of an event; `classes` says how far its classifications are, and what each stage found."""

    classes: list[Classification] = []  # noqa: RUF012  msgspec copies it


@endpoint("GET", "/api/mappings", tag=TAG, scope="mappings:read")
async def list_mappings(context: Context) -> list[MappingView]:
    """List the mappings in force, those that are tried beside others included, and those that cannot be."""
    living = context.runtime.mappings
    found = [
        MappingView(
            name=one.name,
            version=one.version,
            stage=one.stage,
            origin=living.origin(one.name),
            rule=Raw(one.specification),
        )
        for one in context.runtime.ingest.mappings
    ]
    return (
        found
        + [
            MappingView(name=name, version=0, stage="broken", origin=living.origin(name), rule=_NULL, problem=problem)
            for name, problem in living.broken.items()
        ]
        + [
            MappingView(name=name, version=0, stage="disabled", origin=living.origin(name), rule=_NULL)
            for name in living.resting()
        ]
    )


@endpoint("GET", "/api/mappings/{name}/versions", tag=TAG, scope="mappings:read", errors=(NotFound,))
async def list_versions(context: Context, name: str) -> list[VersionView]:
    """List the versions of a mapping, oldest first."""
    return [VersionView.of(one) for one in await context.runtime.mappings.history(name)]


@endpoint("PUT", "/api/mappings/{name}", tag=TAG, scope="mappings:write", errors=(InvalidInput, Conflict))
async def put_mapping(context: Context, request: Request, name: str, body: PutMapping) -> VersionView:
    """Create or change a mapping. It is in force when this answers, and in other processes within a second."""
    made = await context.runtime.mappings.put(
        name, body.rule, author=_author(request), override=body.override, expected=body.expected
    )
    return VersionView.of(made)


@endpoint(
    "POST", "/api/mappings/{name}/change", tag=TAG, scope="mappings:write", errors=(InvalidInput, NotFound, Conflict)
)
async def change_mapping(context: Context, request: Request, name: str, body: Change) -> VersionView:
    """Disable or enable a mapping, move it to another stage, or roll it back. Each makes a new version."""
    living, author, override = context.runtime.mappings, _author(request), body.override
    match body.action:
        case "stage" if body.stage is not None:
            made = await living.set_stage(name, body.stage, author=author, share=body.share, override=override)
        case "rollback" if body.version is not None:
            made = await living.roll_back(name, body.version, author=author, override=override)
        case "disable" | "enable":
            made = await living.set_disabled(name, disabled=body.action == "disable", author=author, override=override)
        case _:
            raise InvalidInput(f"`{body.action}` does not say to what.", remedy="Add `stage` or `version`.")
    return VersionView.of(made)


@endpoint("DELETE", "/api/mappings/{name}", tag=TAG, scope="mappings:write", errors=(NotFound, Conflict))
async def delete_mapping(context: Context, request: Request, name: str) -> VersionView:
    """Delete a mapping that the API made, or an override, which gives the name back to the project."""
    return VersionView.of(await context.runtime.mappings.delete(name, author=_author(request)))


@endpoint("POST", "/api/mappings/try", tag=TAG, scope="mappings:read", errors=(InvalidInput, InvalidEvent))
async def try_mappings(context: Context, body: Try) -> Tried:
    """Say what an event would do, and what would come near, with the mappings in force or with drafts. No effects."""
    runtime = context.runtime
    drafts = [_draft(context, rule) for rule in body.mappings]
    given = {"specversion": "1.0", "id": "try", "source": "/try"} | body.event
    (event,) = parse_http(STRUCTURED, [], to_json(given))
    return try_out(runtime.ingest.matcher, event, runtime.ids.new(), drafts=drafts)


@endpoint(
    "POST",
    "/api/mappings/backtest",
    tag=TAG,
    scope="mappings:read",
    errors=(InvalidInput,),
    produces={EVENT_STREAM: Progress},
)
async def backtest(context: Context, body: Backtest) -> Response:
    """Run mappings over the archive beside those in force, and stream progress; the last message has the differences.

    Nothing is started, published or sent.
    """
    drafts = [_draft(context, rule) for rule in body.mappings]
    if len({one.name for one in drafts}) < len(drafts):
        raise InvalidInput("Two of the mappings have the same name.", remedy="Test one after the other.")
    steps = context.runtime.archive.backtest(drafts, since_ms=body.since_ms, until_ms=body.until_ms)
    return Response(_server_sent(steps), content_type=EVENT_STREAM, headers=((b"cache-control", b"no-cache"),))


@endpoint("GET", "/api/events/{event_id}/explain", tag=TAG, scope="events:read", tenants="own", errors=(NotFound,))
async def explain_event(context: Context, request: Request, event_id: str) -> ExplainedEvent:
    """Say which mappings an accepted event matched and which came near, by those that were in force when it came."""
    runtime = context.runtime
    found = await runtime.explainer.explain(event_id, tenant=request.tenant)
    classes = await classifications(runtime.store, event_id, found.matched, tenant=request.tenant)
    return ExplainedEvent(classes=classes, **{name: getattr(found, name) for name in found.__struct_fields__})


@endpoint(
    "POST",
    "/api/events/replay",
    tag=TAG,
    scope="events:write",
    tenants="own",
    status=202,
    errors=(InvalidInput, NotFound),
)
async def replay_events(context: Context, request: Request, body: Replay) -> list[Accepted]:
    """Take accepted events in again, with all effects. Each is a new event with the attribute `replayof`."""
    return await context.runtime.archive.replay(
        body.events, actor=_author(request), only=body.only, tenant=request.tenant
    )


def _draft(context: Context, rule: Rule) -> Mapping:
    name = rule.get("name")
    if not isinstance(name, str):
        raise InvalidInput("A mapping has no name.", remedy="Add `name`.")
    return context.runtime.mappings.compile_rule(name, rule)


async def _server_sent(steps: AsyncGenerator[Progress, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for step in steps:
            yield b"data: %b\n\n" % to_json(step)
    finally:
        await steps.aclose()


_NULL = Raw(b"null")

ENDPOINTS = (
    list_mappings,
    list_versions,
    put_mapping,
    change_mapping,
    delete_mapping,
    try_mappings,
    backtest,
    explain_event,
    replay_events,
)
