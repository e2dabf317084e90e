"""Owns groups of commands of which one is meant where none is named. Refuses to guess among them."""

from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem


class Group(click.Group):
    """A group that takes `wr runs --status waiting` as `wr runs list --status waiting`.

    Args:
        default: the command that is meant.
    """

    def __init__(self, *arguments: Any, default: str, **options: Any) -> None:  # Any: click types its own so
        super().__init__(*arguments, **options)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As every group does, with the default named where no command is."""
        completing = ctx.resilient_parsing and not args  # then a shell asks which commands there are
        if not completing and (not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)):
            args = [self._default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As every group does; for a name that it has not, it says the nearest, or all that there are."""
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(args[0], self.commands, n=1)
            meant = (
                f"Did you mean `{ctx.command_path} {near[0]}`?"
                if near
                else f"There are: {', '.join(sorted(self.commands))}."
            )
            raise click.UsageError(f"No such command {args[0]!r}. {meant}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its commands, and the options of the one that is meant without."""
        found, default = super().shell_complete(ctx, incomplete), self.get_command(ctx, self._default)
        if default is not None and incomplete.startswith("-"):
            own = click.Context(default, parent=ctx, info_name=self._default, resilient_parsing=True)
            found += default.shell_complete(own, incomplete)
        return found

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Which command is meant where none is named, and the example."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"Without a command it is `{ctx.command_path} {self._default}`, with its options.")
        super().format_epilog(ctx, formatter)
