"""Owns `wr demo`: progress while it runs, tables at its end. Refuses to leave anything behind unless told to."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import click

DEFAULT_PORT = 8787


@click.command(epilog="Example: wr demo --once --json --events 60. Exits with 1 where something does not add up.")
@click.option("--once", is_flag=True, help="End afterwards, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; implies --once.")
@click.option("--events", "count", default=300, show_default=True, type=click.IntRange(20, 100_000))
@click.option("--seed", default=7, show_default=True, help="Other seeds send other webhooks.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Work in this folder, and keep it.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"By default {DEFAULT_PORT}, or a free one if it is taken.")
@click.pass_context
def command(
    ctx: click.Context, once: bool, as_json: bool, count: int, seed: int, keep: Path | None, port: int | None
) -> None:
    """Run the main job on real-looking input, pull the plug in the middle, and show that everything adds up.

    Starts a stand-in model server and a router on the example github-triage, sends it GitHub webhooks, answers its
    approvals, kills it (SIGKILL) and starts it again. On a terminal it then goes on serving until Ctrl-C.
    """
    go_on = sys.stdout.isatty() and not (once or as_json)
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wr-demo-")))
        wanted = DEFAULT_PORT if port is None else port
        ok = asyncio.run(_demo(folder, count=count, seed=seed, port=wanted, as_json=as_json, go_on=go_on))
    if not ok:
        ctx.exit(1)


async def _demo(folder: Path, *, count: int, seed: int, port: int, as_json: bool, go_on: bool) -> bool:
    from rich.console import Console  # noqa: PLC0415  these take longer to import than `wr --help` takes
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  as above

    from workflow_router.cli.demo.result import show  # noqa: PLC0415  as above
    from workflow_router.cli.demo.run import EXAMPLE, leave_questions, perform, staged  # noqa: PLC0415  as above
    from workflow_router.cli.terminal import Printer  # noqa: PLC0415  as above
    from workflow_router.utils.clock import SystemClock  # noqa: PLC0415  as above

    console, clock = Console(stderr=as_json, highlight=False), SystemClock()
    main = asyncio.current_task()
    if main is not None:  # whoever ends it with SIGTERM is not to be left with its router
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    async with staged(folder, seed=seed, port=port, clock=clock) as stage:
        console.print(f"Router on {EXAMPLE}, ready after {stage.ready_s:.2f} s: {stage.router.address}")
        console.print(f"Stand-in for a model provider, which is no model: {stage.model_url}\n")
        columns = TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=console) as progress:
            sending = progress.add_task("webhooks", total=count)
            ending = progress.add_task("runs", total=None)
            result = await perform(
                stage,
                count=count,
                seed=seed,
                clock=clock,
                tell=progress.console.print,
                on_sent=lambda so_far: progress.update(sending, completed=so_far),
                on_ended=lambda ended, wanted: progress.update(ending, completed=ended, total=wanted),
            )
        if as_json:
            Printer(as_json=True).data(result)
        else:
            console.print()
            show(result, console)
        if not result.ok:
            console.print("With --keep FOLDER its store, effects and log stay for a closer look.")
        if go_on:
            waiting = await leave_questions(stage, seed=seed, clock=clock)
            console.print(
                f"\nStill serving, until Ctrl-C, in {folder}. More webhooks came in, and {waiting} runs wait for you:"
            )
            console.print(f"open {stage.router.address} in a browser, see why, and decide.")
            with contextlib.suppress(asyncio.CancelledError):
                await stage.router.ended()
        return result.ok
