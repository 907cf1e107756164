"""Groups of people who look alike, and the similarities of their photos, also if there are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import SkippedEntry
from facebank.evaluation.figures import Figure, pair_rate, sampling_units
from facebank.evaluation.protocols.draws import count_photos
from facebank.evaluation.relatives import pair_label, pairs_between, threshold_at_fmr, unrelated_similarities
from facebank.evaluation.report import Section, Table
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.relatives import RelatedPair

UNRELATED_FMR = 1e-4
MIN_UNRELATED = 10_000
"""Smallest number of pairs of unrelated people for a threshold at an FMR of 1e-4."""
MIN_TYPICAL = 100
"""With fewer pairs of unrelated people, the pack's background is the reference instead."""
MATCHES_TITLE = "Matches of pairs"
SIMILARITIES_TITLE = "Similarities and missing photos"

_UNRELATED, _PAIRS = 2, 3
_BACKGROUND = 400
_MAX_NAMED = 3
_POOLED = "All pairs of photos have equal weight, so groups with many photos dominate; the table lists each group."
_METHOD = (
    "One photo of each person suffices to compare their similarity with that of unrelated people. Confusion can only "
    "be measured with more photos than are enrolled."
)
MAX_PEOPLE = 12
"""Maximum size of a dataset whose people form one group if no person is given."""
NO_TESTABLE_GROUP = "no group can be tested, since none has two people with a photo with a face; add photos"
"""The error if no group can be tested."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSimilarities:
    """Similarities (``float64``) of photos of unrelated people, empty if unknown, and a phrase on their source."""

    source: str
    similarities: NDArray[np.float64]

    @property
    def upper(self) -> float:
        """The 99th percentile of the similarities, NaN if unknown."""
        return float(np.quantile(self.similarities, 0.99)) if len(self.similarities) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class GroupPairs:
    """Pairs of photos of different people of each group: indices (``int64``) and similarities (``float64``)."""

    groups: tuple[TwinGroup, ...]
    pairs: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    values: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, bench: Bench, faces: FaceSet, groups: Sequence[TwinGroup]) -> GroupPairs:
        """Return the pairs of photos of each group; groups without a pair are omitted."""
        random, counts, embeddings = bench.random(_PAIRS), count_photos_with_face(faces), faces.embeddings
        compared = []
        for group in groups:
            people = [person for person in group.people if counts.get(person, 0)]
            first, second = pairs_between(faces, people, random)
            if len(first):
                values = np.einsum("nd,nd->n", embeddings[first], embeddings[second], dtype=np.float64)
                compared.append((group, (first, second), values))
        return cls(*(tuple(zip(*compared, strict=True)) if compared else ((), (), ())))


def reference_similarities(bench: Bench, unrelated: NDArray[np.float64]) -> ReferenceSimilarities:
    """Return the similarities of unrelated people of the data, or of the pack's background if there are few.

    `unrelated` are similarities of pairs of photos, ``float64`` of shape ``(N,)``.
    """
    if len(unrelated) >= MIN_TYPICAL:
        return ReferenceSimilarities("unrelated people of the data", unrelated)
    background = bench.reader.engine.pack_calibration.background
    if background is None:
        return ReferenceSimilarities("unrelated people (unknown)", np.zeros(0))
    drawn = background.draw(_BACKGROUND).astype(np.float64)
    return ReferenceSimilarities(
        "unrelated people of the pack's background", (drawn @ drawn.T)[np.triu_indices(len(drawn), 1)]
    )


def compare_pairs(
    bench: Bench, faces: FaceSet, groups: Sequence[TwinGroup], named: set[str], shots: Sequence[int]
) -> tuple[dict[str, Figure], tuple[Section, Section], tuple[str, ...]]:
    """Return the results of comparing pairs of photos, and the photos that are missing for a test of confusion.

    Parameters
    ----------
    groups
        People who look alike, including groups with too few photos.
    named
        All people of any group, who are excluded from the unrelated people.
    shots
        Numbers of enrolled photos in the test of confusion.

    Returns
    -------
    tuple[dict[str, Figure], tuple[Section, Section], tuple[str, ...]]
        Figures, two sections, and a sentence for each of the first groups with too few photos.
    """
    compared = GroupPairs.of(bench, faces, groups)
    unrelated = unrelated_similarities(faces, named, bench.random(_UNRELATED))
    reference = reference_similarities(bench, unrelated)
    figures, pairs = _at_thresholds(bench, faces, compared, unrelated)
    tables = (_similarity_table(faces, compared, reference), _missing_table(faces, groups, shots))
    section = Section(SIMILARITIES_TITLE, (_METHOD,), (), tables)
    return figures, (section, pairs), _sentences(faces, groups, compared, reference)


def _similarity_table(faces: FaceSet, compared: GroupPairs, reference: ReferenceSimilarities) -> Table:
    rows = [
        (group.label, f"{len(values):,}", *_numbers(values), _count_above(values, reference))
        for group, values in zip(compared.groups, compared.values, strict=True)
    ]
    mated = _of_one_person(faces, {person for group in compared.groups for person in group.people})
    if len(mated):
        rows.append(("photos of one person", f"{len(mated):,}", *_numbers(mated), ""))
    values = reference.similarities
    if len(values):
        rows.append((reference.source, f"{len(values):,}", *_numbers(values), "1 in 100"))
    upper = f"pairs that reach {reference.upper:.3f}" if len(values) else "pairs that reach what is typical"
    return Table("Similarity", ("who", "pairs of photos", "mean", "highest", upper), tuple(rows))


def _numbers(values: NDArray[np.float64]) -> tuple[str, str]:
    """Return the mean and the highest similarity as text."""
    mean, highest = (round(float(value), 3) + 0.0 for value in (values.mean(), values.max()))  # no "-0.000"
    return f"{mean:.3f}", f"{highest:.3f}"


def _count_above(values: NDArray[np.float64], reference: ReferenceSimilarities) -> str:
    return f"{int((values >= reference.upper).sum()):,} of {len(values):,}" if len(reference.similarities) else ""


def _of_one_person(faces: FaceSet, people: set[str]) -> NDArray[np.float64]:
    """Return the similarities of pairs of different photos of one person, for all given people."""
    person_indices, embeddings, hashes = faces.dataset.person_indices, faces.embeddings, np.array(faces.hashes)
    parts = [np.zeros(0)]
    for person in sorted(people & set(faces.dataset.people)):
        indices = np.flatnonzero(faces.has_face & (person_indices == faces.dataset.people.index(person)))[:100]
        first, second = (indices[side] for side in np.triu_indices(len(indices), 1))
        keep = hashes[first] != hashes[second]
        parts.append(np.einsum("nd,nd->n", embeddings[first[keep]], embeddings[second[keep]], dtype=np.float64))
    return np.concatenate(parts)


def _missing_table(faces: FaceSet, groups: Sequence[TwinGroup], shots: Sequence[int]) -> Table:
    counts = count_photos_with_face(faces)
    rows = tuple(
        (group.label, ", ".join(f"{counts.get(person, 0):,}" for person in group.people),
         *(_missing(group, counts, photos) or "enough" for photos in shots))
        for group in groups
    )  # fmt: skip
    headings = ("who", "photos with a face", *(f"to enroll {photos} of each" for photos in shots))
    return Table("Missing photos", headings, rows)


def _missing(group: TwinGroup, counts: dict[str, int], photos: int) -> str:
    """Return the photos that are missing to enroll `photos` of each and search for one; "" for none."""
    missing = ((person, photos + 1 - counts.get(person, 0)) for person in group.people)
    return ", ".join(f"{number:,} of {printable(person)}" for person, number in missing if number > 0)


def _sentences(
    faces: FaceSet, groups: Sequence[TwinGroup], compared: GroupPairs, reference: ReferenceSimilarities
) -> tuple[str, ...]:
    """Return a sentence for each of the first groups that cannot be tested for lack of photos."""
    counts = count_photos_with_face(faces)
    values = dict(zip(compared.groups, compared.values, strict=True))
    sentences = []
    for group in groups:
        missing = _missing(group, counts, 1)
        if missing and group in values:
            similarities = values[group]
            pairs = pluralize(len(similarities), "pair of photos", "pairs of photos")
            comparison = (
                f"; the 99th percentile of {reference.source} is {reference.upper:.3f}"
                if len(reference.similarities)
                else ""
            )
            sentences.append(
                f"{group.label}: {pairs}, similarity {similarities.mean():.3f} on average{comparison}. "
                f"To measure their confusion, add photos: {missing}."
            )
    return tuple(sentences[:_MAX_NAMED])


def _at_thresholds(
    bench: Bench, faces: FaceSet, compared: GroupPairs, unrelated: NDArray[np.float64]
) -> tuple[dict[str, Figure], Section]:
    """Return figures and a section on the matches at the threshold of unrelated people and at the shipped one."""
    if not compared.groups:
        return {}, Section(MATCHES_TITLE, ("Not tested: no pair of photos can be compared.",))
    first, second = (np.concatenate(side) for side in zip(*compared.pairs, strict=True))
    photos = np.concatenate([first, second])
    units = sampling_units(faces.dataset.person_indices[photos], faces.groups[photos])
    figures, similarities, shipped = (
        dict[str, Figure](),
        np.concatenate(compared.values),
        bench.reader.engine.thresholds.verify,
    )

    def measure(threshold: float, name: str) -> Figure:
        meaning = f"Pairs of photos of two people who look alike that match at {name}, {threshold:.3f}."
        return pair_rate(similarities >= threshold, units[: len(first)], units[len(first) :], meaning)

    columns = [("at the shipped threshold", shipped)]
    sentence = f"The data has {len(unrelated):,} pairs of unrelated people, too few to determine a threshold."
    if len(unrelated) >= MIN_UNRELATED:
        threshold, expected = threshold_at_fmr(unrelated, UNRELATED_FMR), UNRELATED_FMR * len(unrelated)
        columns.insert(0, ("at FMR 0.01 % of unrelated people", threshold))
        figure = measure(threshold, "the threshold of FMR 0.01 % of unrelated people")
        figures["twin_fmr_at_unrelated_fmr_1e-4"] = replace(figure, descriptive=True, expected=expected)
        sentence = f"At the threshold {threshold:.3f}, {expected:.0f} of {len(unrelated):,} pairs of photos of "
        sentence += "unrelated people match: all people of the dataset except those who look alike."
    figures["twin_fmr_at_shipped_threshold"] = measure(shipped, "the shipped threshold")
    rows = tuple(
        (group.label, f"{len(values):,}", *(f"{int((values >= threshold).sum()):,}" for _, threshold in columns))
        for group, values in zip(compared.groups, compared.values, strict=True)
    )
    table = Table("Pairs that match", ("who", "pairs of photos", *(heading for heading, _ in columns)), rows)
    return figures, Section(MATCHES_TITLE, (sentence, _POOLED), tuple(figures), (table,))


@dataclass(frozen=True, slots=True)
class TwinGroup:
    """People who look alike, and their relation."""

    people: tuple[str, ...]
    relation: str = ""

    @property
    def label(self) -> str:
        """The group as text."""
        return pair_label(self.people, self.relation)


def groups_of(
    dataset: Dataset, people: Sequence[str] | None, relatives: Sequence[RelatedPair] | None
) -> list[TwinGroup]:
    """Return groups of people who look alike: listed pairs, else the given people, else all of a small dataset.

    Raises
    ------
    DatasetError
        No person is given and there are too many, a person is not in the dataset, or there is only one.
    """
    if relatives is not None:
        return [TwinGroup((pair.first, pair.second), pair.relation) for pair in relatives]
    if people is None and len(dataset.people) > MAX_PEOPLE:
        raise DatasetError(
            f"{printable(dataset.title)}: the dataset has {len(dataset.people)} people; select those who look "
            "alike with --person, or pass a list of pairs with --relatives"
        )
    selected = tuple(dict.fromkeys(dataset.people if people is None else people))
    missing = [name for name in selected if name not in dataset.people]
    if missing:
        raise DatasetError(
            f"{printable(dataset.title)}: no person is called {printable(missing[0])!r}; correct --person"
        )
    if len(selected) < 2:
        raise DatasetError(f"{printable(dataset.title)}: two people are needed; add one with --person")
    return [TwinGroup(selected)]


def select_comparable(
    dataset: Dataset, groups: Sequence[TwinGroup], counts: dict[str, int], noun: str
) -> tuple[list[TwinGroup], list[SkippedEntry]]:
    """Return the groups in which two people have a counted photo, and entries for the others.

    Raises
    ------
    DatasetError
        No group is left.
    """
    comparable, untested = list[TwinGroup](), list[SkippedEntry]()
    for group in groups:
        if sum(counts.get(person, 0) > 0 for person in group.people) >= 2:
            comparable.append(group)
        else:
            untested.append(SkippedEntry(group.label, untested_reason(group, counts, noun)))
    if not comparable:
        raise DatasetError(f"{printable(dataset.title)}: {NO_TESTABLE_GROUP}")
    return comparable, untested


def select_testable(
    groups: Sequence[TwinGroup], counts: dict[str, int], noun: str
) -> tuple[list[TwinGroup], list[SkippedEntry]]:
    """Return the groups with two photos of each person, and entries for the others."""
    tested, untested = list[TwinGroup](), list[SkippedEntry]()
    for group in groups:
        if min(counts.get(person, 0) for person in group.people) >= 2:
            tested.append(group)
        else:
            untested.append(
                SkippedEntry(group.label, f"{untested_reason(group, counts, noun)}; only compared as pairs of photos")
            )
    return tested, untested


def untested_reason(group: TwinGroup, counts: dict[str, int], noun: str = "photos with a face") -> str:
    """Return the reason for skipping a group: the number of photos of each person."""
    return f"not tested: {' and '.join(f'{counts.get(person, 0):,}' for person in group.people)} {noun}"


def count_photos_with_face(faces: FaceSet) -> dict[str, int]:
    """Return the number of photos with a face of each person."""
    return count_photos(faces.dataset.select(faces.has_face.tolist()))
