"""Workflows to look at: one that asks a person, one that fails, one of many steps."""

from dataclasses import dataclass
from typing import Literal

from workflow_router import Permanent, Router

router = Router("console")


@dataclass(frozen=True)
class Answer:
    """What the person fills in."""

    amount: int
    speed: Literal["slow", "fast"] = "slow"


@router.step
async def note(text: str) -> str:
    return text


@router.step
async def break_off(text: str) -> str:
    raise Permanent(f"No luck with {text}.")


@router.workflow
async def ask(text: str) -> str:
    await note(text)
    decision = await router.approve("refund", form=Answer, context={"text": text, "reasons": ["it is much"]})
    await router.publish("answers", {"text": text, "status": decision.status})
    return decision.status


@router.workflow
async def fail(text: str) -> str:
    return await break_off(await note(text))


@router.workflow
async def long(text: str) -> str:
    for _ in range(400):
        await note(text)
    return text


@router.step
async def tread(text: str) -> str:
    return text


@router.workflow
async def careful(text: str) -> str:
    return await tread(text)


@router.step
async def check(amount: int) -> int:
    if amount > 5:
        raise Permanent(f"{amount} is more than is allowed.")
    return amount


@router.workflow
async def bounded(text: str) -> int:
    state = await router.publish_state({"text": text, "amount": 9}, of=dict[str, object])
    return await check(int(str(state["amount"])))


@router.workflow
async def speak(text: str) -> str:
    stream = router.stream("tokens")
    await stream.write(f"Hear: {text}")
    await router.receive("go")
    await stream.write(", and this.")
    return text


@router.workflow
async def call(text: str) -> str:
    return str(await router.dispatch("echo", {"text": text}))
