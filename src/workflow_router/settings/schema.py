"""Owns the JSON Schema of `router.yaml`, made from the structs of the model. Refuses hand-written rules."""

from pathlib import Path

import msgspec

from workflow_router.settings.model import RouterFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def router_schema() -> bytes:
    """The schema as JSON text (draft 2020-12), indented, ending with a line break; equal bytes for an equal model."""
    schema = {"$schema": DIALECT, "title": "router.yaml", **msgspec.json.schema(RouterFile, schema_hook=_anything)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def write_schema(path: Path) -> None:
    """Write the schema to `path`, as `make docs` does for `docs/reference/router.schema.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(router_schema())


def _anything(kind: type) -> dict[str, object]:
    """Patterns and templates are any JSON here; `wr check` judges them. Raises NotImplementedError for other types."""
    if kind is object:
        return {"description": "any JSON"}
    raise NotImplementedError
