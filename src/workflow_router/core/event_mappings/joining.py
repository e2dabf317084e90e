"""Owns how a join over time is made of mappings: one for each part, which feeds it, and one for what comes of it.

So parts are found by the same index as everything else, and a completed join is an event like any other. Refuses to
decide when it is completed: that is `core/joins`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.perform import JOIN_COMPLETED
from workflow_router.core.event_mappings.target import Target, duration_s
from workflow_router.core.expressions import compile_condition, compile_template
from workflow_router.core.joins import Join
from workflow_router.core.patterns import Pattern
from workflow_router.utils.codec import to_canonical_json

WITHIN_MAX_S = 366 * 86_400
_FIELDS = {"kind", "parts", "within", "key", "count"}
_PART_FIELDS = {"on", "when", "key", "keep"}


def join_mappings(
    name: str,
    rule: Mapping[str, object],
    targets: Sequence[Target],
    specification: object,
    *,
    variables: Collection[str] = ("event",),
) -> list[EventMapping]:
    """The mappings of a join: `kind`, `parts` (by name), `within`, `key` and `count`.

    Parts come last first, so that an event of two parts cannot take its own predecessor away.

    Raises:
        InvalidInput, InvalidPattern, InvalidExpression.
    """
    parts = rule.get("parts")
    if set(rule) - _FIELDS or not isinstance(parts, Mapping) or not parts:
        raise InvalidInput(
            f"The join {name} takes kind, parts, within, key and count.", remedy="See docs/howto/joins.md."
        )
    named = cast("Mapping[str, Mapping[str, object]]", parts)
    join = _join(name, rule, tuple(named))
    written = to_canonical_json(specification)
    made: list[EventMapping] = []
    for part, given in reversed(list(named.items())):
        if not isinstance(given, Mapping) or set(given) - _PART_FIELDS or not isinstance(given.get("on"), Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  users write it
            raise InvalidInput(f"The part {part} of the join {name} takes on, when, key and keep.", remedy="Mend it.")
        key, when = given.get("key"), given.get("when")
        key = rule.get("key") if key is None else key  # a part as router.yaml has it names every field
        made.append(
            EventMapping(
                name=f"{name}.{part}",
                pattern=Pattern.parse(dict(cast("Mapping[str, object]", given["on"]))),
                condition=None if when is None else compile_condition(str(when), variables=variables),
                targets=(
                    Target(
                        does="join",
                        name=name,
                        part=part,
                        key=None if key is None else compile_template(key, variables=variables),
                        value=compile_template(given.get("keep", "${ event }"), variables=variables),
                    ),
                ),
                specification=written,
            )
        )
    completed: dict[str, object] = {"type": [JOIN_COMPLETED], "source": [f"/joins/{name}"]}
    made.append(
        EventMapping(
            name=name,
            pattern=Pattern.parse(completed),
            condition=None,
            targets=tuple(targets),
            specification=written,
            join=join,
        )
    )
    return made


def _join(name: str, rule: Mapping[str, object], parts: tuple[str, ...]) -> Join:
    if rule.get("within") is None:
        raise InvalidInput(f"The join {name} has no `within`.", remedy="Say how long it keeps what came, such as 10m.")
    within_s = duration_s(rule["within"])
    if not 0 < within_s <= WITHIN_MAX_S:
        raise InvalidInput(f"The join {name} keeps what came for {within_s:g} s.", remedy="At most 366d, more than 0.")
    given = {"kind": rule.get("kind"), "parts": parts, "within_ms": max(1, round(within_s * 1000))}
    try:
        return msgspec.convert(given | {"count": rule.get("count", 1)}, Join)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The join {name}: {error}.", remedy="See docs/howto/joins.md.") from None
