"""Owns approvals: a run or an interceptor asks, people decide, and whoever asked goes on with the answer.

Refuses to know who people are. The id of a run's approval is made of the run and the step that asks, so a decision can
never reach another run, and one question is asked once however often the run is replayed. What each transition changes,
tells and wakes is one commit.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from workflow_router.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from workflow_router.core.model import DEFAULT_TENANT, Approval, Run
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.approval_forms import check_values, form_schema
from workflow_router.core.runtime_state.approval_links import Link, Links
from workflow_router.core.runtime_state.approval_model import (
    Answer,
    Attachment,
    Decision,
    Delegation,
    decisions_of,
    policy_of,
    progress_of,
)
from workflow_router.core.runtime_state.approval_notices import Notices, Publish
from workflow_router.core.runtime_state.approval_rules import (
    answer_of,
    check_decision,
    seats_of,
    status_of,
    subject_hash,
    withdrawn,
)
from workflow_router.core.runtime_state.approval_upkeep import Upkeep
from workflow_router.core.runtime_state.delegations import Delegations, found_in, refuse_ended
from workflow_router.core.runtime_state.question import Escalation, Question
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import to_json
from workflow_router.utils.ids import Ids

__all__ = [
    "Answer",
    "Approvals",
    "Attachment",
    "Decision",
    "Delegation",
    "Escalation",
    "Question",
    "answer_of",
    "decisions_of",
    "form_schema",
    "policy_of",
    "progress_of",
    "subject_hash",
]

# So often a decision is tried anew where another process has decided at the same moment.
TRIES = 10
ATTACHMENTS_MAX = 20

Ended = Callable[[Transaction, Approval], Awaitable[None]]


class _RunEndedError(Exception):
    """The run that asked is over."""


class Approvals:
    """Asks, and takes decisions.

    Args:
        on_woken: told of the run that an answer woke, after it was committed.
        publish: publishes a message within a unit of work; on_published is told of its topic afterwards.

    Attributes:
        on_ended: called within the commit that ends an approval, for those who hold something back until then.
        delegations: who decides in whose place.
        issuers: callers who may make links for others.
        notices: tells people; what it needs is set before `open`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        on_woken: Callable[[Run], None],
        *,
        publish: Publish,
        on_published: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._on_woken = on_woken
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self.on_ended: list[Ended] = []
        self.issuers: frozenset[str] = frozenset()
        self.notices = Notices(ids, publish, on_published)
        self.delegations = Delegations(store, ids, self.notices)
        self.upkeep = Upkeep(store, clock, self.notices, self._ended_within, self._ended_after)

    async def open(self) -> None:
        """Begin to remind, escalate and expire."""
        await self.upkeep.open()

    async def close(self) -> None:
        """Stop that; what falls due meanwhile is caught up with by whoever opens next."""
        await self.upkeep.close()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def ask(self, tx: Transaction, asked: Approval) -> Approval:
        """Ask within a unit of work, and tell of it; returns what is asked under this id. Call `told` once it landed.

        An open one of the same id whose subject is another dies: what was shown is not what would be done.
        """
        if await tx.approvals.ask(asked):
            await self.notices.tell(tx, "asked", asked)
            return asked
        found = await tx.approvals.find(asked.id) or asked
        if binds(found, asked.hash) or found.status is not ApprovalStatus.OPEN:
            return found
        return await self._withdraw(tx, found, None, "what was to be approved has changed")

    def told(self, approval: Approval) -> None:
        """What `ask` did has been committed."""
        self.notices.told()
        if approval.next_ms is not None:
            self.upkeep.nudge()

    async def open_for(
        self,
        question: Question,
        *,
        approval_id: str | None = None,
        tenant: str = DEFAULT_TENANT,
        correlation: str | None = None,
    ) -> Approval:
        """Ask outside of a run's code, once per id; `until` tells the answer, `on_ended` within its commit."""
        asked = question.asked(
            approval_id or self._ids.new(), self._clock.now_ms(), tenant=tenant, correlation=correlation
        )
        approval = await self._store.commit(lambda tx: self.ask(tx, asked))
        self.told(approval)
        return approval

    async def until(self, approval_id: str, *, tenant: str = DEFAULT_TENANT) -> Answer[object]:
        """Wait until an approval has ended; returns how. Raises NotFound."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(approval_id, set())
        waiting.add(event)
        try:
            while True:
                event.clear()
                approval = await self.find(approval_id, tenant=tenant)
                answer = answer_of(approval, self._clock.now_ms())
                if answer is not None:
                    return answer
                wait_s = self._store.poll_s
                if approval.due_ms is not None:
                    left_s = max(0.001, (approval.due_ms - self._clock.now_ms()) / 1000)
                    wait_s = left_s if wait_s is None else min(wait_s, left_s)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await event.wait()
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(approval_id, None)

    async def still_binds(self, tx: Transaction, approval_id: str, subject: object) -> bool:
        """Whether an approval is of exactly this; if not, and it is open, it dies in this unit of work."""
        approval = await tx.approvals.find(approval_id)
        if approval is None or binds(approval, subject_hash(subject)):
            return approval is not None
        if approval.status is ApprovalStatus.OPEN:
            await self._withdraw(tx, approval, None, "what was to be approved has changed")
        return False

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def decide(self, approval_id: str, decision: Decision, *, tenant: str = DEFAULT_TENANT) -> Approval:
        """Record what a person said; whoever asked goes on when that decides it.

        Raises:
            NotFound: none in this tenant. Conflict: it has ended, is about something else, or this person has decided.
            Forbidden: they are no candidate, or asked for it themselves. InvalidInput: the form, or a missing reason.
        """
        return await self._decided(approval_id, decision, tenant, None)

    async def look(self, token: str) -> tuple[Link, Approval]:
        """What a signed link is about; changes nothing. Raises Forbidden, NotFound."""
        link = self.links.read(token, self._clock.now_ms())
        return link, await self.find(link.approval, tenant=link.tenant)

    async def decide_by_link(
        self, token: str, *, reason: str = "", values: dict[str, object] | None = None, via: str = "link"
    ) -> Approval:
        """Decide as a signed link says, once; it is used up in the same commit. Raises as `decide` and `look` do."""
        link = self.links.read(token, self._clock.now_ms())
        decision = Decision(
            by=link.person,
            roles=link.roles,
            approved=link.approved,
            hash=link.hash,
            reason=reason,
            values=values or {},
            via=via,
        )
        return await self._decided(link.approval, decision, link.tenant, link)

    async def _decided(self, approval_id: str, decision: Decision, tenant: str, link: Link | None) -> Approval:
        _check_size(decision)

        async def unit(tx: Transaction) -> tuple[Approval, Run | None]:
            for _ in range(TRIES):
                landed = await self._decide(tx, await found_in(tx, approval_id, tenant), decision, link)
                if landed is not None:
                    return landed
            raise Conflict(f"Approval {approval_id} was decided meanwhile.", remedy="Look at it again.")

        try:
            approval, run = await self._store.commit(unit)
        except _RunEndedError:
            await self.withdraw(approval_id, why="its run has ended", tenant=tenant)
            raise Conflict(f"The run that asked {approval_id} is over.", remedy="Nothing is left to decide.") from None
        self._ended_after(approval, run)
        return approval

    async def _decide(
        self, tx: Transaction, approval: Approval, decision: Decision, link: Link | None
    ) -> tuple[Approval, Run | None] | None:
        """The approval after the decision, and the run this woke; None where somebody else was quicker."""
        handed: list[Delegation] = []
        if not seats_of(approval, decision, (), tx.now_ms):
            handed = await tx.approvals.delegations(tenant=approval.tenant, approval=approval.id)
        decisions = check_decision(approval, decision, handed, tx.now_ms)
        if decision.approved or decision.values:
            check_values(approval.form, decision.values)
        if link is not None and not await tx.approvals.use_link(link.id, approval, expires_ms=link.expires_ms):
            raise Conflict("This link was used already.", remedy="It works once; ask for a new one.")
        status, encoded = status_of(approval, decisions), to_json(decisions)
        detail = _detail(decisions[-1], approval)
        if not await tx.approvals.decide(approval, encoded, status, actor=decision.by, detail=detail):
            return None
        if status is ApprovalStatus.OPEN:
            return msgspec.structs.replace(approval, decisions=encoded), None
        after = msgspec.structs.replace(approval, decisions=encoded, status=status, next_ms=None)
        run = await self._ended_within(tx, after)
        if run is None and approval.run:
            raise _RunEndedError
        return after, run

    # --- around it --------------------------------------------------------------------------------------------------

    async def remind(self, approval_id: str, *, by: str | None = None, tenant: str = DEFAULT_TENANT) -> Approval:
        """Tell those asked again, now. Raises NotFound, Conflict (it has ended)."""

        async def unit(tx: Transaction) -> Approval:
            approval = await found_in(tx, approval_id, tenant)
            refuse_ended(approval, tx.now_ms)
            await tx.approvals.advance(approval, approval, "approval.reminded", actor=by)
            await self.notices.tell(tx, "reminded", approval)
            return approval

        approval = await self._store.commit(unit)
        self.notices.told()
        return approval

    async def withdraw(
        self, approval_id: str, *, by: str | None = None, why: str = "", tenant: str = DEFAULT_TENANT
    ) -> Approval:
        """Take a question back; whoever asked goes on without an approval. Raises NotFound, Conflict (it has ended)."""
        woken: list[Run] = []

        async def unit(tx: Transaction) -> Approval:
            woken.clear()
            approval = await found_in(tx, approval_id, tenant)
            refuse_ended(approval, tx.now_ms)
            return await self._withdraw(tx, approval, by, why, woken)

        approval = await self._store.commit(unit)
        self._ended_after(approval, woken[0] if woken else None)
        return approval

    async def link(
        self,
        approval_id: str,
        person: str,
        *,
        approved: bool,
        roles: list[str] | None = None,
        valid_s: float | None = None,
        by: str | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> tuple[Link, str]:
        """A signed link by which this person decides once: what it says, and its address.

        Raises:
            NotFound: no such approval, or no secret is configured. Conflict: it has ended.
            Forbidden: the person could not decide it.
        """
        links = self.links
        now_ms = self._clock.now_ms()
        valid_ms = links.valid_ms if valid_s is None else max(1, round(valid_s * 1000))

        async def unit(tx: Transaction) -> tuple[Link, str]:
            approval = await found_in(tx, approval_id, tenant)
            refuse_ended(approval, tx.now_ms)
            asking = Decision(by=person, approved=approved, roles=roles or [])
            handed = await tx.approvals.delegations(tenant=tenant, approval=approval.id)
            if not person or not seats_of(approval, asking, handed, tx.now_ms):
                raise Forbidden(f"{person or 'Nobody'} cannot decide this.", remedy="Ask one of the candidates.")
            until_ms = now_ms + valid_ms if approval.due_ms is None else min(approval.due_ms, now_ms + valid_ms)
            link = self.notices.link(approval, person, approved=approved, roles=roles or [], expires_ms=until_ms)
            detail: dict[str, object] = {"person": person, "approved": approved, "link": link.id}
            await tx.approvals.advance(approval, approval, "approval.linked", actor=by, detail=detail)
            return link, links.sign(link)

        return await self._store.commit(unit)

    # --- reading ----------------------------------------------------------------------------------------------------

    async def find(self, approval_id: str, *, tenant: str = DEFAULT_TENANT) -> Approval:
        """One approval. Raises NotFound."""
        return await self._store.read(lambda tx: found_in(tx, approval_id, tenant))

    async def list_approvals(
        self, *, tenant: str, status: ApprovalStatus | None = ApprovalStatus.OPEN, limit: int = 100
    ) -> list[Approval]:
        """Approvals, oldest first."""
        return await self._store.read(lambda tx: tx.approvals.list_approvals(tenant=tenant, status=status, limit=limit))

    @property
    def links(self) -> Links:
        """What signs links. Raises NotFound where none is configured."""
        if self.notices.links is None:
            raise NotFound("No secret for links is configured.", remedy="Declare settings.approvals.link_secret.")
        return self.notices.links

    # --- within -----------------------------------------------------------------------------------------------------

    async def _withdraw(
        self, tx: Transaction, approval: Approval, by: str | None, why: str, woken: list[Run] | None = None
    ) -> Approval:
        after = withdrawn(approval, why)
        if not await tx.approvals.advance(approval, after, "approval.withdrawn", actor=by, detail={"why": why[:500]}):
            raise Conflict(f"Approval {approval.id} was decided meanwhile.", remedy="Look at it again.")
        run = await self._ended_within(tx, after)
        if woken is not None and run is not None:
            woken.append(run)
        return after

    async def _ended_within(self, tx: Transaction, approval: Approval) -> Run | None:
        """Let whoever asked know, in the commit that ends it; returns the run that this woke."""
        await self.notices.tell(tx, "ended", approval)
        for on_ended in self.on_ended:
            await on_ended(tx, approval)
        return await tx.runs.wake(approval.run) if approval.run else None

    def _ended_after(self, approval: Approval, run: Run | None) -> None:
        """The same after the commit."""
        self.notices.told()
        if run is not None:
            self._on_woken(run)
        if approval.status is not ApprovalStatus.OPEN:
            for event in self._waiting.get(approval.id, ()):
                event.set()


def binds(approval: Approval, its_hash: str) -> bool:
    """Whether the approval is of what has this hash. One from before hashes were kept binds anything."""
    return not approval.hash or approval.hash == its_hash


def _check_size(decision: Decision) -> None:
    if len(decision.attachments) > ATTACHMENTS_MAX:
        raise InvalidInput(f"More than {ATTACHMENTS_MAX} attachments.", remedy="Refer to a folder.")
    for one in decision.attachments:
        if len(one.sha256) != 64 or set(one.sha256) - set("0123456789abcdef") or not 0 < len(one.uri) <= 2_000:
            raise InvalidInput("An attachment needs a URI and its SHA-256 in hex.", remedy="sha256sum FILE")


def _detail(decision: Decision, approval: Approval) -> dict[str, object]:
    """What the audit log keeps of a decision; it can be redacted there."""
    detail: dict[str, object] = {"approved": decision.approved, "hash": approval.hash}
    if decision.seat != decision.by:
        detail["for"] = decision.seat
    if decision.via:
        detail["via"] = decision.via
    if decision.reason:
        detail["reason"] = decision.reason[:500]
    if decision.attachments:
        detail["attachments"] = [one.sha256 for one in decision.attachments]
    return detail
