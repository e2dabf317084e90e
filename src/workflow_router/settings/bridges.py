"""Owns what a project says of bridges to other message servers. Refuses to connect: it hands links their options."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from workflow_router.core.message_broker import bridge_ports as core
from workflow_router.settings.values import Begin, Count, Name, Reference, Seconds, Text
from workflow_router.utils.codec import to_json

if TYPE_CHECKING:
    from workflow_router.settings.model import Project


Plain = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,100}$", extra={"expects": "a name of letters, digits, `_` and `-`"})
]


class Bridge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic bound to subjects of NATS JetStream: its messages are `send` there, `receive` brings theirs, or both.

    `send` is a subject with expressions over `message`; `receive` is one with wildcards. With `create`, the `stream` is
    made where it is not there: in files, with `replicas`, for `subjects`, and so that it knows a message again for
    `outage_s`. `system` is a URL with the credentials of the system account, by which servers are asked whether they
    sync always; where they cannot be asked, `synced` says so.
    """

    name: Name
    topic: Name
    servers: Text | Reference | list[Text]
    stream: Plain
    send: Text | None = None
    receive: Text | None = None
    filter: dict[str, object] | None = None
    begin: Begin = "now"
    in_flight: Annotated[int, Meta(ge=1, le=1_000)] = 256
    cloudevents: bool = False
    create: bool = False
    subjects: list[Text] = []
    replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    outage_s: Seconds = 3_600.0
    durable: Plain | None = None
    ack_wait_s: Seconds = 10.0
    max_ack_pending: Count = 1_000
    synced: bool = False
    system: Text | Reference | None = None
    credentials: Text | None = None


class LinkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a link needs, with its references resolved. `folder` is where its files are looked for."""

    servers: tuple[str, ...]
    system: str | None
    durable: str
    subjects: tuple[str, ...]
    credentials: Path | None


def has_password(url: str) -> bool:
    """Whether a URL holds a password."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def bridges_of(
    project: "Project", *, environ: Mapping[str, str] = os.environ
) -> list[tuple[core.Bridge, Bridge, LinkOptions]]:
    """The bridges as the broker takes them, each with what it says and what its link needs. Raises InvalidProject."""
    from workflow_router.settings.convert import moment_ms  # noqa: PLC0415  which knows the whole model, and so this
    from workflow_router.settings.resolve import value_of  # noqa: PLC0415  as above

    def resolved(given: str | Reference, at: int, field: str) -> str:
        return value_of(project, given, ("bridges", at, field), environ) if isinstance(given, Reference) else given

    found: list[tuple[core.Bridge, Bridge, LinkOptions]] = []
    for at, bridge in enumerate(project.router.bridges):
        given = bridge.servers
        servers = given if isinstance(given, list) else resolved(given, at, "servers").split(",")
        options = LinkOptions(
            servers=tuple(server.strip() for server in servers),
            system=None if bridge.system is None else resolved(bridge.system, at, "system"),
            durable=bridge.durable or f"{project.router.name}-{bridge.name}".replace(".", "_"),
            subjects=_subjects(bridge) if bridge.create else (),
            credentials=None if bridge.credentials is None else project.folder / bridge.credentials,
        )
        made = core.Bridge(
            name=bridge.name,
            topic=bridge.topic,
            to=bridge.send,
            source=bridge.receive,
            filter=None if bridge.filter is None else to_json(bridge.filter),
            begin=moment_ms(bridge.begin) or "now",
            in_flight=bridge.in_flight,
            server=" ".join(sorted(options.servers)),
            cloudevents=bridge.cloudevents,
        )
        found.append((made, bridge, options))
    return found


def _subjects(bridge: Bridge) -> tuple[str, ...]:
    """What the stream of a bridge takes where nothing else is said: what it sends and receives."""
    if bridge.subjects:
        return tuple(bridge.subjects)
    sent = [] if bridge.send is None else [_wildcards(bridge.send)]
    received = [] if bridge.receive is None or bridge.receive in sent else [bridge.receive]
    return (*sent, *received)


def _wildcards(template: str) -> str:
    """The subject of a template: all from its first expression on may be anything."""
    fixed, found, _ = template.partition("${")
    return f"{fixed.rpartition('.')[0]}.>".removeprefix(".") if found else template
