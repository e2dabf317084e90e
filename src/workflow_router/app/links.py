"""Owns the links of a project's bridges: which server each is to, and what it needs installed."""

from typing import TYPE_CHECKING

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.core.message_broker.bridge_ports import Bridge, Link
from workflow_router.settings import Project, bridges_of
from workflow_router.settings.document import line_of

if TYPE_CHECKING:
    from workflow_router.settings.bridges import Bridge as Declared
    from workflow_router.settings.bridges import LinkOptions


def links_of(project: Project) -> list[tuple[Bridge, Link]]:
    """The bridges of a project, each with its link. Raises InvalidProject."""
    return [
        (bridge, _link(project, at, declared, options))
        for at, (bridge, declared, options) in enumerate(bridges_of(project))
    ]


def _link(project: Project, at: int, declared: "Declared", options: "LinkOptions") -> Link:
    try:
        from workflow_router.network.jetstream import JetStream, JetStreamOptions  # noqa: PLC0415  its client is an extra
    except ImportError:
        line = line_of(project.document, ("bridges", at))
        raise InvalidProject(
            [
                Mistake(
                    file="router.yaml",
                    line=line,
                    message="Bridges to NATS need the package nats-py.",
                    remedy="Install it with `pip install workflow-router[nats]`.",
                )
            ]
        ) from None
    return JetStream(
        JetStreamOptions(
            servers=options.servers,
            stream=declared.stream,
            durable=options.durable,
            source=declared.receive,
            subjects=options.subjects,
            replicas=declared.replicas,
            outage_s=declared.outage_s,
            synced=declared.synced,
            system=options.system,
            credentials=options.credentials,
            ack_wait_s=declared.ack_wait_s,
            max_ack_pending=declared.max_ack_pending,
        )
    )
