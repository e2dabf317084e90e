"""Owns what a project says of approvals: how links are signed, and the topics that tell of them and bring decisions."""

from collections.abc import Iterable
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from workflow_router.settings.values import Name, Reference, Seconds, Text

Secrets: TypeAlias = Reference | list[Reference]
Url: TypeAlias = Annotated[
    str, Meta(pattern=r"^https?://[!-~]+$", extra={"expects": "an address such as https://router.example.com"})
]


class Approvals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where people are told of approvals, and how they answer besides the API.

    With `link_secret` (16 bytes or more; several while one replaces another) links are signed that can be used once,
    for `link_s`; they begin with `url`. Keys named in `link_issuers` may make them for others. Notices go to
    `topic`; signed decisions are taken from `decisions_topic`, with `message_secret`.
    """

    url: Url | None = None
    link_secret: Secrets | None = None
    link_s: Seconds = 86_400.0
    link_issuers: list[Text] = []
    topic: Name | None = None
    decisions_topic: Name | None = None
    message_secret: Secrets | None = None

    @property
    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], Reference]]:
        """Each secret that is configured, and where it stands below `settings: approvals:`."""
        for field, given in (("link_secret", self.link_secret), ("message_secret", self.message_secret)):
            if isinstance(given, list):
                yield from (((field, number), one) for number, one in enumerate(given))
            elif given is not None:
                yield (field,), given
