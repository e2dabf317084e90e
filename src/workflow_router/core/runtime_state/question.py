"""Owns what is asked: a question as code states it, and the approval it becomes. Refuses what nobody could answer."""

from collections.abc import Sequence
from typing import Any

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.identifiers import checked_text
from workflow_router.core.model import DEFAULT_TENANT, Approval
from workflow_router.core.runtime_state.approval_forms import check_values, form_schema
from workflow_router.core.runtime_state.approval_model import Level, OnExpiry, Policy, Progress, Reasons, Rejections
from workflow_router.core.runtime_state.approval_rules import canonical, subject_hash, with_next
from workflow_router.core.states import ApprovalStatus
from workflow_router.utils.codec import from_json, to_json

PEOPLE_MAX = 200
LEVELS_MAX = 20
CONTEXT_MAX_BYTES = 262_144


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked next if nobody has decided `after_s` seconds since the question was asked.

    Attributes:
        replace: those asked before may not decide any more.
    """

    after_s: float
    roles: Sequence[str] = ()
    people: Sequence[str] = ()
    replace: bool = False


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What people are asked; see `Router.approve` for what each field means. Times are seconds."""

    name: str
    form: Any = None
    context: object = None
    subject: object = msgspec.UNSET
    roles: Sequence[str] = ()
    people: Sequence[str] = ()
    quorum: int = 1
    of: int | None = None
    within_s: float | None = None
    rejections: Rejections = "one"
    reason: Reasons = "optional"
    apart: Sequence[str] = ()
    remind_s: Sequence[float] = ()
    remind_again: bool = False
    escalate: Sequence[Escalation] = ()
    on_expiry: OnExpiry = "expire"
    default: object = None

    def asked(
        self,
        approval_id: str,
        now_ms: int,
        *,
        run: str = "",
        step_key: str = "",
        tenant: str = DEFAULT_TENANT,
        correlation: str | None = None,
    ) -> Approval:
        """The approval that this question becomes. Raises InvalidInput."""
        self._check()
        schema = form_schema(self.form)
        default = _fields(self.default)
        if self.on_expiry == "value":
            check_values(schema, default)
        subject = self.context if self.subject is msgspec.UNSET else self.subject
        # Whatever has a JSON form is what it is as JSON, so that the hash can be made of what is shown.
        subject = from_json(to_json(subject))
        context = to_json(self.context)
        if len(context) > CONTEXT_MAX_BYTES:
            raise InvalidInput(f"What people see is longer than {CONTEXT_MAX_BYTES} bytes.", remedy="Refer to it.")
        policy = Policy(
            people=list(self.people),
            of=self.of,
            rejections=self.rejections,
            reason=self.reason,
            apart=[one for one in dict.fromkeys(self.apart) if one],
            remind_ms=[_ms(one) for one in self.remind_s],
            remind_again=self.remind_again,
            levels=[
                Level(after_ms=_ms(one.after_s), roles=list(one.roles), people=list(one.people), replace=one.replace)
                for one in sorted(self.escalate, key=lambda one: one.after_s)
            ],
            on_expiry=self.on_expiry,
            default=default,
        )
        asked = Approval(
            id=approval_id,
            run=run,
            step_key=step_key,
            name=self.name,
            status=ApprovalStatus.OPEN,
            form=schema,
            context=context,
            roles=list(self.roles),
            quorum=self.quorum,
            tenant=tenant,
            created_ms=now_ms,
            due_ms=None if self.within_s is None else now_ms + _ms(self.within_s),
            decisions=b"[]",
            policy=to_json(policy),
            progress=to_json(Progress()),
            subject=canonical(subject),
            hash=subject_hash(subject),
            correlation=correlation,
        )
        return with_next(asked)

    def _check(self) -> None:
        checked_text("The name of an approval", self.name)
        if not all(isinstance(one, Escalation) for one in self.escalate):  # pyright: ignore[reportUnnecessaryIsInstance]  not everybody checks types
            raise InvalidInput(
                "`escalate` is a list of `Escalation`.", remedy="Write Escalation(after_s=…, roles=[…])."
            )
        for asked in (self, *self.escalate):
            _check_names("people", asked.people)
            _check_names("roles", asked.roles)
        for count in (self.quorum, self.of or 1):
            if type(count) is not int:
                raise InvalidInput(f"{count!r} is no number of people.", remedy="Write a whole number.")
        many = self.of or (len(set(self.people)) if self.people and not self.roles and not self.escalate else None)
        if self.quorum < 1 or (many is not None and self.quorum > many):
            raise InvalidInput(f"{self.quorum} people can never approve this.", remedy="Ask for 1 to N of N.")
        if len(self.people) + len(self.roles) > PEOPLE_MAX or len(self.escalate) > LEVELS_MAX:
            raise InvalidInput(f"More than {PEOPLE_MAX} candidates or {LEVELS_MAX} levels.", remedy="Name roles.")
        if any(one <= 0 for one in (*self.remind_s, *(one.after_s for one in self.escalate))):
            raise InvalidInput("A reminder or escalation is not after the question.", remedy="Give it some time.")
        if list(self.remind_s) != sorted(self.remind_s):
            raise InvalidInput("The reminders are not in order.", remedy="Write the first one first.")
        if any(not one.people and not one.roles for one in self.escalate):
            raise InvalidInput("An escalation names nobody.", remedy="Give it roles or people.")
        if self.on_expiry != "expire" and self.within_s is None:
            raise InvalidInput("`on_expiry` needs a deadline.", remedy="Say `within`.")


def _check_names(what: str, names: Sequence[str]) -> None:
    if isinstance(names, str):  # which is a sequence, too: of names with one letter
        raise InvalidInput(f"`{what}` is a list of names, not a text.", remedy=f"Write {what}=[{names[:50]!r}].")
    for name in names:
        checked_text(f"A name in `{what}`", name)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _fields(value: object) -> dict[str, object]:
    plain = from_json(to_json(value))
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise InvalidInput("The default is no object.", remedy="Give the form's fields.")
    return {str(name): one for name, one in plain.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  JSON's names are text
