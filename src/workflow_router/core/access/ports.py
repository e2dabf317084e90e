"""Owns what access needs of the outside: somebody who checks tokens, and signs people in. Refuses to know how."""

from typing import Protocol

import msgspec

from workflow_router.core.access.model import Identity
from workflow_router.core.errors import RouterError


class IssuerUnavailable(RouterError):
    """The keys of the tokens' issuer cannot be had now."""

    type = "issuer-unavailable"
    status = 503


class Tokens(Protocol):
    """Checks the tokens of one issuer."""

    async def identify(self, token: str) -> Identity:
        """Whose token it is. Raises Unauthorized, and IssuerUnavailable where its keys cannot be had."""
        ...


class Attempt(msgspec.Struct, frozen=True):
    """What binds a sign-in to the browser that began it, all of it random.

    Attributes:
        state: comes back with the issuer's answer.
        nonce: comes back in the token.
        verifier: shows that who redeems the code is who asked for it (RFC 7636).
    """

    state: str
    nonce: str
    verifier: str


class Login(Protocol):
    """Signs people in at the issuer."""

    async def address(self, attempt: Attempt) -> str:
        """Where the browser is to go. Raises IssuerUnavailable."""
        ...

    async def identify(self, attempt: Attempt, code: str) -> Identity:
        """Who has signed in, for the code that the issuer gave. Raises Unauthorized, IssuerUnavailable."""
        ...
