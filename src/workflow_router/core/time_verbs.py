"""Owns the verbs of time: heartbeats of steps. Refuses declarations and engines of its own."""

from typing import Any

from workflow_router.core.declare import Declarations
from workflow_router.core.orchestration.heartbeats import beating
from workflow_router.utils.codec import Codec, to_json


class TimeVerbs(Declarations):
    """What steps and workflows say about time."""

    def heartbeat(self, details: object = None) -> None:
        """Say that the step goes on, which puts off its `heartbeat_timeout_s`. Plain functions in threads may, too.

        Args:
            details: how far it has come, for the next attempt, even one in another process. The last is kept.
        """
        beats = beating()
        if beats is not None:
            beats.beat(None if details is None else to_json(details))

    def last_heartbeat(self, *, of: Any = Any) -> Any:
        """The last details that an earlier attempt of this step gave; None where there are none.

        Args:
            of: their type; plain data by default.
        """
        beats = beating()
        return None if beats is None or beats.details is None else Codec(of).decode(beats.details)
