"""Owns the import of a project's modules and the names that their routers share. Refuses to run them."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from workflow_router.core.errors import InvalidInput, InvalidProject, Mistake
from workflow_router.core.event_mappings.bulk import BULK_MIN, in_bulk, settle_in
from workflow_router.core.orchestration.definitions import Workflow
from workflow_router.core.router import Router
from workflow_router.settings import Project


def load_routers(project: Project) -> list[Router]:
    """Import the project's modules and return the routers they define.

    Raises:
        InvalidProject: a module cannot be imported; the mistake names the file and line.
    """
    routers: list[Router] = []
    for path in project.python:
        with in_bulk(BULK_MIN):  # a module may declare very many mappings
            module = _import(path)
        found = [value for value in vars(module).values() if isinstance(value, Router)]
        routers.extend(router for router in found if router not in routers)
    settle_in(sum(len(router.mappings) for router in routers))
    return routers


def _import(path: Path) -> ModuleType:
    name = f"workflow_router_project.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101  a path that ends in .py always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:  # so that the project's modules can import one another
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(error, path)
        raise InvalidProject(
            [
                Mistake(
                    file=path.name,
                    line=line,
                    message=f"The module cannot be imported: {type(error).__name__}: {error}.",
                    remedy="Mend it; `wr check` imports it the same way.",
                )
            ]
        ) from error
    return module


def _line_in(error: Exception, path: Path) -> int | None:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def join_workflows(routers: Iterable[Router]) -> dict[str, dict[str, Workflow[..., Any]]]:
    """All workflows by name and version. Raises InvalidInput where two routers declare the same one."""
    joined: dict[str, dict[str, Workflow[..., Any]]] = {}
    for router in routers:
        for name, versions in router.workflows.items():
            known = joined.setdefault(name, {})
            for version, workflow in versions.items():
                if version in known:
                    raise InvalidInput(
                        f"Two routers declare the workflow {name} in version {version}.",
                        remedy="Give one of them another name.",
                    )
                known[version] = workflow
    return joined
