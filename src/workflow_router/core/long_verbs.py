"""Owns the verbs of runs that take long: going on as another run. Refuses engines of its own."""

from workflow_router.core import run_verbs
from workflow_router.core.errors import ContinueAsNew, InvalidInput
from workflow_router.core.time_verbs import TimeVerbs
from workflow_router.utils.codec import to_json


class LongVerbs(TimeVerbs):
    """What workflows say that go on for long."""

    def continue_as_new(self, input: object = None) -> ContinueAsNew:  # noqa: A002  as in `start`
        """What to raise so that the run ends and goes on as another: `raise router.continue_as_new(input)`.

        The new run begins with this input and an empty history, in the commit that ends this one. Signals, updates and
        expected events that were not received, the run's key, its attributes, its published state and its children go
        over to it; whoever waits for this run waits for that one. Only in the workflow's own function.
        """
        branch = run_verbs.inside("continue_as_new")
        if branch.path:
            raise InvalidInput("`continue_as_new` works only in the workflow's own function.", remedy="Raise it there.")
        return ContinueAsNew(self.runtime.ids.new(), to_json(input))
