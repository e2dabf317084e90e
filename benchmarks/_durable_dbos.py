"""Owns DBOS Transact in the durable benchmark. `python -m benchmarks._durable_dbos STORE_URL SIZES [SERVER…]`."""
# pyright: basic, reportMissingImports=false
# Peers are installed by hand, into an environment of their own, so a type checker may not find them.

import asyncio
import logging
import sys

from dbos import DBOS

from benchmarks import _durable_work as work


@DBOS.step()
async def add_one(n: int) -> int:
    return n + 1


@DBOS.workflow()
async def three(n: int) -> int:
    return await add_one(await add_one(await add_one(n)))


@DBOS.workflow()
async def fan(width: int) -> int:
    return sum(await asyncio.gather(*[add_one(n) for n in range(width)]))


async def main(store: str, sizes: str, servers: list[str]) -> None:
    DBOS(config={"name": "bench", "system_database_url": store, "run_admin_server": False})
    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.launch()

    async def run(workflow, n: int) -> int:
        return await (await DBOS.start_workflow_async(workflow, n)).get_result()

    engine = work.Engine(lambda n: run(three, n), lambda width: run(fan, width), tuple(map(int, servers)))
    work.tell(await work.measure(engine, work.Sizes.parse(sizes)))
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
