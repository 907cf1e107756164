"""What every protocol has: a laboratory, a seed, somebody to tell how far it is, and the form of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.evaluation.report import Report, Section, Table

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset, LeftOut
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.laboratory import Change, FaceSet, Laboratory


class Progress(Protocol):
    """Is told how far a long work is."""

    def begin(self, what: str, total: int) -> None:
        """Begin another part of so many steps; the one before is over."""
        ...

    def advance(self) -> None:
        """One step is done."""
        ...


class Silence:
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
    laboratory
        Finds and embeds faces.
    seed
        What all randomness starts from.
    progress
        Is told how far it is.
    """

    laboratory: Laboratory
    seed: int = 0
    progress: Progress = field(default_factory=Silence)

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
        return self.laboratory.read(dataset, self.progress.advance, change)

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
        engine, dataset = self.laboratory.engine, faces.dataset
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
            timing=self.laboratory.timing,
        )
