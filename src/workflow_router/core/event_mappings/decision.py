"""Owns what is recorded of each event's decision, so that it can be explained exactly later. Refuses to decide.

Which mappings were in force is recorded as two numbers: what the project declared (`set`) and the last change through
the API (`change`). With the event itself and what was read of `state`, everything else can be worked out again: so the
near misses cost the intake nothing, and are computed when somebody asks.
"""

import hashlib

import msgspec

from workflow_router.utils.codec import to_json


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an event was decided.

    Attributes:
        set: number of what the project declared then; 0 where nothing.
        change: number of the last change through the API that was in force.
        shadow: labels of mappings that matched in the stage `shadow`, and so did nothing.
        held: labels of canaries that matched, but whose share the event is not in.
        failed: by mapping, why its condition or template could not be evaluated.
        state: what was read of `state`.
        replay: our id of the event that was replayed, and the only mappings that took part, if some were chosen.
    """

    set: int = 0
    change: int = 0
    shadow: list[str] = []
    held: list[str] = []
    failed: dict[str, str] = {}
    state: dict[str, object] | None = None
    replay: str | None = None
    only: list[str] | None = None


decode_decision = msgspec.json.Decoder(Decision).decode


def encode_decision(decision: Decision) -> bytes:
    """JSON, without what is as by default."""
    return to_json(decision)


def in_share(name: str, key: str, share: float) -> bool:
    """Whether a key is in the share (per cent) of a canary: the same key always is or is not, in every process.

    Growing the share keeps all keys that were in it.
    """
    digest = hashlib.blake2b(f"{name}\0{key}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) < share / 100 * 2**64
