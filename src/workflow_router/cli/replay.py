"""Owns `wr runs replay`: recorded histories against the code of a project folder. Refuses effects: it only reads.

Histories come from a running server, or from a store that no process has open (PostgreSQL: that anybody has open).
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Raw

from workflow_router.cli.client import Client, segment, talks
from workflow_router.cli.terminal import Printer, progress
from workflow_router.core.errors import InvalidInput, NotFound
from workflow_router.core.model import Run, StepRecord
from workflow_router.core.states import RunStatus, StepStatus

PAGE = 100
TOGETHER = 16
Recorded = tuple[Run, list[StepRecord]]


class _Step(msgspec.Struct):
    key: str
    seq: int
    name: str
    kind: str
    status: StepStatus
    output: Raw
    error: Raw
    attempts: int
    started_ms: int
    finished_ms: int


class _Run(msgspec.Struct):
    """A run as the API shows it."""

    id: str
    workflow: str
    version: str
    status: RunStatus
    input: Raw
    output: Raw
    error: Raw
    created_ms: int
    updated_ms: int
    steps: list[_Step]

    def recorded(self) -> Recorded:
        """As the store has it."""
        run = Run(
            id=self.id,
            workflow=self.workflow,
            version=self.version,
            status=self.status,
            input=bytes(self.input),
            output=bytes(self.output) if self.status is RunStatus.COMPLETED else None,
            error=_present(self.error),
            tenant="",
            shard=0,
            cause=None,
            correlation=None,
            created_ms=self.created_ms,
            updated_ms=self.updated_ms,
        )
        steps = [
            StepRecord(
                key=one.key,
                seq=one.seq,
                name=one.name,
                kind=one.kind,
                status=one.status,
                output=bytes(one.output),
                error=_present(one.error),
                attempts=one.attempts,
                started_ms=one.started_ms,
                finished_ms=one.finished_ms,
            )
            for one in self.steps
        ]
        return run, steps


def _present(text: Raw) -> bytes | None:
    content = bytes(text)
    return None if content == b"null" else content


async def _from_server(client: Client, run_id: str | None, workflow: str | None) -> AsyncIterator[Recorded]:
    def one(wanted: str) -> Recorded:
        return msgspec.json.decode(client.fetch(f"/api/runs/{segment(wanted)}"), type=_Run).recorded()

    if run_id is not None:
        yield one(run_id)
        return
    before: str | None = None
    while True:
        page = client.get("/api/runs", workflow=workflow, before=before, limit=PAGE)
        for listed in msgspec.convert(page.get("runs"), list[dict[str, Any]]):
            yield one(str(listed["id"]))
        if page.get("next") is None:
            return
        before = str(page["next"])


async def _from_store(url: str, run_id: str | None, workflow: str | None) -> AsyncIterator[Recorded]:
    from workflow_router.core.orchestration.ports import RunFilter  # noqa: PLC0415  as in `_replay`
    from workflow_router.core.ports import Transaction  # noqa: PLC0415  as above
    from workflow_router.db.open import reading_store  # noqa: PLC0415  as above
    from workflow_router.utils.clock import SystemClock  # noqa: PLC0415  as above

    async with reading_store(url, clock=SystemClock()) as store:
        before: str | None = None
        while True:

            async def unit(tx: Transaction, before: str | None = before) -> list[Recorded]:
                if run_id is None:
                    runs = await tx.runs.list_runs(RunFilter(workflow=workflow, before=before, limit=PAGE))
                else:
                    found = await tx.runs.find(run_id)
                    runs = [] if found is None else [found]
                return [(run, await tx.runs.history(run.id)) for run in runs]

            page = await store.read(unit)
            if run_id is not None and not page:
                raise NotFound(f"There is no run {run_id} in this store.", remedy="Check the id and --store.")
            for recorded in page:
                yield recorded
            if len(page) < PAGE:
                return
            before = page[-1][0].id


@contextlib.asynccontextmanager
async def _code(folder: Path) -> AsyncGenerator[dict[str, Any], None]:
    """The workflows of a project, joined to a runtime that is never opened, over an empty store in memory."""
    from workflow_router.app import join_workflows, load_routers  # noqa: PLC0415  as in `_replay`
    from workflow_router.core.dispatch_route.dispatch import Dispatcher  # noqa: PLC0415  as above
    from workflow_router.core.forward import forwarding  # noqa: PLC0415  as above
    from workflow_router.core.runtime import Runtime  # noqa: PLC0415  as above
    from workflow_router.db.open import open_store  # noqa: PLC0415  as above
    from workflow_router.network.http import HttpTransport  # noqa: PLC0415  as above
    from workflow_router.network.secrets import LocalSecrets  # noqa: PLC0415  as above
    from workflow_router.settings import load_project  # noqa: PLC0415  as above
    from workflow_router.utils.clock import SystemClock  # noqa: PLC0415  as above
    from workflow_router.utils.ids import Ids  # noqa: PLC0415  as above

    routers = [*load_routers(load_project(folder)), forwarding()]
    clock = SystemClock()
    ids = Ids(clock, None)
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store("sqlite://", clock=clock, owner=ids.new(), commit_in_thread=False)
        stack.push_async_callback(store.close)
        http = HttpTransport()
        stack.push_async_callback(http.close)
        dispatcher = Dispatcher([], http, LocalSecrets(), clock, ids, random.random, asyncio.sleep)
        workflows = join_workflows(routers)
        runtime = Runtime(store, clock, ids, dispatcher, workflows, random=random.random)
        for router in routers:
            router.join(runtime)
            stack.callback(router.join, None)
        yield workflows


async def _replay(folder: Path, histories: AsyncIterator[Recorded], title: str) -> dict[str, Any]:
    """Replay the histories, some at a time; what to tell of it."""
    from workflow_router.core.orchestration.replay import Break, Unknown, replay  # noqa: PLC0415  the whole system

    replayed, skipped = 0, 0
    breaks: list[Break] = []
    async with _code(folder) as workflows:

        async def one(recorded: Recorded) -> None:
            nonlocal replayed, skipped
            try:
                found = await replay(workflows, *recorded)
            except Unknown:
                skipped += 1
                return
            replayed += 1
            if found is not None:
                breaks.append(found)

        with progress(None, title) as bar:
            batch: list[Recorded] = []
            async for recorded in histories:
                batch.append(recorded)
                if len(batch) == TOGETHER:
                    await asyncio.gather(*map(one, batch))
                    bar.update(len(batch))
                    batch = []
            await asyncio.gather(*map(one, batch))
    breaks.sort(key=lambda found: found.run)
    return {"replayed": replayed, "skipped": skipped, "breaks": [msgspec.to_builtins(found) for found in breaks]}


@click.command("replay", epilog="Example: wr runs replay --all --folder . --store postgresql://router@db/router")
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="Replay all runs, newest first, instead of one.")
@click.option("--workflow", help="Of all, only runs of this workflow.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    help="The project whose code is tried.",
)
@click.option("--store", metavar="URL", help="Read histories from this store instead of asking the server.")
@talks
@click.pass_context
def replay_runs(
    ctx: click.Context,
    client: Client,
    printer: Printer,
    run: str | None,
    everything: bool,
    workflow: str | None,
    folder: Path,
    store: str | None,
) -> None:
    """Hold the history of RUN, or of all runs, against today's code in a project folder, without effects.

    Exits with 1 where the code does something else than a run did; each break says what was expected and found.
    """
    if everything == (run is not None):
        raise InvalidInput("Name one run, or say --all.", remedy="See `wr runs replay --help`.")
    histories = _from_server(client, run, workflow) if store is None else _from_store(store, run, workflow)
    told = asyncio.run(_replay(folder, histories, "Replaying"))
    if printer.as_json:
        printer.data(told)
    else:
        for found in told["breaks"]:
            place = "" if found["key"] is None else f" at step {found['key']}"
            click.echo(f"{found['run']} ({found['workflow']} {found['version']}){place}:")
            click.echo(f"  expected {found['expected']}\n  found    {found['found']}")
        skipped = f", {told['skipped']} skipped (their code is gone, and they have ended)" if told["skipped"] else ""
        click.echo(f"{told['replayed']} replayed{skipped}, {len(told['breaks'])} broken.")
    if told["breaks"]:
        ctx.exit(1)
