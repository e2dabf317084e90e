"""Owns `wr check`. Refuses to mend."""

from pathlib import Path

import click

from workflow_router.cli.terminal import Printer


@click.command(epilog="Example: wr check examples/github-triage. Exits with 1 where there are mistakes.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Tell every mistake of the project in FOLDER, with file, line and remedy."""
    from workflow_router.app import check  # noqa: PLC0415  it imports the whole system
    from workflow_router.settings import load_project  # noqa: PLC0415  as above

    mistakes = check(folder)
    warnings = [] if mistakes else list(load_project(folder).warnings)
    if as_json:
        Printer(as_json=True).data({"ok": not mistakes, "mistakes": mistakes, "warnings": warnings})
    else:
        for kind, found in (("", mistakes), ("warning: ", warnings)):
            for mistake in found:
                place = f"{folder / mistake.file}:{mistake.line or 1}"
                click.echo(f"{place}: {kind}{mistake.message} {mistake.remedy}".rstrip())
        count = len(mistakes)
        click.echo("No mistakes." if not count else f"{count} mistake{'s' if count > 1 else ''}.")
    if mistakes:
        ctx.exit(1)
