"""Owns `wr`: its commands, and how their errors end. Refuses to import a command, or what it needs, before it is asked.

Exit codes: 0 done; 1 done, and the answer is no; 2 asked wrongly, or refused; 3 server or store cannot be had;
130 interrupted.
"""

import importlib
import sys
from typing import NoReturn

import click

from workflow_router.core.errors import RouterError

# By name, the module below `cli` that has it as `command`.
COMMANDS = {
    "serve": "serve",
    "worker": "worker",
    "demo": "demo.command",
    "init": "init",
    "check": "check",
    "runs": "runs",
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
        return importlib.import_module(f"workflow_router.cli.{COMMANDS[cmd_name]}").command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 asked wrongly or refused, 3 no server or store, 130 interrupted.",
)
@click.version_option(package_name="workflow-router", prog_name="wr")
def command() -> None:
    """Workflow Router: events in, durable agent workflows out.

    \b
    wr demo                 see everything at work
    wr init my-project      make a project
    wr serve my-project     run it
    """


def main() -> NoReturn:
    """Run `wr` with the process's arguments."""
    try:
        code = command.main(prog_name="wr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `wr … | head` does
        sys.stderr.close()
        sys.exit(0)
    except RouterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(UNAVAILABLE if error.status == 503 else REFUSED)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
