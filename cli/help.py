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
    shown = ctx.find_root()
    for word in words or []:
        if not hasattr(shown.command, "resolve_command"):
            shown.fail(f"'{shown.command_path}' has no subcommand {word!r}")
        name, command, _ = shown.command.resolve_command(shown, [word])
        shown = type(ctx)(command, info_name=name, parent=shown)
    typer.echo(shown.get_help())
    return 0
