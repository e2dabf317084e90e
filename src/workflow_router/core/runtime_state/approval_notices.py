"""Owns telling people: a message for each approval that is asked, reminded of, escalated or ended, with signed links.

It is published in the commit that it tells of, to a topic; what is attached there (a route, a consumer) brings it on.
Refuses to hold an approval back: where the topic is full, the approval stands, and the audit log says that it was not
told.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from workflow_router.core.errors import InvalidInput, NotFound, Overloaded
from workflow_router.core.model import Approval, NewMessage, Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime_state.approval_links import Link, Links
from workflow_router.core.runtime_state.approval_model import decisions_of, policy_of
from workflow_router.core.runtime_state.approval_rules import candidates
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import from_json, to_json
from workflow_router.utils.ids import Ids

_log = logging.getLogger(__name__)

Publish = Callable[[Transaction, NewMessage], Awaitable[str]]


class Notices:
    """Tells of approvals on a topic; silent while there is none.

    Attributes:
        topic: where to; links: what makes links for the candidates who are known by name.
    """

    def __init__(self, ids: Ids, publish: Publish, on_published: Callable[[str], None]) -> None:
        self._ids = ids
        self._publish = publish
        self._on_published = on_published
        self.topic: str | None = None
        self.links: Links | None = None

    async def tell(self, tx: Transaction, kind: str, approval: Approval, also: Sequence[str] = ()) -> None:
        """Publish what has become of the approval; call `told` once it is committed.

        Args:
            also: who gets links besides the candidates.
        """
        if self.topic is None:
            return
        try:
            await self._publish(tx, self._message(tx, kind, approval, self.topic, also))
        except (Overloaded, NotFound, InvalidInput) as error:
            _log.warning("Approval %s could not be told of: %s", approval.id, error)
            tx.record(
                Transition(
                    kind="approval.untold",
                    subject=approval.id,
                    tenant=approval.tenant,
                    run=approval.run or None,
                    detail={"kind": kind, "topic": self.topic},
                )
            )

    def _message(self, tx: Transaction, kind: str, approval: Approval, topic: str, also: Sequence[str]) -> NewMessage:
        people, roles = candidates(approval)
        is_open = approval.status is ApprovalStatus.OPEN
        body = {
            "kind": kind,
            "approval": approval.id,
            "name": approval.name,
            "status": approval.status,
            "run": approval.run or None,
            "people": people,
            "roles": roles,
            "quorum": approval.quorum,
            "due_ms": approval.due_ms,
            "context": from_json(approval.context),
            "subject": from_json(approval.subject),
            "hash": approval.hash,
            "decided_by": [one.by for one in decisions_of(approval)],
            "links": self._links_for(tx, approval, [*people, *also]) if is_open else [],
        }
        return NewMessage(
            id=self._ids.new(),
            topic=topic,
            body=to_json(body),
            key=approval.id,
            headers={"kind": kind},
            tenant=approval.tenant,
            cause=approval.run or approval.id,
            correlation=approval.correlation,
        )

    def told(self) -> None:
        """What was published has been committed."""
        if self.topic is not None:
            self._on_published(self.topic)

    def link(self, approval: Approval, person: str, *, approved: bool, roles: list[str], expires_ms: int) -> Link:
        """What a fresh link for this person says."""
        return Link(
            id=self._ids.new(),
            approval=approval.id,
            tenant=approval.tenant,
            person=person,
            roles=roles,
            approved=approved,
            hash=approval.hash,
            expires_ms=expires_ms,
        )

    def _links_for(self, tx: Transaction, approval: Approval, people: list[str]) -> list[dict[str, object]]:
        try:
            return [] if self.links is None else self._signed(self.links, tx.now_ms, approval, people)
        except (NotFound, InvalidInput) as error:  # who is told without a link still knows
            _log.warning("The links of approval %s could not be signed: %s", approval.id, error)
            return []

    def _signed(self, links: Links, now_ms: int, approval: Approval, people: list[str]) -> list[dict[str, object]]:
        expires_ms = now_ms + links.valid_ms
        if approval.due_ms is not None:
            expires_ms = min(expires_ms, approval.due_ms)
        said = {one.by for one in decisions_of(approval)} | set(policy_of(approval).apart)
        return [
            {
                "person": person,
                "expires_ms": expires_ms,
                **{
                    word: links.sign(self.link(approval, person, approved=yes, roles=[], expires_ms=expires_ms))
                    for word, yes in (("approve", True), ("reject", False))
                },
            }
            for person in people
            if person not in said
        ]
