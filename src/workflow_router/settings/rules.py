"""Owns rules that come one by one: a mapping given as JSON is bound and checked as if it stood in `router.yaml`.

Refuses a second idea of what a mapping may say: the structs and checks are those of the file.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import cast

import msgspec

from workflow_router.core.errors import InvalidInput, Mistake, RouterError
from workflow_router.core.event_mappings import mapping as events
from workflow_router.settings import model
from workflow_router.settings.bind import bind
from workflow_router.settings.check_mappings import check_mapping
from workflow_router.settings.convert import mapping_of
from workflow_router.settings.document import Node, plain, sole_document
from workflow_router.settings.load import check_references
from workflow_router.settings.model import Project, RouterFile
from workflow_router.settings.names import names_in

Compile = Callable[[str, Mapping[str, object]], events.Mapping]


def rule_compiler(router: RouterFile, workflows: Collection[str], folder: Path | None = None) -> Compile:
    """What turns a name and a rule (the fields of a mapping in `router.yaml`) into a mapping of this project.

    The function it returns raises InvalidInput with every mistake in one message.
    """
    where = folder or Path()
    taken = {name: whose for name, _, whose in names_in(msgspec.structs.replace(router, mappings=[]))}
    alone = msgspec.structs.replace(router, mappings=[], joins=[], schedules=[], subscriptions=[], python=[])

    def compile_rule(name: str, rule: Mapping[str, object]) -> events.Mapping:
        mistakes: list[Mistake] = []
        file = f"mapping {name}"
        written = {**_written(rule), "name": name}
        mapping, made = _quickly(written)
        node = _outline(written) if made is not None else node_of(written)
        document = Node(1, {"mappings": Node(1, [node])}, {"mappings": 1})
        if mapping is None:
            mapping = bind(node, model.Mapping, file, mistakes, where=("mappings", 0))
        if name in taken:
            message = f"`{name}` is the name of a mapping, and of {taken[name]}."
            mistakes.append(Mistake(file=file, line=1, message=message, remedy="Name one of them otherwise."))
        if not mistakes:
            check_mapping(alone, mapping, document, mistakes, compiled=made is not None)
        if not mistakes:
            given = msgspec.structs.replace(alone, mappings=[mapping])
            project = Project(folder=where, router=given, python=(), warnings=(), document=document)
            mistakes.extend(check_references(project, workflows))
        if mistakes:
            problems = " ".join(one.message.replace("mappings[0].", "") for one in mistakes)
            raise InvalidInput(f"The mapping {name[:100]} cannot be used: {problems}", remedy=mistakes[0].remedy)
        return made or mapping_of(mapping)

    return compile_rule


def _quickly(written: dict[str, object]) -> tuple[model.Mapping | None, events.Mapping | None]:
    """The mapping as it is written, and compiled; None where a mistake is in the way, which the long way tells of."""
    try:
        mapping = msgspec.convert(written, model.Mapping)
        return mapping, mapping_of(mapping)
    except (msgspec.ValidationError, RouterError):
        return None, None


def _outline(written: Mapping[str, object]) -> Node:
    """Which keys stand in a mapping and in its targets, for checks that ask no more: the whole would cost as much."""
    fields = {key: Node(1, None) for key in written}
    targets = written.get("targets")
    if isinstance(targets, list):
        listed = cast("list[dict[str, object]]", targets)
        fields["targets"] = Node(1, [Node(1, {key: Node(1, None) for key in one}) for one in listed])
    return Node(1, fields)


def _written(rule: Mapping[str, object]) -> dict[str, object]:
    """A rule without what stands in it by default, as versions of a file's mappings keep it."""
    written = {key: value for key, value in rule.items() if value is not None}
    if "start" not in written and written.get("input") == "${ event.data }":
        del written["input"]
    return written


def mappings_in(text: str, file: str) -> list[dict[str, object]]:
    """The mappings of a YAML or JSON file: a whole `router.yaml`, a list, or a single one. Each has a `name`.

    Raises:
        InvalidInput: the text is not such a file.
    """
    found: object = plain(sole_document(text, file))
    if isinstance(found, dict):
        fields = cast("dict[str, object]", found)
        found = fields.get("mappings", [fields])
    rules = cast("list[object]", found) if isinstance(found, list) else []
    named = [cast("dict[str, object]", rule) for rule in rules if isinstance(rule, dict)]
    if not named or len(named) < len(rules) or not all(isinstance(rule.get("name"), str) for rule in named):
        raise InvalidInput(f"{file} holds no mappings.", remedy="Write a list of mappings, each with a `name`.")
    return named


def node_of(value: object) -> Node:
    """JSON data as a document of one line."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return Node(1, {str(key): node_of(below) for key, below in fields.items()}, dict.fromkeys(map(str, fields), 1))
    if isinstance(value, list):
        return Node(1, [node_of(below) for below in cast("list[object]", value)])
    return Node(1, cast("bool | int | float | str | None", value))
