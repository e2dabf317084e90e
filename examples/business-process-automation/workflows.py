"""What becomes of an expense: paid by the rules, paid when people agree, or refused.

The mappings in `router.yaml` are the rules. Where a real project would call a bank, `pay` appends a line to
`data/paid.jsonl`.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from workflow_router import Escalation, Retry, Router

router = Router("business-process-automation")

PAID = Path(__file__).parent / "data" / "paid.jsonl"
DAY_S = float(os.environ.get("DAY_S", "86400"))  # the play makes days short
TWO_MUST_AGREE_FROM = 1_000


@dataclass(frozen=True)
class Expense:
    """What somebody wants to have back."""

    id: str
    by: str
    amount: int
    receipt: bool


@dataclass(frozen=True)
class Note:
    """What those who decide fill in."""

    comment: str = ""


@router.workflow
async def pay_at_once(expense: Expense) -> str:
    """A small amount with a receipt."""
    await pay(expense)
    return "paid"


@router.workflow
async def ask_and_pay(expense: Expense) -> str:
    """Managers decide, after a day directors too; without an answer for three days it is refused."""
    decision = await router.approve(
        "expense",
        form=Note,
        context={"expense": expense.id},
        subject=asdict(expense),  # a decision on another amount does not count
        roles=["manager"],
        quorum=2 if expense.amount >= TWO_MUST_AGREE_FROM else 1,
        requester=expense.by,  # who may not decide it
        remind=[0.5 * DAY_S],
        escalate=[Escalation(after_s=DAY_S, roles=["director"])],
        within=3 * DAY_S,
        on_expiry="reject",
    )
    if not decision.approved:
        return "refused"
    await pay(expense)
    return "paid"


@router.workflow
async def refuse(expense: Expense) -> str:
    """No receipt, no money."""
    return f"refused: {expense.id} has no receipt"


@router.step(retry=Retry(attempts=3), timeout_s=10)
def pay(expense: Expense) -> None:
    """Pay. After a crash it may be done once more, with the same id, by which a bank knows a repetition."""
    with PAID.open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(asdict(expense), sort_keys=True) + "\n")
