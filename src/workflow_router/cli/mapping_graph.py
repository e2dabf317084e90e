"""Owns drawing which event types lead to which mappings, and what these do. Refuses to fetch it."""

from collections.abc import Mapping, Sequence
from typing import cast

Relations = Sequence[Mapping[str, object]]


def tree(found: Relations) -> list[str]:
    """A text tree: event types, below each its mappings, below each what it does."""
    lines: list[str] = []
    for kind, mappings in _by_type(found).items():
        lines.append("any type" if kind == "*" else kind)
        for at, one in enumerate(mappings):
            last = at == len(mappings) - 1
            stage = "" if one["stage"] == "live" else f" ({one['stage']})"
            lines.append(f"{'└─' if last else '├─'} {one['mapping']}{stage}")
            targets = _targets(one)
            for number, target in enumerate(targets):
                corner = "└─" if number == len(targets) - 1 else "├─"
                lines.append(f"{'   ' if last else '│  '}{corner} {_said(target)}")
    return lines


def mermaid(found: Relations) -> list[str]:
    """A flowchart in the language of Mermaid."""
    nodes: dict[tuple[str, str], str] = {}
    edges: list[str] = []

    def node(kind: str, name: str) -> str:
        return nodes.setdefault((kind, name), f"n{len(nodes)}")

    for one in found:
        mapping = node("mapping", str(one["mapping"]))
        edges += [f"  {node('type', kind)} --> {mapping}" for kind in cast("list[str]", one["types"])]
        for target in _targets(one):
            emits = target["does"] == "emit"
            to = node("type", str(target["name"])) if emits else node("target", _said(target))
            edges.append(f"  {mapping} {'-.->' if one['stage'] != 'live' else '-->'} {to}")
    shapes = {"type": "([{}])", "mapping": "[{}]", "target": "[[{}]]"}
    drawn = [f"  {key}{shapes[kind].format(_quoted(name))}" for (kind, name), key in nodes.items()]
    return ["flowchart LR", *drawn, *edges]


def _by_type(found: Relations) -> dict[str, list[Mapping[str, object]]]:
    by_type: dict[str, list[Mapping[str, object]]] = {}
    for one in found:
        for kind in cast("list[str]", one["types"]):
            by_type.setdefault(kind, []).append(one)
    return dict(sorted(by_type.items(), key=lambda pair: (pair[0] == "*", pair[0])))


def _targets(one: Mapping[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", one["targets"])


def _said(target: Mapping[str, object]) -> str:
    return f"{target['does']} {target['name']}" + (f" to {target['workflow']}" if target.get("workflow") else "")


def _quoted(name: str) -> str:
    """Text that Mermaid shows as it is."""
    escaped = name.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
    return f'"{escaped}"'
