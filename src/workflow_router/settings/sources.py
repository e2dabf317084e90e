"""Owns what `sources:` may say: senders of webhooks, topics and lifecycles that are read as events, and their checks.

Refuses to judge mappings by their sources: that is `circles`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workflow_router.core.errors import RouterError
from workflow_router.core.event_sources.lifecycle import THINGS, is_kind
from workflow_router.core.event_sources.sources import LifecycleSource
from workflow_router.core.event_sources.topics import MESSAGE, TopicSource, subscription_name
from workflow_router.core.expressions import compile_template
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import OWN_TYPE
from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.values import Begin, Name, Reference, Text, moment_ms

Mistaken = Callable[[tuple[str | int, ...], str, str], None]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events come from: a sender of webhooks, a topic, or the lifecycle of our own runs.

    A sender has a `scheme`, by which it signs, and its `secret`; several while one replaces another. Each message of
    `topic` is an event of the type `type`, a text or a template; the first is the next one, or where `begin` says.
    `lifecycle` lists transitions that are events, such as `run.completed` or `approval.*`.
    """

    scheme: Literal["github", "standard-webhooks", "slack", "stripe", "hmac"] | None = None
    secret: Reference | list[Reference] | None = None
    topic: Name | None = None
    type: Text | None = None
    begin: Begin | None = None
    lifecycle: Annotated[list[Text], Meta(min_length=1)] | None = None

    @property
    def secrets(self) -> list[Reference]:
        """The secrets with which it may sign."""
        if self.secret is None:
            return []
        return self.secret if isinstance(self.secret, list) else [self.secret]


class TopicLimits(msgspec.Struct, frozen=True):
    """How messages of a topic are delivered."""

    max_deliveries: int
    lease_ms: int


_BESIDE = {"scheme": {"secret"}, "topic": {"type", "begin"}, "lifecycle": set[str]()}


def check_source(
    name: str,
    source: Source,
    *,
    written: Callable[[str], bool],
    topics: Iterable[str],
    subscriptions: Iterable[str | None],
    mistaken: Mistaken,
) -> None:
    """Tell every mistake of a source, but for those of its secrets.

    Args:
        written: whether the file has a field, which may be None here because of a mistake that was told already.
    """
    given = {field for field in source.__struct_fields__ if getattr(source, field) is not None or written(field)}
    kinds = [kind for kind in _BESIDE if kind in given]
    if len(kinds) != 1:
        told = f"both `{'` and `'.join(kinds)}`" if kinds else "nothing to read"
        mistaken((), f"The source `{name}` has {told}.", "Give it one of `scheme`, `topic` and `lifecycle`.")
        return
    for field in sorted(given - {kinds[0]} - _BESIDE[kinds[0]]):
        mistaken((field,), f"`{field}` does not stand beside `{kinds[0]}`.", "Remove it.")
    if source.scheme is not None:
        if "secret" not in given:
            mistaken((), f"The source `{name}` has no `secret`.", "Add `secret:`; unsigned webhooks are refused.")
        if name == "router" or f"{name}.".startswith(OWN_TYPE):
            mistaken((), f"`{name}` is the router's own name.", "Name the source after its sender.")
    for at, kind in enumerate(source.lifecycle or []):
        if not is_kind(kind):
            remedy = f"Write such as run.completed, or one of {', '.join(f'{thing}.*' for thing in THINGS)}."
            mistaken(("lifecycle", at), f"`{kind[:100]}` is no transition that can be an event.", remedy)
    if source.topic is not None:
        _check_topic(name, source, source.topic, list(topics), subscriptions, mistaken)


def _check_topic(
    name: str,
    source: Source,
    topic: str,
    topics: list[str],
    subscriptions: Iterable[str | None],
    mistaken: Mistaken,
) -> None:
    if topic not in topics:
        mistaken(("topic",), f"There is no topic `{topic}`.", did_you_mean(topic, topics))
    if subscription_name(name) in subscriptions:
        remedy = "Name one of the two otherwise."
        mistaken((), f"A subscription is named `{subscription_name(name)}`, as that of this source.", remedy)
    if source.begin is not None and moment_ms(source.begin) is None:
        mistaken(("begin",), f"`{source.begin}` is no time.", "Mend the date.")
    if source.type is not None:
        try:
            compile_template(source.type, variables=("message",))
        except RouterError as error:
            mistaken(("type",), error.message, error.remedy)
        if source.type.startswith(OWN_TYPE):
            mistaken(("type",), f"Types that begin with {OWN_TYPE} are the router's own.", "Choose another type.")


def sources_of(sources: Mapping[str, Source], limits: Mapping[str, TopicLimits]) -> list[TopicSource | LifecycleSource]:
    """The sources that the router reads by itself."""
    found: list[TopicSource | LifecycleSource] = []
    for name, source in sources.items():
        if source.lifecycle is not None:
            found.append(LifecycleSource(name=name, kinds=tuple(source.lifecycle)))
        elif source.topic is not None:
            own = subscription_name(name)
            subscription = Subscription(
                name=own,
                topic=source.topic,
                handler=own,
                begin=moment_ms(source.begin or "now") or "now",
                max_deliveries=limits[source.topic].max_deliveries,
                lease_ms=limits[source.topic].lease_ms,
            )
            found.append(TopicSource(name=name, subscription=subscription, type=source.type or MESSAGE))
    return found
