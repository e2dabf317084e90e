"""Forms: the schema of each kind of type, answers that do not fit named by field, and no schema from elsewhere."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from workflow_router.core.errors import InvalidInput
from workflow_router.core.runtime_state.approval_forms import check_values, form_schema


@dataclass
class AsDataclass:
    amount: int
    note: str = ""


class AsStruct(msgspec.Struct):
    amount: Annotated[int, msgspec.Meta(ge=0)]
    note: str = ""


class AsModel(pydantic.BaseModel):
    amount: int
    note: str = ""


AS_SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["amount"],
}


@pytest.mark.parametrize("form", [AsDataclass, AsStruct, AsModel, AS_SCHEMA])
def test_each_kind_of_form_checks_answers_by_field(form: Any) -> None:
    schema = form_schema(form)
    check_values(schema, {"amount": 3, "note": "x"})
    check_values(schema, {"amount": 3})
    with pytest.raises(InvalidInput, match="amount"):
        check_values(schema, {"note": "x"})
    with pytest.raises(InvalidInput, match=r"values\.amount.*values\.note|values\.note.*values\.amount") as told:
        check_values(schema, {"amount": "swordfish", "note": 1})
    assert "swordfish" not in told.value.message


def test_what_is_deep_is_named_by_its_path() -> None:
    schema = form_schema({"properties": {"items": {"items": {"properties": {"n": {"minimum": 1}}}}}})
    with pytest.raises(InvalidInput, match=r"values\.items\.1\.n"):
        check_values(schema, {"items": [{"n": 1}, {"n": 0}]})


def test_formats_count_and_patterns_cannot_hang() -> None:
    schema = form_schema({"properties": {"day": {"type": "string", "format": "date"}, "x": {"pattern": "^(a+)+$"}}})
    check_values(schema, {"day": "2026-05-01", "x": "aaa"})
    with pytest.raises(InvalidInput, match="day"):
        check_values(schema, {"day": "soon"})
    with pytest.raises(InvalidInput, match="x"):
        check_values(schema, {"x": "a" * 50_000 + "!"})


@pytest.mark.parametrize(
    "form",
    [
        {"type": "nonsense"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"pattern": "("}}},
        object(),
    ],
)
def test_what_is_no_form_is_refused_where_it_is_asked(form: Any) -> None:
    with pytest.raises(InvalidInput, match="no JSON Schema"):
        form_schema(form)


def test_an_answer_is_bounded() -> None:
    with pytest.raises(InvalidInput, match="longer"):
        check_values(form_schema(None), {"a": "x" * 70_000})


def test_who_asks_nobody_loads_no_checker() -> None:
    code = "import sys, workflow_router.app, workflow_router.api.table; print('jsonschema_rs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
