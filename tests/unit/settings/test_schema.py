"""The published JSON Schema is that of the code."""

from pathlib import Path

import msgspec

from workflow_router.settings.schema import router_schema, write_schema

PUBLISHED = Path(__file__).parents[3] / "docs/reference/router.schema.json"


def test_the_published_schema_is_current(tmp_path: Path) -> None:
    write_schema(tmp_path / "new" / "router.schema.json")
    assert (tmp_path / "new" / "router.schema.json").read_bytes() == PUBLISHED.read_bytes(), "Run `make docs`."


def test_the_schema_names_every_section() -> None:
    schema = msgspec.json.decode(router_schema())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    router = schema["$defs"]["RouterFile"]
    assert {"name", "settings", "sources", "mappings", "routes", "topics", "subscriptions"} <= router[
        "properties"
    ].keys()
    assert router["required"] == ["name"]
    assert router["additionalProperties"] is False
    assert schema["$defs"]["Mapping"]["required"] == ["name"]
