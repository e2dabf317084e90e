"""Owns decisions that come as messages on a topic. Refuses those that are not signed: a topic takes what it is given.

A message is either `{"token": …}`, a signed link's, or `{"decision": {…}, "signature": …}`: HMAC-SHA256, as base64url,
over `workflow-router/approval-message/1`, a zero byte, and the decision's canonical JSON (RFC 8785). What is refused is
told in the audit log and taken off the topic; sent again, it would be refused again.
"""

import logging
from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.errors import Forbidden, InvalidInput, NotFound, Overloaded, RouterError, StoreError
from workflow_router.core.model import DEFAULT_TENANT, Delivery, Transition
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.runtime_state.approval_links import Seal
from workflow_router.core.runtime_state.approval_model import Attachment, Decision
from workflow_router.core.runtime_state.approvals import Approvals
from workflow_router.utils.clock import Clock
from workflow_router.utils.codec import from_json, to_canonical_json

LABEL = b"workflow-router/approval-message/1"
HANDLER = "approvals"

_log = logging.getLogger(__name__)


class SignedDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision as whoever signs it states it: on which approval, of what, and until when it counts."""

    approval: str
    by: str
    approved: bool
    hash: str
    expires_ms: int
    roles: list[str] = []
    reason: str = ""
    values: dict[str, object] = {}
    attachments: list[Attachment] = []
    tenant: str = DEFAULT_TENANT


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: str | None = None
    reason: str = ""
    values: dict[str, object] = {}
    decision: dict[str, object] | None = None
    signature: str = ""


_decode = msgspec.json.Decoder(_Body).decode


class Intake:
    """Takes decisions from a topic.

    Attributes:
        topic: where from; None takes none. Set before the runtime opens, as is `sign_with`.
    """

    def __init__(self, store: Store, clock: Clock, approvals: Approvals) -> None:
        self._store = store
        self._clock = clock
        self._approvals = approvals
        self._seal: Seal | None = None
        self.topic: str | None = None

    def sign_with(self, secrets: Callable[[], Sequence[bytes]]) -> None:
        """Set the secrets that messages are signed with."""
        self._seal = Seal(secrets, LABEL)

    async def take(self, delivery: Delivery) -> None:
        """Decide as the message says; what cannot be decided is told and done with. Raises StoreError, Overloaded."""
        try:
            await self._take(delivery.body)
        except (StoreError, Overloaded):
            raise
        except RouterError as error:
            await self._refuse(delivery, error)

    async def _take(self, content: bytes) -> None:
        try:
            body = _decode(content)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"The message is no decision: {error}", remedy="Send a token, or a signed one."
            ) from None
        if body.token is not None:
            await self._approvals.decide_by_link(body.token, reason=body.reason, values=body.values, via="message")
            return
        said = self._checked(body)
        decision = Decision(
            by=said.by,
            approved=said.approved,
            hash=said.hash,
            roles=said.roles,
            reason=said.reason,
            values=said.values,
            attachments=said.attachments,
            via="message",
        )
        await self._approvals.decide(said.approval, decision, tenant=said.tenant)

    def _checked(self, body: _Body) -> SignedDecision:
        if self._seal is None:
            raise NotFound("No secret for messages is configured.", remedy="Declare settings.approvals.message_secret.")
        try:
            signed = to_canonical_json(body.decision)
            said = msgspec.convert(body.decision, SignedDecision)
        except (ValueError, msgspec.ValidationError) as error:
            raise InvalidInput(
                f"The decision does not fit: {error}", remedy="Send what the page on approvals says."
            ) from None
        if not self._seal.fits(signed, body.signature):
            raise Forbidden("The message was not signed by whom we know.", remedy="Sign its canonical JSON.")
        if self._clock.now_ms() >= said.expires_ms:
            raise Forbidden("The signed decision has expired.", remedy="Sign it anew.")
        return said

    async def _refuse(self, delivery: Delivery, error: RouterError) -> None:
        _log.warning("A decision that came as message %s was refused: %s", delivery.message_id, error.type)
        transition = Transition(
            kind="approval.refused",
            subject=delivery.message_id,
            cause=delivery.message_id,
            detail={"why": error.type, "via": "message", "topic": delivery.topic},
        )

        async def unit(tx: Transaction) -> None:
            tx.record(transition)

        await self._store.commit(unit)


def sign_decision(secret: bytes, decision: SignedDecision) -> dict[str, object]:
    """The body of a message that says this decision, for publishers in Python."""
    stated = from_json(msgspec.json.encode(decision))
    return {"decision": stated, "signature": Seal(lambda: [secret], LABEL).sign(to_canonical_json(stated))}
