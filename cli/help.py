"""``facebank help``: prints the help of a command."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import example


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("help", epilog=example("help", "help identify", "help people forget"))(show_help)


def show_help(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND...", show_default=False, help="The command; all of them if left out."),
    ] = None,
) -> int:
    """Show the help of a command, like COMMAND --help."""
    context = ctx.find_root()
    for name in names or []:
        if not hasattr(context.command, "resolve_command"):
            context.fail(f"'{context.command_path}' has no subcommand {name!r}")
        resolved, command, _ = context.command.resolve_command(context, [name])
        context = type(ctx)(command, info_name=resolved, parent=context)
    typer.echo(context.get_help())
    return 0
