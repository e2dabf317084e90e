"""Owns the demo's maintainer: answers open approvals through the API, yes to most. Refuses to look anywhere else."""

import asyncio
from hashlib import sha256

from workflow_router.cli.demo.api import Api
from workflow_router.core.dispatch_route.ports import TransportFailed

NAME, ROLE = "ada-l", "maintainer"
LOOK_EVERY_S = 0.1
NO_OUT_OF = 5  # of so many questions, one gets a no


class Person:
    """A maintainer at work.

    Attributes:
        decided: what was answered, by the approval's id.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.decided: dict[str, bool] = {}

    async def work(self) -> None:
        """Answer whatever is asked, until cancelled."""
        while True:
            try:
                for approval in await self._api.open_approvals():
                    agree = sha256(approval.context).digest()[0] % NO_OUT_OF != 0
                    comment = "Thank you." if agree else "Please split this up."
                    self.decided[approval.id] = agree
                    await self._api.decide(approval.id, by=NAME, role=ROLE, approved=agree, comment=comment)
            except TransportFailed:  # the router is down; it comes back
                pass
            await asyncio.sleep(LOOK_EVERY_S)
