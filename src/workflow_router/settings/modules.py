"""Owns which Python modules a project has: those it lists, or all in its folder. Refuses files outside of it."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.document import Where


def modules_of(folder: Path, listed: list[str] | None, mistaken: Callable[[Where, str, str], None]) -> tuple[Path, ...]:
    """The modules, in order; a mistake for each that cannot be one."""
    if listed is None:
        found = sorted(folder.glob("*.py"))
        return tuple(path for path in found if not path.name.startswith(("_", "test_")))
    paths: list[Path] = []
    for at, name in enumerate(cast("list[str | None]", listed)):
        if name is None:  # a mistake that was noted already
            continue
        path = folder / name
        if path.suffix != ".py" or not path.resolve().is_relative_to(folder.resolve()):
            mistaken(("python", at), f"`{name}` is no Python file of this folder.", "Write it as workflows.py.")
        elif not path.is_file():
            here = [found.name for found in folder.glob("*.py")]
            mistaken(("python", at), f"There is no file `{name}`.", did_you_mean(name, here))
        else:
            paths.append(path)
    return tuple(dict.fromkeys(paths))
