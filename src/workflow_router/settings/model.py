"""Owns what a project says, as frozen data that is also its JSON Schema. Refuses to hold a resolved secret.

Fields are named as in `router.yaml`; the first sentence of a docstring becomes a description in the schema.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from workflow_router.core.errors import Mistake
from workflow_router.core.runtime_state.interceptors import Interceptor
from workflow_router.settings.access import Access
from workflow_router.settings.approvals import Approvals
from workflow_router.settings.audit import Audit
from workflow_router.settings.bridges import Bridge
from workflow_router.settings.classes import Classes
from workflow_router.settings.document import Node
from workflow_router.settings.history import History
from workflow_router.settings.limits import LimitRule, PriceTable
from workflow_router.settings.payloads import Payloads
from workflow_router.settings.retention import Retention
from workflow_router.settings.routes import Route
from workflow_router.settings.schedules import Schedule
from workflow_router.settings.secrets import SecretCommand
from workflow_router.settings.sources import Source
from workflow_router.settings.streams import Streams
from workflow_router.settings.targets import Join, MappingTarget
from workflow_router.settings.values import Begin, Count, Name, Percent, Reference, Seconds, Text

Listen: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        extra={"expects": "an address and a port, such as 127.0.0.1:8787"},
    ),
]
Store: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite:///.+|postgres(ql)?://.+)$",
        extra={"expects": "sqlite:///PATH or postgresql://…"},
    ),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the router runs. A relative SQLite path starts at the project folder. With `api_keys` each call needs one
    of them, which may do everything, or a key that was made with `wr access keys create`.

    Accepted events are kept for `keep_events_days`; null keeps them for good. With the `log_format` json the log is one
    JSON object a line.
    """

    listen: Listen = "127.0.0.1:8787"
    store: Store | Reference = "sqlite:///data/router.db"
    body_max_bytes: Annotated[int, Meta(ge=1_024, le=104_857_600)] = 1_048_576
    api_keys: dict[Name, Reference] = {}
    access: Access = Access()
    blocked_loop_s: Seconds = 1.0
    keep_events_days: Annotated[float, Meta(gt=0, le=36_500)] | None = 30.0
    approvals: Approvals = Approvals()
    audit: Audit = Audit()
    payloads: Payloads = Payloads()
    history: History = History()
    streams: Streams = Streams()
    retention: Retention = Retention()
    log_format: Literal["text", "json"] = "text"
    drain_s: Annotated[float, Meta(ge=0, le=30)] = 20.0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Mapping(MappingTarget, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which events do what: one target of its own, or several as `targets`.

    Which events is said by `on`, a pattern, or by `filters` in the dialects of CloudEvents Subscriptions.
    In the stage `shadow` it is evaluated and recorded only; as `canary` it acts for `share` per cent of events, always
    the same ones for a `share_key` (a template; the event's subject, or else its id, where there is none).
    """

    name: Name
    on: dict[str, object] | None = None
    filters: list[dict[str, object]] | None = None
    when: Text | None = None
    targets: list[MappingTarget] = []  # noqa: RUF012  msgspec copies it, and leaves it out where it is empty
    disabled: bool = False
    stage: Literal["live", "canary", "shadow"] = "live"
    share: Percent = 10.0
    share_key: Text | None = None


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of messages. After `max_deliveries` without an ack a message becomes a dead letter.

    `max_messages` and `max_bytes` bound what the slowest subscription may leave; `when_full` says what happens then.
    Messages that everybody has taken are kept for `keep_s`, and at most `keep_messages` of them.
    """

    max_deliveries: Annotated[int, Meta(ge=1, le=1_000)] = 5
    lease_s: Seconds = 30.0
    max_messages: Count | None = None
    max_bytes: Count | None = None
    when_full: Literal["refuse", "drop-oldest", "block"] = "refuse"
    keep_s: Seconds | None = None
    keep_messages: Count | None = None
    deduplication_s: Seconds = 600.0


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who gets the messages of a topic that pass `filter`: a workflow, a run, a route, or a consumer that pulls.

    `start` starts runs of a workflow; `signal` signals the run of `workflow` that has the message's key; `route` sends
    each as a webhook, signed with `secret`. A new subscription begins `now`, at the `beginning`, or at a time (UTC).
    `max_deliveries` and `lease_s` are those of the topic by default.
    """

    name: Name
    topic: Name
    filter: dict[str, object] | None = None
    start: Text | None = None
    signal: Text | None = None
    workflow: Text | None = None
    route: Name | None = None
    secret: Reference | None = None
    input: object = "${ message.body }"
    begin: Begin = "now"
    max_deliveries: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    lease_s: Seconds | None = None
    on_failure: Literal["block", "park"] = "block"
    prefetch: Annotated[int, Meta(ge=1, le=10_000)] = 10_000


class RouterFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Workflow Router project."""

    name: Name
    settings: Settings = Settings()
    python: list[Text] | None = None
    secrets: dict[Name, SecretCommand] = {}
    sources: dict[Name, Source] = {}
    mappings: list[Mapping] = []
    joins: list[Join] = []
    interceptors: dict[Name, Interceptor] = {}
    routes: dict[Name, Route] = {}
    limits: list[LimitRule] = []
    prices: PriceTable = PriceTable()
    topics: dict[Name, Topic] = {}
    subscriptions: list[Subscription] = []
    bridges: list[Bridge] = []
    schedules: list[Schedule] = []
    classes: dict[Name, Classes] = {}


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project folder that was read and checked.

    Attributes:
        router: what `router.yaml` says.
        python: the modules that define its workflows.
        warnings: what works here, but perhaps not where it is meant to.
        document: the file's nodes with their lines, for mistakes that are found later.
    """

    folder: Path
    router: RouterFile
    python: tuple[Path, ...]
    warnings: tuple[Mistake, ...]
    document: Node

    def __repr__(self) -> str:
        """Without the document, which may hold a secret written into the file."""
        return f"Project({self.router.name!r}, {str(self.folder)!r})"
