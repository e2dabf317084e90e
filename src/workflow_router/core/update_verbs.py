"""Owns the verbs of updates: declaring them, asking a run, answering within a run. Refuses engines of its own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from workflow_router.core import run_verbs
from workflow_router.core.declare import Declarations
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput
from workflow_router.core.orchestration.live import current
from workflow_router.core.orchestration.updates import Update
from workflow_router.utils.codec import from_json, given_to_json


class UpdateVerbs(Declarations):
    """Updates of one part of a project."""

    def __init__(self, name: str = "default") -> None:
        super().__init__(name)
        self.updates: dict[str, Update] = {}

    def on_update(self, name: str | None = None) -> Callable[[Callable[..., Any]], Update]:
        """Declare a function as the handler of an update, by default of its own name.

        It is given the state that the run hands to `handle`, and the caller's value if it takes a second argument. What
        it returns is the answer; what it raises is told to the caller, and the run goes on. It is part of the run's
        code: it may call steps and other verbs, and changes the state in the same way on each replay.

        Raises:
            InvalidInput: another parameter, or another update of the name.
        """

        def declare(function: Callable[..., Any]) -> Update:
            update = Update(function, name or function.__name__)
            if update.name in self.updates:
                raise InvalidInput(f"Two updates are named {update.name}.", remedy="Give one of them another `name`.")
            self.updates[update.name] = update
            return update

        return declare

    async def handle(self, *updates: Update, to: object, within: str | float | timedelta | None = None) -> str:
        """Wait durably for the next of these updates and answer it; returns its name. Only inside a run.

        Args:
            to: the state of the run, which the handlers are given.
            within: deadline, as seconds, timedelta, or text such as `90s`, `2d`.

        Raises:
            WaitExpired: none came in time. It is a TimeoutError.
        """
        branch = run_verbs.inside("handle")
        if not updates:
            raise InvalidInput("There is no update to handle.", remedy="Name those declared with `on_update`.")
        known = {update.name: update for update in updates}
        return await self.runtime.updates.handle(branch, known, to, seconds(within))

    async def update(
        self,
        run_id: str,
        name: str | Update,
        value: object = None,
        *,
        update_id: str | None = None,
        within: str | float | timedelta = 30.0,
    ) -> Any:
        """Ask a run and return its answer, which is durable. Not in a workflow itself, where it belongs in a step.

        Args:
            update_id: the run is asked once for each id, however often this is called.
            within: how long to wait for the answer.

        Raises:
            NotFound, InvalidInput (the value does not fit), Conflict (the run has ended): the run was not asked.
            UpdateRejected: its handler raised. WaitExpired: no answer yet.
        """
        if current() is not None:
            raise InvalidInput("`update` does not work inside a workflow.", remedy="Call it in a step.")
        label = name.name if isinstance(name, Update) else name
        _, answer = await self.runtime.updates.ask(
            run_id, label, given_to_json(value), within_s=seconds(within) or 0.0, update_id=update_id
        )
        return from_json(answer)
