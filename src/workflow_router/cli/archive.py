"""Owns `wr runs archive`. Refuses to remove anything without a yes."""

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.terminal import Printer, progress
from workflow_router.core.durations import seconds
from workflow_router.core.errors import InvalidInput


@click.command("archive", epilog="Example: wr runs archive --older-than 7d --dry-run")
@click.option("--older-than", metavar="AGE", help="Runs that ended so long ago, such as 12h or 30d.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--yes", is_flag=True, help="Needed to remove them from the store.")
@talks
def archive(
    client: Client, printer: Printer, older_than: str | None, workflow: str | None, *, dry_run: bool, yes: bool
) -> None:
    """Write finished runs to the archive, and remove them from the store."""
    body: dict[str, object] = {} if workflow is None else {"workflow": workflow}
    if older_than is not None:
        body["older_than_days"] = (seconds(older_than) or 0.0) / 86_400
    total, _ = _pages(client, body | {"dry_run": True}, None)
    if dry_run:
        printer.say(f"{total} runs would be archived.", {"count": total, "files": []})
        return
    if not yes:
        raise InvalidInput(f"This would archive {total} runs.", remedy="Add --yes if that is what you want.")
    done, files = _pages(client, body, total)
    where = "".join(f"\n{file}" for file in files)
    printer.say(f"{done} runs archived.{where}", {"count": done, "files": files})


def _pages(client: Client, body: dict[str, object], total: int | None) -> tuple[int, list[str]]:
    count, files, after = 0, list[str](), 0
    with progress(total, "Archive", hidden=total is None) as bar:
        while True:
            page = client.post("/api/runs/archive", body | {"after": after})
            found = int(str(page["count"]))
            count += found
            bar.update(found)
            if page.get("file"):
                files.append(str(page["file"]))
            if page.get("next") is None:
                return count, files
            after = int(str(page["next"]))


COMMANDS = (archive,)
