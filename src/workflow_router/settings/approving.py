"""Owns joining what a project says of approvals to a runtime. Refuses to keep a secret: each use reads it anew."""

import os
from collections.abc import Callable

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_links import Links
from workflow_router.settings.approvals import Secrets
from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.document import line_of
from workflow_router.settings.model import Project
from workflow_router.settings.resolve import value_of


def approvals_of(project: Project) -> Callable[[Runtime], None]:
    """What makes a runtime tell people and take their answers as the project says; to be called before it opens."""
    said = project.router.settings.approvals

    def prepare(runtime: Runtime) -> None:
        approvals = runtime.approvals
        approvals.notices.topic = said.topic
        approvals.issuers = frozenset(said.link_issuers)
        runtime.decisions.topic = said.decisions_topic
        if said.link_secret is not None:
            url = said.url or f"http://{project.router.settings.listen}"
            secrets = _secrets(project, "link_secret", said.link_secret)
            approvals.notices.links = Links(secrets, url, valid_ms=round(said.link_s * 1000))
        if said.message_secret is not None:
            runtime.decisions.sign_with(_secrets(project, "message_secret", said.message_secret))

    return prepare


def topic_mistakes(project: Project) -> list[Mistake]:
    """Topics that the settings of approvals and of the audit log name and that are not there."""
    said, topics = project.router.settings, project.router.topics
    named = [
        (("approvals", "topic"), said.approvals.topic),
        (("approvals", "decisions_topic"), said.approvals.decisions_topic),
        (("audit", "checkpoint_topic"), said.audit.checkpoint_topic),
        (("audit", "export_topic"), said.audit.export_topic),
    ]
    return [
        Mistake(
            file="router.yaml",
            line=line_of(project.document, ("settings", *where)),
            message=f"There is no topic `{topic}`.",
            remedy=did_you_mean(topic, topics),
        )
        for where, topic in named
        if topic is not None and topic not in topics
    ]


def _secrets(project: Project, field: str, given: Secrets) -> Callable[[], list[bytes]]:
    where = ("settings", "approvals", field)

    def read() -> list[bytes]:
        found: list[bytes] = []
        for reference in given if isinstance(given, list) else [given]:
            try:
                found.append(value_of(project, reference, where, os.environ).encode())
            except InvalidProject:
                continue  # while one replaces another, one is enough; where there is none, nothing is signed
        return found

    return read
