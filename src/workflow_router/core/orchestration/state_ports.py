"""What editing the published state of runs needs of the store. Anybody may edit; the run's owner publishes."""

from typing import Protocol


class StateTransitions(Protocol):
    """Storage verbs of what people change of the state that a run published."""

    async def edit(self, run_id: str, state: bytes, edits: bytes) -> None:
        """Make JSON the state that others see, and keep the edits until the run publishes its state again."""
        ...

    async def edits(self, run_id: str) -> bytes | None:
        """The JSON of the edits that the run has not seen, if there are any."""
        ...

    async def copy(self, source: str, run_id: str, state: bytes | None) -> None:
        """Give a run the attributes of another, and this as its state, or that of the other."""
        ...
