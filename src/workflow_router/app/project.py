"""Owns the opening of a project: what `router.yaml` and its modules declare, as parts of one running system.

Refuses to listen: that is `serving`.
"""

import contextlib
import os
from collections.abc import AsyncGenerator, Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from workflow_router.app.access import opened_access
from workflow_router.app.links import links_of
from workflow_router.app.logs import SCRUBBER
from workflow_router.app.modules import join_workflows, load_routers
from workflow_router.app.running import run
from workflow_router.core.classify import classifier_mappings
from workflow_router.core.dispatch_route.ports import Transport
from workflow_router.core.errors import InvalidInput, InvalidProject, Mistake
from workflow_router.core.runtime import Runtime
from workflow_router.db.archive_files import ArchiveFolder
from workflow_router.settings import (
    Project,
    access_mistakes,
    api_keys_of,
    approvals_of,
    check_references,
    joins_of,
    load_project,
    mappings_of,
    prices_of,
    routes_of,
    schedules_of,
    secrets_of,
    signing_of,
    sources_of,
    starts_of,
    store_of,
    subscriptions_of,
    topic_mistakes,
    topics_of,
)
from workflow_router.settings.classes import SEEN, classifiers_of
from workflow_router.settings.resolve import value_of
from workflow_router.settings.watch import watched

if TYPE_CHECKING:
    from workflow_router.api.gateway import Gateway
    from workflow_router.api.server import Api
    from workflow_router.core.event_mappings.webhooks import Source

OIDC_SECRET = ("settings", "access", "oidc", "console", "client_secret")


def check(folder: Path) -> list[Mistake]:
    """Every mistake of a project, without running it: the file, its modules, and the names they share."""
    try:
        project = load_project(folder)
    except InvalidProject as error:
        return list(error.mistakes)
    try:
        routers = load_routers(project)
        workflows = join_workflows(routers)
    except InvalidProject as error:
        return list(error.mistakes)
    except InvalidInput as error:
        return [Mistake(file="router.yaml", line=None, message=error.message, remedy=error.remedy)]
    return _names(project, workflows)


def _names(project: Project, workflows: Collection[str]) -> list[Mistake]:
    """What the project names and is not there."""
    return [*check_references(project, workflows), *topic_mistakes(project), *access_mistakes(project)]


def _gateway(runtime: Runtime) -> "Gateway":
    from workflow_router.api.callers import Callers  # noqa: PLC0415  as in `open_project`
    from workflow_router.api.gateway import Gateway  # noqa: PLC0415  as above

    return Gateway(
        runtime.dispatcher,
        runtime.entry,
        identify=Callers(runtime.live).identify,
        cache=runtime.cache,
        before=runtime.interception.points.call,
    )


def _bound(runtime: Runtime, project: Project) -> None:
    """Say how much is kept, and for how long."""
    said = project.router.settings
    runtime.engine.operations.histories.histories = said.history.limits()
    runtime.engine.streams.limits = said.streams.limits()
    runtime.audit.retention.keeping = said.audit.keeping()
    runtime.retention.keeping = said.retention.keeping()
    runtime.retention.files = ArchiveFolder(project.folder.absolute() / said.retention.folder)
    runtime.archive.retention_days = said.keep_events_days


@contextlib.asynccontextmanager
async def open_project(
    project: Project, *, store: str | None = None, transport: Transport | None = None
) -> AsyncGenerator[tuple[Runtime, "Api"], None]:
    """Run a project: its runtime and the HTTP application in front of it. Raises InvalidProject."""
    # A program that embeds routers has no doors, so it need not pay for their import.
    from workflow_router.api.server import Api  # noqa: PLC0415  as above

    routers = load_routers(project)
    mistakes = _names(project, join_workflows(routers))
    if mistakes:
        raise InvalidProject(mistakes)
    declared = project.router
    url = store or store_of(project)
    sign, tell = signing_of(project, url), approvals_of(project)

    def prepare(runtime: Runtime) -> None:
        sign(runtime)
        tell(runtime)
        runtime.audit.export.topic = declared.settings.audit.export_topic

    _keep_quiet(project, url)
    classifiers = classifiers_of(declared.classes)
    async with run(
        routers,
        store=url,
        mappings=[*mappings_of(project), *joins_of(project), *starts_of(project)],
        schedules=schedules_of(project),
        routes=routes_of(project),
        limits=[rule.limit() for rule in declared.limits],
        prices=prices_of(declared.prices),
        topics=topics_of(project),
        subscriptions=subscriptions_of(project),
        bridges=links_of(project),
        sources=sources_of(project),
        classifiers=classifiers,
        transport=transport,
        project_file=declared,
        prepare=prepare,
        folder=project.folder,
        payloads=declared.settings.payloads.limits(),
    ) as runtime:
        _bound(runtime, project)
        # What comes of parts of the project that only a restart takes up stays as it began, and in its place.
        standing = [*starts_of(project), *classifier_mappings(classifiers, variables=SEEN)]
        standing += [mapping for router in routers for mapping in router.mappings]
        async with (
            opened_access(
                runtime,
                declared.settings.access,
                api_keys_of(project),
                lambda secret: value_of(project, secret, OIDC_SECRET, os.environ),
            ) as access,
            watched(
                project,
                runtime.workflows,
                lambda found: runtime.ingest.set_mappings([*found, *standing], author="project"),
            ),
        ):
            yield (
                runtime,
                Api(
                    runtime,
                    access,
                    sources=_senders(project),
                    gateway=_gateway(runtime),
                    body_max_bytes=declared.settings.body_max_bytes,
                    version=_version,
                ),
            )


def _senders(project: Project) -> "dict[str, Source]":
    from workflow_router.core.event_mappings.webhooks import Source  # noqa: PLC0415  as in `open_project`

    return {
        name: Source(name, source.scheme, lambda name=name: _revealed(project, name))
        for name, source in project.router.sources.items()
        if source.scheme is not None
    }


def _revealed(project: Project, source: str) -> list[str]:
    """The secrets of a source, which the log is told so that it keeps them to itself."""
    found = [secret.reveal() for secret in secrets_of(project, source)]
    for secret in found:
        SCRUBBER.know(secret)
    return found


def _keep_quiet(project: Project, url: str) -> None:
    """Keep what the project itself holds out of the log: its API keys, and the password of its store."""
    for name, reference in project.router.settings.api_keys.items():
        SCRUBBER.know(value_of(project, reference, ("settings", "api_keys", name), os.environ))
    password = urlsplit(url).password if url.startswith("postgres") else None
    if password:
        SCRUBBER.know(unquote(password))


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  its import costs 20 ms, and few ever ask

    return metadata.version("workflow-router")
