"""Owns noticing that a served `router.yaml` changed. Refuses half a change: a file with mistakes changes nothing.

Only mappings and joins are taken up; the rest needs a restart, and what leans on a changed rest is refused until then.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from pathlib import Path

import msgspec

from workflow_router.core.errors import InvalidProject, Mistake, RouterError
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.settings.check import check
from workflow_router.settings.convert import joins_of, mappings_of
from workflow_router.settings.load import FILE, check_references, load_project
from workflow_router.settings.model import Project, RouterFile

WATCH_S = 0.5

Apply = Callable[[list[Mapping]], Awaitable[None]]

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def watched(project: Project, workflows: Collection[str], apply: Apply) -> AsyncGenerator[None, None]:
    """Until the block ends, look at the file twice a second; a change of it is checked and its mappings applied."""
    seen = _stamp(project.folder / FILE)  # before anybody else goes on, so that no change is missed
    watching = asyncio.create_task(_watch(project, workflows, apply, seen), name="router.yaml")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(project: Project, workflows: Collection[str], apply: Apply, seen: tuple[int, int] | None) -> None:
    file = project.folder / FILE
    while True:
        await asyncio.sleep(WATCH_S)
        stamp = _stamp(file)
        if stamp == seen or stamp is None:
            continue
        seen = stamp
        try:
            changed = load_project(project.folder)
            mistakes = check_references(changed, workflows) or _not_running(project, changed)
            if mistakes:
                raise InvalidProject(mistakes)
            await apply([*mappings_of(changed), *joins_of(changed)])
        except RouterError as error:
            _log.warning("%s was changed, but its mappings cannot be put in force: %s", FILE, error)
        else:
            _log.info("%s was changed; its mappings are in force.", FILE)
            _tell_of_the_rest(project.router, changed.router)


def _not_running(project: Project, changed: Project) -> list[Mistake]:
    """What the changed mappings name that the file has by now, and the running project has not."""
    running = msgspec.structs.replace(
        project.router, mappings=changed.router.mappings, joins=changed.router.joins, subscriptions=[], python=[]
    )
    mistakes: list[Mistake] = []
    check(project.folder, running, changed.document, environ={}, mistakes=mistakes, warnings=[])
    return [
        msgspec.structs.replace(one, remedy=f"{one.remedy} What the file has besides mappings needs a restart.")
        for one in mistakes
    ]


def _tell_of_the_rest(running: RouterFile, changed: RouterFile) -> None:
    names = [name for name in running.__struct_fields__ if name not in {"mappings", "joins"}]
    waiting = [name for name in names if getattr(running, name) != getattr(changed, name)]
    if waiting:
        _log.warning("What else was changed in %s needs a restart: %s.", FILE, ", ".join(waiting))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
