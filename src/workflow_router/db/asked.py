"""Owns what a question in SQL may be about, and what its answer looks like. Refuses to know the dialect."""

import msgspec

_COLUMNS = """
wr_runs: id tenant workflow version status parent cause correlation error created_ms updated_ms
wr_steps: run_id key seq name kind status attempts error started_ms finished_ms
wr_dispatches: id tenant route status target run_id step_key caller cause correlation usage created_ms finished_ms
wr_messages: id tenant topic key priority cause correlation published_ms due_ms expires_ms
"""
# Each view and its columns, the same on each store.
VIEWS = {name: columns.split() for name, _, columns in (line.partition(": ") for line in _COLUMNS.strip().splitlines())}
REFUSED_REMEDY = f"Write one SELECT over {', '.join(VIEWS)}."


class Answer(msgspec.Struct, frozen=True):
    """Rows of an answer, and whether there are more."""

    columns: list[str]
    rows: list[tuple[object, ...]]
    cut: bool
