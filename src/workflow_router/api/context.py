"""Owns what endpoints work with: the running system and the doors' own counters. Refuses globals."""

import asyncio
from collections.abc import Callable, Mapping

from workflow_router.api.access import Access
from workflow_router.api.lately import Lately
from workflow_router.api.metrics import Metrics
from workflow_router.core.event_mappings.webhooks import Source
from workflow_router.core.runtime import Runtime


class Context:
    """The parts behind the API.

    Attributes:
        access: who may call, and by which keys.
        sources: senders of webhooks, by name.
        lately: what watchers of the router share.
        closing: set when the server is about to stop; streams end then.
        description: the OpenAPI document, made at first use.
        observers: how many streams of transitions are open.
        readers: how many streams of runs are read.
        replays: how many runs are replayed to tell what a step was called with.
        streams: how many streams of messages are open.
    """

    def __init__(
        self, runtime: Runtime, access: Access, sources: Mapping[str, Source], version: Callable[[], str]
    ) -> None:
        self.runtime = runtime
        self.access = access
        self.sources = sources
        self.version = version
        self.metrics = Metrics()
        self.lately = Lately(runtime)
        self.closing = asyncio.Event()
        self.description: bytes | None = None
        self.observers = 0
        self.readers = 0
        self.replays = 0
        self.streams = 0
