"""The bench that every protocol runs on, and the run from the data to the written report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.errors import PhotoError
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.evaluation.report import Evidence, Report, Section, Table, WrittenReport, require_own, write_report
from facebank.operations.engine import load_engine
from facebank.storage.files import cannot_write
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset, LeftOut
    from facebank.evaluation.faces import Change, FaceSet
    from facebank.evaluation.figures import Figure

MOST_CASES = 12
"""Errors on one contact sheet."""


def _no_other_packs(pack: str | None) -> FaceReader:
    raise NotImplementedError(f"this bench opens no other pack: {pack}")


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Where a protocol runs: its face reader, seed and progress.

    `pack` is the name or folder that the user gave, None for the embedded pack; `open_reader` opens another pack's
    reader.
    """

    reader: FaceReader
    seed: int = 0
    progress: Progress = SILENT
    pack: str | None = None
    open_reader: Callable[[str | None], FaceReader] = _no_other_packs

    def with_pack(self, pack: str | None) -> Bench:
        """Return a bench that differs in its pack only; raises `PackError`."""
        return self if pack == self.pack else replace(self, reader=self.open_reader(pack), pack=pack)

    def random(self, *purpose: int) -> np.random.Generator:
        """Return the random generator of one purpose; independent of what other purposes have drawn."""
        return np.random.default_rng([self.seed, *purpose])

    def read(self, dataset: Dataset, change: Change | None = None) -> FaceSet:
        """Find and embed the faces of a dataset; raises `DatasetError` if no photo has a face."""
        what = dataset.title if change is None else f"{dataset.title}, {change.name}"
        self.progress.begin(f"faces of {what}", len(dataset.photos))
        return self.reader.read(dataset, self.progress, change)

    def evidence(
        self, faces: FaceSet, pairs: Sequence[tuple[int, int]], verdicts: Sequence[str]
    ) -> tuple[Evidence, ...]:
        """Explain pairs of photos, at most `MOST_CASES`; pairs without two readable faces are skipped.

        `faces` are as `read` returns them without a change. `pairs` are places in the dataset's photos, the worst
        errors first; `verdicts` has the decision and the truth of each.
        """
        found = faces.found
        cases = [(pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True) if found[list(pair)].all()]
        explained = []
        self.progress.begin("explanations", len(cases[:MOST_CASES]))
        for pair, verdict in cases[:MOST_CASES]:
            with suppress(PhotoError):
                explained.append(self._explained(faces, pair, verdict))
            self.progress.advance()
        return tuple(explained)

    def _explained(self, faces: FaceSet, pair: tuple[int, int], verdict: str) -> Evidence:
        from facebank.operations.explain import explain

        first, second = (self.reader.crop(faces, place) for place in pair)
        template = self.reader.engine.analyzer.embedder.template
        explanation = explain(self.reader.embed, first, second, template=template)
        one, other = (faces.dataset.photos[place].name for place in pair)
        maps = explanation.overlays((first, second))
        return Evidence(one, other, (first, second), maps, explanation.similarity, verdict)

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
        """Return a report, with the pack, the dataset, its failures and the timing filled in.

        `failures` are those beside the dataset's own and the photos without a face.
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
"""A protocol with its data and options, as `facebank.evaluation.protocols.Protocol.job` makes it."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a protocol is run.

    `out` is the report's folder, created if missing; `command` is quoted in the report; `pack` is a name or folder,
    None for the embedded pack; `device` is ``auto``, ``cpu`` or ``cuda``. `keeps_faces` keeps embeddings in the user's
    cache folder, `scores` writes every comparison or search.
    """

    out: Path
    command: str
    pack: str | None = None
    device: str = "auto"
    seed: int = 0
    keeps_faces: bool = True
    progress: Progress = SILENT
    scores: bool = False


def run(job: Job, how: Run) -> tuple[Report, WrittenReport]:
    """Run a protocol and write its report.

    Raises `DatasetError` if the data lack what the protocol needs, `PackError` if the pack is unknown or invalid, and
    `StorageError` or `UsageError`, before the work begins, if the report cannot be written or would replace a file that
    is no report.
    """
    is_new = not how.out.exists()
    _require_writable(how.out)
    require_own(how.out, scores=how.scores)
    try:
        with ExitStack() as stack:

            def open_reader(pack: str | None) -> FaceReader:
                engine = load_engine(pack, how.device)
                cache = stack.enter_context(FaceCache.of(engine.identity)) if how.keeps_faces else None
                return FaceReader(engine, cache)

            report = job(Bench(open_reader(how.pack), how.seed, how.progress, how.pack, open_reader))
    except BaseException:
        if is_new:
            with suppress(OSError):
                how.out.rmdir()
        raise
    return report, write_report(report, how.out, command=how.command, scores=how.scores)


def _require_writable(folder: Path) -> None:
    """Check that a report can be written before hours are spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise cannot_write(folder, error, "name another folder for the report") from error
