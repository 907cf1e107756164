"""The ``facebank`` program: global options and dispatch to commands.

A command is a module with a function ``register(app)``. The module must be cheap to import: a command imports what it
needs of the library when it runs.
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
from .exit_codes import exit_on_errors
from .global_options import Device, Fallback, GlobalOptions, Runtime
from .help_layout import CommandApp, HelpGroup
from .paths import refuse_empty_paths
from .streams import fill_closed_streams, finish_output, quiet_libraries

# Most objects live as long as the process, so that frequent collections would only delay a short command.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000

_COMPLETION = "_FACEBANK_COMPLETE"
"""Environment variable that the shell's completion script sets."""


class CommandLine(HelpGroup):
    """The top-level group: a command's return value is the exit code, and an exception becomes a one-line message."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        refuse_empty_paths(self)  # only the global options: commands are handled when they are loaded
        self.commands = all_commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as Typer calls it
        """Write the commands under their headings."""
        width = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(100)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the given command."""
        with exit_on_errors(debug=bool(ctx.params.get("debug"))):
            code = _with_hint(super().invoke, ctx)
            sys.stdout.flush()
        raise typer.Exit(code or 0)


def _with_hint(invoke: Callable[[Any], Any], ctx: Any) -> Any:
    """Run a command; if a global option was given after it, the error shows where the option belongs."""
    try:
        return invoke(ctx)
    except Exception as error:
        option = getattr(error, "option_name", None)
        if any(option in parameter.opts for parameter in ctx.command.params):
            error.message = f"{error.message}; {option} comes before the command"  # type: ignore[attr-defined]
            error.possibilities = None  # type: ignore[attr-defined]
        raise


def _install_completion(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    """Add completion to the start-up file of the shell and exit; no-op if the option is not given."""
    from typer.completion import install_callback

    install_callback(ctx, param, value)


def _show_completion(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    """Print the shell's completion script and exit; no-op if the option is not given."""
    from typer.completion import show_callback

    show_callback(ctx, param, value)


def options(
    ctx: typer.Context,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Gallery: the file of enrolled people. Default: $FACEBANK_GALLERY, or one in your data folder.",
        ),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Pack, a set of networks: its name or folder. Default: the pack of the gallery."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Device that runs the networks.")] = "auto",
    runtime: Annotated[
        Runtime,
        typer.Option(help="Runtime that computes embeddings; auto picks the faster one for long tasks."),
    ] = "auto",
    index: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Vector index to search: milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
            "milvus-lite:FILE.db. Default: a local index.",
        ),
    ] = None,
    fallback: Annotated[
        Fallback | None,
        typer.Option(help="Index to search, with a warning, if --index cannot be reached. Default: fail."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001 - read by CommandLine
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    install_completion: Annotated[  # noqa: ARG001 - handled by its callback
        bool,
        typer.Option(
            "--install-completion",
            is_eager=True,
            callback=_install_completion,
            help="Install completion with the Tab key for this shell, and exit.",
        ),
    ] = False,
    show_completion: Annotated[  # noqa: ARG001 - handled by its callback
        bool,
        typer.Option(
            "--show-completion",
            is_eager=True,
            callback=_show_completion,
            help="Print the completion script of this shell, and exit.",
        ),
    ] = False,
) -> None:
    """Recognize people in photos from a few photos of each.

    Exit codes of all commands: 0 success, 1 some input failed and the rest was processed, 2 wrong usage or nothing
    could be done, 130 interrupted. 'facebank help COMMAND' describes a command.
    """
    if version:
        typer.echo(f"facebank {__version__}")
        raise typer.Exit
    if fallback is not None and index is None:
        raise typer.BadParameter("it requires --index", param_hint="--fallback")
    ctx.obj = GlobalOptions(gallery, pack, device, runtime, index, fallback)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def build_app() -> typer.Typer:
    """Build the Typer application."""
    app = CommandApp(
        group=CommandLine,
        name="facebank",
        invoke_without_command=True,
        add_completion=False,  # replaced by the options above, which import Typer's completion lazily
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="\b\nExample:\n  facebank enroll ada/ imgs\n  facebank identify party.jpg",
    )
    app.callback()(options)
    return app


def _register_shells() -> None:
    """Register Typer's completion of each shell with click."""
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
                _register_shells()
            build_app()(prog_name="facebank")
        except SystemExit as error:
            return finish_output(error.code if isinstance(error.code, int) else int(error.code is not None))
        finally:
            gc.freeze()  # skips the collection at exit
        return finish_output(0)
