"""Owns `wr completion`. Refuses to edit anybody's shell files."""

import click
from click.shell_completion import get_completion_class


@click.command(epilog='Example: eval "$(wr completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes `wr` in SHELL."""
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(ctx.find_root().command, {}, "wr", "_WR_COMPLETE").source())
