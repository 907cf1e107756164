"""What all checks share: a verdict, and the people that they are run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.figures import Figure
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset, LeftOut
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.report import Item

MOST_PEOPLE = 20
MOST_ENROLLED = 3
MOST_PROBES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What a check found.

    Attributes
    ----------
    title
        What was checked, in a few words.
    expected, found
        What must come out, and what came out.
    passed
        The verdict.
    figures
        By name.
    text
        Paragraphs for people.
    items
        Tables and pictures.
    failures
        What it found in the data that should not be there.
    """

    title: str
    expected: str
    found: str
    passed: bool
    figures: Mapping[str, Figure]
    text: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    failures: tuple[LeftOut, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """``passed`` or ``FAILED``."""
        return "passed" if self.passed else "FAILED"


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """The people that checks are run on.

    Attributes
    ----------
    faces
        Of the whole dataset.
    enrolled, probes
        Places of photos with a face, ``int64``: of each person equally many, person by person.
    """

    faces: FaceSet
    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]


def choose_subjects(bench: Bench, dataset: Dataset) -> Subjects:
    """Draw up to 20 people with up to 3 photos to enroll and up to 5 to search for: equally many of each.

    Raises
    ------
    DatasetError
        There are no two people with two photos each.
    """
    faces, random = bench.read(dataset), bench.random(1)
    owners = np.where(faces.found, faces.dataset.owners, -1)
    counts = np.bincount(owners[owners >= 0], minlength=1)
    wanted = MOST_ENROLLED + MOST_PROBES
    aim = min(MOST_PEOPLE, int((counts >= 2).sum()))
    while int((counts >= wanted).sum()) < aim and wanted > 2:
        wanted -= 1
    able = np.flatnonzero(counts >= wanted)
    if len(able) < 2:
        raise DatasetError(
            f"{printable(dataset.title)}: the harness is checked with people of two photos with a face or more, and "
            f"there are {len(able)} of them"
        )
    chosen = np.sort(random.permutation(able)[:MOST_PEOPLE])
    enrolled = min(MOST_ENROLLED, wanted // 2)
    orders = [random.permutation(np.flatnonzero(owners == person))[:wanted] for person in chosen]
    return Subjects(
        faces,
        np.concatenate([places[:enrolled] for places in orders]).astype(np.int64),
        np.concatenate([places[enrolled:] for places in orders]).astype(np.int64),
    )
