"""Owns what an audit entry's leaf covers: sealing a transition, and following a log's entries from outside. Pure.

The leaf is the canonical JSON (RFC 8785) of the entry. Who did it and the details, which may name people, stand in it
only as a salted commitment, SHA-256 over salt and canonical JSON; so they can be taken out later (redacted) while the
leaf, the tree and every proof stay as they are. Refuses to store, and to trust what a row says beside its body.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from workflow_router.core.model import DEFAULT_TENANT, AuditEntry, Transition
from workflow_router.core.proofs.merkle import Frontier, leaf_hash
from workflow_router.core.proofs.told import Told
from workflow_router.utils.codec import to_canonical_json

SALT_BYTES = 16
# Entries are taken away by so many at a time.
PRUNED_AT_ONCE = 256


# Names in ASCII, in alphabetical order, and no numbers but whole ones: as fields stand, this is the canonical form.


class Public(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What of a transition stands in the leaf itself."""

    cause: str | None = None
    correlation: str | None = None
    kind: str
    run: str | None = None
    subject: str
    tenant: str = DEFAULT_TENANT


class Body(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The entry as its leaf has it; `private` is the commitment, in hex, where there is something private."""

    position: int
    private: str | None = None
    time_ms: int
    transition: Public


class Private(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What of a transition can be redacted."""

    actor: str | None = None
    detail: dict[str, object] = {}


_encode_body = msgspec.json.Encoder().encode
decode_body = msgspec.json.Decoder(Body).decode
decode_private = msgspec.json.Decoder(Private).decode


def seal(position: int, time_ms: int, transition: Transition, salt: bytes) -> tuple[AuditEntry, bytes | None]:
    """The entry for a transition, and the text of what is private in it, where anything is.

    `salt`: 16 random bytes, used only where something is private.
    """
    public = Public(
        kind=transition.kind,
        subject=transition.subject,
        tenant=transition.tenant,
        run=transition.run,
        cause=transition.cause,
        correlation=transition.correlation,
    )
    private = _private_text(transition)
    if private is None:
        commitment = kept = None
        body = _encode_body(Body(position=position, time_ms=time_ms, transition=public))
    else:
        commitment, kept = hashlib.sha256(salt + private).digest(), salt
        body = _encode_body(Body(position=position, private=commitment.hex(), time_ms=time_ms, transition=public))
    entry = AuditEntry(
        position=position,
        time_ms=time_ms,
        transition=transition,
        body=body,
        private=commitment,
        salt=kept,
        hash=leaf_hash(body),
    )
    return entry, private


def _private_text(transition: Transition) -> bytes | None:
    """Canonical JSON of `Private`, its parts put together; None where there is nothing private."""
    actor, detail = transition.actor, transition.detail
    if actor is None:
        return b'{"detail":%b}' % to_canonical_json(detail) if detail else None
    if not detail:
        return b'{"actor":%b}' % to_canonical_json(actor)
    return b'{"actor":%b,"detail":%b}' % (to_canonical_json(actor), to_canonical_json(detail))


def _public(transition: Transition) -> Public:
    return Public(
        kind=transition.kind,
        subject=transition.subject,
        tenant=transition.tenant,
        run=transition.run,
        cause=transition.cause,
        correlation=transition.correlation,
    )


def unseal(body: Body, private: Private | None) -> Transition:
    """The transition that an entry tells of; without what was redacted."""
    public = body.transition
    return Transition(
        kind=public.kind,
        subject=public.subject,
        tenant=public.tenant,
        actor=None if private is None else private.actor,
        run=public.run,
        cause=public.cause,
        correlation=public.correlation,
        detail={} if private is None else private.detail,
    )


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry as the API and an export give it; hashes, salt and commitment in hex.

    Attributes:
        private: the commitment to actor and detail, where there are any.
        salt: its salt; None once they were redacted.
        hash: of the leaf.
    """

    position: int
    time_ms: int
    transition: Transition
    private: str | None = None
    salt: str | None = None
    hash: str


def line_of(entry: AuditEntry) -> Line:
    """An audit entry as the API and exports give it."""
    return Line(
        position=entry.position,
        time_ms=entry.time_ms,
        transition=entry.transition,
        private=None if entry.private is None else entry.private.hex(),
        salt=None if entry.salt is None else entry.salt.hex(),
        hash=entry.hash.hex(),
    )


class PrunedLines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of entries that were taken away, as the API and an export give it.

    Attributes:
        number: which 256 of them, from 0 on.
        hashes: of their leaves, one after the other, in hex.
    """

    number: int
    hashes: str


class LogCheck:
    """A log as far as it was followed.

    Attributes:
        tree: over the entries that fit.
        told: what the log has told of what it lacks. pruned: how many entries were taken away.
        reason: what is wrong with the one after them, where something is.
    """

    def __init__(self) -> None:
        self.tree = Frontier()
        self.told = Told()
        self.pruned = 0
        self.reason: str | None = None

    @property
    def position(self) -> int:
        """Of the last entry that fits."""
        return self.tree.size

    def follow(self, lines: Sequence[Line]) -> bool:
        """Take up entries, as far as they fit; False where one does not."""
        for line in lines:
            if self.reason is None:
                self.reason = self.wrong(line, self.position + 1)
            if self.reason is not None:
                return False
            self.tree.append(bytes.fromhex(line.hash))
            self.told.hear(line.transition.kind, line.transition.subject)
            if line.private is not None and line.salt is None:
                self.told.lacks(line.position)
        return True

    def skip(self, leaf: bytes) -> None:
        """Take up the hash of an entry that was taken away."""
        self.tree.append(leaf)
        self.pruned = self.tree.size

    @staticmethod
    def wrong(line: Line, position: int) -> str | None:
        """What is wrong with an entry by itself, which should be at this position."""
        if line.position != position:
            return "An entry is missing or out of order."
        transition = line.transition
        private = _private_text(transition)
        if line.salt is not None:
            text = b"{}" if private is None else private
            if hashlib.sha256(bytes.fromhex(line.salt) + text).hexdigest() != line.private:
                return "The entry was edited: actor or detail differ from what they were committed to."
        elif private is not None:
            return "The entry was edited: it has an actor or details that it does not commit to."
        public = _public(transition)
        body = _encode_body(Body(position=line.position, private=line.private, time_ms=line.time_ms, transition=public))
        return (
            None if leaf_hash(body).hex() == line.hash else "The entry was edited or replaced: its hash does not fit."
        )
