"""Owns what a project says of the targets of mappings, and of joins, as frozen data. Refuses to judge it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workflow_router.settings.values import Duration, Name, Text


class Publish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to publish for each matching event; `key` and `body` are templates over `event`.

    It is delivered `delay` after it was published; those with a `priority` (to 9) before others that wait.
    """

    topic: Name
    key: str | None = None
    body: object = "${ event.data }"
    priority: Annotated[int, Meta(ge=0, le=9)] | msgspec.UnsetType = msgspec.UNSET  # unset ones are in no version
    delay: Duration | msgspec.UnsetType = msgspec.UNSET


class Signal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal to the run of a workflow that has a key; `key` and `value` are templates over `event`."""

    workflow: Text
    name: Name
    key: Text
    value: object = "${ event.data }"


class Dispatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call through a route, sent durably: at least once, with the same idempotency key; `body` is a template."""

    route: Name
    body: object = "${ event.data }"
    path: Text | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"


class Emit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another event, taken in with the one that matched; `subject` and `data` are templates."""

    type: Text
    subject: Text | None = None
    data: object = "${ event.data }"


class Debounce(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wait until nothing has come for `quiet` (at most `max`), then go on with the last; `key` tells events apart."""

    quiet: Duration
    max: Duration | None = None
    key: Text | None = None


class Throttle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` in any time of `per`; the others wait for their turn; `key` tells events apart."""

    limit: Annotated[int, Meta(ge=1, le=1_000)]
    per: Duration
    key: Text | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Go on with `size` together, as a list, or with what came `within` a time; `key` tells events apart."""

    size: Annotated[int, Meta(ge=1, le=1_000)]
    within: Duration
    key: Text | None = None


class MappingTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing a mapping does: `start`, `publish`, `signal`, `dispatch` or `emit`; `once` is its idempotency key."""

    start: Text | None = None
    publish: Publish | None = None
    signal: Signal | None = None
    dispatch: Dispatch | None = None
    emit: Emit | None = None
    input: object = "${ event.data }"
    once: Text | None = None
    delay: Duration | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    batch: Batch | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a join: its pattern, its condition, its correlation `key`, and what to `keep` of an event."""

    on: dict[str, object]
    when: Text | None = None
    key: Text | None = None
    keep: object = "${ event }"


class Join(MappingTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events that come together over time; its targets act on one event that has them as `event.data.parts`."""

    name: Name
    kind: Literal["all", "any", "absence", "count", "sequence"]
    parts: dict[Name, Part]
    within: Duration
    key: Text | None = None
    count: Annotated[int, Meta(ge=1, le=1_000)] = 1
    targets: list[MappingTarget] = msgspec.field(default_factory=list[MappingTarget])
    disabled: bool = False


def target_fields(mapping: MappingTarget) -> dict[str, object] | None:
    """The target that stands in a mapping itself, as its own map; None where there is none."""
    given = ((name, getattr(mapping, name)) for name in MappingTarget.__struct_fields__)
    fields = {name: value for name, value in given if value is not None}
    if fields.keys() == {"input"}:
        return None
    if mapping.start is None:
        del fields["input"]
    return {name: msgspec.to_builtins(value) for name, value in fields.items()}
