"""What a router tells the garbage collector, in a program that is not its own."""

import asyncio
import gc

from workflow_router import Router, embed


def test_what_was_there_before_a_router_is_left_out_of_collections_while_it_is_open() -> None:
    async def main() -> tuple[int, int]:
        async with embed(Router("quiet")):
            while_open = gc.get_freeze_count()
            async with embed(Router("inner")):
                pass
            assert gc.get_freeze_count() > 10_000, "a second router undid what the first had told"
        return while_open, gc.get_freeze_count()

    while_open, after = asyncio.run(main())
    assert while_open > 10_000
    assert after == 0


def test_a_program_that_freezes_its_objects_itself_is_left_as_it_is() -> None:
    async def main() -> None:
        async with embed(Router("quiet")):
            assert gc.get_freeze_count() > frozen / 2  # some of them have died since

    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        asyncio.run(main())
        assert gc.get_freeze_count() > frozen / 2  # some of them have died since
    finally:
        gc.unfreeze()
