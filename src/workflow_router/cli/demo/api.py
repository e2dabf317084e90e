"""Owns what the demo asks of the running router's management API, typed. Refuses to interpret it."""

import msgspec

from workflow_router.cli.demo.child import RouterFailed
from workflow_router.cli.demo.client import Client
from workflow_router.cli.log import PAGE as AUDIT_PAGE
from workflow_router.cli.log import Head, Log
from workflow_router.core.proofs.entries import Line
from workflow_router.utils.codec import to_json

PAGE = 500
Counts = dict[str, dict[str, int]]


class Run(msgspec.Struct):
    """A run in a list."""

    id: str
    workflow: str
    status: str


class Review(msgspec.Struct):
    """What is read of the output of `review_pull_request`."""

    state: str
    asked_because: list[str]


class _RunInFull(msgspec.Struct):
    output: Review


class Approval(msgspec.Struct):
    """An approval."""

    id: str
    context: msgspec.Raw


class State(msgspec.Struct):
    """The counts of `/api/state`."""

    events: dict[str, int]
    runs: Counts
    dispatches: Counts
    messages: Counts


class _Runs(msgspec.Struct):
    runs: list[Run]


class Audit(msgspec.Struct):
    """The audit log as it was read, and checked here.

    Attributes:
        verified: the tree over the entries, grown here, has the root that the log says it has.
    """

    verified: bool
    head: str
    entries: list[Line]


class Api:
    """The management API of the router at an address."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address

    async def state(self) -> State:
        """The counts."""
        return msgspec.json.decode(await self._get("/api/state"), type=State)

    async def runs(self) -> list[Run]:
        """Every run, newest first."""
        found: list[Run] = []
        while True:
            before = f"&before={found[-1].id}" if found else ""
            page = msgspec.json.decode(await self._get(f"/api/runs?limit={PAGE}{before}"), type=_Runs).runs
            found += page
            if len(page) < PAGE:
                return found

    async def review(self, run: str) -> Review:
        """What a run of `review_pull_request` came to."""
        return msgspec.json.decode(await self._get(f"/api/runs/{run}"), type=_RunInFull).output

    async def open_approvals(self) -> list[Approval]:
        """Approvals that wait for people."""
        return msgspec.json.decode(await self._get("/api/approvals?status=open&limit=100"), type=list[Approval])

    async def decide(self, approval: str, *, by: str, role: str, approved: bool, comment: str) -> None:
        """Answer an approval. That it was answered before is no mistake: the answer to that was lost in the kill."""
        decision = {"by": by, "roles": [role], "approved": approved, "values": {"comment": comment}}
        status, content = await self._client.request(
            "POST", f"{self._address}/api/approvals/{approval}", to_json(decision), {"content-type": "application/json"}
        )
        if status not in {200, 409}:
            raise RouterFailed(f"Deciding {approval} got {status}: {content.decode(errors='replace')}")

    async def audit(self) -> Audit:
        """The whole audit log, its tree grown here from the beginning."""
        head = msgspec.json.decode(await self._get("/api/audit/head"), type=Head)
        log, entries = Log(), list[Line]()
        while len(entries) < head.position:
            limit = min(AUDIT_PAGE, head.position - len(entries))
            page = log.follow(await self._get(f"/api/audit?after={len(entries)}&limit={limit}"))
            if not page:
                break
            entries += page
        log.end_at(head)
        return Audit(log.reason is None, head.root, entries)

    async def _get(self, path: str) -> bytes:
        status, content = await self._client.request("GET", self._address + path)
        if status != 200:
            raise RouterFailed(f"GET {path} got {status}: {content[:300].decode(errors='replace')}")
        return content
