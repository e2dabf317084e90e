"""`wr runs replay` as it stands in a pipeline: a project folder, a store, and the exit code."""

import asyncio
import json
from pathlib import Path

from tests.fixtures.serving import served, wr
from workflow_router import Router, embed

CODE = """
from workflow_router import Router

router = Router("shop")


@router.step
async def price(item: str) -> int:
    return 30


@router.workflow
async def buy(item: str) -> int:
    return await price(item)
"""


def record(url: str) -> str:
    """A run of the code above in a store; its id."""
    router = Router("shop")

    @router.step
    async def price(item: str) -> int:
        return 30

    @router.workflow
    async def buy(item: str) -> int:
        return await price(item)

    async def main() -> str:
        async with embed(router, store=url) as runtime:
            return (await runtime.engine.ended(await router.start(buy, "vase"))).id

    return asyncio.run(main())


def test_a_store_and_a_server_are_held_against_the_code_of_a_folder(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "router.yaml").write_text("name: shop\npython: [shop.py]\nsettings: {store: 'sqlite:///router.db'}\n")
    (project / "shop.py").write_text(CODE)
    url = f"sqlite:///{project / 'router.db'}"
    run = record(url)

    good = wr("runs", "replay", "--all", "--folder", project, "--store", url)
    assert (good.returncode, good.stdout) == (0, "1 replayed, 0 broken.\n"), good.stderr
    with served(project) as address:
        other = tmp_path / "other"
        other.mkdir()
        (other / "router.yaml").write_text("name: shop\npython: [shop.py]\n")
        (other / "shop.py").write_text(CODE.replace("price", "cost"))
        bad = wr("runs", "replay", run, "--folder", other, "--json", url=address)
        assert bad.returncode == 1, bad.stderr
        assert json.loads(bad.stdout)["breaks"] == [
            {
                "run": run,
                "workflow": "buy",
                "version": "1",
                "key": "0",
                "expected": "step 'price'",
                "found": "step 'cost'",
            }
        ]
    assert wr("runs", "replay", "--folder", project).returncode == 2
    assert wr("runs", "replay", "--all", "--store", "sqlite:////nowhere/router.db").returncode != 0
