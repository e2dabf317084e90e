"""Owns `wr`: its commands, and how their errors end. Refuses to import a command, or what it needs, before it is asked.

Exit codes: 0 done; 1 done, and the answer is no; 2 asked wrongly, or refused; 3 server or store cannot be had; 4 the
time that was given is over; 130 interrupted.
"""

import importlib
import os
import sys
from difflib import get_close_matches
from typing import NoReturn

import click

from workflow_router.cli.terminal import inert
from workflow_router.core.errors import RouterError

# By name, the module below `cli` that has it as `command`.
COMMANDS = {
    "serve": "serve",
    "worker": "worker",
    "demo": "demo.command",
    "init": "init",
    "check": "check",
    "top": "top.command",
    "runs": "runs",
    "workflows": "workflows",
    "schedules": "schedules",
    "sources": "sources",
    "events": "events",
    "mappings": "mappings",
    "approvals": "approvals",
    "interceptors": "interceptors",
    "holds": "holds",
    "topics": "topics",
    "subscriptions": "subscriptions",
    "bridges": "bridges",
    "limits": "limits",
    "budgets": "budgets",
    "keys": "keys",
    "access": "access",
    "dispatches": "dispatches",
    "routes": "routes",
    "audit": "audit",
    "trace": "trace",
    "sql": "sql",
    "migrate": "migrate",
    "completion": "completion",
}

NO, REFUSED, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130


class _Commands(click.Group):
    """The commands in the order of `COMMANDS`, each imported at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"workflow_router.cli.{COMMANDS[cmd_name]}").command
        if "_WR_COMPLETE" in os.environ:
            from workflow_router.cli.completion import teach  # noqa: PLC0415  only a shell that completes needs it

            teach(found, cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As every group does; for a misspelt name it says the nearest, which click cannot where all are lazy."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean `wr {near[0]}`?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 asked wrongly or refused, 3 no server or store, 4 time is over, "
    "130 interrupted.",
)
@click.version_option(package_name="workflow-router", prog_name="wr")
def command() -> None:
    """Workflow Router: events in, durable agent workflows out.

    \b
    wr demo                 see everything at work
    wr init my-project      make a project
    wr serve my-project     run it
    """


def _show_example(error: click.ClickException) -> None:
    """After a command that was typed wrongly, one that is right."""
    known = error.ctx.command if isinstance(error, click.UsageError) and error.ctx else None
    if known is not None and known.epilog and known.epilog.startswith("Example: "):
        click.echo(known.epilog, err=True)


def main() -> NoReturn:
    """Run `wr` with the process's arguments."""
    try:
        code = command.main(prog_name="wr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        _show_example(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `wr … | head` does
        sys.stderr.close()
        sys.exit(0)
    except RouterError as error:
        click.echo(f"Error: {inert(str(error))}", err=True)
        sys.exit(UNAVAILABLE if error.status == 503 else REFUSED)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
