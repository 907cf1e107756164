"""Groups of people who look alike, and what their photos show as pairs, even if there are too few for anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.figures import Figure, pair_rate, sampling_units
from facebank.evaluation.protocols.draws import photos_of
from facebank.evaluation.relatives import label_of, pairs_between, threshold_of_strangers, unrelated_similarities
from facebank.evaluation.report import Section, Table
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.relatives import Relatives

UNRELATED_FMR = 1e-4
LEAST_UNRELATED = 10_000
"""With fewer pairs of unrelated people no threshold of FMR 1e-4 can be found."""
LEAST_TYPICAL = 100
"""With fewer pairs of unrelated people the pack's background says what is typical."""

_UNRELATED, _ALIKE = 2, 3
_BACKGROUND = 400
_MOST_NAMED = 3
AS_PAIRS = "As pairs, at a threshold of unrelated people"
WHAT_PHOTOS_SHOW = "What the photos show, and how many are missing"
_POOLED = "All pairs of photos count the same: who has most photos weighs most. The table has each group for itself."
_TOO_FEW = (
    "One photo of each is enough to say how similar two people are to the network, beside what is typical of people "
    "who are not related. How often they are taken for each other can only be counted with more photos than are "
    "enrolled."
)
MOST_PEOPLE = 12
"""The most people who are taken to look alike if nobody is named."""
NOTHING_COMPARABLE = (
    "untested: of no group of people who look alike two people have a photo with a face, so that these could be "
    "compared"
)
"""Why nothing can be measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Typical:
    """How similar photos of unrelated people are; `similarities` (``float64``) is empty if unknown."""

    of: str
    similarities: NDArray[np.float64]

    @property
    def upper(self) -> float:
        """The similarity that one pair in a hundred reaches; NaN if unknown."""
        return float(np.quantile(self.similarities, 0.99)) if len(self.similarities) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class GroupPairs:
    """Pairs of photos of different people of each group: places (``int64``) of both, and similarities (``float64``)."""

    groups: tuple[Group, ...]
    pairs: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    values: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, bench: Bench, faces: FaceSet, groups: Sequence[Group]) -> GroupPairs:
        """Compare photos of people who look alike; groups without a pair are left out."""
        random, counts, embeddings = bench.random(_ALIKE), photos_found(faces), faces.embeddings
        found = []
        for group in groups:
            shown = [person for person in group.people if counts.get(person, 0)]
            first, second = pairs_between(faces, shown, random)
            if len(first):
                values = np.einsum("nd,nd->n", embeddings[first], embeddings[second], dtype=np.float64)
                found.append((group, (first, second), values))
        kept = tuple(zip(*found, strict=True)) if found else ((), (), ())
        return cls(*kept)


def typical(bench: Bench, unrelated: NDArray[np.float64]) -> Typical:
    """Return how similar unrelated people are: of the data, or of the pack's background if they are few."""
    if len(unrelated) >= LEAST_TYPICAL:
        return Typical("unrelated people of the data", unrelated)
    background = bench.reader.engine.knowledge.background
    if background is None:
        return Typical("unrelated people (nothing is known of them)", np.zeros(0))
    drawn = background.draw(_BACKGROUND).astype(np.float64)
    return Typical("unrelated people of the pack's background", (drawn @ drawn.T)[np.triu_indices(len(drawn), 1)])


def shown_and_missing(
    bench: Bench, faces: FaceSet, groups: Sequence[Group], named: set[str], shots: Sequence[int]
) -> tuple[dict[str, Figure], tuple[Section, Section], tuple[str, ...]]:
    """Return what pairs of photos show, and how many photos are missing for the rest.

    Parameters
    ----------
    groups
        People who look alike, also those with too few photos.
    named
        Everybody who is said to look like somebody.
    shots
        Numbers of photos enrolled in the rest.

    Returns
    -------
    tuple[dict[str, Figure], tuple[Section, Section], tuple[str, ...]]
        Figures, two sections, and a sentence for each of the first groups with too few photos.
    """
    compared = GroupPairs.of(bench, faces, groups)
    unrelated = unrelated_similarities(faces, named, bench.random(_UNRELATED))
    usual = typical(bench, unrelated)
    figures, pairs = _at_thresholds(bench, faces, compared, unrelated)
    tables = (_similarity_table(faces, compared, usual), _missing_table(faces, groups, shots))
    section = Section(WHAT_PHOTOS_SHOW, (_TOO_FEW,), (), tables)
    return figures, (section, pairs), _sentences(faces, groups, compared, usual)


def _similarity_table(faces: FaceSet, compared: GroupPairs, usual: Typical) -> Table:
    rows = [
        (group.label, f"{len(values):,}", *_numbers(values), _reaching(values, usual))
        for group, values in zip(compared.groups, compared.values, strict=True)
    ]
    own = _of_one_person(faces, {person for group in compared.groups for person in group.people})
    if len(own):
        rows.append(("each of them with themselves", f"{len(own):,}", *_numbers(own), ""))
    values = usual.similarities
    if len(values):
        rows.append((usual.of, f"{len(values):,}", *_numbers(values), "1 in 100"))
    upper = f"pairs that reach {usual.upper:.3f}" if len(values) else "pairs that reach what is typical"
    return Table("Similarity", ("who", "pairs of photos", "mean", "highest", upper), tuple(rows))


def _numbers(values: NDArray[np.float64]) -> tuple[str, str]:
    """Return the mean and the highest similarity as text."""
    mean, highest = (round(float(value), 3) + 0.0 for value in (values.mean(), values.max()))  # no "-0.000"
    return f"{mean:.3f}", f"{highest:.3f}"


def _reaching(values: NDArray[np.float64], usual: Typical) -> str:
    return f"{int((values >= usual.upper).sum()):,} of {len(values):,}" if len(usual.similarities) else ""


def _of_one_person(faces: FaceSet, people: set[str]) -> NDArray[np.float64]:
    """Return the similarities of different photos of one person."""
    owners, embeddings, hashes = faces.dataset.owners, faces.embeddings, np.array(faces.hashes)
    found = [np.zeros(0)]
    for person in sorted(people & set(faces.dataset.people)):
        places = np.flatnonzero(faces.found & (owners == faces.dataset.people.index(person)))[:100]
        first, second = (places[side] for side in np.triu_indices(len(places), 1))
        keep = hashes[first] != hashes[second]
        found.append(np.einsum("nd,nd->n", embeddings[first[keep]], embeddings[second[keep]], dtype=np.float64))
    return np.concatenate(found)


def _missing_table(faces: FaceSet, groups: Sequence[Group], shots: Sequence[int]) -> Table:
    counts = photos_found(faces)
    rows = tuple(
        (group.label, ", ".join(f"{counts.get(person, 0):,}" for person in group.people),
         *(_missing(group, counts, photos) or "enough" for photos in shots))
        for group in groups
    )  # fmt: skip
    headings = ("who", "photos with a face", *(f"to enroll {photos} of each" for photos in shots))
    return Table("Photos still missing", headings, rows)


def _missing(group: Group, counts: dict[str, int], photos: int) -> str:
    """Return whose photos are missing to enroll so many and search for one more; "" for none."""
    lacking = ((person, photos + 1 - counts.get(person, 0)) for person in group.people)
    return ", ".join(f"{number:,} of {printable(person)}" for person, number in lacking if number > 0)


def _sentences(faces: FaceSet, groups: Sequence[Group], compared: GroupPairs, usual: Typical) -> tuple[str, ...]:
    """Return a sentence for each of the first groups that cannot be told apart for want of photos."""
    counts = photos_found(faces)
    values = dict(zip(compared.groups, compared.values, strict=True))
    sentences = []
    for group in groups:
        missing = _missing(group, counts, 1)
        if missing and group in values:
            few = values[group]
            pairs = "1 pair of photos" if len(few) == 1 else f"{len(few):,} pairs of photos"
            against = (
                f"; one pair in a hundred of {usual.of} reaches {usual.upper:.3f}" if len(usual.similarities) else ""
            )
            sentences.append(
                f"{group.label}: {pairs}, similarity {few.mean():.3f} on average{against}. To see whether they are "
                f"told apart, photos are missing: {missing}."
            )
    return tuple(sentences[:_MOST_NAMED])


def _at_thresholds(
    bench: Bench, faces: FaceSet, compared: GroupPairs, unrelated: NDArray[np.float64]
) -> tuple[dict[str, Figure], Section]:
    """Compare photos of people who look alike at the threshold of unrelated people, and at the shipped one."""
    if not compared.groups:
        return {}, Section(AS_PAIRS, ("Untested: no two photos of people who look alike can be compared.",))
    first, second = (np.concatenate(side) for side in zip(*compared.pairs, strict=True))
    both = np.concatenate([first, second])
    units = sampling_units(faces.dataset.owners[both], faces.groups[both])
    figures, joined, shipped = (
        dict[str, Figure](),
        np.concatenate(compared.values),
        bench.reader.engine.thresholds.verify,
    )

    def measure(threshold: float, where: str) -> Figure:
        meaning = f"Pairs of photos of two people who look alike that match at {where}, {threshold:.3f}."
        return pair_rate(joined >= threshold, units[: len(first)], units[len(first) :], meaning)

    columns = [("at the shipped threshold", shipped)]
    sentence = f"There are {len(unrelated):,} pairs of unrelated people: too few to find a threshold."
    if len(unrelated) >= LEAST_UNRELATED:
        threshold, expected = threshold_of_strangers(unrelated, UNRELATED_FMR), UNRELATED_FMR * len(unrelated)
        columns.insert(0, ("at FMR 0.01 % of unrelated people", threshold))
        figure = measure(threshold, "the threshold of FMR 0.01 % of unrelated people")
        figures["twin_fmr_at_unrelated_fmr_1e-4"] = replace(figure, descriptive=True, expected=expected)
        sentence = (
            f"Similarity {threshold:.3f} is the threshold that {expected:.0f} of {len(unrelated):,} pairs of photos "
        )
        sentence += "of unrelated people reach: everybody of the dataset but those who look alike."
    figures["twin_fmr_at_shipped_threshold"] = measure(shipped, "the shipped threshold")
    rows = tuple(
        (group.label, f"{len(some):,}", *(f"{int((some >= threshold).sum()):,}" for _, threshold in columns))
        for group, some in zip(compared.groups, compared.values, strict=True)
    )
    table = Table("Pairs that match", ("who", "pairs of photos", *(heading for heading, _ in columns)), rows)
    return figures, Section(AS_PAIRS, (sentence, _POOLED), tuple(figures), (table,))


@dataclass(frozen=True, slots=True)
class Group:
    """People who look alike, and how they are related."""

    people: tuple[str, ...]
    relation: str = ""

    @property
    def label(self) -> str:
        """For people."""
        return label_of(self.people, self.relation)


def groups_of(dataset: Dataset, people: Sequence[str] | None, relatives: Sequence[Relatives] | None) -> list[Group]:
    """Return who looks alike: pairs of a list, else the people named, else everybody of a small dataset.

    Raises
    ------
    DatasetError
        Nobody is named and there are too many people, one is not in the dataset, or there is only one.
    """
    if relatives is not None:
        return [Group((pair.first, pair.second), pair.relation) for pair in relatives]
    if people is None and len(dataset.people) > MOST_PEOPLE:
        raise DatasetError(
            f"{printable(dataset.title)}: of {len(dataset.people)} people, say who look alike: name them with "
            "--person, or a list of pairs with --relatives"
        )
    chosen = tuple(dict.fromkeys(dataset.people if people is None else people))
    missing = [name for name in chosen if name not in dataset.people]
    if missing:
        raise DatasetError(f"{printable(dataset.title)}: there is nobody called {printable(missing[0])!r}")
    if len(chosen) < 2:
        raise DatasetError(f"{printable(dataset.title)}: it takes two people to be confused; one is named")
    return [Group(chosen)]


def with_photos(
    dataset: Dataset, groups: Sequence[Group], counts: dict[str, int], what: str
) -> tuple[list[Group], list[LeftOut]]:
    """Return the groups in which two people have one of the photos counted, and the others with the reason.

    Raises
    ------
    DatasetError
        No group is left.
    """
    able, untested = list[Group](), list[LeftOut]()
    for group in groups:
        if sum(counts.get(person, 0) > 0 for person in group.people) >= 2:
            able.append(group)
        else:
            untested.append(LeftOut(group.label, why_untested(group, counts, what)))
    if not able:
        raise DatasetError(f"{printable(dataset.title)}: {NOTHING_COMPARABLE}")
    return able, untested


def testable(groups: Sequence[Group], counts: dict[str, int], what: str) -> tuple[list[Group], list[LeftOut]]:
    """Return the groups with two photos of each person; the others are compared as pairs of photos only."""
    able, few = list[Group](), list[LeftOut]()
    for group in groups:
        if min(counts.get(person, 0) for person in group.people) >= 2:
            able.append(group)
        else:
            few.append(LeftOut(group.label, f"{why_untested(group, counts, what)}; only compared as pairs of photos"))
    return able, few


def why_untested(group: Group, counts: dict[str, int], what: str = "photos with a face") -> str:
    """Return how many photos each of a group has."""
    return f"untested: {' and '.join(f'{counts.get(person, 0):,}' for person in group.people)} {what}"


def photos_found(faces: FaceSet) -> dict[str, int]:
    """Return the number of photos with a face of each person."""
    return photos_of(faces.dataset.where(bool(found) for found in faces.found))
