"""Owns routes that come one by one: one given as JSON is bound and checked as if it stood in `router.yaml`.

Refuses a second idea of what a route may say: the structs and checks are those of the file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from workflow_router.core.dispatch_route import model as dispatch
from workflow_router.core.errors import InvalidInput, InvalidProject, Mistake
from workflow_router.settings.bind import bind
from workflow_router.settings.check import check
from workflow_router.settings.convert import route_of
from workflow_router.settings.document import Node
from workflow_router.settings.model import Project, RouterFile


def route_compiler(
    router: RouterFile, folder: Path | None = None
) -> Callable[[str, Mapping[str, object]], dispatch.Route]:
    """What turns a name and what `router.yaml` would say of a route into a route of this project.

    The function it returns raises InvalidInput with every mistake in one message.
    """
    where = folder or Path()

    def compile_route(name: str, given: Mapping[str, object]) -> dispatch.Route:
        mistakes: list[Mistake] = []
        document = _node({"name": router.name, "routes": {name: given}})
        bound = bind(document, RouterFile, f"route {name}", mistakes)
        routes = {**router.routes, **bound.routes}
        bare = RouterFile(name=router.name, routes=routes, python=[], secrets=router.secrets)
        if not mistakes:
            check(where, bare, document, environ={}, mistakes=mistakes, warnings=[])
        if not mistakes:
            try:
                return route_of(Project(folder=where, router=bare, python=(), warnings=(), document=document), name)
            except InvalidProject as error:
                mistakes.extend(error.mistakes)
        problems = " ".join(one.message.replace(f"routes.{name}.", "") for one in mistakes)
        raise InvalidInput(f"The route {name[:100]} cannot be used: {problems}", remedy=mistakes[0].remedy)

    return compile_route


def _node(value: object) -> Node:
    """The value as nodes of a document that is one line long."""
    if isinstance(value, msgspec.Raw):
        value = msgspec.json.decode(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return Node(1, {key: _node(below) for key, below in fields.items()}, dict.fromkeys(fields, 1))
    if isinstance(value, list):
        return Node(1, [_node(below) for below in cast("list[object]", value)])
    return Node(1, cast("str", value))
