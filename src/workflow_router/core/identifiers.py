"""Owns what may be an id, a key or a name that users choose: text that every store keeps, within bounds. Pure."""

from workflow_router.core.errors import InvalidInput

LENGTH_MAX = 500


def checked_text(what: str, text: object) -> str:
    """The text, if it can be one. Raises InvalidInput, which says of `what` it is.

    PostgreSQL keeps no NUL characters in text, and UTF-8 has no halves of surrogate pairs.
    """
    if not isinstance(text, str) or not 0 < len(text) <= LENGTH_MAX:
        raise InvalidInput(f"{what} is text of 1 to {LENGTH_MAX} characters.", remedy="Use an id, not a document.")
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise InvalidInput(f"{what} has no NUL characters and no halves of pairs.", remedy="Leave them out.")
    return text


def check_ids(run_id: str | None, key: str | None) -> None:
    """Raise InvalidInput where these, if given, cannot be the id of a run and an idempotency key."""
    if run_id is not None:
        checked_text("The id of a run", run_id)
    if key is not None:
        checked_text("An idempotency key", key)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
