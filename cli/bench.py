"""``facebank bench``: accuracy, measured on public benchmarks or on your own photos.

Each protocol of `facebank.evaluation.protocols` is a command, with the options that the protocol declares.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from facebank.evaluation.protocols import PROTOCOLS, Option, Protocol, load_protocol
from facebank.storage.text import pluralize, shell_command

from .commands import Commands
from .exit_codes import SOME_FAILED
from .global_options import global_options
from .help_layout import CommandApp, HelpGroup
from .options import AsOneJson
from .output import say, write_json, write_line, write_table
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.evaluation.report import Report, WrittenReport

EXIT_CODES = """Exit codes: 0 measured; 1 measured, but some input was left out or a check failed; 2 wrong usage, or
nothing to measure."""

DATA = """DATA is a folder with one folder of photos for each person (optionally below train, validation and test
folders), LFW, an InsightFace .bin file, a CSV of pairs, a VoTT or COCO export, or an npz file of photos or
embeddings."""

_DATA = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Photos of known people: a folder or a file, see below.", show_default=False),
]
_COMMON_OPTIONS: dict[str, tuple[Any, Any]] = {
    "out": (
        Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Folder for the report. Default: bench-NAME.", show_default=False),
        ],
        None,
    ),
    "seed": (Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seed of the random choices.")], 0),
    "cache": (
        Annotated[
            bool,
            typer.Option("--cache/--no-cache", help="Keep embeddings in your cache folder, for faster runs later."),
        ],
        True,
    ),
    "scores": (
        Annotated[
            bool,
            typer.Option("--scores", help="Also write all scores, with the names of the photos, to scores.csv."),
        ],
        False,
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")], False),
}
"""Annotations and defaults of the options of every protocol; ``--scores`` only for protocols with scores."""

_LIST_TYPES: dict[Any, Any] = {Sequence[int]: list[int], Sequence[str]: list[str]}


class _BenchGroup(HelpGroup):
    """The group of benchmarks, which imports a protocol when its command is run or described."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        other_commands = self.commands
        self.commands = Commands([*PROTOCOLS, *other_commands], _protocol_command)
        self.commands.update(other_commands)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in help order."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names and summaries of the commands."""
        rows = [
            (name, PROTOCOLS[name].summary if name in PROTOCOLS else self.commands[name].get_short_help_str(100))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = CommandApp(
        group=_BenchGroup,
        help="Measure accuracy on benchmarks or your own photos.",
        no_args_is_help=True,
        epilog="\b\nExample:\n  facebank bench openset people/ --out report/",
    )
    bench.command("forget", epilog="\b\nExample:\n  facebank bench forget")(forget)
    app.add_typer(bench, name="bench")


def forget(as_json: AsOneJson = False) -> int:
    """Remove the embeddings of benchmarks from your cache."""
    from facebank.evaluation.face_cache import evaluation_folder, forget_evaluated_faces

    freed = forget_evaluated_faces()
    if as_json:
        write_json({"folder": str(evaluation_folder()), "bytes": freed})
    else:
        size = f"{freed / 1e6:,.1f} MB" if freed >= 1e6 else f"{freed / 1e3:,.1f} kB"
        write_line(f"{size} removed from {evaluation_folder()}")
    return 0


def _protocol_command(name: str) -> Any:
    """Return the command of a protocol."""
    protocol = load_protocol(name)
    parameters = {"ctx": (typer.Context, inspect.Parameter.empty), "data": (_DATA, inspect.Parameter.empty)}
    parameters |= {key: _parameter(*option) for key, option in protocol.options().items()}
    parameters |= {key: option for key, option in _COMMON_OPTIONS.items() if key != "scores" or protocol.has_scores}

    def command(**values: Any) -> int:
        ctx, data = values.pop("ctx"), values.pop("data")
        common = {key: values.pop(key, False) for key in _COMMON_OPTIONS}
        return _run(ctx, protocol, data, values, **common)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for key, (annotation, default) in parameters.items()
        ]
    )
    command.__annotations__ = {key: annotation for key, (annotation, _) in parameters.items()}
    app = CommandApp()
    app.command(name, help=protocol.help, epilog=_epilog(*protocol.examples))(command)
    return typer.main.get_group(app).commands[name]


def _parameter(annotation: Any, option: Option, default: Any) -> tuple[Any, Any]:
    """Return a protocol's option as an annotation and a default for Typer."""
    list_type = next((_LIST_TYPES[part] for part in (annotation, *get_args(annotation)) if part in _LIST_TYPES), None)
    if list_type is not None:
        annotation, default = list_type | None, None
    shows_default = list_type is None and default is not inspect.Parameter.empty
    typer_option = typer.Option(
        option.flag, metavar=option.metavar, help=option.help, min=option.minimum, show_default=shows_default
    )
    return Annotated[annotation, typer_option], default


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
    from facebank.evaluation.bench import RunOptions, run

    job, selection = protocol.job(data, options), global_options(ctx)
    with ProgressBar(writes_lines=as_json) as progress:
        run_options = RunOptions(
            out=out or Path(f"bench-{protocol.name}"),
            command=shell_command(*sys.argv[1:]),
            pack=selection.pack,
            device=selection.device,
            runtime="onnxruntime" if selection.runtime == "auto" else selection.runtime,
            seed=seed,
            cache_faces=cache,
            progress=progress,
            scores=scores,
        )
        report, written = run(job, run_options)
    if as_json:
        write_json(json.loads(written.json.read_text(encoding="utf-8")))
    else:
        _print_report(report, written)
    return _exit_code(report)


def _print_report(report: Report, written: WrittenReport) -> None:
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
    """Return the exit code, after a message about left-out input; a face that was not found is a result, no failure."""
    from facebank.evaluation.faces import NO_FACE

    left_out = [failure for failure in report.failures if failure.reason != NO_FACE]
    if left_out:
        count, example = f"{pluralize(len(left_out), 'item')} left out", f"{left_out[0].entry} ({left_out[0].reason})"
        say(f"{count}: {example}" if len(left_out) == 1 else f"{count}, such as {example}; the report lists all")
    return SOME_FAILED if left_out or report.failed_checks else 0
