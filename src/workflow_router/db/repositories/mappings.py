"""Storage verbs of living mappings (`MappingTransitions`)."""

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from workflow_router.core.event_mappings.ports import MappingVersion, NewVersion
from workflow_router.core.model import Transition
from workflow_router.db.database import Row, Session
from workflow_router.utils.codec import to_json

_decode_members = msgspec.json.Decoder(list[tuple[str, int]]).decode


def _read(row: Row) -> MappingVersion:
    name, version, specification, author, created_ms, origin, stage, change = row
    return MappingVersion(
        name=name,
        version=version,
        specification=specification.encode(),
        author=author,
        created_ms=created_ms,
        origin=origin,
        stage=stage,
        change=change,
    )


class Mappings:
    """See `MappingTransitions` for what each verb promises."""

    def __init__(self, session: Session, record: Callable[[Transition], None], now_ms: int) -> None:
        self._session = session
        self._record = record
        self._now_ms = now_ms

    async def learn(self, declared: Sequence[tuple[str, bytes]], *, author: str) -> list[int]:
        if not declared:
            return []
        await self._session.fetch("lock_mappings")
        known = {row[0]: row[1:] for row in await self._session.fetch("last_mapping_versions")}
        versions: list[int] = []
        for name, specification in declared:
            last, own, text = known.get(name, (0, 0, None))
            if specification.decode() != text:
                own = last + 1
                await self._insert(name, own, specification, author, "project", "live", 0)
                self._record(Transition(kind="mapping.changed", subject=name, actor=author, detail={"version": own}))
            versions.append(own)
        return versions

    async def change(self, new: NewVersion, *, expected: int | None = None) -> MappingVersion | None:
        await self._session.fetch("lock_mappings")
        ((last,),) = await self._session.fetch("last_mapping_version", name=new.name)
        if expected is not None and expected != (last or 0):
            return None
        ((number,),) = await self._session.fetch("next_mapping_change")
        version = (last or 0) + 1
        await self._insert(new.name, version, new.specification, new.author, new.origin, new.stage, number)
        detail: dict[str, object] = {"version": version, "stage": new.stage, "origin": new.origin, "reason": new.reason}
        self._record(Transition(kind="mapping.changed", subject=new.name, actor=new.author, detail=detail))
        return MappingVersion(
            name=new.name,
            version=version,
            specification=new.specification,
            author=new.author,
            created_ms=self._now_ms,
            origin=new.origin,
            stage=new.stage,
            change=number,
        )

    async def last_change(self) -> int:
        ((number,),) = await self._session.fetch("mapping_change")
        return number

    async def changes(self, *, after: int, until: int, limit: int) -> list[MappingVersion]:
        rows = await self._session.fetch("mappings_changed", after=after, until=until, limit=limit)
        return [_read(row) for row in rows]

    async def history(self, name: str) -> list[MappingVersion]:
        return [_read(row) for row in await self._session.fetch("mapping_history", name=name)]

    async def keep_set(self, members: Sequence[tuple[str, int]]) -> int:
        text = to_json(members)
        digest = hashlib.sha256(text).hexdigest()
        await self._session.fetch("lock_mappings")
        found = await self._session.fetch("mapping_set_of", digest=digest)
        if not found:
            self._session.execute("insert_mapping_set", members=text.decode(), digest=digest)
            found = await self._session.fetch("mapping_set_of", digest=digest)
        return found[0][0]

    async def members(self, number: int) -> list[tuple[str, int]]:
        rows = await self._session.fetch("mapping_set", number=number)
        return _decode_members(rows[0][0]) if rows else []

    async def project_versions(self, *, after: str, limit: int) -> list[MappingVersion]:
        found = [_read(row) for row in await self._session.fetch("project_mappings", after=after, limit=limit)]
        if len(found) < limit or found[0].name == found[-1].name:
            return found
        return [one for one in found if one.name != found[-1].name]

    async def _insert(
        self, name: str, version: int, specification: bytes, author: str, origin: str, stage: str, change: int
    ) -> None:
        self._session.execute(
            "insert_mapping",
            name=name,
            version=version,
            specification=specification.decode(),
            author=author,
            created_ms=self._now_ms,
            origin=origin,
            stage=stage,
            change=change,
        )
