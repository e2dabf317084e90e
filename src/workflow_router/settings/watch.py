"""Owns noticing that a served `router.yaml` changed. Refuses half a change: a file with mistakes changes nothing.

Only mappings are taken up; the rest of the file needs a restart.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from pathlib import Path

from workflow_router.core.errors import InvalidProject, RouterError
from workflow_router.core.event_mappings.mapping import Mapping
from workflow_router.settings.convert import mappings_of
from workflow_router.settings.load import FILE, check_references, load_project
from workflow_router.settings.model import Project

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
            mistakes = check_references(changed, workflows)
            if mistakes:
                raise InvalidProject(mistakes)
            await apply(mappings_of(changed))
        except RouterError as error:
            _log.warning("%s was changed, but its mappings cannot be put in force: %s", FILE, error)
        else:
            _log.info("%s was changed; its mappings are in force.", FILE)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
