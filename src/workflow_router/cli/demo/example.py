"""Owns finding an example project, in a checkout or an installed package, and copying it. Refuses to run it."""

import shutil
from pathlib import Path

from workflow_router.core.errors import NotFound

_HERE = Path(__file__).resolve()
_PLACES = (_HERE.parents[2] / "examples", _HERE.parents[4] / "examples")  # installed; source checkout


def find_example(name: str) -> Path:
    """The folder of an example. Raises NotFound."""
    for place in _PLACES:
        if (place / name / "router.yaml").is_file():
            return place / name
    raise NotFound(f"The example {name} is not installed.", remedy="Install the package again, or use a checkout.")


def copy_example(name: str, to: Path) -> Path:
    """A fresh copy without data that runs left behind. Raises NotFound."""
    return shutil.copytree(
        find_example(name), to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("data", "__pycache__")
    )
