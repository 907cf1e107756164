"""The ``facebank`` command: its global options, and how it runs a command.

A command is a module with a function ``register(app)``. Importing it must cost next to nothing: what a command needs
of the library is imported when it runs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from facebank import __version__

from .commands import all_commands
from .failures import failures_told
from .paths import refuse_empty_paths
from .settings import Device, Settings
from .streams import fill_closed_streams, finish_output, quiet_libraries

# Nearly all that a command imports and makes lives as long as the process: looking through it for garbage as often as
# Python does by default costs a tenth of a short command's time.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class CommandLine(TyperGroup):
    """Runs a command; what it returns is the exit code, and what it raises becomes one sentence."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        refuse_empty_paths(self)  # its own options: each command is asked when it is loaded
        self.commands = all_commands()

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with failures_told(debug=bool(ctx.params.get("debug"))):
            code = _with_hint(super().invoke, ctx)
            sys.stdout.flush()
        raise typer.Exit(code or 0)


def _with_hint(invoke: Callable[[Any], Any], ctx: Any) -> Any:
    """Run a command; where it does not know an option that is a global one, say where that belongs."""
    try:
        return invoke(ctx)
    except Exception as error:
        option = getattr(error, "option_name", None)
        if any(option in parameter.opts for parameter in ctx.command.params):
            error.message = f"{error.message}; {option} comes before the command"  # type: ignore[attr-defined]
            error.possibilities = None  # type: ignore[attr-defined]
        raise


def options(
    ctx: typer.Context,
    gallery: Annotated[
        Path | None,
        typer.Option(help="File of the gallery; else what FACEBANK_GALLERY says, else one in your data folder."),
    ] = None,
    pack: Annotated[
        str | None, typer.Option(help="Name or folder of a pack; else the gallery's own, or the embedded one.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,  # noqa: ARG001 - CommandLine reads it
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """Recognize people from a handful of photographs each.

    Exit codes of every command: 0 done, 1 some input failed and the rest was done, 2 wrong usage or nothing could be
    done, 130 interrupted.
    """
    if version:
        typer.echo(f"facebank {__version__}")
        raise typer.Exit
    ctx.obj = Settings(gallery, pack, device)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def build_app() -> typer.Typer:
    """Put the application together."""
    app = typer.Typer(
        name="facebank",
        cls=CommandLine,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="\b\nExample:\n  facebank enroll ada/ imgs\n  facebank identify party.jpg",
    )
    app.callback()(options)
    return app


def main() -> int:
    """Run ``facebank`` with the arguments of this process and return its exit code."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    with nullcontext() if "--debug" in sys.argv else quiet_libraries():
        try:
            build_app()(prog_name="facebank")
        except SystemExit as stop:
            return finish_output(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        finally:
            gc.freeze()  # the system takes everything back at once
        return finish_output(0)
