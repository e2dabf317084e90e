"""Owns the verb that asks people from a run's code. Refuses rules of its own: those are the room's."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar, cast, overload

import msgspec

from workflow_router.core.declare import Declarations
from workflow_router.core.durations import seconds
from workflow_router.core.errors import ApprovalRejected
from workflow_router.core.model import Approval
from workflow_router.core.orchestration.journal import Outcome
from workflow_router.core.orchestration.live import Branch, LiveRun
from workflow_router.core.orchestration.operations import operation_id
from workflow_router.core.orchestration.ports import Timer
from workflow_router.core.ports import Transaction
from workflow_router.core.run_causes import causes_of
from workflow_router.core.run_verbs import inside
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.approval_model import Answer, OnExpiry, Reasons, Rejections
from workflow_router.core.runtime_state.approval_rules import answer_of, expired
from workflow_router.core.runtime_state.approvals import binds
from workflow_router.core.runtime_state.question import Escalation, Question
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import Codec, to_json, typed_from_json

V = TypeVar("V")
Duration: TypeAlias = str | float | timedelta
# So many runs are looked through for whoever caused the first of them.


class ApproveVerbs(Declarations):
    """What workflows say to people."""

    @overload
    async def approve(
        self,
        name: str,
        *,
        form: type[V],
        context: object = ...,
        subject: object = ...,
        roles: Sequence[str] | None = ...,
        people: Sequence[str] | None = ...,
        quorum: int = ...,
        of: int | None = ...,
        within: Duration | None = ...,
        rejections: Rejections = ...,
        reason: Reasons = ...,
        requester: str | None = ...,
        separate: bool = ...,
        remind: Duration | Sequence[Duration] | None = ...,
        escalate: Sequence[Escalation] = ...,
        on_expiry: OnExpiry = ...,
        default: object = ...,
    ) -> Answer[V]: ...
    @overload
    async def approve(
        self,
        name: str,
        *,
        form: dict[str, Any] | None = ...,
        context: object = ...,
        subject: object = ...,
        roles: Sequence[str] | None = ...,
        people: Sequence[str] | None = ...,
        quorum: int = ...,
        of: int | None = ...,
        within: Duration | None = ...,
        rejections: Rejections = ...,
        reason: Reasons = ...,
        requester: str | None = ...,
        separate: bool = ...,
        remind: Duration | Sequence[Duration] | None = ...,
        escalate: Sequence[Escalation] = ...,
        on_expiry: OnExpiry = ...,
        default: object = ...,
    ) -> Answer[dict[str, Any]]: ...
    async def approve(
        self,
        name: str,
        *,
        form: Any = None,
        context: object = None,
        subject: object = msgspec.UNSET,
        roles: Sequence[str] | None = None,
        people: Sequence[str] | None = None,
        quorum: int = 1,
        of: int | None = None,
        within: Duration | None = None,
        rejections: Rejections = "one",
        reason: Reasons = "optional",
        requester: str | None = None,
        separate: bool = True,
        remind: Duration | Sequence[Duration] | None = None,
        escalate: Sequence[Escalation] = (),
        on_expiry: OnExpiry = "expire",
        default: object = None,
    ) -> Answer[Any]:
        """Ask people and wait durably for the answer. Only inside a run.

        Durations are seconds, timedelta, or text such as `90s`, `15m`, `2h`, `2d`.

        Args:
            form: dataclass, struct or model type, or JSON Schema (2020-12), of the fields to fill in.
            context: what they see.
            subject: exactly what is approved; its hash (SHA-256 of RFC 8785 JSON) binds. `context` by default.
            roles, people: who may decide, by role and by name; neither means anybody.
            quorum: how many different people must approve; of: how many may decide at all, where that is known.
            within: deadline, since the question.
            rejections: what ends it: `one`, the `majority` of all, or a `quorum` of them.
            reason: `optional`, for each `rejection`, or `always` needed.
            requester: who wants it. They may not decide, nor may whoever caused the run, unless `separate` is False.
            remind: again and again after so long, or at these times since the question.
            escalate: who is asked next, and when.
            on_expiry: what the deadline means: `expire`, `approve`, `reject`, `value` (approve with `default`), or
                `fail`, which raises here.

        Raises:
            InvalidInput: nobody could answer this. ApprovalRejected: the deadline is over, with `on_expiry="fail"`.
        """
        branch = inside("approve")
        again = remind is not None and (isinstance(remind, str | timedelta) or not isinstance(remind, Sequence))
        moments = [remind] if again else remind or ()
        question = Question(
            name=name,
            form=form,
            context=context,
            subject=subject,
            roles=roles or (),
            people=people or (),
            quorum=quorum,
            of=of,
            within_s=seconds(within),
            rejections=rejections,
            reason=reason,
            apart=() if requester is None or not separate else (requester,),
            remind_s=[seconds(cast("Duration", one)) or 0.0 for one in cast("Sequence[object]", moments)],
            remind_again=again,
            escalate=escalate,
            on_expiry=on_expiry,
            default=default,
        )
        return await approve(self.runtime, branch, question, separate=separate)


async def approve(runtime: Runtime, branch: Branch, question: Question, *, separate: bool) -> Answer[Any]:
    """Ask people, and wait durably until they have decided or the deadline is over."""

    question.asked("", 0)  # which refuses, at the place that asks, what could never be answered

    async def perform(live: LiveRun, key: str) -> Outcome:
        live.traces = True  # a question that nobody waits for any more is withdrawn when the run ends
        causes = await causes_of(runtime.store, live) if separate else []
        asked = msgspec.structs.replace(question, apart=[*question.apart, *causes]).asked(
            operation_id(live.run.id, key),
            runtime.clock.now_ms(),
            run=live.run.id,
            step_key=key,
            tenant=live.run.tenant,
            correlation=live.run.correlation,
        )

        async def ask(tx: Transaction) -> Approval:
            approval = await runtime.approvals.ask(tx, asked)
            if approval.due_ms is not None:
                await tx.runs.set_timer(live.run, live.fence, Timer(live.run.id, key, approval.due_ms))
            return approval

        approval = await runtime.store.commit(ask)
        runtime.approvals.told(approval)

        async def look(tx: Transaction) -> tuple[Approval, Answer[object]] | None:
            found = await tx.approvals.find(approval.id)
            if found is None:
                return None
            if not binds(found, asked.hash):
                return found, Answer(status=ApprovalStatus.WITHDRAWN, decisions=[], hash=found.hash)
            answer = answer_of(found, runtime.clock.now_ms())
            return None if answer is None else (found, answer)

        found, answer = await runtime.engine.operations.waits.until(live, key, look, due_ms=approval.due_ms)

        async def expire(tx: Transaction) -> None:
            if found.status is ApprovalStatus.OPEN and answer.status is not ApprovalStatus.WITHDRAWN:
                after = expired(found)
                await tx.approvals.advance(found, after, "approval.expired", detail={"outcome": after.status})

        return Outcome(output=to_json(answer), also=expire, started_ms=approval.created_ms)

    text = await runtime.engine.operations.value(branch, "approval", question.name, perform)
    answer = typed_from_json(text, Answer[object])
    if answer.fails:
        raise ApprovalRejected(f"Nobody decided {question.name} in time.", remedy="Ask again, or ask others.")
    return _typed(answer, question.form)


def _typed(answer: Answer[object], form: Any) -> Answer[Any]:
    """The answer with its fields as the form's type, where something was approved."""
    if not answer.approved or form is None:
        return answer
    value: object = answer.values
    if not isinstance(form, dict):
        value = Codec(form).decode(to_json(value))
    return msgspec.structs.replace(answer, value=value)
