"""Owns looking over what a project says of access. Refuses to change it."""

from workflow_router.core.errors import Mistake
from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.document import line_of
from workflow_router.settings.model import Project


def access_mistakes(project: Project) -> list[Mistake]:
    """Roles that are given to callers with tokens and are not there."""
    said = project.router.settings.access
    known = said.all_roles().all
    return [
        Mistake(
            file="router.yaml",
            line=line_of(project.document, ("settings", "access", "oidc", *where)),
            message=f"There is no role `{role}`.",
            remedy=did_you_mean(role, known),
        )
        for where, role in (() if said.oidc is None else said.oidc.named_roles())
        if role not in known
    ]
