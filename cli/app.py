"""The ``facebank`` command: its global options, and how it runs a command.

A command is a module with a function ``register(app)``. Importing it must cost next to nothing: what a command needs
of the library is imported when it runs.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from facebank import __version__

from .commands import SECTIONS, all_commands
from .failures import failures_told
from .formatting import CommandApp, HelpGroup
from .paths import refuse_empty_paths
from .settings import Device, Fallback, Runtime, Settings
from .streams import fill_closed_streams, finish_output, quiet_libraries

# Nearly all that a command imports and makes lives as long as the process: looking through it for garbage as often as
# Python does by default costs a tenth of a short command's time.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


_COMPLETION = "_FACEBANK_COMPLETE"
"""Set by the shell's completion script when it asks for completions."""


class CommandLine(HelpGroup):
    """Runs a command; what it returns is the exit code, and what it raises becomes one sentence."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        refuse_empty_paths(self)  # its own options: each command is asked when it is loaded
        self.commands = all_commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as Typer calls it
        """Write the commands under their headings."""
        longest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            rows = [(name.ljust(longest), self.commands[name].get_short_help_str(100)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

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


def _install_completion(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    """Add completion to the start-up file of the shell, and stop; no-op unless asked for."""
    from typer.completion import install_callback

    install_callback(ctx, param, value)


def _show_completion(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    """Print the shell's completion script, and stop; no-op unless asked for."""
    from typer.completion import show_callback

    show_callback(ctx, param, value)


def options(
    ctx: typer.Context,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The gallery: the file of enrolled people. Default: $FACEBANK_GALLERY, or your data folder.",
        ),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The pack, which is the networks to use: a name or folder. Default: the gallery's own."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = "auto",
    runtime: Annotated[
        Runtime,
        typer.Option(help="What computes embeddings; auto: for long work the faster one on this machine."),
    ] = "auto",
    index: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where people are searched: milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
            "milvus-lite:FILE.db. Default: this machine.",
        ),
    ] = None,
    fallback: Annotated[
        Fallback | None,
        typer.Option(help="What searches, with a warning, while --index cannot be reached. Default: that is an error."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001 - CommandLine reads it
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    install_completion: Annotated[  # noqa: ARG001 - its callback does it
        bool,
        typer.Option(
            "--install-completion",
            is_eager=True,
            callback=_install_completion,
            help="Let the Tab key complete commands and options in this shell, and exit.",
        ),
    ] = False,
    show_completion: Annotated[  # noqa: ARG001 - its callback does it
        bool,
        typer.Option(
            "--show-completion",
            is_eager=True,
            callback=_show_completion,
            help="Print the shell script that does so, and exit.",
        ),
    ] = False,
) -> None:
    """Recognize people from a handful of photographs each.

    Exit codes of every command: 0 done, 1 some input failed and the rest was done, 2 wrong usage or nothing could be
    done, 130 interrupted. 'facebank help COMMAND' describes a command.
    """
    if version:
        typer.echo(f"facebank {__version__}")
        raise typer.Exit
    if fallback is not None and index is None:
        raise typer.BadParameter("it needs --index", param_hint="--fallback")
    ctx.obj = Settings(gallery, pack, device, runtime, index, fallback)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def build_app() -> typer.Typer:
    """Put the application together."""
    app = CommandApp(
        group=CommandLine,
        name="facebank",
        invoke_without_command=True,
        add_completion=False,  # its options are those above, which load Typer's part of it only when they are used
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="\b\nExample:\n  facebank enroll ada/ imgs\n  facebank identify party.jpg",
    )
    app.callback()(options)
    return app


def _answer_shell() -> None:
    """Register the shells whose completion script may have started this process."""
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()


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
            if _COMPLETION in os.environ:
                _answer_shell()
            build_app()(prog_name="facebank")
        except SystemExit as stop:
            return finish_output(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        finally:
            gc.freeze()  # the system takes everything back at once
        return finish_output(0)
