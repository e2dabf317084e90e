"""A supervisor asks specialists at once, puts together what they say, lets a person look at it, and sends it out.

Each `await` below that reaches a model, a run, a person or a stream is durable: done once, and remembered over a crash.
"""

from dataclasses import dataclass
from typing import Literal, cast

from workflow_router import Router, StepFailed

router = Router("multi-agent-collaboration")

TEAM = {
    "researcher": "Find what is known.",
    "critic": "Say what may go wrong.",
    "pricing": "Say what it costs.",
    "lawyer": "Say what must be agreed.",
}
ANSWER_MAX_TOKENS = 50  # with it, what a call may cost at most is known before it leaves
PAUSE_S = 0.1  # between two chunks, as a reader would like it


@dataclass(frozen=True)
class Task:
    """What a specialist is asked."""

    specialist: str
    question: str


@dataclass(frozen=True)
class Opinion:
    """What a specialist says, and how it came about."""

    specialist: str
    by: Literal["expert", "cheap", "nobody"]
    text: str = ""


@dataclass(frozen=True)
class Release:
    """What the person fills in."""

    signature: str
    remark: str = ""


@dataclass(frozen=True)
class Answer:
    """What became of the question."""

    sent: bool
    opinions: list[Opinion]


@router.workflow
async def supervise(question: str) -> Answer:
    """The team's answer, if a person lets it out; it is in the stream `answer`."""
    tasks = [Task(name, question) for name in TEAM]
    opinions = await router.map(specialist, tasks)
    said = [f"{one.specialist}: {one.text}" for one in opinions if one.by != "nobody"]
    decision = await router.approve(
        "answer",
        form=Release,
        context={"question": question, "silent": [one.specialist for one in opinions if one.by == "nobody"]},
        subject={"answer": said},  # exactly this is let out, and nothing else
        roles=["editor"],
        within="2d",
    )
    if decision.value is not None:
        await send([*said, f"signed: {decision.value.signature}"])
    return Answer(decision.value is not None, opinions)


@router.workflow
async def specialist(task: Task) -> Opinion:
    """Ask the expert; where the team's money is used up, the cheap model; else have no opinion."""
    body = {
        "messages": [
            {"role": "system", "content": TEAM[task.specialist]},
            {"role": "user", "content": f"To the {task.specialist}: {task.question}"},
        ],
        "max_tokens": ANSWER_MAX_TOKENS,
    }
    for route in ("expert", "cheap"):
        try:
            return Opinion(task.specialist, route, text_of(await router.dispatch(route, body)))
        except StepFailed:  # no room in the budget, so nothing was sent; or the model gave no answer
            continue
    return Opinion(task.specialist, "nobody")


async def send(lines: list[str]) -> None:
    """Write the answer to its stream. A chunk is part of the run's history: written once, whatever crashes."""
    stream = router.stream("answer")
    for line in lines:
        await stream.write(line + "\n")
        await router.sleep(PAUSE_S)
    await stream.end()


def text_of(answer: object) -> str:
    """The text in a chat completion."""
    choices = cast("dict[str, list[dict[str, dict[str, str]]]]", answer)["choices"]
    return choices[0]["message"]["content"]
