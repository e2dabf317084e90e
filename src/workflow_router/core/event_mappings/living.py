"""Owns the life of mappings: create, change, stage, disable, delete and roll back while events come in.

Each change is a version in the store, with its author and an audit entry, and is in force when the call returns; other
processes on the same store take it up within a second, in the same order. Refuses to judge a rule: `compile_rule` does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import cast

import msgspec

from workflow_router.core.errors import Conflict, InvalidInput, NotFound, RouterError
from workflow_router.core.event_mappings.bulk import in_bulk
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.match import Matcher
from workflow_router.core.event_mappings.overlay import Overlay, folded, resolved
from workflow_router.core.event_mappings.ports import MappingVersion, NewVersion
from workflow_router.core.follow import Follower
from workflow_router.core.ports import Store
from workflow_router.utils.codec import from_json, to_canonical_json

Rule = Mapping[str, object]
Compile = Callable[[str, Rule], EventMapping]
PAGE = 1_000

_log = logging.getLogger(__name__)


def cannot_compile(name: str, _: Rule) -> EventMapping:
    """The compiler of a runtime that was given none."""
    raise InvalidInput(
        f"The mapping {name[:100]} cannot be made here.", remedy="Open the project with `embed` or `wr serve`."
    )


class LivingMappings:
    """The mappings of a running system.

    Args:
        compile_rule: makes a mapping of a name and a rule, as it would stand in `router.yaml`. Raises InvalidInput.

    Attributes:
        declared_set: number of what the project declares now.
        change: number of the last change that is in force here.
        broken: by name, why a version that should be in force cannot be: it no longer fits the project.
    """

    def __init__(
        self,
        store: Store,
        matcher: Matcher,
        compile_rule: Compile = cannot_compile,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._matcher = matcher
        self.compile_rule = compile_rule
        self.declared_set = 0
        self.change = 0
        self.broken: dict[str, str] = {}
        self._declared: dict[str, tuple[EventMapping, int]] = {}
        self._overlays: dict[str, Overlay] = {}
        self._follower = Follower("mappings", self.refresh, sleep)
        self._refreshing = asyncio.Lock()

    def open(self) -> None:
        """Begin to look for what other processes change."""
        self._follower.open(None if self._store.poll_s is None else self._store.poll_s / 2)

    async def close(self) -> None:
        """Stop looking."""
        await self._follower.close()

    # --- what the project declares ----------------------------------------------------------------------------------

    async def declare(self, mappings: Iterable[EventMapping], *, author: str) -> None:
        """Put what the project declares in force; one that is new or changed becomes a version of its own."""
        given = list(mappings)
        rules = [(mapping.name, mapping.specification) for mapping in given]
        versions = await self._store.commit(lambda tx: tx.mappings.learn(rules, author=author))
        members = [(name, version) for (name, _), version in zip(rules, versions, strict=True)]
        number = await self._store.commit(lambda tx: tx.mappings.keep_set(members)) if members else 0
        await self.refresh()
        before = self._declared
        with in_bulk(len(given), lasting=True):
            self._declared = {
                mapping.name: _declared(mapping, version, rank, before.get(mapping.name))
                for rank, (mapping, version) in enumerate(zip(given, versions, strict=True))
            }
            # What is in force already stays, so that one rule changed among very many costs little.
            changed = [name for name, one in self._declared.items() if before.get(name) is not one]
            gone = before.keys() - self._declared.keys()
            for name in (*changed, *gone):
                self._settle(name)
        self.declared_set = number

    async def refresh(self) -> None:
        """Put in force what was changed since the last time, in the order in which it was committed."""
        async with self._refreshing:
            after, touched = self.change, dict[str, None]()
            while True:
                found = await self._store.read(
                    lambda tx, a=after: tx.mappings.changes(after=a, until=1 << 62, limit=PAGE)
                )
                for version in found:
                    self._fold(version)
                    touched[version.name] = None
                    after = version.change
                if len(found) < PAGE:
                    break
            # A name is compiled once, however often it was changed; between the pages others have their turn.
            names = list(touched)
            for at in range(0, len(names), PAGE):
                if at:
                    await asyncio.sleep(0)
                page = names[at : at + PAGE]
                with in_bulk(len(page), lasting=True):
                    for name in page:
                        self._settle(name)
            self.change = after

    def _fold(self, version: MappingVersion) -> None:
        overlay = folded(self._overlays.get(version.name), version)
        if overlay is None:
            self._overlays.pop(version.name, None)
        else:
            self._overlays[version.name] = overlay

    def _settle(self, name: str) -> None:
        overlay = self._overlays.get(name)
        self.broken.pop(name, None)
        base = self._compiled(overlay.base) if overlay is not None else None
        candidate = self._compiled(overlay.candidate) if overlay is not None else None
        self._matcher.put(name, resolved(self._declared.get(name), overlay, base, candidate))

    def _compiled(self, version: MappingVersion | None) -> EventMapping | None:
        if version is None:
            return None
        try:
            return compiled(version, self.compile_rule)
        except RouterError as error:
            self.broken[version.name] = error.message
            _log.warning("Version %d of the mapping %s is not in force: %s", version.version, version.name, error)
            return None

    # --- changes ----------------------------------------------------------------------------------------------------

    async def put(
        self, name: str, rule: Rule, *, author: str, override: bool = False, expected: int | None = None
    ) -> MappingVersion:
        """Create or change a mapping.

        Args:
            rule: the fields of a mapping in `router.yaml`.
            override: it is meant to go before one that the project declares.
            expected: the last version the author has seen, 0 for none.

        Raises:
            InvalidInput: the rule has mistakes. Conflict: the project declares it, or somebody changed it meanwhile.
        """
        mapping = self.compile_rule(name, rule)
        stage = "disabled" if rule.get("disabled") is True else mapping.stage
        specification = kept(rule)
        return await self._change(name, specification, stage, author, override=override, expected=expected)

    async def delete(self, name: str, *, author: str) -> MappingVersion:
        """Delete a mapping that the API made; an override gives its name back to the project. NotFound, Conflict."""
        if name not in self._overlays:
            self._known(name)
            raise Conflict(
                f"The project declares the mapping {name}.", remedy="Remove it there, or disable it with an override."
            )
        return await self._change(name, b"null", "deleted", author, override=name in self._declared, reason="deleted")

    async def set_disabled(self, name: str, *, disabled: bool, author: str, override: bool = False) -> MappingVersion:
        """Let a mapping rest, or act again. Raises NotFound, Conflict."""
        rule = await self._rule(name)
        rule["disabled"] = disabled
        return await self.put(name, rule, author=author, override=override or self._overridden(name))

    async def set_stage(
        self, name: str, stage: str, *, author: str, share: float | None = None, override: bool = False
    ) -> MappingVersion:
        """Move a mapping to another stage: promote a canary, widen its share. Raises NotFound, Conflict."""
        rule = await self._rule(name)
        rule["stage"] = stage
        if share is not None:
            rule["share"] = share
        return await self.put(name, rule, author=author, override=override or self._overridden(name))

    async def roll_back(self, name: str, version: int, *, author: str, override: bool = False) -> MappingVersion:
        """Make a live version of what an earlier one said. Raises NotFound, Conflict, InvalidInput."""
        old = next((one for one in await self.history(name) if one.version == version), None)
        if old is None or old.stage == "deleted":
            raise NotFound(f"The mapping {name} has no rule of version {version}.", remedy="List its versions.")
        rule = rule_of(old) | {"stage": "live", "disabled": False}
        self.compile_rule(name, rule)
        override = override or self._overridden(name)
        reason = f"rolled back to {version}"
        return await self._change(name, kept(rule), "live", author, override=override, reason=reason)

    async def history(self, name: str) -> list[MappingVersion]:
        """All versions, oldest first. Raises NotFound."""
        found = await self._store.read(lambda tx: tx.mappings.history(name))
        if not found:
            raise NotFound(f"There is no mapping {name[:100]}.", remedy="List them with `wr mappings`.")
        return found

    def origin(self, name: str) -> str:
        """Whose the name is: `project`, `api` or `override`."""
        if name in self._declared:
            return "override" if self._overridden(name) else "project"
        return "api"

    def resting(self) -> list[str]:
        """Names that the API disabled."""
        return [name for name, overlay in self._overlays.items() if overlay.disabled]

    def _overridden(self, name: str) -> bool:
        overlay = self._overlays.get(name)
        return overlay is not None and overlay.override

    def _known(self, name: str) -> None:
        if name not in self._declared and name not in self._overlays:
            raise NotFound(f"There is no mapping {name[:100]}.", remedy="List them with `wr mappings`.")

    async def _rule(self, name: str) -> dict[str, object]:
        """What is to be changed: the last version through the API, or what the project declares."""
        self._known(name)
        if name in self._overlays and (name not in self._declared or self._overridden(name)):
            versions = [one for one in await self.history(name) if one.change]
            return rule_of(versions[-1])
        mapping, _ = self._declared[name]
        return cast("dict[str, object]", from_json(mapping.specification)) | {"name": name}

    async def _change(
        self,
        name: str,
        specification: bytes,
        stage: str,
        author: str,
        *,
        override: bool,
        expected: int | None = None,
        reason: str = "",
    ) -> MappingVersion:
        if name in self._declared and not override:
            raise Conflict(
                f"The project declares the mapping {name}.",
                remedy="Change it there, or override it (`--override`), which goes before that until it is deleted.",
            )
        origin = "override" if name in self._declared else "api"
        new = NewVersion(
            name=name, specification=specification, author=author, origin=origin, stage=stage, reason=reason
        )
        made = await self._store.commit(lambda tx: tx.mappings.change(new, expected=expected))
        if made is None:
            raise Conflict(f"The mapping {name} was changed meanwhile.", remedy="Look at its versions, then try again.")
        await self.refresh()
        return made


_Declared = tuple[EventMapping, int]


def _declared(mapping: EventMapping, version: int, rank: int, before: "_Declared | None") -> "_Declared":
    """A declared mapping with its version and place; the one before, where it is the same."""
    if before is not None and before[1] == rank and before[0].version == version:
        return before
    return msgspec.structs.replace(mapping, version=version), rank


def kept(rule: Rule) -> bytes:
    """A rule as it is kept: as it was written, in one form, without its name."""
    return to_canonical_json({key: value for key, value in rule.items() if key != "name"})


def rule_of(version: MappingVersion) -> dict[str, object]:
    """The rule that a version says. Raises InvalidInput for a deletion."""
    rule = from_json(version.specification)
    if not isinstance(rule, dict):
        raise InvalidInput(f"Version {version.version} of {version.name} is a deletion.", remedy="Take another.")
    return cast("dict[str, object]", rule) | {"name": version.name}


def compiled(version: MappingVersion, compile_rule: Compile) -> EventMapping:
    """A version as a mapping. Raises InvalidInput where it does not fit the project."""
    mapping = compile_rule(version.name, rule_of(version))
    return msgspec.structs.replace(mapping, version=version.version, specification=version.specification)
