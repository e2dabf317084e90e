"""Owns when a trigger may go on: at once, later, together with others, or not at all. Pure; refuses I/O and clocks."""

from workflow_router.core.pacing.decide import decide, release
from workflow_router.core.pacing.policies import (
    Batch,
    Debounce,
    Decision,
    Delay,
    Held,
    Policy,
    RateLimit,
    Throttle,
    Verdict,
)

__all__ = [
    "Batch",
    "Debounce",
    "Decision",
    "Delay",
    "Held",
    "Policy",
    "RateLimit",
    "Throttle",
    "Verdict",
    "decide",
    "release",
]
