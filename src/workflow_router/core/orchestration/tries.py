"""Owns the count of a step's attempts over crashes: each that failed is journalled before the wait for the next one.

So a step that fails is tried as often as its policy says, however often its process dies in between, and no sooner. The
attempt that was under way when the process died is not counted: nobody knows what came of it, and a run that kills its
process is given up by `parking`. A step that does not fail writes nothing. Refuses to decide whether to try again.
"""

from typing import Any

from workflow_router.core.orchestration.definitions import Step
from workflow_router.core.orchestration.live import LiveRun
from workflow_router.core.orchestration.ports import Tried
from workflow_router.utils.clock import Clock


class Trying:
    """The attempts of one step of a run, those of executions before this one included.

    Attributes:
        made: how many there were, the one under way included.
        began_ms: when the first began, where that was before this execution.
        wait_s: seconds until the next is due, when this execution takes it up.
    """

    made = 0
    began_ms: int | None = None
    wait_s = 0.0
    _here_s = 0.0

    def __init__(self, clock: Clock, live: LiveRun, key: str, step: Step[..., Any]) -> None:
        self._clock = clock
        self._live = live
        self._key = key
        self._name = step.name
        if step.deadline_s is not None or step.retry.elapsed_s is not None:
            self._here_s = clock.monotonic_s()
        found = live.tried.get(key) if live.tried else None
        if found is not None and found.name == step.name:  # or the code has changed, and another step stands here
            now_ms = clock.now_ms()
            self.made, self.began_ms = found.attempts, found.began_ms
            self.wait_s = max(0, found.due_ms - now_ms) / 1000
            self._here_s -= max(0, now_ms - found.began_ms) / 1000

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first attempt began, of a step whose time is bounded."""
        return self._clock.monotonic_s() - self._here_s

    def again(self, wait_s: float) -> Tried:
        """What is to be kept of a failure after which the next attempt is due so many seconds from now."""
        now_ms = self._clock.now_ms()
        if self.began_ms is None:
            under_way = self._live.performing.get(self._key)
            self.began_ms = now_ms if under_way is None else under_way.started_ms
        due_ms = now_ms + round(wait_s * 1000)
        return Tried(name=self._name, attempts=self.made, began_ms=self.began_ms, due_ms=due_ms)
