"""Owns the doors of the audit log: reading, searching, proofs, checkpoints and redaction. Refuses to add an entry."""

from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.api.context import Context
from workflow_router.api.endpoint import endpoint
from workflow_router.api.request import Request
from workflow_router.api.tenants import of_entry, own_entries
from workflow_router.core.errors import InvalidInput, NotFound
from workflow_router.core.model import AuditEntry, AuditFilter
from workflow_router.core.ports import Transaction
from workflow_router.core.proofs.entries import Line, PrunedLines, line_of

TAG = "audit"

Position = Annotated[int, Meta(ge=0)]
Limit = Annotated[int, Meta(ge=1, le=1_000)]


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which audit entries to list; `kind` may be the beginning of one, times are milliseconds since the epoch."""

    after: Position = 0
    limit: Limit = 100
    correlation: str | None = None
    since_ms: Position | None = None
    until_ms: Position | None = None
    kind: str | None = None
    actor: str | None = None
    run: str | None = None


class AuditHead(msgspec.Struct, frozen=True):
    """How many entries there are, the root of their Merkle tree, in hex, and how many of the first are pruned."""

    position: int
    root: str
    pruned: int


class CheckpointView(msgspec.Struct, frozen=True):
    """A signed checkpoint (C2SP tlog-checkpoint), and the key that verifies it."""

    position: int
    time_ms: int
    note: str
    key: str


class ProofQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the tree of which size, in entries; that of the latest checkpoint, or of now."""

    size: Position | None = None


class InclusionView(msgspec.Struct, frozen=True):
    """The proof that an entry is in the tree (RFC 9162, 2.1.3); its hashes are in hex, lowest first."""

    entry: Line
    size: int
    root: str
    proof: list[str]


class ConsistencyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two sizes of the tree, in entries; the second is that of now by default."""

    first: Annotated[int, Meta(ge=1)]
    second: Position | None = None


class ConsistencyView(msgspec.Struct, frozen=True):
    """The proof that the log only grew between two sizes (RFC 9162, 2.1.4)."""

    first: int
    second: int
    first_root: str
    second_root: str
    proof: list[str]


class Redact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why actor and details of an entry go; `by` is the name of the key where keys are configured."""

    reason: Annotated[str, Meta(min_length=1, max_length=2_000)]
    by: Annotated[str, Meta(max_length=200)] = ""


@endpoint("GET", "/api/audit", tag=TAG, scope="audit:read", tenants="own")
async def list_audit(context: Context, request: Request, query: AuditQuery) -> list[Line]:
    """List audit entries in order; those that fit, where a filter is given."""
    correlation, only = query.correlation, request.only_tenant

    async def unit(tx: Transaction) -> list[AuditEntry]:
        if correlation is not None:
            return own_entries(await tx.audit.of_correlation(correlation, limit=query.limit), only)
        if only is None and query == AuditQuery(after=query.after, limit=query.limit):
            return await tx.audit.entries(after=query.after, limit=query.limit)
        found = await tx.audit.search(
            AuditFilter(
                after=query.after,
                limit=query.limit,
                since_ms=query.since_ms,
                until_ms=query.until_ms,
                kind=query.kind,
                actor=query.actor,
                run=query.run,
                tenant=only,
            )
        )
        return own_entries(found, only)

    return [line_of(entry) for entry in await context.runtime.store.read(unit)]


@endpoint("GET", "/api/audit/head", tag=TAG, scope="audit:read", tenants="shared")
async def get_audit_head(context: Context) -> AuditHead:
    """Show how many entries there are, and the root of their tree."""

    async def unit(tx: Transaction) -> AuditHead:
        position, root = await tx.audit.head()
        return AuditHead(position, root.hex(), await tx.audit.pruned())

    return await context.runtime.store.read(unit)


@endpoint("GET", "/api/audit/tiles/{number}", tag=TAG, scope="audit:read", errors=(InvalidInput, NotFound))
async def get_audit_tile(context: Context, number: str) -> PrunedLines:
    """Show the hashes of 256 entries, which stay when these are pruned; number 0 is the first."""
    if not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise InvalidInput(f"{number[:40]!r} is no number.", remedy="Ask for 0, 1, 2 ….")
    found = await context.runtime.store.read(lambda tx: tx.audit.tile(int(number)))
    if found is None:
        raise NotFound("So many entries are not there yet.", remedy="See /api/audit/head.")
    return PrunedLines(int(number), found.hex())


@endpoint("GET", "/api/audit/checkpoint", tag=TAG, scope="audit:read", tenants="shared", errors=(NotFound,))
async def get_checkpoint(context: Context) -> CheckpointView:
    """Show the latest signed checkpoint."""
    found = await context.runtime.audit.checkpoints.latest()
    return CheckpointView(found.position, found.time_ms, found.note, context.runtime.audit.checkpoints.key)


@endpoint("POST", "/api/audit/checkpoint", tag=TAG, scope="audit:write", errors=(NotFound,))
async def make_checkpoint(context: Context) -> CheckpointView:
    """Sign a checkpoint of the log as it is now, and send it where checkpoints go."""
    made = await context.runtime.audit.checkpoints.make()
    return CheckpointView(made.position, made.time_ms, made.note, context.runtime.audit.checkpoints.key)


@endpoint("GET", "/api/audit/consistency", tag=TAG, scope="audit:read", tenants="shared", errors=(InvalidInput,))
async def prove_consistency(context: Context, query: ConsistencyQuery) -> ConsistencyView:
    """Prove that the log only grew from one size to another."""

    async def unit(tx: Transaction) -> ConsistencyView:
        size, _ = await tx.audit.head()
        second = size if query.second is None else query.second
        if not query.first <= second <= size:
            raise InvalidInput(f"The log has {size} entries.", remedy="Ask for sizes in order, up to that.")
        return ConsistencyView(
            query.first,
            second,
            (await tx.audit.root(query.first)).hex(),
            (await tx.audit.root(second)).hex(),
            [part.hex() for part in await tx.audit.consistency(query.first, second)],
        )

    return await context.runtime.store.read(unit)


@endpoint(
    "GET", "/api/audit/{position}/proof", tag=TAG, scope="audit:read", tenants=of_entry, errors=(InvalidInput, NotFound)
)
async def prove_inclusion(context: Context, position: str, query: ProofQuery) -> InclusionView:
    """Prove that an entry is in the log."""
    number = _position(position)

    async def unit(tx: Transaction) -> InclusionView:
        size, _ = await tx.audit.head()
        wanted = size if query.size is None else query.size
        if not number <= wanted <= size:
            raise InvalidInput(f"The log has {size} entries.", remedy="Ask for a size from the entry's position on.")
        entry = await _entry(tx, number)
        proof = await tx.audit.inclusion(number, wanted)
        root = await tx.audit.root(wanted)
        return InclusionView(line_of(entry), wanted, root.hex(), [part.hex() for part in proof])

    return await context.runtime.store.read(unit)


@endpoint("POST", "/api/audit/{position}/redact", tag=TAG, scope="audit:write", errors=(InvalidInput, NotFound))
async def redact(context: Context, request: Request, position: str, body: Redact) -> Line:
    """Take actor and details out of an entry; the tree and every proof stay as they are."""
    number = _position(position)
    actor = request.caller or body.by or "unknown"

    async def unit(tx: Transaction) -> AuditEntry:
        await _entry(tx, number)
        await tx.audit.redact(number, actor=actor, reason=body.reason)
        return await _entry(tx, number)

    return line_of(await context.runtime.store.commit(unit))


def _position(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text)):
        raise InvalidInput(f"{text[:40]!r} is no position.", remedy="Entries are numbered 1, 2, 3 ….")
    return int(text)


async def _entry(tx: Transaction, position: int) -> AuditEntry:
    entry = await tx.audit.find(position)
    if entry is None:
        raise NotFound("There is no entry at this position, or it was pruned.", remedy="See /api/audit/head.")
    return entry


ENDPOINTS = (
    list_audit,
    get_audit_head,
    get_audit_tile,
    get_checkpoint,
    make_checkpoint,
    prove_consistency,
    prove_inclusion,
    redact,
)
