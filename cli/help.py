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
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND...", show_default=False, help="The command; all of them if left out."),
    ] = None,
) -> int:
    """Show the help of a command, like COMMAND --help."""
    context = ctx.find_root()
    for word in words or []:
        if not hasattr(context.command, "resolve_command"):
            context.fail(f"'{context.command_path}' has no subcommand {word!r}")
        name, command, _ = context.command.resolve_command(context, [word])
        context = type(ctx)(command, info_name=name, parent=context)
    typer.echo(context.get_help())
    return 0
