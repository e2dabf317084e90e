"""Owns forms: the JSON Schema of a type, and whether an answer fits it. Refuses schemas that point elsewhere.

Draft 2020-12 by default, checked by `jsonschema-rs`, which is imported when the first form with fields is met.
Patterns run in time linear in the text, and `$ref` is followed within the schema only.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.utils.codec import from_json, to_json

if TYPE_CHECKING:
    from jsonschema_rs import Validator

NO_FORM = b'{"type":"object"}'
VALUES_MAX_BYTES = 65_536
# More mistakes than these are not told at once.
_TOLD = 5


def form_schema(form: Any) -> bytes:
    """JSON Schema of a form: a dataclass, struct or model type, a schema given as a dict, or None for no fields.

    Raises:
        InvalidInput: there is none of such a type, it is no schema, or it points outside itself.
    """
    if form is None:
        return NO_FORM
    try:
        if isinstance(form, dict):
            schema = to_json(cast("dict[str, object]", form))
        elif hasattr(form, "model_json_schema"):
            schema = to_json(form.model_json_schema())
        else:
            schema = to_json(msgspec.json.schema(form))
        _validator(schema)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"The form is no JSON Schema: {str(error)[:300]}.",
            remedy="Give a type, or a schema without outside `$ref`.",
        ) from None
    return schema


@lru_cache(maxsize=128)
def _validator(schema: bytes) -> "Validator":
    import jsonschema_rs  # noqa: PLC0415  few programs ask people; those that do not need not load it

    found: Validator = jsonschema_rs.validator_for(
        cast("dict[str, Any]", from_json(schema)),
        validate_formats=True,
        offline=True,
        mask="the value",
        pattern_options=jsonschema_rs.RegexOptions(),
    )
    return found


def check_values(schema: bytes, values: Mapping[str, object]) -> None:
    """Check an answer's fields. Raises InvalidInput that names each field that does not fit, and repeats no value."""
    text = to_json(values)
    if len(text) > VALUES_MAX_BYTES:
        raise InvalidInput(f"The values are longer than {VALUES_MAX_BYTES} bytes.", remedy="Attach it by reference.")
    if schema == NO_FORM:
        return
    mistakes: list[str] = []
    for error in _validator(schema).iter_errors(from_json(text)):
        where = "".join(f".{part}" for part in error.instance_path)
        mistakes.append(f"values{where}: {error.message}")
        if len(mistakes) == _TOLD:
            break
    if mistakes:
        raise InvalidInput(f"The answer does not fit the form: {'; '.join(mistakes)}.", remedy="Show the form first.")
