"""Owns asking a provider to count a streamed completion, and keeping what the caller did not ask for from it.

Chat completions tell the usage of a stream only with `stream_options: {"include_usage": true}`, in one more chunk
without choices before `[DONE]`; the other formats always tell it. Refuses to touch any other event.
"""

import msgspec

from workflow_router.core.dispatch_route.model import Call

EVENT_MAX_BYTES = 4 * 1024 * 1024  # an event that is longer is passed on as it comes

_PATH = "/v1/chat/completions"
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw]
    usage: dict[str, msgspec.Raw]


_chunk = msgspec.json.Decoder(_Chunk)


def counted(call: Call) -> Call | None:
    """The same call with its usage asked for; None where it does not stream, or asks for it itself."""
    if call.path.partition("?")[0] != _PATH or b'"stream"' not in call.body:
        return None
    try:
        members = _members.decode(call.body)
        given = members.get("stream_options")
        options = {} if given is None or bytes(given) == b"null" else _members.decode(given)
    except (msgspec.DecodeError, RecursionError):
        return None  # the target says what is wrong with it
    if bytes(members.get("stream", b"false")) != b"true" or bytes(options.get("include_usage", b"false")) == b"true":
        return None
    options["include_usage"] = msgspec.Raw(b"true")
    members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.structs.replace(call, body=msgspec.json.encode(members))


class Uncounted:
    """An event stream without the chunk that tells its usage. Events are passed on whole, as soon as they are."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """What of the stream may be passed on now."""
        data = (self._rest + piece).replace(b"\r\n", b"\n")
        cut = max(data.rfind(b"\n\n") + 2, 0) if b"\n\n" in data else 0
        if not cut and len(data) > EVENT_MAX_BYTES:
            self._rest = b""
            return data
        self._rest = data[cut:]
        if b'"usage"' not in data:
            return data[:cut]
        return b"".join(event + b"\n\n" for event in data[:cut].split(b"\n\n")[:-1] if not _tells_usage(event))

    def rest(self) -> bytes:
        """What is left when the stream has ended."""
        data, self._rest = self._rest, b""
        return b"" if _tells_usage(data) else data


def _tells_usage(event: bytes) -> bool:
    line = event.strip()
    if not line.startswith(b"data:") or b'"usage"' not in line:
        return False
    try:
        return not _chunk.decode(line[5:]).choices
    except (msgspec.DecodeError, RecursionError):
        return False
