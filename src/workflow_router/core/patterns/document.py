"""Owns the check for duplicate keys in JSON text, of which decoders keep the last. Refuses to decode for use."""

import json
import re

from workflow_router.utils.codec import from_json, to_json

_ESCAPED_COLON = re.compile(rb"\\u003a", re.IGNORECASE)


def duplicate_key(text: bytes) -> str | None:
    """The first key that an object of the JSON text has twice, None where all are unique.

    Text without duplicates has as many colons as what is written of it once decoded; each key lost takes one with it.
    So the usual price is one decoding and one encoding; only where the colons differ is every object looked at.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: the text is not JSON, or nested too deeply to be read.
    """
    if to_json(from_json(text)).count(b":") == text.count(b":") and not _ESCAPED_COLON.search(text):
        return None
    found: list[str] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        keys = {key for key, _ in pairs}
        if len(keys) < len(pairs) and not found:
            seen: set[str] = set()
            found.append(next(key for key, _ in pairs if key in seen or seen.add(key)))

    json.loads(text, object_pairs_hook=look)
    return found[0] if found else None
