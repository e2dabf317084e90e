"""What a process logs: one JSON object a line for machines, text for people, and no secret in either."""

import asyncio
import base64
import io
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.fixtures.serving import request, served
from workflow_router import Router, embed
from workflow_router.app.logs import SCRUBBER, JsonLines, LogFormat, People, logging_as

SECRET = "canary/7d10+bb42 x"
API_KEY, HOOK = "key-canary-11f0+/=", "hook canary/22e1"
FORMS = [SECRET, quote_plus(SECRET), base64.b64encode(SECRET.encode()).decode().rstrip("=")]
PROJECT = """
name: quiet
settings:
  log_format: json
  api_keys: {office: {env: OFFICE_KEY}}
sources:
  shop: {scheme: github, secret: {env: HOOK_SECRET}}
routes:
  out:
    targets: [{name: a, kind: python, key: {env: TARGET_KEY}}]
"""
CODE = """
import base64, logging, os
from urllib.parse import quote_plus
from workflow_router import Router

router = Router("quiet")
log = logging.getLogger("mine")

def tell():
    for name in ("OFFICE_KEY", "HOOK_SECRET", "TARGET_KEY"):
        secret = os.environ[name]
        forms = [secret, quote_plus(secret), base64.b64encode(b"user:" + secret.encode()).decode()]
        try:
            raise ValueError(f"refused {forms} \\x1b[31m\\r{secret}")
        except ValueError:
            log.exception("It failed with %s.\\nforged line", forms)

@router.target("a")
async def a(given: object) -> object:
    tell()
    raise ValueError(os.environ["TARGET_KEY"])
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_in_an_exception_appears_nowhere(form: LogFormat) -> None:
    SCRUBBER.know(SECRET)
    out = io.StringIO()
    with logging_as(form, out):
        try:
            raise ValueError(f"refused {FORMS}")
        except ValueError:
            logging.getLogger("x").exception("It failed with %s\x1b[2J\nforged", FORMS)
    said = out.getvalue()
    assert "ValueError: refused" in said
    assert "\x1b" not in said
    for one in FORMS:
        assert one not in said
    if form == "json":
        (line,) = said.splitlines()
        found = json.loads(line)
        assert set(found) == {"time", "level", "logger", "message", "exception"}
        assert (found["level"], found["logger"]) == ("error", "x")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    else:
        assert " ERROR x: It failed with " in said


@pytest.mark.parametrize("form", [JsonLines(), People()], ids=["json", "text"])
def test_text_that_utf_8_cannot_carry_is_a_line_all_the_same(form: logging.Formatter) -> None:
    error = ValueError("x\ud800y")
    record = logging.LogRecord("mine", logging.ERROR, "", 1, "It failed: %s", ("a\udfffb",), (ValueError, error, None))
    line = form.format(record).encode()
    assert line.count(b"udfff") == 1
    assert line.count(b"ud800") == 1


def test_lines_tell_the_run_and_step_they_come_from() -> None:
    router = Router()
    log = logging.getLogger("mine")

    @router.step
    async def inside() -> None:
        log.warning("from a step")

    @router.step
    def threaded() -> None:
        log.warning("from a thread")

    @router.workflow
    async def flow() -> None:
        log.warning("from a run")
        await inside()
        await threaded()

    out = io.StringIO()

    async def main() -> str:
        async with embed(router) as runtime:
            run_id = await router.start(flow)
            assert (await runtime.engine.ended(run_id)).status == "completed"
            log.warning("from outside")
            return run_id

    with logging_as("json", out):
        run_id = asyncio.run(main())
    lines = {line["message"]: line for line in map(json.loads, out.getvalue().splitlines())}
    assert {text: (line.get("run"), line.get("step")) for text, line in lines.items()} == {
        "from a run": (run_id, None),
        "from a step": (run_id, "0"),
        "from a thread": (run_id, "1"),
        "from outside": (None, None),
    }


def test_a_process_keeps_the_secrets_of_its_project_to_itself(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "router.yaml").write_text(PROJECT)
    (folder / "flows.py").write_text(CODE)
    environ = {"OFFICE_KEY": API_KEY, "HOOK_SECRET": HOOK, "TARGET_KEY": SECRET.replace(" ", "_")}
    with served(folder, environ) as url:
        key = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
        assert request(url, "POST", "/webhooks/shop", b"{}", {"x-hub-signature-256": "sha256=00"})[0] in {400, 401, 403}
        assert request(url, "POST", "/dispatch/out/x", b"{}", key)[0] == 500
        paths = ("/metrics", "/api/audit", "/api/dispatches", "/api/state", "/api/routes", "/api/sources")
        shown = b"".join(request(url, "GET", path, None, key)[1] for path in paths)
    log = (tmp_path / "router.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["logger"] for line in lines} >= {"mine", "workflow_router.core.dispatch_route.inside"}
    assert all("trace_id" not in line for line in lines)
    stored = b"".join(file.read_bytes() for file in (folder / "data").iterdir() if file.is_file())
    for secret in environ.values():
        encoded = base64.b64encode(b"user:" + secret.encode()).decode().rstrip("=")
        for form in (secret, quote_plus(secret), encoded[8:-1]):
            assert form not in log, form
            assert form.encode() not in stored + shown, form
