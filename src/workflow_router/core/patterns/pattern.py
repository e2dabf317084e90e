"""Owns `Pattern`, the public face of one event pattern. Refuses to know of many patterns at once: that is the index.

The language is specified in docs/patterns.md.
"""

from collections.abc import Mapping
from typing import Final, cast, final

import msgspec

from workflow_router.core.errors import InvalidEvent, InvalidPattern
from workflow_router.core.patterns.explain import Explanation, explain
from workflow_router.core.patterns.parse import parse
from workflow_router.core.patterns.tree import Branch
from workflow_router.utils.codec import from_json, to_canonical_json, to_json


@final
class Pattern:
    """An event pattern. Immutable; two are equal if their sources are, whatever the order of fields."""

    __slots__ = ("_text", "branches")

    branches: Final[tuple[Branch, ...]]

    def __init__(self, source: object) -> None:
        self.branches = parse(source)
        self._text = to_json(source)

    @classmethod
    def parse(cls, source: object) -> "Pattern":
        """Compile a pattern from JSON text (str or bytes) or a decoded object.

        Raises:
            InvalidPattern: with the path of the mistake and the reason.
        """
        if not isinstance(source, (str, bytes)):
            return cls(source)
        try:
            decoded = from_json(source)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidPattern(f"Not JSON: {error}") from None
        except RecursionError:
            raise InvalidPattern("Nested too deeply") from None
        return cls(decoded)

    @property
    def source(self) -> dict[str, object]:
        """The pattern as it was written, a fresh copy."""
        return cast(dict[str, object], from_json(self._text))

    def part(self, field: str) -> "Pattern | None":
        """What it asks of one field of the root, without which the whole does not hold; None where it is not named."""
        source = self.source
        return Pattern({field: source[field]}) if field in source else None

    def texts(self, field: str) -> frozenset[str] | None:
        """The texts of which a field of the root must have one; None where it asks for something else."""
        listed = self.source.get(field)
        if not isinstance(listed, list):
            return None
        texts = [one for one in cast("list[object]", listed) if isinstance(one, str)]
        return frozenset(texts) if len(texts) == len(cast("list[object]", listed)) else None

    def matches(self, event: Mapping[str, object]) -> bool:
        """Whether a decoded event satisfies the pattern. Raises InvalidEvent for what is no object."""
        _check(event)
        return any(branch.node.holds(event) for branch in self.branches)

    def explain(self, event: Mapping[str, object]) -> Explanation:
        """Why the event matches, or how near it came and what was in the way. Raises InvalidEvent as `matches` does."""
        _check(event)
        return explain(self.branches, event)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._canonical() == other._canonical()

    def __hash__(self) -> int:
        return hash(self._canonical())

    def _canonical(self) -> bytes:
        return to_canonical_json(self.source)

    def __repr__(self) -> str:
        return f"Pattern.parse({self._text.decode()!r})"


def _check(event: object) -> None:
    if type(event) is not dict and not isinstance(event, Mapping):
        raise InvalidEvent(
            f"An event is an object with members, not a {type(event).__name__}.", remedy="Decode JSON text before."
        )
