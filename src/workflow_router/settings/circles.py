"""Owns finding mappings that would bring their own events about for ever, whatever these hold. Refuses to guess.

What depends on an event's data may come to rest; so only what is certain is a mistake. While the router runs, a circle
of any kind ends where it would begin a second time (`core/event_sources/chains.py`).
"""

from collections.abc import Iterable, Mapping
from typing import cast

from workflow_router.core.errors import Mistake
from workflow_router.core.event_sources.topics import MESSAGE, topic_source
from workflow_router.core.model import OWN_TYPE
from workflow_router.core.patterns import Pattern
from workflow_router.core.runtime_state.observe import SOURCE as LIFECYCLE
from workflow_router.settings.document import line_of
from workflow_router.settings.model import Project
from workflow_router.settings.sources import Source


def circles(project: Project, file: str) -> list[Mistake]:
    """A mistake for each such mapping of the project."""
    found: list[Mistake] = []
    for at, mapping in enumerate(project.router.mappings):
        if mapping.on is None or mapping.when is not None or mapping.disabled:
            continue
        targets = [mapping, *mapping.targets]
        starts = [one.start for one in targets if one.start is not None]
        publishes = [one.publish.topic for one in targets if one.publish is not None]
        told = circle_of(project.router.sources, mapping.on, starts, publishes)
        if told is not None:
            found.append(
                Mistake(
                    file=file,
                    line=line_of(project.document, ("mappings", at)),
                    message=f"The mapping `{mapping.name}` would run in a circle: {told}",
                    remedy="Narrow `on` by what the event holds, or send its effect elsewhere.",
                )
            )
    return found


def circle_of(
    sources: Mapping[str, Source], pattern: Mapping[str, object], starts: Iterable[str], publishes: Iterable[str]
) -> str | None:
    """Why a mapping with this pattern would bring its own events about; None where it need not."""
    if set(pattern) - {"type", "source"}:
        if set(pattern) - {"type", "source", "data"}:
            return None
        data = cast("dict[str, object]", pattern["data"]) if isinstance(pattern.get("data"), dict) else {}
        if set(data) != {"workflow"} or not isinstance(data["workflow"], list):
            return None
        workflows = cast("list[object]", data["workflow"])
        starts = [one for one in starts if one in workflows]
        publishes = []
    asked = Pattern.parse({key: value for key, value in pattern.items() if key in {"type", "source"}})
    for source in sources.values():
        if source.topic is not None and source.topic in publishes:
            kind = source.type or MESSAGE
            if "${" not in kind and asked.matches({"type": kind, "source": topic_source(source.topic)}):
                return f"It publishes to the topic {source.topic}, of whose messages its events are made."
        for kind in source.lifecycle or []:
            named = f"{kind[:-1]}completed" if kind == "run.*" else kind
            if starts and named.startswith("run.") and asked.matches({"type": OWN_TYPE + named, "source": LIFECYCLE}):
                return f"It starts a run whenever one has {named}, so also of {next(iter(starts))} itself."
    return None
