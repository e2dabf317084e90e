"""Owns what access needs of the outside: somebody who checks tokens of an issuer. Refuses to know how."""

from typing import Protocol

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
