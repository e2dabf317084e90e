"""Owns how errors are told over HTTP: problem documents (RFC 9457) with a remedy. Refuses to tell of internals."""

import math

import msgspec

from workflow_router.api.asgi import Headers
from workflow_router.core.errors import (
    DispatchFailed,
    Overloaded,
    PayloadTooLarge,
    RouterError,
    StoreError,
    Unauthorized,
)
from workflow_router.utils.codec import to_json

TYPE_PREFIX = "urn:workflow-router:problem:"
MEDIA_TYPE = "application/problem+json"
STORE_RETRY_S = 1


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, and how to mend it (RFC 9457).

    Attributes:
        type: stable name of the kind of problem.
        detail: one sentence about this occurrence.
        remedy: one sentence: what to do about it.
    """

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""


class MethodNotAllowed(RouterError):
    """The path exists, but does not take this method."""

    type = "method-not-allowed"
    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method[:20]} is not for this path.", remedy=f"Use {allowed}.")
        self.allowed = allowed


class BodyTooSlow(RouterError):
    """The body did not arrive in time."""

    type = "body-too-slow"
    status = 408


class Unexpected(RouterError):
    """Something that was not foreseen; the log has it."""


def problem_of(error: RouterError) -> tuple[int, Headers, bytes]:
    """Status, headers beside the content type, and body of an error."""
    return error.status, _headers(error), document_of(error, error.status)


def document_of(error: RouterError, status: int) -> bytes:
    """The problem document of an error, as JSON."""
    return to_json(
        Problem(
            type=TYPE_PREFIX + error.type,
            title=error.type.replace("-", " ").capitalize(),
            status=status,
            detail=error.message,
            remedy=error.remedy,
        )
    )


def _headers(error: RouterError) -> Headers:
    match error:
        case Overloaded() if error.retry_after_s is not None:
            return _retry_after(error.retry_after_s)
        case DispatchFailed() if error.retry_after_s is not None:
            return _retry_after(error.retry_after_s)
        case StoreError():
            return _retry_after(STORE_RETRY_S)
        case MethodNotAllowed():
            return [(b"allow", error.allowed.encode())]
        case Unauthorized():
            return [(b"www-authenticate", b"Bearer")]
        case PayloadTooLarge() | BodyTooSlow():
            return [(b"connection", b"close")]  # rather than read on what is not wanted
        case _:
            return []


def _retry_after(seconds: float) -> Headers:
    return [(b"retry-after", str(math.ceil(seconds)).encode())]
