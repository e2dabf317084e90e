"""Owns signed links: what one says, and whether it was made here. Refuses to keep the secret, and to decide.

A token is `payload.signature`, both base64url without padding; the signature is HMAC-SHA256 (RFC 2104) over a label and
the payload. It binds one approval, person, decision and hash until a moment, and has an id by which it is used once.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.errors import Forbidden, InvalidInput, NotFound
from workflow_router.utils.codec import to_json

SECRET_MIN_BYTES = 16
TOKEN_MAX = 4_096


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a signed link says.

    Attributes:
        hash: of what is approved. expires_ms: wall time from which it is refused.
    """

    id: str
    approval: str
    tenant: str
    person: str
    roles: list[str] = []
    approved: bool
    hash: str
    expires_ms: int


_decode = msgspec.json.Decoder(Link).decode


class Seal:
    """Signs content and knows its own signatures.

    Args:
        secrets: those in force now, asked for at each use: the first signs, each may have signed.
        label: what signatures are for, so that one made for something else does not fit.
    """

    def __init__(self, secrets: Callable[[], Sequence[bytes]], label: bytes) -> None:
        self._secrets = secrets
        self._label = label

    def sign(self, content: bytes) -> str:
        """The signature, HMAC-SHA256 as base64url. Raises NotFound, InvalidInput where no secret can be had."""
        return _encode(self._mac(self._keys()[0], content))

    def fits(self, content: bytes, signature: str) -> bool:
        """Whether one of the secrets made this signature. Raises as `sign` does."""
        try:
            given = _decoded(signature)
        except ValueError:
            return False
        found = False
        for key in self._keys():  # all of them, so that the time tells nothing
            found |= hmac.compare_digest(self._mac(key, content), given)
        return found

    def _mac(self, key: bytes, content: bytes) -> bytes:
        return hmac.new(key, self._label + b"\0" + content, hashlib.sha256).digest()

    def _keys(self) -> list[bytes]:
        found = [secret for secret in self._secrets() if secret]
        if not found:
            raise NotFound("No secret for this is configured.", remedy="Declare it below settings.approvals.")
        if any(len(secret) < SECRET_MIN_BYTES for secret in found):
            raise InvalidInput(
                f"The secret is shorter than {SECRET_MIN_BYTES} bytes.", remedy="openssl rand -base64 32"
            )
        return found


class Links:
    """Signs and reads links.

    Args:
        url: where the server is reached from outside.
        valid_ms: how long a link can be used by default.
    """

    def __init__(self, secrets: Callable[[], Sequence[bytes]], url: str, *, valid_ms: int = 86_400_000) -> None:
        self._seal = Seal(secrets, b"workflow-router/approval-link/1")
        self._url = url.rstrip("/")
        self.valid_ms = valid_ms

    def sign(self, link: Link) -> str:
        """The address at which this link is opened."""
        payload = _encode(to_json(link))
        return f"{self._url}/approve/{payload}.{self._seal.sign(payload.encode())}"

    def read(self, token: str, now_ms: int) -> Link:
        """What a token says. Raises Forbidden, with the same words whatever is wrong with it, or once it expired."""
        payload, _, signature = token.partition(".")
        fits = len(token) <= TOKEN_MAX and self._seal.fits(payload.encode(), signature)
        try:
            link = _decode(_decoded(payload)) if fits else None
        except (msgspec.DecodeError, ValueError):
            link = None
        if link is None:
            raise Forbidden("This link was not made here.", remedy="Open the link as it was sent.")
        if now_ms >= link.expires_ms:
            raise Forbidden("This link has expired.", remedy="Ask for a new one.")
        return link


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if _encode(found) != text:  # the last character may hold bits that say nothing: there is one way to write it
        raise ValueError("not canonical")
    return found
