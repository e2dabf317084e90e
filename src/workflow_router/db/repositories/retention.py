"""Storage verbs of finished runs that are not to be kept (`RetentionTransitions`)."""

from collections.abc import Mapping, Sequence

import msgspec

from workflow_router.core.orchestration.retention_ports import Aged, Rows
from workflow_router.db.database import Row, Session
from workflow_router.db.repositories.blobs import Blobs
from workflow_router.utils.codec import to_json

# What an archive has of a run: by table, the query and its columns; the first is the run's id.
_DUMPED = {
    "runs": (
        "dump_runs",
        "id, tenant, workflow, version, status, input, output, error, cause, correlation, parent, "
        "created_ms, updated_ms",
    ),
    "steps": (
        "dump_steps",
        "run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms",
    ),
    "signals": ("dump_signals", "run_id, id, name, value, workflow, key, cause, sent_ms, step_key"),
    "approvals": (
        "dump_approvals",
        "run_id, id, step_key, name, status, form, context, roles, quorum, created_ms, due_ms, decisions",
    ),
    "dispatches": (
        "dump_dispatches",
        "run_id, id, route, status, target, step_key, caller, cause, correlation, attempts, "
        "considered, usage, facts, created_ms, finished_ms",
    ),
    "run_states": ("dump_run_states", "run_id, state, updated_ms, edits"),
    "run_attributes": ("dump_run_attributes", "run_id, name, kind, text, number"),
    "update_answers": ("dump_update_answers", "run_id, id, output, error, answered_ms"),
    "streams": ("dump_streams", "run_id, name, last, bytes, ended"),
    "stream_entries": ("dump_stream_entries", "run_id, name, first, last, step_key, since, chunks"),
    "chains": ("dump_chains", "run_id, first, previous, number"),
    "forks": ("dump_forks", "run_id, source, step_key"),
}
# What is removed with a run.
_REMOVED = (
    "remove_steps",
    "remove_signals",
    "remove_approvals",
    "remove_dispatches",
    "remove_run_states",
    "remove_run_attributes",
    "remove_update_answers",
    "remove_streams",
    "remove_stream_entries",
    "remove_stream_writers",
    "remove_forks",
    "remove_correlations",
    "remove_start_keys",
    "remove_blob_uses",
)
# Columns that hold JSON, and so are JSON in the archive; `attempts` is a number in steps.
_JSON = frozenset(
    [
        "chunks",
        "considered",
        "context",
        "decisions",
        "edits",
        "error",
        "facts",
        "form",
        "input",
        "output",
        "roles",
        "state",
        "usage",
        "value",
    ]
)
_END_OF_POSITIONS = 2**62


class Retention:
    """See `RetentionTransitions` for what each verb promises."""

    def __init__(self, session: Session, blobs: Blobs, now_ms: int) -> None:
        self._session = session
        self._blobs = blobs
        self._now_ms = now_ms

    async def aged(self, after: int, *, before_ms: int, shards: list[int], limit: int) -> list[Aged]:
        young = await self._session.fetch("first_young_run", before_ms=before_ms)
        rows = await self._session.fetch(
            "aged_runs",
            after=after,
            until=young[0][0] if young else _END_OF_POSITIONS,
            before_ms=before_ms,
            shards=to_json(shards).decode(),
            limit=limit,
        )
        return [Aged(*row) for row in rows]

    async def dump(self, run_ids: Sequence[str]) -> Mapping[str, Mapping[str, Rows]]:
        runs = to_json(list(run_ids)).decode()
        found: dict[str, dict[str, Rows]] = {}
        for table, (query, columns) in _DUMPED.items():
            names = columns.split(", ")
            rows = await self._session.fetch(query, runs=runs)
            if table in {"runs", "steps"}:
                rows = await self._blobs.fill(rows, [names.index(one) for one in ("input", "output") if one in names])
            for row in rows:
                found.setdefault(row[0], {}).setdefault(table, []).append(_read(table, names, row))
        return {run_id: tables for run_id, tables in found.items() if "runs" in tables}

    async def remove(self, run_ids: Sequence[str], file: str) -> list[str]:
        gone = await self._session.fetch("remove_runs", runs=to_json(list(run_ids)).decode())
        removed = {run_id for (run_id,) in gone}
        if not removed:
            return []
        kept_order = [run_id for run_id in run_ids if run_id in removed]
        runs = to_json(kept_order).decode()
        await self._session.fetch("remove_chains_that_ended", runs=runs)
        await self._session.fetch("remove_chains", runs=runs)
        for query in _REMOVED:
            self._session.execute(query, runs=runs)
        await self._session.fetch("note_archived", runs=runs, file=file, now_ms=self._now_ms)
        return kept_order

    async def where(self, run_id: str) -> str | None:
        rows = await self._session.fetch("archive_of_run", run_id=run_id)
        return rows[0][0] if rows else None


def _read(table: str, names: Sequence[str], row: Row) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in zip(names, row, strict=True):
        if name == "run_id" or value is None:
            continue
        is_json = name in _JSON or (name == "attempts" and table == "dispatches")
        found[name] = msgspec.Raw(value.encode()) if is_json else value
    return found
