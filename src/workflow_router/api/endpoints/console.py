"""Owns handing out the console: its page, and the files under /web. Refuses any name that is not a file's of its own.

The console is a program in the browser over the public API, in modules without a build step (docs/decisions/0009).
"""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from workflow_router.api.endpoint import PUBLIC, endpoint
from workflow_router.api.request import Request, Response
from workflow_router.core.errors import NotFound

TAG = "operations"
HTML = "text/html; charset=utf-8"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": HTML,
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
# Scripts, styles and requests of this origin only; nothing inline, no frames, no evaluation.
_POLICY = b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
_ANY: Mapping[str, object] = dict.fromkeys(_TYPES.values())
_ZIPPED = (b"content-encoding", b"gzip")


class Asset(msgspec.Struct, frozen=True):
    """A file of the console, as it is sent."""

    content_type: str
    body: bytes
    zipped: bytes
    tag: bytes


@cache
def _assets() -> dict[str, Asset]:
    """Every file by its path under /web; read once, when the first is asked for."""
    found: dict[str, Asset] = {}

    def add(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                add(entry, f"{prefix}{entry.name}/")
            elif (content_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
                body = entry.read_bytes()
                tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:20].encode()
                found[prefix + entry.name] = Asset(content_type, body, gzip.compress(body, 9, mtime=0), tag)

    add(files("workflow_router.api") / "web", "")
    return found


def _send(request: Request, path: str) -> Response:
    asset = _assets().get(path)
    if asset is None:
        raise NotFound("The console has no such file.", remedy="It begins at /.")
    headers = (
        (b"content-security-policy", _POLICY),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
        (b"etag", asset.tag),
        (b"vary", b"accept-encoding"),
    )
    if request.header(b"if-none-match") == asset.tag.decode():
        return Response(b"", 304, asset.content_type, headers)
    if "gzip" in (request.header(b"accept-encoding") or ""):
        return Response(asset.zipped, content_type=asset.content_type, headers=(*headers, _ZIPPED))
    return Response(asset.body, content_type=asset.content_type, headers=headers)


@endpoint("GET", "/", tag=TAG, scope=PUBLIC, produces={HTML: None})
async def get_console(request: Request) -> Response:
    """Show the console."""
    return _send(request, "index.html")


@endpoint("GET", "/web/{file}", tag=TAG, scope=PUBLIC, errors=(NotFound,), produces=_ANY)
async def get_console_file(request: Request, file: str) -> Response:
    """Give a file of the console."""
    return _send(request, file)


@endpoint("GET", "/web/{folder}/{part}", tag=TAG, scope=PUBLIC, errors=(NotFound,), produces=_ANY)
async def get_console_part(request: Request, folder: str, part: str) -> Response:
    """Give a file of a part of the console."""
    return _send(request, f"{folder}/{part}")


ENDPOINTS = (get_console, get_console_file, get_console_part)
