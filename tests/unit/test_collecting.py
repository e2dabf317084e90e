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


def test_young_objects_are_looked_after_less_often_while_a_router_is_open() -> None:
    async def main() -> tuple[int, int, int]:
        async with embed(Router("quiet")):
            return gc.get_threshold()

    usual = gc.get_threshold()
    assert asyncio.run(main())[0] > usual[0]
    assert gc.get_threshold() == usual


def test_a_program_that_has_thresholds_of_its_own_keeps_them() -> None:
    async def main() -> tuple[int, int, int]:
        async with embed(Router("quiet")):
            return gc.get_threshold()

    usual = gc.get_threshold()
    gc.set_threshold(9_000, 8, 7)
    try:
        assert asyncio.run(main()) == (9_000, 8, 7)
        assert gc.get_threshold() == (9_000, 8, 7)
    finally:
        gc.set_threshold(*usual)


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
