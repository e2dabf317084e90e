"""Owns `wr completion`: the scripts, and the ids and names that they offer. Refuses to edit anybody's shell files."""

import os
from typing import cast

import click
from click.shell_completion import CompletionItem, get_completion_class

from workflow_router.cli.client import URL, Client
from workflow_router.core.errors import RouterError

HURRY_S = 1.0  # whoever presses the tabulator does not wait longer
MOST = 100
COMPLETING = "_WR_COMPLETE"

# By the name of an argument or option: where its values are listed, the field that holds them, the list's field if it
# is inside an object, and the field that tells people more.
_Where = tuple[str, str, str | None, str]
_NAMES: dict[str, _Where] = {
    "run": ("/api/runs?limit=50", "id", "runs", "workflow"),
    "other": ("/api/runs?limit=50", "id", "runs", "workflow"),
    "workflow": ("/api/workflows", "name", None, "description"),
    "event": ("/api/events?limit=50", "id", "events", "type"),
    "events": ("/api/events?limit=50", "id", "events", "type"),
    "approval": ("/api/approvals?status=open&limit=50", "id", None, "name"),
    "hold": ("/api/holds?limit=50", "id", None, "subject"),
    "dispatch": ("/api/dispatches?limit=50", "id", None, "route"),
    "route": ("/api/routes", "name", None, "policy"),
    "interceptor": ("/api/interceptors", "name", None, "stage"),
    "topic": ("/api/topics", "name", None, ""),
    "mapping": ("/api/mappings", "name", None, "stage"),
}
# What `name` means, by the group it is in.
_GROUPS: dict[str, _Where] = {
    "mappings": _NAMES["mapping"],
    "topics": _NAMES["topic"],
    "subscriptions": ("/api/subscriptions", "name", None, "topic"),
    "bridges": ("/api/bridges", "name", None, ""),
    "schedules": ("/api/schedules", "name", None, "start"),
    "limits": ("/api/limits", "name", None, "unit"),
    "budgets": ("/api/limits", "name", None, "unit"),
    "keys": ("/api/keys", "name", None, ""),
    "access keys": ("/api/access/keys", "name", None, ""),
}


@click.command(epilog='Examples: eval "$(wr completion bash)"; wr completion fish > ~/.config/fish/completions/wr.fish')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes `wr` in SHELL: commands, options, and what the server knows by id or name.

    It asks the server of WR_URL with WR_TOKEN, for a second at most.
    """
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(ctx.find_root().command, {}, "wr", COMPLETING).source())


def teach(found: click.Command, path: str) -> None:
    """Let the arguments and options of a command, and of those below it, offer what the server knows."""
    if isinstance(found, click.Group):
        for name, inner in found.commands.items():
            teach(inner, f"{path} {name}")
    group = path.rpartition(" ")[0]
    for param in found.params:
        where = _GROUPS.get(group) if param.name == "name" else _NAMES.get(param.name or "")
        if where is not None and not isinstance(param.type, click.Choice):
            param.shell_complete = _Offer(where)


class _Offer:
    """What the server knows that begins as what was typed."""

    def __init__(self, where: _Where) -> None:
        self._path, self._field, self._inside, self._more = where

    def __call__(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        url = str(ctx.params.get("url") or os.environ.get("WR_URL") or URL)
        token = os.environ.get("WR_TOKEN") or os.environ.get("WR_API_KEY")
        try:
            client = Client(url, token, timeout_s=HURRY_S)
            answer = client.list(self._path) if self._inside is None else client.get(self._path)[self._inside]
        except (RouterError, KeyError):
            return []  # a shell has no place for an error
        rows = cast("list[dict[str, object]]", answer)
        found = [(str(row[self._field]), str(row.get(self._more) or "").partition("\n")[0]) for row in rows]
        return [CompletionItem(name, help=told) for name, told in found if name.startswith(incomplete)][:MOST]
