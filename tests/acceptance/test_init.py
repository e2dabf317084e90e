"""A new project runs as it is, and the command it shows makes a run complete."""

import json
import shlex
import time
from pathlib import Path

from tests.fixtures.serving import request, served, wr


def test_init_serve_and_the_shown_curl_make_a_run_complete(tmp_path: Path) -> None:
    project = tmp_path / "hello"
    made = wr("init", project)
    assert made.returncode == 0, made.stderr
    assert wr("check", project).stdout == "No mistakes.\n"
    with served(project) as url:
        shown = made.stdout.partition("curl ")[2].rpartition("\nwr runs")[0]
        address, _, header, _, data = shlex.split(shown)
        name, _, value = header.partition(": ")
        status, content = request(url, "POST", address.partition(":8787")[2], data.encode(), {name: value})
        assert status == 202
        (run,) = json.loads(content)["runs"]
        deadline = time.monotonic() + 20
        while (found := json.loads(wr("runs", "show", run, "--json", url=url).stdout))["status"] != "completed":
            assert time.monotonic() < deadline, found
        assert found["output"] == "Bonjour, Ada!"
        listed = wr("runs", url=url)
        assert run in listed.stdout
    assert (project / "data" / "router.db").exists()
    assert shown in (project / "README.md").read_text()
