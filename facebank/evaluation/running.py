"""Runs a protocol from the data to the written report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from facebank.evaluation.bench import Bench, Progress, Silence
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.laboratory import Laboratory
from facebank.evaluation.report import WrittenReport, require_own, write_report
from facebank.operations.engine import load_engine
from facebank.storage.user_folders import cannot_write

if TYPE_CHECKING:
    from facebank.evaluation.report import Report

Job: TypeAlias = Callable[[Bench], "Report"]


@dataclass(frozen=True, slots=True)
class Run:
    """How a protocol is run.

    Attributes
    ----------
    out
        The folder that the report is written to; made where missing.
    command
        What the user typed; the report says it.
    pack
        Name or folder of a pack; None for the embedded one.
    device
        ``auto``, ``cpu`` or ``cuda``.
    seed
        What all randomness starts from.
    keeps_faces
        Whether embeddings are kept in the user's cache folder, so that a second run takes seconds.
    progress
        Is told how far it is.
    scores
        Whether every comparison or search is written as well.
    """

    out: Path
    command: str
    pack: str | None = None
    device: str = "auto"
    seed: int = 0
    keeps_faces: bool = True
    progress: Progress = field(default_factory=Silence)
    scores: bool = False


def run(job: Job, how: Run) -> tuple[Report, WrittenReport]:
    """Run a protocol and write its report.

    Parameters
    ----------
    job
        The protocol with its data, as the functions of `facebank.evaluation.jobs` make it.
    how
        How it is run.

    Raises
    ------
    DatasetError
        The data lack what the protocol needs.
    PackError
        The pack is unknown, or what it says is wrong.
    StorageError, UsageError
        The report cannot be written, or would replace a file that is no report; found out before the work begins.
    """
    is_new = not how.out.exists()
    _require_writable(how.out)
    require_own(how.out, scores=how.scores)
    try:
        with ExitStack() as stack:
            report = job(make_bench(how, stack))
    except BaseException:
        if is_new:
            with suppress(OSError):
                how.out.rmdir()
        raise
    return report, write_report(report, how.out, command=how.command, scores=how.scores)


def make_bench(how: Run, stack: ExitStack, pack: str | None = None) -> Bench:
    """Load a pack and open its cache, which is closed with the stack.

    Parameters
    ----------
    how
        How a protocol is run.
    stack
        Closes what was opened.
    pack
        Another pack than that of `how`.
    """
    engine = load_engine(pack if pack is not None else how.pack, how.device)
    cache = stack.enter_context(FaceCache.of(engine.identity)) if how.keeps_faces else None
    return Bench(Laboratory(engine, cache), how.seed, how.progress)


def _require_writable(folder: Path) -> None:
    """See that a report can be written before hours are spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise cannot_write(folder, error, "name another folder for the report") from error
