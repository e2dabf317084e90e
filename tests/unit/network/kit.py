"""What tests of the transport share."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fixtures.raw_server import RawServer, Received, Script, Wire, serving
from workflow_router.core.dispatch_route.model import Headers, Timeouts
from workflow_router.core.dispatch_route.ports import Answer, Outgoing, TransportFailed
from workflow_router.network.http import HttpTransport

SECRET = "sk-canary-7f3a"
SHORT = Timeouts(connect_s=0.5, first_byte_s=0.5, idle_s=0.5, total_s=1.5)


def outgoing(
    url: str,
    *,
    method: str = "POST",
    headers: Headers = (("authorization", f"Bearer {SECRET}"),),
    body: bytes = b"{}",
    timeouts: Timeouts = SHORT,
    answer_max_bytes: int = 1_000_000,
) -> Outgoing:
    return Outgoing(
        method=method,
        url=url,
        headers=headers,
        body=body,
        timeouts=timeouts,
        allow_private=True,
        answer_max_bytes=answer_max_bytes,
    )


def against(script: Script, use: Callable[[HttpTransport, RawServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(script) as server:
            transport = HttpTransport()
            try:
                await use(transport, server)
            finally:
                await transport.close()

    asyncio.run(main())


async def whole(reply: Answer) -> bytes:
    pieces: list[bytes] = []
    while piece := await reply.chunk():
        pieces.append(piece)
    return b"".join(pieces)


async def failure(transport: HttpTransport, request: Outgoing) -> TransportFailed:
    with pytest.raises(TransportFailed) as failed:
        await whole(await transport.send(request))
    error: BaseException | None = failed.value
    while error is not None:  # neither the error nor what it came from may hold the secret
        assert SECRET not in repr(error) + str(error) + repr(vars(error))
        error = error.__cause__ or error.__context__
    return failed.value


def raw(data: bytes) -> Script:
    async def script(_: Received, wire: Wire) -> None:
        await wire.send(data)

    return script


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost, and a server's context with it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, and it makes the certificate of this test")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    serving_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving_context.load_cert_chain(certificate, key)
    return certificate, serving_context
