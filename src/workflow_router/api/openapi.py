"""Owns the description of the API, OpenAPI 3.1, made from the table of endpoints. Refuses anything written by hand."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from workflow_router.api.doors import DOORS, Door
from workflow_router.api.endpoint import PARAMETER, Endpoint
from workflow_router.api.problems import MEDIA_TYPE, BodyTooSlow, Problem
from workflow_router.core.errors import (
    Forbidden,
    InvalidInput,
    PayloadTooLarge,
    RouterError,
    Unauthorized,
    UnsupportedMediaType,
)
from workflow_router.utils.codec import to_json

GATEWAY = "gateway"
REFERENCE = "#/components/schemas/{name}"
_BODY_ERRORS = (InvalidInput, BodyTooSlow, PayloadTooLarge, UnsupportedMediaType)

Document = dict[str, Any]  # JSON of many shapes, which only OpenAPI's own schema describes


def describe(endpoints: Iterable[Endpoint], version: str) -> bytes:
    """The document as JSON text."""
    table = list(endpoints)
    schemas = _Schemas(table)
    paths: Document = {}
    for one in table:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    for door in DOORS:
        paths.setdefault(door.path, {})[door.method.lower()] = _door(door)
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Workflow Router",
                "version": version,
                "description": "Events in, durable runs out. Every error is a problem document (RFC 9457).",
            },
            "tags": [{"name": tag} for tag in dict.fromkeys([*(one.tag for one in table), GATEWAY])],
            "paths": paths,
            "components": {
                "schemas": schemas.components,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


class _Schemas:
    """JSON Schemas of every type in the table, made together so that they share their components."""

    def __init__(self, table: list[Endpoint]) -> None:
        bodies = [kind for one in table for kind in (*one.consumes.values(), *one.produces.values())]
        kinds: list[Any] = [Problem, *(one.query for one in table), *(kind for kind in bodies if kind is not None)]
        found, components = msgspec.json.schema_components(kinds, schema_hook=_anything, ref_template=REFERENCE)
        self._by_kind: dict[str, Document] = {repr(kind): schema for kind, schema in zip(kinds, found, strict=True)}
        queries = {one.query.__name__ for one in table}
        self._queries: Document = {name: schema for name, schema in components.items() if name in queries}
        self.components: Document = {name: schema for name, schema in components.items() if name not in queries}

    def of(self, kind: object) -> Document:
        """The schema of a body; of one that is no JSON, that it is anything."""
        return {} if kind is None else self._by_kind[repr(kind)]

    def query(self, one: Endpoint) -> list[Document]:
        """The parameters of an endpoint's query."""
        schema: Document = self._queries[one.query.__name__]
        required = schema.get("required", [])
        return [
            {"name": name, "in": "query", "required": name in required, "schema": inner}
            for name, inner in schema["properties"].items()
        ]


def _anything(kind: type) -> Document:
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError


def _operation(one: Endpoint, schemas: _Schemas) -> Document:
    summary, _, rest = one.documentation.partition("\n\n")
    operation: Document = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": " ".join(summary.split()),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in one.parameters),
            *schemas.query(one),
        ],
        "responses": {str(one.status): _answer(one.status, one.produces, schemas)},
        # The list names what is needed, as OpenAPI 3.1 has it for schemes other than OAuth 2 (4.8.30).
        "security": [] if one.scope is None else [{"key": [one.scope]}],
    }
    if rest:
        operation["description"] = " ".join(rest.split())
    if one.consumes:
        content = {media_type: {"schema": schemas.of(kind)} for media_type, kind in one.consumes.items()}
        operation["requestBody"] = {"required": True, "content": content}
    # A page for people tells them of mistakes as a page, too.
    pages: Document = {kind: {"schema": {}} for kind in one.produces if kind.startswith("text/html")}
    for status, errors in sorted(_errors(one).items()):
        described = {
            "description": " ".join(dict.fromkeys(_sentence(error) for error in errors)),
            "content": {MEDIA_TYPE: {"schema": schemas.of(Problem)}, **pages},
        }
        operation["responses"][str(status)] = described
    operation["responses"]["default"] = {
        "description": "Something went wrong.",
        "content": {MEDIA_TYPE: {"schema": schemas.of(Problem)}},
    }
    return operation


def _door(door: Door) -> Document:
    """An operation of the gateway; errors have the shape that the format's clients read."""
    anything: Document = {"description": "As the format says.", "content": {"application/json": {"schema": {}}}}
    operation: Document = {
        "operationId": door.name,
        "tags": [GATEWAY],
        "summary": door.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in PARAMETER.findall(door.path)
        ],
        "responses": {"200": anything, "default": {**anything, "description": "The target's error, or the router's."}},
        "security": [{"key": ["dispatch"]}],
    }
    if door.method in {"POST", "PUT", "PATCH"}:
        operation["requestBody"] = {"required": door.path.startswith("/v1/"), "content": anything["content"]}
    return operation


def _answer(status: int, produces: Mapping[str, object], schemas: _Schemas) -> Document:
    content = {media_type: {"schema": schemas.of(kind)} for media_type, kind in produces.items()}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _errors(one: Endpoint) -> dict[int, list[type[RouterError]]]:
    general = (
        InvalidInput,
        *(() if one.public else (Unauthorized, Forbidden)),
        *(_BODY_ERRORS if one.consumes else ()),
    )
    found: dict[int, list[type[RouterError]]] = {}
    for error in (*one.errors, *general):
        found.setdefault(error.status, []).append(error)
    return found


def _sentence(error: type[RouterError]) -> str:
    return (error.__doc__ or "").strip().partition("\n")[0]
