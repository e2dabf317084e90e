"""Owns loading a project, or telling all its mistakes at once, with lines and remedies. Refuses half a project."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.settings.bind import bind, did_you_mean
from workflow_router.settings.check import check
from workflow_router.settings.circles import circles
from workflow_router.settings.document import BYTES_MAX, Where, line_of, read_document
from workflow_router.settings.model import Join, Project, RouterFile
from workflow_router.settings.model import Mapping as MappingRule
from workflow_router.settings.targets import MappingTarget

FILE = "router.yaml"


def load_project(folder: Path, *, environ: Mapping[str, str] = os.environ) -> Project:
    """Read and check the project in `folder`. `environ` is only asked which names are set, for warnings.

    Raises:
        InvalidProject: with all mistakes, in the order of lines.
    """
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    document = read_document(_text(folder), FILE, mistakes)
    if document is None:
        raise InvalidProject(mistakes or [_mistake("The file is empty.", "Begin with `name: my-project`.")])
    if not isinstance(document.value, dict):
        raise InvalidProject([_mistake("The file is no map.", "Begin with `name: my-project`.", document.line)])
    router = bind(document, RouterFile, FILE, mistakes)
    python = check(folder, router, document, environ=environ, mistakes=mistakes, warnings=warnings)
    if mistakes:
        raise InvalidProject(sorted(mistakes, key=lambda mistake: mistake.line or 1))
    return Project(folder=folder, router=router, python=python, warnings=tuple(warnings), document=document)


def check_references(project: Project, workflows: Collection[str]) -> list[Mistake]:
    """What starts a workflow that the project's modules do not define. They must be loaded first to know."""
    named = [*_named_workflows("mappings", project.router.mappings), *_named_workflows("joins", project.router.joins)]
    named += [
        (("subscriptions", at, field), getattr(subscription, field))
        for at, subscription in enumerate(project.router.subscriptions)
        for field in ("start", "workflow")
    ]
    named += [(("schedules", at, "start"), schedule.start) for at, schedule in enumerate(project.router.schedules)]
    unknown = [
        Mistake(
            file=FILE,
            line=line_of(project.document, where),
            message=f"There is no workflow `{start}`.",
            remedy=did_you_mean(start, workflows),
        )
        for where, start in named
        if start is not None and start not in workflows
    ]
    return unknown + circles(project, FILE)


def _named_workflows(section: str, rules: Sequence[MappingRule | Join]) -> list[tuple[Where, str | None]]:
    """The workflows that the targets of mappings or joins name, and where they stand."""
    found: list[tuple[Where, str | None]] = []
    for number, rule in enumerate(rules):
        places: list[tuple[Where, MappingTarget]] = [((section, number), rule)]
        places += [((section, number, "targets", at), target) for at, target in enumerate(rule.targets)]
        for where, target in places:
            found.append(((*where, "start"), target.start))
            if target.signal is not None:
                found.append(((*where, "signal", "workflow"), target.signal.workflow))
    return found


def _text(folder: Path) -> str:
    """The file's text. Raises InvalidProject."""
    if not folder.is_dir():
        raise InvalidProject([_mistake(f"There is no folder {folder}.", "Make one with `wr init NAME`.")])
    try:
        with (folder / FILE).open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise InvalidProject([_mistake("The file is missing.", "Make a project with `wr init NAME`.")]) from None
    except OSError as error:
        raise InvalidProject([_mistake(f"It cannot be read: {error.strerror}.", "Mend its permissions.")]) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if len(content) > BYTES_MAX:  # the cut may have split a character; the size is the mistake
            return "#" * len(content)
        raise InvalidProject([_mistake("The file is not UTF-8.", "Save it as UTF-8.", line)]) from None


def _mistake(message: str, remedy: str, line: int = 1) -> Mistake:
    return Mistake(file=FILE, line=line, message=message, remedy=remedy)
