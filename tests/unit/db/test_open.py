"""Opening a store: every kind of URL, and every reason not to open one, with its remedy."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_router.core.errors import (
    InvalidInput,
    StoreBusy,
    StoreError,
    StoreLibraryTooOld,
    StoreUnavailable,
)
from workflow_router.db.open import open_store, verify_store
from workflow_router.db.sqlite.connection import check_library
from workflow_router.utils.clock import SystemClock


async def _open(url: str) -> None:
    store = await open_store(url, clock=SystemClock(), owner="first")
    assert store.fences()
    await store.close()
    await store.close()


def test_sqlite_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(_open("sqlite:///data/relative.db"))
    asyncio.run(_open(f"sqlite:///{tmp_path}/absolute with space?.db"))
    asyncio.run(_open("sqlite://"))
    assert (tmp_path / "data" / "relative.db").exists()
    assert (tmp_path / "absolute with space?.db").exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        "data",
        "absolute with space?.db",
        "absolute with space?.db.lock",
    }


@pytest.mark.parametrize(
    "url",
    ["", "store.db", "mysql://me:secret@host/db", "sqlite://relative.db", "sqlite:///", "postgresql://", "sqlite"],
)
def test_an_unknown_url_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asyncio.run(_open(url))
    assert "sqlite:///file.db" in caught.value.remedy
    assert "secret" not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("asyncpg", "workflow_router.db.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreError) as caught:
        asyncio.run(_open("postgresql://localhost/db"))
    assert caught.value.remedy == "pip install 'workflow-router[postgres]'"


def test_the_embedded_store_loads_no_driver_of_another() -> None:
    program = (
        "import asyncio, sys\n"
        "from workflow_router.db.open import open_store\n"
        "from workflow_router.utils.clock import SystemClock\n"
        "asyncio.run(open_store('sqlite://', clock=SystemClock(), owner='x'))\n"
        "print('asyncpg' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from workflow_router.core.errors import StoreBusy\n"
        "from workflow_router.db.open import open_store\n"
        "from workflow_router.utils.clock import SystemClock\n"
        "try:\n"
        "    asyncio.run(open_store(sys.argv[1], clock=SystemClock(), owner='second'))\n"
        "except StoreBusy as error:\n"
        "    print(error)\n"
    )
    url = f"sqlite:///{tmp_path / 'store.db'}"

    def second() -> str:
        command = [sys.executable, "-c", program, url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    async def main() -> None:
        store = await open_store(url, clock=SystemClock(), owner="first")
        assert "Another process has the store" in await asyncio.to_thread(second)
        with pytest.raises(StoreBusy):
            await verify_store(url)
        await store.close()
        assert await asyncio.to_thread(second) == ""

    asyncio.run(main())


@pytest.mark.parametrize(
    ("version", "fine"), [("3.40.1", False), ("3.51.2", False), ("3.51.3", True), ("3.60.0", True)]
)
def test_an_old_sqlite_library_is_refused(version: str, fine: bool) -> None:
    if fine:
        check_library(version)
        return
    with pytest.raises(StoreLibraryTooOld, match=r"Install apsw with SQLite 3\.51\.3 or newer"):
        check_library(version)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="Check the path"):
        asyncio.run(_open(f"sqlite:///{tmp_path}/file/store.db"))


def test_what_is_stored_is_for_its_owner_only(tmp_path: Path) -> None:
    def modes() -> dict[str, int]:
        return {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    async def main() -> dict[str, int]:
        store = await open_store(f"sqlite:///{tmp_path}/store.db", clock=SystemClock(), owner="first")
        found = modes()
        await store.close()
        return found

    assert asyncio.run(main()) == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.db.lock"], 0o600)
