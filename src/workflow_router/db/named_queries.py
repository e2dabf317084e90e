"""Owns loading of `.sql` files: `-- name: insert_event` starts a query, the comment below it says what it is for."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_MARK = "-- name:"


@cache  # they cannot change while the code runs, and a test opens many stores
def load_queries(dialect: str) -> Mapping[str, str]:
    """The queries of `db/<dialect>/queries/*.sql` by name. Raises ValueError where a name stands twice."""
    found: dict[str, str] = {}
    folder = files("workflow_router.db") / dialect / "queries"
    for source in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not source.name.endswith(".sql"):
            continue
        for part in source.read_text(encoding="utf-8").split(_MARK)[1:]:
            name, _, body = part.partition("\n")
            name = name.strip()
            if name in found:
                raise ValueError(f"The query {name} stands twice in {dialect}/queries.")
            lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("--")]
            found[name] = "\n".join(lines).rstrip().removesuffix(";")
    return MappingProxyType(found)
