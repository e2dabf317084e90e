"""Owns judging what NATS promises: what a power cut or a long outage would lose or send twice. Refuses to ask it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class _JetStreamConfig(msgspec.Struct):
    sync_interval: int = 0
    sync_always: bool = False


class _JetStreamPart(msgspec.Struct):
    config: _JetStreamConfig | None = None


class _Vars(msgspec.Struct):
    server_name: str = ""
    jetstream: _JetStreamPart | None = None


class _Answer(msgspec.Struct):
    data: _Vars | None = None


class Server(msgspec.Struct, frozen=True):
    """What a server says of itself (`VARZ`).

    Attributes:
        sync_s: how often it writes to disk, seconds; 0 for always, None without JetStream.
    """

    name: str
    sync_s: float | None

    @classmethod
    def of(cls, answer: bytes) -> "Server":
        """Read an answer to `$SYS.REQ.SERVER.PING.VARZ`; one that says nothing counts as one without JetStream."""
        try:
            said = msgspec.json.decode(answer, type=_Answer).data or _Vars()
        except msgspec.DecodeError:
            said = _Vars()
        config = None if said.jetstream is None else said.jetstream.config
        if config is None:
            return cls(said.server_name, None)
        return cls(said.server_name, 0.0 if config.sync_always else config.sync_interval / 1e9)


class _Config(Protocol):
    @property
    def name(self) -> str | None: ...
    @property
    def storage(self) -> object: ...
    @property
    def no_ack(self) -> bool | None: ...
    @property
    def duplicate_window(self) -> float | None: ...


class Info(Protocol):
    """What NATS says of a stream."""

    @property
    def config(self) -> _Config: ...


def judge_servers(servers: Sequence[Server] | None, *, synced: bool) -> list[str]:
    """What to warn of: servers that acknowledge before a message is on disk. None where they could not be asked."""
    if servers is None:
        if synced:
            return []
        return [
            "Whether NATS has messages on disk before it acknowledges them could not be asked. If it has not, a power "
            "cut loses what it acknowledged in the last two minutes. Set `jetstream { sync_interval: always }` in its "
            "configuration, and say `synced: true` here, or give `system` so that it can be asked."
        ]
    slow = [one for one in servers if one.sync_s]
    return [
        f"NATS server {one.name} writes to disk every {one.sync_s:g} s: a power cut loses what it acknowledged since. "
        "Set `jetstream { sync_interval: always }` in its configuration."
        for one in slow
    ]


def judge_stream(info: Info, outage_s: float) -> list[str]:
    """What to warn of in a stream."""
    config, found = info.config, list[str]()
    if config.storage == "memory":
        found.append(f"The stream {config.name} is kept in memory: a restart of NATS loses it.")
    if config.no_ack:
        found.append(f"The stream {config.name} acknowledges nothing (`no_ack`), so nothing can ever be confirmed.")
    window_s = config.duplicate_window or 0.0
    if window_s < outage_s:
        found.append(
            f"The stream {config.name} knows a message again for {window_s:g} s only: after an outage that is longer, "
            f"some may stand in it twice. Set its duplicate window to {outage_s:g} s, or `outage_s` to what you expect."
        )
    return found
