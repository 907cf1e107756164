"""What every protocol has: a reader, a seed, somebody to tell how far it is, and the form of its report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.evaluation.report import Report, Section, Table, WrittenReport, require_own, write_report
from facebank.operations.engine import load_engine
from facebank.storage.files import cannot_write

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset, LeftOut
    from facebank.evaluation.faces import Change, FaceSet
    from facebank.evaluation.figures import Figure


class Progress(Protocol):
    """Is told how far a long work is."""

    def begin(self, what: str, total: int) -> None:
        """Begin another part of so many steps; the one before is over."""
        ...

    def advance(self) -> None:
        """One step is done."""
        ...


class NoProgress:
    """A `Progress` that tells nobody."""

    def begin(self, what: str, total: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Where a protocol runs.

    Attributes
    ----------
    reader
        Finds and embeds faces.
    seed
        What all randomness starts from.
    progress
        Is told how far it is.
    """

    reader: FaceReader
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)

    def random(self, *purpose: int) -> np.random.Generator:
        """Return a source of randomness for one purpose, which does not depend on what else was drawn."""
        return np.random.default_rng([self.seed, *purpose])

    def read(self, dataset: Dataset, change: Change | None = None) -> FaceSet:
        """Find and embed the faces of a dataset, telling how far it is.

        Raises
        ------
        DatasetError
            In no photo a face was found.
        """
        what = dataset.title if change is None else f"{dataset.title}, {change.name}"
        self.progress.begin(f"faces of {what}", len(dataset.photos))
        return self.reader.read(dataset, self.progress.advance, change)

    def report(
        self,
        protocol: str,
        title: str,
        faces: FaceSet,
        *,
        summary: Sequence[str],
        figures: Mapping[str, Figure],
        sections: Sequence[Section],
        failures: Sequence[LeftOut] = (),
        failed_checks: Sequence[str] = (),
        scores: Table | None = None,
    ) -> Report:
        """Put a report together.

        Parameters
        ----------
        protocol
            Its name, as the command has it.
        title
            Heading.
        faces
            What it was run on; what the dataset left out and photos without a face become failures.
        summary
            What was found, in a few plain sentences.
        figures, sections
            What was found.
        failures
            What else was left out.
        failed_checks
            Titles of the checks of the harness that failed.
        scores
            Every comparison or search.
        """
        engine, dataset = self.reader.engine, faces.dataset
        calibration = engine.knowledge.calibration
        return Report(
            protocol=protocol,
            title=title,
            summary=tuple(summary),
            seed=self.seed,
            pack={
                "name": engine.identity.name,
                "digest": engine.identity.digest,
                "calibrated": "no" if calibration is None else "yes",
            },
            dataset={
                "title": dataset.title,
                "photos": len(dataset.photos),
                "people": len(dataset.people),
                "faces": int(faces.found.sum()),
                "pairs": len(dataset.pairs),
                **({"pairs_file": dataset.pairs_file} if dataset.pairs_file else {}),
            },
            figures=figures,
            sections=tuple(sections),
            failures=(*dataset.left_out, *faces.failures, *failures),
            failed_checks=tuple(failed_checks),
            scores=scores,
            timing=self.reader.timing,
        )


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
    progress: Progress = field(default_factory=NoProgress)
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
    return Bench(FaceReader(engine, cache), how.seed, how.progress)


def _require_writable(folder: Path) -> None:
    """See that a report can be written before hours are spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise cannot_write(folder, error, "name another folder for the report") from error
