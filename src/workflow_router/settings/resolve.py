"""Owns turning references into values, at the time of use.

Refuses to keep or to print a secret: it is read again at each use, so that a rotated one is used at once.
"""

import hashlib
import os
from collections.abc import Mapping

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.settings.document import Where, line_of
from workflow_router.settings.model import Project
from workflow_router.settings.values import Reference

SECRET_BYTES_MAX = 65_536


class Secret:
    """A secret that was read for use now."""

    __slots__ = ("_origin", "_value")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self._origin = origin

    def reveal(self) -> str:
        """The secret itself. Do not keep it, log it or put it into an error."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self._origin})"

    __str__ = __repr__


def secrets_of(project: Project, source: str, *, environ: Mapping[str, str] = os.environ) -> tuple[Secret, ...]:
    """The secrets with which the source may sign now, read anew.

    Raises:
        InvalidProject: none of them can be had; while one secret replaces another, one is enough.
    """
    found: list[Secret] = []
    problems: list[Mistake] = []
    for reference in project.router.sources[source].secrets:
        try:
            value = value_of(project, reference, ("sources", source, "secret"), environ)
        except InvalidProject as error:
            problems += error.mistakes
        else:
            found.append(Secret(value, repr(reference)))
    if not found:
        raise InvalidProject(problems)
    return tuple(found)


def api_keys_of(project: Project, *, environ: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """Names of the API keys by SHA-256 of the key, in hex; None where none are declared.

    Raises:
        InvalidProject: one of them cannot be had; a missing key must not open the door.
    """
    found: dict[str, str] = {}
    for name, reference in project.router.settings.api_keys.items():
        value = value_of(project, reference, ("settings", "api_keys", name), environ)
        found[hashlib.sha256(value.encode()).hexdigest()] = name
    return found or None


def store_of(project: Project, *, environ: Mapping[str, str] = os.environ) -> str:
    """The store's URL. An SQLite file's path is made absolute from the project folder, wherever the process started.

    Raises:
        InvalidProject: the variable or file that holds it cannot be had, or it is no URL of a store.
    """
    where = ("settings", "store")
    given = project.router.settings.store
    url = value_of(project, given, where, environ) if isinstance(given, Reference) else given
    if url.startswith("sqlite:///"):
        return f"sqlite:///{(project.folder / url.removeprefix('sqlite:///')).absolute()}"
    if url.startswith(("postgresql://", "postgres://")):
        return url
    raise unresolved(project, where, "The store is neither sqlite:///… nor postgresql://….", "Mend the address.")


def value_of(project: Project, reference: Reference, where: Where, environ: Mapping[str, str]) -> str:
    """What the reference stands for now, without the white space round it.

    Raises:
        InvalidProject: it cannot be had; the mistake has the line of `where` and repeats no value.
    """
    if reference.value is not None:
        return reference.value
    if reference.env is not None:
        value = environ.get(reference.env, "").strip() or reference.default
        if value:
            return value
        raise unresolved(project, where, f"The variable {reference.env} is not set.", "Set it, then start again.")
    if reference.command is not None:
        raise unresolved(project, where, "A command serves keys of targets only.", "Write {env: NAME} or {file: PATH}.")
    path = project.folder / (reference.file or "")
    try:
        with path.open("rb") as file:
            value = file.read(SECRET_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError):
        value = ""
    if value:
        return value
    raise unresolved(project, where, f"The file `{reference.file}` cannot be read or is empty.", "Put the value there.")


def unresolved(project: Project, where: Where, message: str, remedy: str) -> InvalidProject:
    """The error that a value found at the time of use cannot serve."""
    line = line_of(project.document, where)
    return InvalidProject([Mistake(file="router.yaml", line=line, message=message, remedy=remedy)])
