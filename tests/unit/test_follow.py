"""A follower looks on after a failure, and never leaves a look half done."""

import asyncio

from workflow_router.core.follow import Follower


def test_a_look_that_fails_is_followed_by_the_next_and_closing_waits_for_the_one_under_way() -> None:
    looks: list[str] = []

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def look() -> None:
            if not looks:
                looks.append("failed")
                raise ConnectionError("the first one fails")
            begun.set()
            await go_on.wait()
            looks.append("whole")

        follower = Follower("things", look, lambda _: asyncio.sleep(0))
        follower.open(1.0)
        await begun.wait()
        closing = asyncio.create_task(follower.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        assert looks == ["failed", "whole"]

    asyncio.run(main())


def test_alone_on_a_store_nobody_looks() -> None:
    async def main() -> None:
        async def look() -> None:
            raise AssertionError

        follower = Follower("things", look)
        follower.open(None)
        await follower.close()

    asyncio.run(main())
