"""``facebank bench``: how far answers can be trusted, measured on benchmarks or on your own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .bench_run import AsJson, Data, Keeps, Out, Seed, run_job

EXIT_CODES = """\b
Exit codes: 0 measured; 1 measured, with some photos left out; 2 wrong usage, or nothing to measure."""

Pairs = Annotated[
    Path | None, typer.Option(metavar="FILE", help="List of the pairs; else pairs.txt in or beside the folder.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        help="Measure how far answers can be trusted, and write a report: on benchmarks, or on your own folders.",
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog="\b\nExample:\n  facebank bench openset people/ --out report/",
    )
    bench.command("lfw", epilog=_examples("lfw lfw/ --out report/", "lfw lfw/ --pairs lfw-meta/pairs.txt"))(lfw)
    app.add_typer(bench, name="bench")


def _examples(*commands: str) -> str:
    lines = [f"  facebank bench {command}" for command in commands]
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\b\n" + "\n".join([title, *lines]) + "\n\n" + EXIT_CODES


def lfw(
    ctx: typer.Context,
    photos: Data,
    pairs: Pairs = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Labeled Faces in the Wild, View 2: ten folds of pairs, each with the threshold that is best on the other nine."""
    from facebank.evaluation import jobs

    job = jobs.lfw(photos, pairs)
    return run_job(ctx, "lfw", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)
