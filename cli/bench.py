"""``facebank bench``: how far answers can be trusted, measured on benchmarks or on your own folders.

Each protocol of `facebank.evaluation.protocols` is a command; its options are those that the protocol declares.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from facebank.evaluation.protocols import CONTENTS, Option, Protocol, load_protocol
from facebank.storage.text import shell_command

from .commands import Commands
from .failures import SOME_FAILED
from .formatting import CommandApp, HelpGroup
from .output import say, write_json, write_line, write_table
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.evaluation.report import Report, WrittenReport

EXIT_CODES = """Exit codes: 0 measured; 1 measured, with something left out or a failed check; 2 wrong usage, or nothing
to measure."""

DATA = """DATA is a folder with one folder of photos for each person (with train, validation and test folders above them
or not), LFW, a .bin file of InsightFace, a CSV of pairs, a VoTT or COCO export, or an npz of pictures or embeddings."""

_DATA = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Photos of known people: a folder or a file, see below.", show_default=False),
]
_COMMON: dict[str, tuple[Any, Any]] = {
    "out": (
        Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Folder for the report. Default: bench-NAME here.", show_default=False),
        ],
        None,
    ),
    "seed": (Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seed of all random choices.")], 0),
    "cache": (
        Annotated[
            bool,
            typer.Option(
                "--cache/--no-cache", help="Keep embeddings in your cache folder, so that a second run is fast."
            ),
        ],
        True,
    ),
    "scores": (
        Annotated[
            bool,
            typer.Option("--scores", help="Also write every score, with the photos' names, to scores.csv."),
        ],
        False,
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")], False),
}
"""Options of every protocol: annotation and default; those without scores lack ``--scores``."""


_LISTS: dict[Any, Any] = {Sequence[int]: list[int], Sequence[str]: list[str]}


class _Bench(HelpGroup):
    """Lists the protocols by their table of contents, and imports one only when it is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        own = self.commands
        self.commands = Commands([*CONTENTS, *own], _protocol_command)
        self.commands.update(own)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as click calls it
        """Return the names in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands for the help."""
        rows = [
            (name, CONTENTS[name].summary if name in CONTENTS else self.commands[name].get_short_help_str(100))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = CommandApp(
        group=_Bench,
        help="Measure accuracy on benchmarks or your own photos.",
        no_args_is_help=True,
        epilog="\b\nExample:\n  facebank bench openset people/ --out report/",
    )
    bench.command("forget", epilog="\b\nExample:\n  facebank bench forget")(forget)
    app.add_typer(bench, name="bench")


def forget(as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False) -> int:
    """Remove the embeddings that benchmarks keep in your cache."""
    from facebank.evaluation.face_cache import evaluation_folder, forget_evaluated_faces

    freed = forget_evaluated_faces()
    if as_json:
        write_json({"folder": str(evaluation_folder()), "bytes": freed})
    else:
        write_line(f"{freed / 1e6:.1f} MB removed from {evaluation_folder()}")
    return 0


def _protocol_command(name: str) -> Any:
    """Return the command of a protocol."""
    protocol = load_protocol(name)
    parameters = {"ctx": (typer.Context, inspect.Parameter.empty), "data": (_DATA, inspect.Parameter.empty)}
    parameters |= {name: _parameter(*option) for name, option in protocol.options().items()}
    parameters |= {name: one for name, one in _COMMON.items() if name != "scores" or protocol.has_scores}

    def command(**values: Any) -> int:
        ctx, data, common = values.pop("ctx"), values.pop("data"), {name: values.pop(name, False) for name in _COMMON}
        return _run(ctx, protocol, data, values, **common)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what Typer reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in parameters.items()
        ]
    )
    command.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    app = CommandApp()
    app.command(name, help=protocol.help, epilog=_epilog(*protocol.examples))(command)
    return typer.main.get_group(app).commands[name]


def _parameter(kind: Any, option: Option, default: Any) -> tuple[Any, Any]:
    """Return the annotation and default that Typer makes an option of."""
    several = next((_LISTS[one] for one in (kind, *get_args(kind)) if one in _LISTS), None)
    if several is not None:
        kind, default = several | None, None
    shown = several is None and default is not inspect.Parameter.empty
    made = typer.Option(option.flag, metavar=option.metavar, help=option.help, min=option.least, show_default=shown)
    return Annotated[kind, made], default


def _epilog(*examples: str) -> str:
    lines = [f"  facebank bench {example}" for example in examples]
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n\n".join(["\b\n" + "\n".join([title, *lines]), DATA, EXIT_CODES])


def _run(
    ctx: typer.Context,
    protocol: Protocol,
    data: Path,
    options: Mapping[str, Any],
    *,
    out: Path | None,
    seed: int,
    cache: bool,
    scores: bool,
    as_json: bool,
) -> int:
    """Run a protocol, write its report and print the results; return the exit code."""
    from facebank.evaluation.bench import Run, run

    job, settings = protocol.job(data, options), settings_of(ctx)
    with ProgressBar(writes_lines=as_json) as progress:
        how = Run(
            out=out or Path(f"bench-{protocol.name}"),
            command=shell_command(*sys.argv[1:]),
            pack=settings.pack,
            device=settings.device,
            runtime="onnxruntime" if settings.runtime == "auto" else settings.runtime,
            seed=seed,
            keeps_faces=cache,
            progress=progress,
            scores=scores,
        )
        report, written = run(job, how)
    if as_json:
        write_json(json.loads(written.json.read_text(encoding="utf-8")))
    else:
        _print(report, written)
    return _exit_code(report)


def _print(report: Report, written: WrittenReport) -> None:
    from facebank.evaluation.report import figure_tables

    for sentence in report.summary:
        write_line(sentence)
    for table in figure_tables(report.figures):
        if table.rows:
            write_line("")
            write_line(table.title)
            write_table(table.headings[:4], [row[:4] for row in table.rows])
    write_line(f"report: {written.html}")


def _exit_code(report: Report) -> int:
    """Return 1 where something named could not be used or a check failed; a face that was not found is a result."""
    from facebank.evaluation.faces import NO_FACE

    unused = [failure for failure in report.failures if failure.reason != NO_FACE]
    if unused:
        say(f"{len(unused)} left out, such as {unused[0].entry}: {unused[0].reason}; the report lists them")
    return SOME_FAILED if unused or report.failed_checks else 0
