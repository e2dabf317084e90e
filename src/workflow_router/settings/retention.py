"""Owns what a project says of how long finished runs are kept."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from workflow_router.core.orchestration import retention
from workflow_router.settings.values import Text

Days: TypeAlias = Annotated[float, Meta(gt=0, le=36_500)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many days runs are kept after their end, by workflow or else `days`; null keeps them for good.

    Older ones are archived below `folder`, a path from the project folder, and removed from the store.
    """

    days: Days | None = retention.KEEP_DAYS
    workflows: dict[Text, Days | None] = {}
    folder: Text = retention.FOLDER

    def keeping(self) -> retention.Keeping:
        """The same in the engine's words."""
        return retention.Keeping(days=self.days, workflows=self.workflows)
