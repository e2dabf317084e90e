"""The console's files: which may be fetched, and under which policy."""

import asyncio
import gzip
import hashlib
import json
import re
from importlib.resources import files

import pytest

from tests.acceptance.api_kit import served
from workflow_router import Router

WEB = files("workflow_router.api") / "web"
KEYS = {hashlib.sha256(b"wr_key").hexdigest(): "ann"}


def test_the_page_and_all_that_it_asks_for_come_under_a_strict_policy() -> None:
    async def main() -> None:
        async with served(Router("shop"), keys=KEYS) as door:
            seen: set[str] = set()
            wanted = ["/"]
            while wanted:
                path = wanted.pop()
                seen.add(path)
                answer = await door.call("GET", path)
                assert answer.status == 200, path
                policy = answer.headers["content-security-policy"]
                assert "default-src 'self'" in policy
                assert "unsafe" not in policy
                text = answer.body.decode()
                folder = path.rpartition("/")[0]
                found = re.findall(r'(?:src|href)="(/web/[^"]+)"', text) if path == "/" else []
                for name in re.findall(r'from "(\.{1,2}/[\w./-]+)"', text):
                    at = folder.rpartition("/")[0] if name.startswith("../") else folder
                    found.append(f"{at}/{name.lstrip('./')}")
                wanted += [one for one in found if one not in seen and one not in wanted]
                assert not re.search(r"\son\w+=|javascript:|<style|style=\"", text) or path.endswith(".js"), path
            assert {"/web/style.css", "/web/app.js", "/web/pages/runs.js", "/web/vendor/preact-htm.js"} <= seen

    asyncio.run(main())


def test_a_file_that_is_known_is_not_sent_again() -> None:
    async def main() -> None:
        async with served(Router("shop")) as door:
            first = await door.call("GET", "/web/app.js")
            again = await door.call("GET", "/web/app.js", headers={"if-none-match": first.headers["etag"]})
            assert (again.status, again.body) == (304, b"")
            plain = await door.raw(b"GET /web/app.js HTTP/1.1\r\nhost: localhost\r\n\r\n")
            zipped = await door.raw(b"GET /web/app.js HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n")
            assert gzip.decompress(zipped.partition(b"\r\n\r\n")[2]) == plain.partition(b"\r\n\r\n")[2] == first.body

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/web/none.js", "/web/..%2Fserver.py", "/web/pages/..%2Fapp.js", "/web/pages/"])
def test_nothing_but_its_files_is_handed_out(path: str) -> None:
    async def main() -> None:
        async with served(Router("shop")) as door:
            (await door.call("GET", path)).problem(404, "not-found")

    asyncio.run(main())


def test_what_is_vendored_is_what_the_list_says() -> None:
    vendor = WEB / "vendor"
    listed = {one["file"]: one for one in json.loads((vendor / "vendor.json").read_text())}
    assert {entry.name for entry in vendor.iterdir()} - {"vendor.json"} == set(listed)
    for name, one in listed.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == one["sha256"]
        assert one["version"]
        assert one["licence"]
