"""What somebody in the port has to do. What leads to it is in `router.yaml`."""

from dataclasses import dataclass
from typing import Literal

from workflow_router import Router

router = Router("event-driven-architecture")


@dataclass(frozen=True)
class Task:
    """Something to do about a container."""

    kind: Literal["alarm", "close-door", "technician", "open-gate"]
    container: str
    why: str


@router.workflow
async def task(task: Task) -> Task:
    """A real project would ask people here, or call a service; see the other examples."""
    return task
