"""People who look alike: told apart in a gallery of just them, from few photos of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.confusion import classification_report, confusion_matrix
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.figures import Figure, Kind
from facebank.evaluation.measuring import how_decided
from facebank.evaluation.protocols.experiments.parts import Draw, draw_photos, drawn_rate, photos_of, search_draws
from facebank.evaluation.rates import pair_rate
from facebank.evaluation.report import Curves, Histogram, Item, Report, Section, Table
from facebank.evaluation.risk_coverage import risk_coverage
from facebank.evaluation.searching import Searches
from facebank.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.laboratory import FaceSet
    from facebank.evaluation.relatives import Relatives

SHOTS = (1, 2, 3, 5, 10)
MOST_PEOPLE = 12
"""As many as are taken for people who look alike where nobody is named."""
UNRELATED_FMR = 1e-4
LEAST_UNRELATED = 10_000
"""With fewer pairs of unrelated people no threshold of FMR 1e-4 can be found."""

_UNRELATED_PAIRS = 100_000
_COVERAGE = 0.7
_DRAW, _PAIRS = 1, 2


@dataclass(frozen=True, slots=True)
class Group:
    """People who look alike, and how they are related."""

    people: tuple[str, ...]
    relation: str = ""

    @property
    def label(self) -> str:
        """For people."""
        return " and ".join(self.people) + (f" ({self.relation})" if self.relation else "")


def twins(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    relatives: Sequence[Relatives] | None = None,
    shots: Sequence[int] = SHOTS,
    draws: int = 10,
) -> Report:
    """Tell people apart who look alike.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        Photos of them, and of unrelated people if there are any; photos that share a source stay on one side.
    people
        Two or more who look alike: one gallery.
    relatives
        Pairs, each a gallery of its own; with neither, all people of a dataset of at most twelve are one gallery.
    shots
        How many photos of each person are enrolled; more than somebody has but one are left out.
    draws
        How often the enrolled photos are drawn.

    Raises
    ------
    DatasetError
        Somebody named is not in the dataset, nobody is named, or no group has two photos of each person.
    """
    groups, untested = _testable(dataset, _groups(dataset, people, relatives))
    theirs = sorted({person for group in groups for person in group.people})
    faces = bench.read(replace(dataset, pairs=()))
    bench.progress.begin("people who look alike", len(groups) * draws)
    figures: dict[str, Figure] = {}
    tried: dict[int, list[tuple[Group, Searches]]] = {}
    for photos in shots:
        for group in groups:
            if min(_found(faces, person) for person in group.people) > photos:
                tried.setdefault(photos, []).append((group, _search(bench, faces, group, photos, draws)))
    if not tried:
        raise DatasetError(f"{printable(dataset.title)}: nobody of them has two photos with a face: untested")
    for photos, found in tried.items():
        figures |= _figures(faces, Searches.joined([searches for _, searches in found]), photos)
    middle = max((photos for photos in tried if photos <= 3), default=min(tried))
    risk, risk_figures = _risk(faces, tried, middle)
    figures |= risk_figures
    compared, sentence = _unrelated(bench, faces, groups, theirs)
    figures |= compared
    sections = (
        Section("Who is told apart", _HOW, tuple(figures), (*_tables(tried, middle), risk, _histogram(tried, middle))),
        Section("As pairs, at a threshold of unrelated people", (sentence,)),
        Section("What the decisions rest on", (how_decided(bench),)),
    )
    return bench.report(
        "twins",
        "People who look alike",
        faces,
        summary=_summary(figures, tried, untested),
        figures=figures,
        sections=sections,
        failures=untested,
    )


def _groups(dataset: Dataset, people: Sequence[str] | None, relatives: Sequence[Relatives] | None) -> list[Group]:
    if relatives is not None:
        return [Group((pair.first, pair.second), pair.relation) for pair in relatives]
    if people is None and len(dataset.people) > MOST_PEOPLE:
        raise DatasetError(
            f"{printable(dataset.title)}: of {len(dataset.people)} people, say who look alike: name them with "
            f"--person, or a list of pairs with --relatives"
        )
    chosen = tuple(dict.fromkeys(dataset.people if people is None else people))
    missing = [name for name in chosen if name not in dataset.people]
    if missing:
        raise DatasetError(f"{printable(dataset.title)}: there is nobody called {printable(missing[0])!r}")
    if len(chosen) < 2:
        raise DatasetError(f"{printable(dataset.title)}: it takes two people to be confused; one is named")
    return [Group(chosen)]


def _testable(dataset: Dataset, groups: Sequence[Group]) -> tuple[list[Group], tuple[LeftOut, ...]]:
    """Return the groups with two photos of each person; the others are untested, and say why."""
    counts = photos_of(dataset)
    able, untested = list[Group](), list[LeftOut]()
    for group in groups:
        photos = [counts.get(person, 0) for person in group.people]
        if min(photos) >= 2:
            able.append(group)
        else:
            untested.append(LeftOut(group.label, f"untested: {' and '.join(map(str, photos))} photos"))
    if not able:
        raise DatasetError(
            f"{printable(dataset.title)}: untested: nobody who looks alike has two photos each here, so that one could "
            f"be enrolled and another searched for"
        )
    return able, tuple(untested)


def _found(faces: FaceSet, person: str) -> int:
    number = faces.dataset.people.index(person)
    return int((faces.found & (faces.dataset.owners == number)).sum())


def _search(bench: Bench, faces: FaceSet, group: Group, photos: int, draws: int) -> Searches:
    number = sum(map(ord, group.label)) % 2**16
    drawn: list[Draw] = []
    for turn in range(draws):
        drawn.append(draw_photos(faces, group.people, photos, bench.random(_DRAW, number, photos, turn)))
        bench.progress.advance()
    return search_draws(bench, faces, drawn)[0]


def _figures(faces: FaceSet, searches: Searches, photos: int) -> dict[str, Figure]:
    measured = {
        "accuracy": (~searches.not_first, "the best candidate is right"),
        "fnir": (searches.missed, "the right name is not given"),
        "wrongly_named": (searches.misnamed, "the name of one who looks alike is given"),
        "uncertain": (searches.uncertain, "the answer is uncertain"),
    }
    return {
        f"{name}_{photos}": drawn_rate(events, faces, searches, f"Photos, {photos} enrolled of each: {words}.")
        for name, (events, words) in measured.items()
    }


def _risk(
    faces: FaceSet, tried: dict[int, list[tuple[Group, Searches]]], middle: int
) -> tuple[Curves, dict[str, Figure]]:
    """Answer only the surest searches, and count what is wrong among the answers."""
    lines, figures = [], dict[str, Figure]()
    for photos, found in tried.items():
        searches = Searches.joined([one for _, one in found])
        sureness = np.where(np.isfinite(searches.probabilities), searches.probabilities, searches.similarities)
        curve = risk_coverage(sureness, searches.not_first)
        lines.append(curve.line(f"{photos} enrolled"))
        if photos == middle:
            answered = np.argsort(-np.nan_to_num(sureness, nan=-np.inf), kind="stable")
            surest = np.zeros(len(answered), dtype=np.bool_)
            surest[answered[: int(np.ceil(_COVERAGE * len(answered)))]] = True
            part = searches.where(surest)
            figures[f"error_at_coverage_0.7_{photos}"] = replace(
                drawn_rate(part.not_first, faces, part, f"Wrong among the surest 70 % of answers, {photos} enrolled."),
                descriptive=True,
            )
            figures[f"area_under_risk_coverage_{photos}"] = Figure(
                curve.area,
                count=len(sureness),
                kind=Kind.NUMBER,
                descriptive=True,
                meaning=f"Mean error over all coverages, {photos} enrolled; the less the better.",
            )
    return Curves("Error among the answers given", "share answered", "share wrong", tuple(lines)), figures


def _unrelated(
    bench: Bench, faces: FaceSet, groups: Sequence[Group], theirs: Sequence[str]
) -> tuple[dict[str, Figure], str]:
    """Compare photos of people who look alike, at a threshold that unrelated people chose."""
    owners, people = faces.dataset.owners, faces.dataset.people
    first, second = _pairs_between(faces, groups)
    if not len(first):
        return {}, "Untested: no two photos of people who look alike have faces."
    embeddings = faces.embeddings
    values = np.einsum("nd,nd->n", embeddings[first], embeddings[second], dtype=np.float64)
    others = np.flatnonzero(faces.found & (owners >= 0) & ~np.isin(owners, [people.index(name) for name in theirs]))
    threshold, how = bench.laboratory.engine.thresholds.verify, "shipped_threshold"
    sentence = "There are too few unrelated people to find a threshold of FMR 0.01 %: the shipped one is used."
    if len(others):
        a, b = bench.random(_PAIRS).choice(others, (2, _UNRELATED_PAIRS))
        different = owners[a] != owners[b]
        a, b = a[different], b[different]
        if len(np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)]), axis=1).T) >= LEAST_UNRELATED:
            similarities = np.einsum("nd,nd->n", embeddings[a], embeddings[b], dtype=np.float64)
            made = Comparisons(
                np.append(similarities, 1.0), np.append(np.zeros(len(a), bool), True), np.append(a, 0), np.append(b, 0)
            )
            threshold, how = made.threshold_at(UNRELATED_FMR), "unrelated_fmr_1e-4"
            sentence = f"At the similarity {threshold:.3f}, which 0.01 % of {len(a):,} pairs of unrelated people reach."
    meaning = "Pairs of photos of two people who look alike that match."
    figure = pair_rate(values >= threshold, _units(owners, first), _units(owners, second), meaning, descriptive=True)
    return {f"twin_fmr_at_{how}": replace(figure, descriptive=how != "shipped_threshold")}, sentence


def _units(owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what is drawn: people where they are many, photos where they are few."""
    return owners[places] if len(np.unique(owners[places])) >= 20 else places


def _pairs_between(faces: FaceSet, groups: Sequence[Group]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of photos of different people of one group."""
    owners, people = faces.dataset.owners, faces.dataset.people
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for group in groups:
        places = np.flatnonzero(faces.found & np.isin(owners, [people.index(name) for name in group.people]))
        a, b = (side.ravel() for side in np.meshgrid(places, places, indexing="ij"))
        keep = (a < b) & (owners[a] != owners[b])
        firsts.append(a[keep])
        seconds.append(b[keep])
    return np.concatenate(firsts), np.concatenate(seconds)


def _tables(tried: dict[int, list[tuple[Group, Searches]]], middle: int) -> tuple[Item, ...]:
    rows = []
    for photos, found in tried.items():
        for group, searches in found:
            counts = (~searches.not_first, searches.missed, searches.misnamed, searches.uncertain)
            rows.append(
                (group.label, f"{photos}", f"{len(searches.own):,}", *(f"{int(events.sum()):,}" for events in counts))
            )
    headings = ("who", "enrolled of each", "searches", "best right", "not named rightly", "another's name", "uncertain")
    items: list[Item] = [Table("Group by group", headings, tuple(rows))]
    largest = max(tried[middle], key=lambda one: len(one[1].own))
    names = tuple(sorted(largest[0].people))
    matrix = confusion_matrix(largest[1], names, f"{largest[0].label}, {middle} enrolled of each")
    return (*items, matrix, classification_report(matrix, f"{largest[0].label}, person by person"))


def _histogram(tried: dict[int, list[tuple[Group, Searches]]], middle: int) -> Histogram:
    searches = Searches.joined([one for _, one in tried[middle]])
    told = np.isfinite(searches.probabilities)
    values = searches.probabilities if told.any() else searches.similarities
    right = ~searches.not_first
    groups = (("it is right", values[right]), ("it is wrong", values[~right]))
    label = "probability" if told.any() else "similarity"
    return Histogram(
        f"How sure the best candidate is, {middle} enrolled",
        label,
        tuple((name, some[np.isfinite(some)]) for name, some in groups if np.isfinite(some).any()),
    )


def _summary(
    figures: dict[str, Figure], tried: dict[int, list[tuple[Group, Searches]]], untested: Sequence[LeftOut]
) -> tuple[str, ...]:
    sentences = [
        f"{photos} enrolled of each, {len(found)} {'group' if len(found) == 1 else 'groups'}: the best candidate is "
        f"right for {figures[f'accuracy_{photos}']}; given the other's name: {figures[f'wrongly_named_{photos}']}."
        for photos, found in tried.items()
    ]
    if untested:
        sentences.append(f"{len(untested)} groups are untested, because somebody has fewer than two photos.")
    return tuple(sentences)


_HOW = (
    "A gallery holds just the people who look alike; some photos of each are enrolled and all others searched for, "
    "drawn several times. Photos that share a source with an enrolled one are not searched for.",
    "Risk and coverage: the least sure answers are withheld, by the best candidate's probability; what is wrong among "
    "the answers given is the risk.",
)
