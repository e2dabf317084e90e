"""Steps that other processes can find."""

import os
import threading
from dataclasses import dataclass

from workflow_router import Permanent, Retry, Router

router = Router("cpu")


@dataclass
class Work:
    """What a step is to do."""

    number: int
    kind: str = "square"


@dataclass
class Done:
    """What came of it."""

    result: int
    process: int


@router.step(cpu=True, retry=Retry(attempts=3, first_s=0.01))
def work(given: Work) -> Done:
    """Square a number, fail, hang or die."""
    if given.kind == "fail":
        raise Permanent("no luck")
    if given.kind == "die":
        os._exit(3)
    return Done(given.number**2, os.getpid())


@router.step(cpu=True, timeout_s=0.5)
def hang() -> None:
    """Hold a process up for longer than anybody waits."""
    threading.Event().wait()


@router.workflow
async def compute(kind: str) -> Done:
    """Run one of them."""
    if kind == "hang":
        await hang()
    return await work(Work(7, kind))
