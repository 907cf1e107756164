"""The context of a protocol, and the run from opened data to the written report."""

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
from facebank.evaluation.report import Evidence, Report, Section, Table, WrittenReport, check_replaceable, write_report
from facebank.operations.engine import load_engine
from facebank.storage.files import write_error
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset, SkippedEntry
    from facebank.evaluation.faces import Change, FaceSet
    from facebank.evaluation.figures import Figure

MAX_CASES = 12
"""Largest number of errors on one contact sheet."""


def _no_other_packs(pack: str | None) -> FaceReader:
    raise NotImplementedError(f"a Bench without open_reader cannot open the pack {pack or 'opencv'}")


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Context of a protocol: face reader, random seed and progress callback.

    `pack` is the pack's name or folder as given by the user, None for the embedded pack; `open_reader` returns the face
    reader of another pack.
    """

    reader: FaceReader
    seed: int = 0
    progress: Progress = SILENT
    pack: str | None = None
    open_reader: Callable[[str | None], FaceReader] = _no_other_packs

    def with_pack(self, pack: str | None) -> Bench:
        """Return a copy with another pack; raises `PackError`."""
        return self if pack == self.pack else replace(self, reader=self.open_reader(pack), pack=pack)

    def random(self, *purpose: int) -> np.random.Generator:
        """Return a random generator seeded by `seed` and `purpose`, independent of all other purposes."""
        return np.random.default_rng([self.seed, *purpose])

    def read(self, dataset: Dataset, change: Change | None = None) -> FaceSet:
        """Return the faces of a dataset, altered by `change` if given; raises `DatasetError` if no photo has a face."""
        label = dataset.title if change is None else f"{dataset.title}, {change.name}"
        self.progress.begin(f"faces of {label}", len(dataset.photos))
        return self.reader.read(dataset, self.progress, change)

    def evidence(
        self, faces: FaceSet, pairs: Sequence[tuple[int, int]], verdicts: Sequence[str]
    ) -> tuple[Evidence, ...]:
        """Return explanations of pairs of photos, at most `MAX_CASES`, without pairs that lack a readable face.

        `faces` are the result of `read` without a change. `pairs` are indices into ``dataset.photos``, the worst errors
        first; `verdicts` states the decision and the truth of each pair.
        """
        has_face = faces.has_face
        cases = [(pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True) if has_face[list(pair)].all()]
        explained = []
        self.progress.begin("explanations", len(cases[:MAX_CASES]))
        for pair, verdict in cases[:MAX_CASES]:
            with suppress(PhotoError):
                explained.append(self._explain(faces, pair, verdict))
            self.progress.advance()
        return tuple(explained)

    def _explain(self, faces: FaceSet, pair: tuple[int, int], verdict: str) -> Evidence:
        from facebank.operations.explain import explain

        first, second = (self.reader.crop(faces, index) for index in pair)
        template = self.reader.engine.analyzer.embedder.template
        explanation = explain(self.reader.embed, first, second, template=template)
        first_name, second_name = (faces.dataset.photos[index].name for index in pair)
        maps = explanation.overlays((first, second))
        return Evidence(first_name, second_name, (first, second), maps, explanation.similarity, verdict)

    def report(
        self,
        protocol: str,
        title: str,
        faces: FaceSet,
        *,
        summary: Sequence[str],
        figures: Mapping[str, Figure],
        sections: Sequence[Section],
        failures: Sequence[SkippedEntry] = (),
        failed_checks: Sequence[str] = (),
        scores: Table | None = None,
    ) -> Report:
        """Return a report, with the pack, the dataset, its failures and the timing filled in.

        Parameters are those of `Report`; `failures` are added to the dataset's skipped entries and the photos without a
        face.
        """
        engine, dataset = self.reader.engine, faces.dataset
        calibration = engine.pack_calibration.calibration
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
                "faces": int(faces.has_face.sum()),
                "pairs": len(dataset.pairs),
                **({"pairs_file": dataset.pairs_file} if dataset.pairs_file else {}),
            },
            figures=figures,
            sections=tuple(sections),
            failures=(*dataset.skipped, *faces.failures, *failures),
            failed_checks=tuple(failed_checks),
            scores=scores,
            timing=self.reader.timing,
        )


Job: TypeAlias = Callable[[Bench], "Report"]
"""A protocol bound to its data and options, as returned by `facebank.evaluation.protocols.Protocol.job`."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run.

    `out` is the report's folder, created if missing; `command` is the command line quoted in the report; `pack` is a
    name or folder, None for the embedded pack; `device` and `runtime` are those of `FaceBank.open`. `cache_faces` is
    whether to cache embeddings computed by ONNX Runtime, and `scores` is whether to write every comparison or search to
    ``scores.csv``.
    """

    out: Path
    command: str
    pack: str | None = None
    device: str = "auto"
    runtime: str = "onnxruntime"
    seed: int = 0
    cache_faces: bool = True
    progress: Progress = SILENT
    scores: bool = False


def run(job: Job, options: RunOptions) -> tuple[Report, WrittenReport]:
    """Run a protocol and write its report; return the report and the paths of its files.

    Raises
    ------
    DatasetError
        The data do not suffice for the protocol.
    PackError
        The pack is unknown or invalid.
    StorageError
        The folder of the report cannot be written; raised before any face is read.
    UsageError
        The report would replace a file that facebank did not write; raised before any face is read.
    """
    is_new = not options.out.exists()
    _check_writable(options.out)
    check_replaceable(options.out, scores=options.scores)
    try:
        with ExitStack() as stack:

            def open_reader(pack: str | None) -> FaceReader:
                engine = load_engine(pack, options.device, runtime=options.runtime)
                is_cached = options.cache_faces and options.runtime == "onnxruntime"  # a cache must not mix runtimes
                cache = stack.enter_context(FaceCache.of(engine.identity)) if is_cached else None
                return FaceReader(engine, cache)

            report = job(Bench(open_reader(options.pack), options.seed, options.progress, options.pack, open_reader))
    except BaseException:
        if is_new:
            with suppress(OSError):
                options.out.rmdir()
        raise
    return report, write_report(report, options.out, command=options.command, scores=options.scores)


def _check_writable(folder: Path) -> None:
    """Raise `StorageError` if a report cannot be written, before hours of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise write_error(folder, error, "choose another folder with --out") from error
