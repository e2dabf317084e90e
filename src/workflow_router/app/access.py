"""Owns joining who may call: keys of the project, keys that are made while it runs. Refuses to decide: `api` does."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from workflow_router.core.access.keys import AccessKeys
from workflow_router.core.access.refusals import Refusals
from workflow_router.core.runtime import Runtime
from workflow_router.settings.access import Access as Declared

if TYPE_CHECKING:
    from workflow_router.api.access import Access


@contextlib.asynccontextmanager
async def opened_access(
    runtime: Runtime, declared: Declared, configured: Mapping[str, str] | None
) -> "AsyncGenerator[Access, None]":
    """Who may call a runtime, until the block ends.

    Args:
        configured: SHA-256 of each key of the project, in hex, to its name.
    """
    from workflow_router.api.access import Access  # noqa: PLC0415  a program that embeds routers has no doors

    names = set((configured or {}).values())
    keys = AccessKeys(runtime.store, runtime.clock, declared.all_roles(), reserved=names, administered=bool(configured))
    refusals = Refusals(runtime.store)
    async with contextlib.AsyncExitStack() as stack:
        await keys.open()
        stack.push_async_callback(keys.close)
        refusals.open()
        stack.push_async_callback(refusals.close)
        yield Access(runtime.live, keys, refusals, configured)
