"""Owns the request as it goes upstream: address, headers from an allowlist, and the model's name in the body.

Refuses what could be read two ways by two servers: control characters, dot segments, bodies that are not what they say.
"""

import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import msgspec

from workflow_router.core.dispatch_route.model import Call, Caller, Headers, Target, Timeouts
from workflow_router.core.dispatch_route.ports import Outgoing
from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import to_json

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})  # RFC 9110 section 9.2.2

PASSED_ON = frozenset(
    {
        "accept",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-language",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "openai-beta",
        "prefer",
        "range",
        "traceparent",
        "tracestate",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
# Names that describe one connection (RFC 9110 section 7.6.1) or the framing; a target's `pass_headers` cannot add them.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_RETURNED = HOP_BY_HOP | {"content-encoding", "set-cookie", "set-cookie2"}
# Set here and nowhere else.
_OURS = frozenset({"accept-encoding", "authorization", "idempotency-key"})

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all of them but the tab (RFC 9110 section 5.5)
_PATH = re.compile(r"/[\x21\x22\x24-\x5b\x5d-\x7e]*")  # visible ASCII without # and backslash
_SLASHES = re.compile(r"[/\\]")  # some servers decode before they split, and split at both
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def check_call(call: Call) -> None:
    """Raise InvalidInput where the call cannot be sent to any target."""
    if call.method not in METHODS:
        raise InvalidInput(
            f"The method {call.method[:20]!r} is not dispatched.", remedy=f"Use {', '.join(sorted(METHODS))}."
        )
    path = call.path.partition("?")[0]
    dotted = ("." in path or "%" in path) and any(part in {".", ".."} for part in _SLASHES.split(unquote(path)))
    if dotted or not _PATH.fullmatch(call.path):
        raise InvalidInput(
            "The path is not one that can be appended to a target's address.",
            remedy="Start it with /, percent-encode it (RFC 3986) and leave out dot segments.",
        )


def idempotency_key(call: Call, caller: Caller) -> str | None:
    """The key that makes a repeated call the same call: the one it was given, as a header too, or the run's own."""
    if caller.idempotency_key is None:
        for name, value in call.headers:
            if name.lower() == "idempotency-key":
                return value
    return caller.stable_key()


def may_repeat(target: Target, call: Call, key: str | None) -> bool:
    """Whether a call that may have reached the target can be sent again; a completion has no effect but its cost."""
    return target.kind == "openai" or key is not None or call.method in IDEMPOTENT


def build(target: Target, call: Call, key: str | None, secret: str | None, caller: Caller | None = None) -> Outgoing:
    """The request for one target. Raises InvalidInput for a control character in a header or a body without members."""
    allowed = _allowed(target.pass_headers, target.key_header)
    headers = [(lower, value) for name, value in call.headers if (lower := name.lower()) in allowed]
    headers.append(("accept-encoding", "identity"))  # a compressed stream could not be passed on piece by piece
    if key is not None:
        headers.append(("idempotency-key", key))
    if _CONTROL.search("".join([value for _, value in headers])):
        name = next(name for name, value in headers if _CONTROL.search(value))
        raise InvalidInput(f"The header {name} holds a control character.", remedy="Send it on one line.")
    if secret is not None:
        bearer = target.key_header.lower() == "authorization"
        headers.append((target.key_header.lower(), f"Bearer {secret}" if bearer else secret))
    return Outgoing(
        method=call.method,
        url=_join(target, call.path),
        headers=tuple(headers),
        body=_with_model(call, target) if target.kind == "openai" else call.body,
        timeouts=target.timeouts,
        allow_private=target.allow_private,
        answer_max_bytes=target.answer_max_bytes,
        caller=caller,
    )


def within(outgoing: Outgoing, left_s: float) -> Outgoing:
    """The same request, with no limit of time longer than what is left."""
    limits = outgoing.timeouts
    shorter = Timeouts(
        connect_s=min(limits.connect_s, left_s),
        first_byte_s=min(limits.first_byte_s, left_s),
        idle_s=min(limits.idle_s, left_s),
        total_s=min(limits.total_s, left_s),
    )
    return msgspec.structs.replace(outgoing, timeouts=shorter)


def returned(headers: Headers) -> Headers:
    """An answer's headers without those of the connection, of the encoding (it is undone) and without cookies.

    A cookie set by a target would reach callers that share the gateway, so none is handed on.
    """
    drop = _NOT_RETURNED
    for name, value in headers:
        if name == "connection":
            drop = drop.union(token.strip().lower() for token in value.split(","))
    return tuple([header for header in headers if header[0] not in drop])


@lru_cache(maxsize=1024)
def _allowed(pass_headers: tuple[str, ...], key_header: str) -> frozenset[str]:
    own = {name.lower() for name in pass_headers}
    return (PASSED_ON | own) - HOP_BY_HOP - _OURS - {key_header.lower()}


def _join(target: Target, path: str) -> str:
    """Append path to address.

    For LLM formats the address is what client libraries call the base URL: one with a path names the version itself
    (`https://host/v1`, `https://host/v1beta/openai`), to one without a path `/v1` is added; the call's own is left out.
    """
    base = target.url.rstrip("/")
    if target.kind == "openai":
        path = path.removeprefix("/v1")
        if not urlsplit(base).path:
            base += "/v1"
    if path == "/" and urlsplit(base).path:  # the address says it all, as that of a webhook does
        return target.url
    return base + path


def _with_model(call: Call, target: Target) -> bytes:
    """The body with its `model` set; every other member's bytes stay as they came."""
    model = target.model if target.model is not None else call.model
    if model is None or not call.body:
        return call.body
    try:
        members = _members.decode(call.body)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("The body is not a JSON object.", remedy="Send one with the members of the API.") from None
    members["model"] = msgspec.Raw(to_json(model))
    return to_json(members)
