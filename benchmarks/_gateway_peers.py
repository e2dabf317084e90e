"""The gateways of the benchmark: how each is started in front of the upstream, and what is sent to it."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import _harness as harness

GATEWAY_CORE, LOAD_CORE = 0, 1
MASTER_KEY = "sk-bench"

ROUTER = """\
name: gateway-bench
routes:
  gpt-bench:
    targets:
      - {{name: upstream, kind: openai, url: "http://127.0.0.1:{upstream}/v1", model: gpt-bench, allow_private: true}}
"""
BEFORE = ROUTER + "    record: before\n"
LIMITS = """\
limits:
  - {{name: calls, requests: 1000000000, window: 1h, per: key}}
  - {{name: spent, money: 1000000, window: month, per: tenant}}
prices: {{models: {{gpt-bench: {{input: 1.0, output: 2.0}}}}}}
"""
NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; keepalive_requests 100000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
LITELLM = """\
model_list:
  - model_name: gpt-bench
    litellm_params: {{model: openai/gpt-bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


@dataclass(frozen=True)
class Gateway:
    """One contestant.

    Attributes:
        command: with the files it reads, by name; both may hold {port}, {upstream} and {folder}.
        streams: whether it can stream at all.
        keyed: whether its callers show a virtual key, which is made when it runs.
    """

    name: str
    command: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    streams: bool = True
    keyed: bool = False

    def request(self, *, stream: bool = False, word: str = "burst") -> bytes:
        """A question of some 230 bytes."""
        content = f"{word} " + "please tell me " * 8
        body = f'{{"model":"gpt-bench","messages":[{{"role":"user","content":"{content}"}}]'
        body += ',"stream":true}' if stream else ',"temperature":0.5}'
        lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
        return "\r\n".join([*lines, f"content-length: {len(body)}", *self.headers, "", body]).encode()


class Running:
    """A gateway that runs on its own core. Use it as an asynchronous context manager."""

    def __init__(self, gateway: Gateway, folder: Path, port: int, upstream: int) -> None:
        self.gateway = gateway
        self.port = port if gateway.command else upstream
        self._folder = folder / gateway.name
        self._values = {"port": port, "upstream": upstream, "folder": self._folder, "key": MASTER_KEY}
        self._process: asyncio.subprocess.Process | None = None
        self._virtual = b""

    async def __aenter__(self) -> "Running":
        self._folder.mkdir(exist_ok=True)
        for name, text in self.gateway.files.items():
            (self._folder / name).write_text(text.format(**self._values))
        if self.gateway.command:
            command = [part.format(**self._values) for part in self.gateway.command]
            self._process = await spawn(command, self._folder / "log", GATEWAY_CORE, self.gateway.environ)
        await answers(self.port)
        if self.gateway.keyed:
            self._virtual = await _virtual_key(self.port)
        return self

    def request(self, *, stream: bool = False, word: str = "burst") -> bytes:
        """The gateway's question, with what is known only now."""
        asked = self.gateway.request(stream=stream, word=word)
        return asked.replace(b"{upstream}", str(self._values["upstream"]).encode()).replace(b"{virtual}", self._virtual)

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await stop(self._process)

    @property
    def cpu_s(self) -> float:
        """CPU time used so far."""
        return 0.0 if self._process is None else harness.cpu_s(self._process.pid)

    @property
    def rss_mb(self) -> float:
        """Resident memory now."""
        return 0.0 if self._process is None else harness.rss_mb(self._process.pid)


def gateways(litellm: str | None, portkey: str | None) -> list[Gateway]:
    """Direct, ours, and the peers that are installed; says which are not."""
    shown = ("authorization: Bearer {virtual}",)
    wr = (sys.executable, "-m", "workflow_router.cli", "serve", "{folder}", "--listen", "127.0.0.1:{port}")
    found = [
        Gateway("direct"),
        *(
            Gateway(name, (*wr, "--store", "sqlite:///{folder}/bench.db"), {"router.yaml": text}, shown, keyed=True)
            for name, text in (("ours", ROUTER), ("ours-before", BEFORE), ("ours-limits", ROUTER + LIMITS))
        ),
    ]
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        print("nginx is not installed: skipped (Debian: nginx-light).")
    else:
        found.append(Gateway("nginx", (nginx, "-c", "{folder}/nginx.conf", "-p", "{folder}"), {"nginx.conf": NGINX}))
    litellm = litellm or shutil.which("litellm")
    if litellm is None:
        print("LiteLLM is not installed: skipped (dependency group bench-gateway, or --litellm PROGRAM).")
    else:
        command = (litellm, "--config", "{folder}/c.yaml", "--host", "127.0.0.1", "--port", "{port}")
        key = (f"authorization: Bearer {MASTER_KEY}",)
        environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # its price list comes from the network otherwise
        found.append(Gateway("litellm", (*command, "--num_workers", "1"), {"c.yaml": LITELLM}, key, environ))
    node = shutil.which("node")
    if portkey is None or node is None:
        print("Portkey is not installed: skipped (npm install @portkey-ai/gateway, then --portkey start-server.js).")
    else:
        headers = ("x-portkey-provider: openai", "authorization: Bearer sk-upstream")
        host = "x-portkey-custom-host: http://127.0.0.1:{upstream}/v1"
        command = (node, portkey, "--port={port}", "--headless")
        found.append(Gateway("portkey", command, {}, (*headers, host), streams=False))  # 1.15.2 answers 500 to streams
    return found


async def _virtual_key(port: int) -> bytes:
    """Make a virtual key over the API."""
    body = b'{"name":"bench-%d"}' % time.time_ns()  # the store of the round before has one too
    head = b"POST /api/keys HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    said = await reader.read()
    writer.close()
    return str(json.loads(said.partition(b"\r\n\r\n")[2])["key"]).encode()


async def spawn(
    command: list[str], log: Path, core: int, environ: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a process that stays on one core."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, stdin=asyncio.subprocess.DEVNULL, env={**os.environ, **(environ or {})}
        )
    os.sched_setaffinity(process.pid, {core})
    return process


async def stop(process: asyncio.subprocess.Process) -> None:
    """End it."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def answers(port: int, within_s: float = 180.0) -> None:
    """Until something listens."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
