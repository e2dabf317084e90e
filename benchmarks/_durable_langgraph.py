"""Owns LangGraph on SQLite in the durable benchmark. `python -m benchmarks._durable_langgraph FILE SIZES`."""
# pyright: basic, reportMissingImports=false
# Peers are installed by hand, into an environment of their own, so a type checker may not find them.

import asyncio
import sys
import uuid

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task

from benchmarks import _durable_work as work


@task
async def add_one(n: int) -> int:
    return n + 1


async def main(file: str, sizes: str) -> None:
    async with AsyncSqliteSaver.from_conn_string(file) as saver:

        @entrypoint(checkpointer=saver)
        async def three(n: int) -> int:
            return await add_one(await add_one(await add_one(n)))

        @entrypoint(checkpointer=saver)
        async def fan(width: int) -> int:
            return sum(await asyncio.gather(*[add_one(n) for n in range(width)]))

        async def run(graph, n: int) -> int:
            return await graph.ainvoke(n, {"configurable": {"thread_id": str(uuid.uuid4())}}, durability="sync")

        engine = work.Engine(lambda n: run(three, n), lambda width: run(fan, width))
        found = await work.measure(engine, work.Sizes.parse(sizes))
        async with saver.conn.execute("PRAGMA synchronous") as cursor:
            assert await cursor.fetchone() == (2,), "LangGraph's saver does not sync each commit here"
        work.tell(found)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
