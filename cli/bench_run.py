"""What all commands of ``facebank bench`` share: options, progress, and what is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.storage.text import shell_command

from .failures import SOME_FAILED
from .output import say, write_json, write_line, write_table
from .progress import Advance, progress
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.evaluation.bench import Job, Run
    from facebank.evaluation.report import Report, WrittenReport

Data: TypeAlias = Annotated[
    Path, typer.Argument(metavar="DATA", help="Photos of known people: a folder, or a file.", show_default=False)
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the report goes; else bench-NAME here.", show_default=False)
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="What all randomness starts from.")]
Keeps: TypeAlias = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Keep embeddings in your cache folder, so that a second run is quick."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write the report as one JSON object, too.")]


class Bars:
    """Shows one bar after another."""

    def __init__(self, *, writes_lines: bool) -> None:
        self._writes_lines = writes_lines
        self._stack = ExitStack()
        self._advance: Advance = lambda: None

    def __enter__(self) -> Bars:
        """Show nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the last bar away."""
        self._stack.close()

    def begin(self, what: str, total: int) -> None:
        """Show another bar instead."""
        self._stack.close()
        self._advance = self._stack.enter_context(progress(what, total, writes_lines=self._writes_lines))

    def advance(self) -> None:
        """Move the bar by one step."""
        self._advance()


def run_job(
    ctx: typer.Context,
    name: str,
    job: Job,
    *,
    out: Path | None,
    seed: int,
    keeps_faces: bool,
    as_json: bool,
    scores: bool = False,
) -> int:
    """Run a protocol, write its report and tell what was found; return the exit code."""
    with showing(ctx, name, out=out, seed=seed, keeps_faces=keeps_faces, as_json=as_json, scores=scores) as how:
        return show(job, how, as_json=as_json)


@contextmanager
def showing(
    ctx: typer.Context,
    name: str,
    *,
    out: Path | None,
    seed: int,
    keeps_faces: bool,
    as_json: bool,
    scores: bool = False,
) -> Iterator[Run]:
    """Give how a protocol is run, with bars that show how far it is."""
    from facebank.evaluation.bench import Run

    settings = settings_of(ctx)
    with Bars(writes_lines=as_json) as bars:
        yield Run(
            out=out or Path(f"bench-{name}"),
            command=shell_command(*sys.argv[1:]),
            pack=settings.pack,
            device=settings.device,
            seed=seed,
            keeps_faces=keeps_faces,
            progress=bars,
            scores=scores,
        )


def show(job: Job, how: Run, *, as_json: bool) -> int:
    """Run a protocol, write its report and tell what was found; return the exit code."""
    from facebank.evaluation.bench import run

    report, written = run(job, how)
    if as_json:
        write_json(json.loads(written.json.read_text(encoding="utf-8")))
    else:
        _tell(report, written)
    return _exit_code(report)


def _tell(report: Report, written: WrittenReport) -> None:
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

    unused = [failure for failure in report.failures if failure.why != NO_FACE]
    if unused:
        say(f"{len(unused)} left out, such as {unused[0].what}: {unused[0].why}; the report lists them")
    return SOME_FAILED if unused or report.failed_checks else 0
