"""Open-set identification: enrolled people and strangers are searched for, and each gets a name, or none.

Terms of ISO/IEC 19795-1: a search is mated if the person is enrolled. FNIR is the fraction of mated searches that are
not given the right name, FPIR that of non-mated ones that are given any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import Figure, Resamples, rate
from facebank.evaluation.identification import (
    CALIBRATION,
    Condition,
    calibration_section,
    how_decided,
    line_of,
    searches_table,
    strangers_table,
)
from facebank.evaluation.leakage import Leak, find_leakage, leaks_as_failures
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import Shots, open_people
from facebank.evaluation.report import (
    SEARCH_SCORES,
    ContactSheet,
    Curves,
    Histogram,
    Item,
    Line,
    Report,
    Section,
    Table,
    written_score,
)
from facebank.evaluation.searches import LEAST_STRANGERS, NOBODY, Searches, TrialGallery, enroll, in_turns, unrelated
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

RATES = (1e-1, 1e-2, 1e-3)
"""FPIR at which FNIR is read off the curve."""
SIZES = (10, 30, 100, 300, 1000)
"""Gallery sizes that are compared."""

_PLENTY, _ENOUGH = 4, 10
_GALLERIES = 10
_ENROLLED_IN_ALL = 300
_STRANGERS_OF_A_SIZE = 500
_PROBES_OF_A_SIZE = 3
_CANDIDATES = 5
_BAND_RESAMPLES = 200
_POINTS = 200
_WHO, _DRAW, _SIZE = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The enrolled people and the strangers: numbers, ``int64`` of shape ``(P,)``."""

    known: NDArray[np.int64]
    strangers: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GalleryTrial:
    """One gallery, the searches in it, and the copies of enrolled photos that were not searched for."""

    gallery: TrialGallery
    searches: Searches
    leaks: tuple[Leak, ...]


@protocol(
    "openset",
    open_data=open_people,
    details="Who is missed, who is named wrongly, and how well the probabilities are calibrated.",
    examples=("openset people/", "openset people/ --enrolled 3"),
    has_scores=True,
)
def openset(
    bench: Bench,
    dataset: Dataset,
    *,
    shots: Shots = (1, 5),
    draws: int = 5,
    people: int = 100,
    probes_each: int = 1000,
    strangers: int = 1500,
) -> Report:
    """Search for enrolled people and strangers.

    Parameters
    ----------
    dataset
        Photos of named people; those of nobody named are strangers'.
    shots
        Numbers of photos enrolled of each person; those that nobody has enough photos for are left out.
    draws
        How often the enrolled photos are drawn.
    people
        The most people enrolled, those with most photos first; if ten people have four times as many photos as are
        enrolled, only such.
    probes_each
        The most other photos of each searched for.
    strangers
        The most strangers searched for, one photo of each.

    Raises
    ------
    DatasetError
        Nobody has two photos with a face; or no photo has a face.
    """
    faces = bench.read(replace(dataset, pairs=()))
    used = _usable(faces, shots)
    split = _split(faces, max(used), people, bench.random(_WHO))
    conditions, trials = list[Condition](), list[GalleryTrial]()
    bench.progress.begin("galleries", draws * len(used))
    for photos in used:
        splits = ((split, bench.random(_DRAW, photos, turn)) for turn in range(draws))
        drawn = [_searched(bench, faces, (photos, probes_each, strangers), *one) for one in splits]
        conditions.append(_condition(faces, str(photos), f"{photos} enrolled", drawn))
        trials += drawn
    sizes, of_sizes = _sizes(bench, faces)
    leaks = {leak.probe: leak for one in (*trials, *of_sizes) for leak in one.leaks}
    figures: dict[str, Figure] = {}
    for condition in conditions:
        figures |= _decided(condition) | read_off(condition)
    for condition in sizes:
        found = condition.figures()
        of_size = {f"{key}_among_{condition.name}": f"{key}_{condition.name}" for key in ("fnir", "fpir", "rank_1")}
        figures |= {name: found[usual] for name, usual in of_size.items() if usual in found}
    sections = (
        _main(bench, conditions, figures),
        _trust(conditions, figures),
        _by_size(sizes, figures),
        _hardest(bench, faces, trials[-1].gallery, conditions[-1]),
    )
    left = [f"With {photos} photos enrolled it is untested: nobody has more." for photos in shots if photos not in used]
    return bench.report(
        "openset",
        "Open-set identification: enrolled people and strangers",
        faces,
        summary=(*_summary(conditions, figures, split), *left),
        figures=figures,
        sections=sections,
        failures=leaks_as_failures(faces, tuple(leaks.values())),
        scores=_search_scores(faces, trials),
    )


def _usable(faces: FaceSet, shots: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of photos for which somebody has one more."""
    counts = _photos(faces)
    used = tuple(photos for photos in sorted(set(shots)) if (counts > photos).sum() >= 1)
    if not used:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: nobody named has more than {min(shots)} photos with a face, so that "
            f"{min(shots)} could be enrolled and another searched for"
        )
    return used


def _photos(faces: FaceSet) -> NDArray[np.int64]:
    """Return the number of photos with a face of each person."""
    owners = faces.dataset.owners
    return np.bincount(owners[faces.found & (owners >= 0)], minlength=len(faces.dataset.people)).astype(np.int64)


def _split(faces: FaceSet, photos: int, most: int, random: np.random.Generator) -> Split:
    """Return those with most photos as enrolled, the others as strangers, or a third of them if that leaves hardly any.

    If ten people have four times as many photos as are enrolled, only such are: the others have hardly any probes.
    """
    counts = _photos(faces)
    able = np.flatnonzero(counts >= _PLENTY * photos)
    if len(able) < _ENOUGH:
        able = np.flatnonzero(counts > photos)
    able = able[np.argsort(-counts[able], kind="stable")]
    known, others = able[:most], np.setdiff1d(np.flatnonzero(counts > 0), able[:most])
    nameless = int((faces.dataset.owners == NOBODY).sum())
    if len(others) + nameless < LEAST_STRANGERS and len(known) > 2:
        mixed = random.permutation(known)
        third = max(1, len(known) // 3)
        known, others = np.sort(mixed[third:]), np.concatenate([others, mixed[:third]])
    return Split(np.sort(known).astype(np.int64), others.astype(np.int64))


def _condition(faces: FaceSet, name: str, label: str, trials: Sequence[GalleryTrial]) -> Condition:
    return Condition(name, label, faces, Searches.joined([one.searches for one in trials]))


def _searched(
    bench: Bench, faces: FaceSet, numbers: tuple[int, int, int], split: Split, random: np.random.Generator
) -> GalleryTrial:
    """Enroll some photos of the known people, and search for their others and for strangers, without copies."""
    photos, probes_each, strangers = numbers
    owners = faces.dataset.owners
    enrolled: list[NDArray[np.int64]] = []
    mated: list[NDArray[np.int64]] = []
    for person in split.known:
        mixed = random.permutation(np.flatnonzero((owners == person) & faces.found))
        enrolled.append(mixed[:photos])
        hidden = np.flatnonzero((owners == person) & ~faces.found)
        mated.append(np.concatenate([mixed[photos:], hidden])[:probes_each])
    places = np.concatenate(enrolled).astype(np.int64)
    theirs = unrelated(faces, np.concatenate(mated).astype(np.int64), places)
    others = [
        random.permutation(np.flatnonzero(owners == person))[:1] for person in random.permutation(split.strangers)
    ]
    others += [np.array([place]) for place in random.permutation(np.flatnonzero(owners == NOBODY))]
    probes = np.concatenate([theirs, in_turns(others, strangers)])
    leaks = find_leakage(bench.reader, faces, places, probes)
    clean = probes[~np.isin(probes, [leak.probe for leak in leaks])]
    gallery = enroll(bench.reader, faces, places)
    bench.progress.advance()
    return GalleryTrial(gallery, gallery.search(clean), leaks)


def _sizes(bench: Bench, faces: FaceSet) -> tuple[list[Condition], list[GalleryTrial]]:
    """Search in galleries of several sizes, one photo of each person enrolled."""
    able = np.flatnonzero(_photos(faces) > 1)
    everybody = np.flatnonzero(_photos(faces) > 0)
    sizes = [size for size in SIZES if size <= len(able)]
    bench.progress.begin("sizes of galleries", sum(_galleries(size) for size in sizes))
    conditions, trials = list[Condition](), list[GalleryTrial]()
    numbers = (1, _PROBES_OF_A_SIZE, _STRANGERS_OF_A_SIZE)
    for size in sizes:
        drawn = list[GalleryTrial]()
        for turn in range(_galleries(size)):
            random = bench.random(_SIZE, size, turn)
            known = random.permutation(able)[:size].astype(np.int64)
            split = Split(known, np.setdiff1d(everybody, known).astype(np.int64))
            drawn.append(_searched(bench, faces, numbers, split, random))
        conditions.append(_condition(faces, str(size), f"{size:,} people", drawn))
        trials += drawn
    return conditions, trials


def _galleries(size: int) -> int:
    return int(np.clip(_ENROLLED_IN_ALL // size, 1, _GALLERIES))


def _decided(condition: Condition) -> dict[str, Figure]:
    """Return the figures at the shipped operating point."""
    figures = condition.figures()
    searches, units = condition.searches, condition.units
    right = np.where(searches.mated, ~searches.missed, ~searches.misnamed)
    figures[f"open_set_classification_rate_{condition.name}"] = rate(
        right, units, f"Searches decided rightly, strangers included, {condition.label}.", things=searches.places
    )
    return figures


def read_off(condition: Condition) -> dict[str, Figure]:
    """Return FNIR at thresholds chosen on these very searches."""
    searches, units, figures = condition.searches, condition.units, dict[str, Figure]()
    mated, strangers = searches.mated, (~searches.mated).sum()
    if not mated.any():
        return figures
    for fpir in RATES:
        if strangers and fpir * strangers >= 1:
            missed = _missed_at(searches, _threshold_at(searches, fpir))
            figures[f"fnir_{condition.name}_at_fpir_{fpir:.0e}".replace("e-0", "e-")] = replace(
                rate(
                    missed,
                    units[mated],
                    f"At the threshold that names {100 * fpir:g} % of the strangers.",
                    descriptive=True,
                ),
                expected=fpir * float(strangers),
            )
    return figures


def _scores(searches: Searches) -> NDArray[np.float64]:
    return np.nan_to_num(searches.similarities, nan=-np.inf)


def _threshold_at(searches: Searches, fpir: float) -> float:
    others = np.sort(_scores(searches)[~searches.mated])[::-1]
    return float(np.nextafter(others[int(fpir * len(others) + 1e-9)], np.inf))


def _missed_at(searches: Searches, threshold: float) -> NDArray[np.bool_]:
    mated = searches.mated
    named = (_scores(searches) >= threshold) & ~searches.not_first
    return np.asarray(~named[mated], dtype=np.bool_)


def _det(conditions: Iterable[Condition]) -> Curves:
    lines, markers = list[Line](), list[tuple[str, float, float]]()
    for condition in conditions:
        searches, figures = condition.searches, condition.figures()
        strangers = np.sort(_scores(searches)[~searches.mated])[::-1]
        if len(strangers) and searches.mated.any():
            thresholds = np.unique(strangers)[::-1]
            thresholds = thresholds[np.unique(np.geomspace(1, len(thresholds), _POINTS).astype(int)) - 1]
            fpir = np.searchsorted(-strangers, -thresholds, side="right") / len(strangers)
            missed = [_missed_at(searches, threshold) for threshold in thresholds]  # a byte for each search
            fnir, low, high = _banded(missed, condition.units[searches.mated])
            lines.append(Line(condition.label, fpir, fnir, low, high))
            if not fnir.any():
                count = len(missed[0])
                label = f"no misses in {count:,} searches, {condition.label}: FNIR is below this with 95 %"
                markers.append((label, float(fpir.min()), min(1.0, 3 / count)))
            point = (figures[f"{key}_{condition.name}"].value for key in ("fpir", "fnir"))
            markers.append((f"as decided, {condition.label}", *point))  # type: ignore[arg-type]  # two of them
    return Curves(
        "Missed people over strangers named", "FPIR", "FNIR", tuple(lines), "log", "log", markers=tuple(markers)
    )


def _banded(
    missed: Sequence[NDArray[np.bool_]], units: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the FNIR at each threshold and its 95 % interval, drawing people; without a miss the rule of three's."""
    resamples = Resamples.of(units, _BAND_RESAMPLES)
    counted = np.maximum(resamples.sums(np.ones(len(units))), 1e-12)
    drawn = np.array([resamples.sums(row.astype(np.float64)) / counted for row in missed])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
    fnir = np.array([row.mean() for row in missed])
    return fnir, low, np.where(fnir == 0, np.maximum(high, min(1.0, 3 / len(units))), high)


def _cmc(conditions: Iterable[Condition]) -> Curves:
    """Return how often the person shown is among the best 1, 2, 3 ... candidates."""
    lines = []
    for condition in conditions:
        searches, mated = condition.searches, condition.searches.mated
        if searches.ranks is None or not mated.any():
            continue
        ranks, units = searches.ranks[mated], condition.units[mated]
        upto = range(1, _CANDIDATES + 1)
        found = [rate((ranks > 0) & (ranks <= rank), units, things=searches.places[mated]) for rank in upto]
        lines.append(line_of(condition.label, upto, found))
    return Curves(
        "Among the best candidates (CMC)",
        "best candidates looked at",
        "share of enrolled people among them",
        tuple(lines),
    )


def _spread(condition: Condition) -> Histogram:
    """Return the similarities of the best candidates of enrolled people and of strangers."""
    searches, made = condition.searches, np.isfinite(condition.searches.similarities)
    right = searches.mated & ~searches.not_first
    groups = (
        ("enrolled, the right one", right & made),
        ("enrolled, somebody else", searches.mated & ~right & made),
        ("strangers", ~searches.mated & made),
    )
    shown = tuple((label, searches.similarities[chosen]) for label, chosen in groups if chosen.any())
    return Histogram(f"Similarity of the best candidate, {condition.label}", "similarity (cosine)", shown)


def _search_scores(faces: FaceSet, trials: Sequence[GalleryTrial]) -> Table:
    photos, rows = faces.dataset.photos, list[tuple[str, ...]]()
    for gallery, one in enumerate(trials, start=1):
        searches, names = one.searches, one.gallery.names
        for number, place in enumerate(searches.places.tolist()):
            first, named = int(searches.first[number]), int(searches.named[number])
            rows.append(
                (
                    f"{len(one.gallery.enrolled)}",
                    f"{gallery}",
                    photos[place].name,
                    photos[place].person or "",
                    "" if first == NOBODY else names[first],
                    "" if named == NOBODY else names[named],
                    "yes" if searches.uncertain[number] else "no",
                    written_score(float(searches.similarities[number])),
                    written_score(float(searches.probabilities[number])),
                )
            )
    return Table("Scores", SEARCH_SCORES, tuple(rows))


def _main(bench: Bench, conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    det, cmc = _det(conditions), _cmc(conditions)
    items: list[Item] = [searches_table(conditions), strangers_table(conditions)]
    items += [plot for plot in (det, cmc) if plot.lines]
    items += [_spread(condition) for condition in conditions]
    names = [name for name in figures if "_among_" not in name and not name.startswith(CALIBRATION)]
    return Section(
        "Who is found, missed and named wrongly", (*_MEANING, how_decided(bench)), tuple(names), tuple(items)
    )


def _trust(conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    tested = any(name.startswith(CALIBRATION) for name in figures)
    text = _TRUST if tested else ("Untested: it needs a calibrated pack, and strangers.",)
    return calibration_section("Are the probabilities right?", text, conditions, figures)


def _by_size(conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    if not conditions:
        return Section("What the size of the gallery does", ("Untested: fewer than ten people have two photos.",))
    lines = []
    for key, label in (("fnir", "FNIR"), ("fpir", "FPIR")):
        names = {condition.name: f"{key}_among_{condition.name}" for condition in conditions}
        found = {float(size): figures[name] for size, name in names.items() if name in figures}
        if found:
            lines.append(line_of(label, list(found), list(found.values())))
    plot = Curves("What the size of the gallery does", "people enrolled, one photo each", "share", tuple(lines), "log")
    shown = tuple(name for name in figures if "_among_" in name)
    return Section("What the size of the gallery does", _SIZES_MEAN, shown, (plot,))


def _hardest(bench: Bench, faces: FaceSet, trial: TrialGallery, condition: Condition) -> Section:
    """Return the wrong names of the last gallery, beside the most similar enrolled photo."""
    searches = trial.search(np.unique(condition.searches.places[condition.searches.misnamed]))
    searches = searches.where(searches.misnamed)
    owners, people, embeddings = faces.dataset.owners, faces.dataset.people, faces.embeddings
    shown = list[tuple[float, tuple[int, int], str]]()
    for place, number in zip(searches.places.tolist(), searches.named.tolist(), strict=True):
        named = trial.names[number]
        theirs = trial.enrolled[owners[trial.enrolled] == people.index(named)]
        similarities = embeddings[theirs] @ embeddings[place]
        verdict = f"named {named}, and is {faces.dataset.photos[place].person or 'nobody named'}"
        shown.append((float(similarities.max()), (place, int(theirs[np.argmax(similarities)])), verdict))
    shown.sort(key=lambda case: -case[0])
    pairs, verdicts = [pair for _, pair, _ in shown], [verdict for *_, verdict in shown]
    cases = bench.evidence(faces, pairs, verdicts)
    text = _ERRORS if cases else ("None: in the last gallery nobody was given another's name.",)
    return Section("The hardest errors", text, items=(ContactSheet("Given another's name", cases),) if cases else ())


def _summary(conditions: Sequence[Condition], figures: dict[str, Figure], split: Split) -> tuple[str, ...]:
    sentences = []
    for condition in conditions:
        parts = [
            f"{label} {figures[f'{key}_{condition.name}']}"
            for key, label in (("fnir", "missed or wrongly named"), ("fpir", "strangers given a name"))
            if f"{key}_{condition.name}" in figures
        ]
        sentences.append(f"{len(split.known):,} people with {condition.label} each: " + "; ".join(parts) + ".")
    if not any(name.startswith("fpir") for name in figures):
        sentences.append("Strangers are untested: the data hold none.")
    return tuple(sentences)


_MEANING = (
    "Each photo is searched for alone, and decided exactly as 'facebank identify' decides. A photo in which no face is "
    "found counts as missed, an uncertain answer too. Copies of enrolled photos are not searched for. The enrolled "
    "photos are drawn several times, so that a photo may be counted several times; intervals count it as one.",
    "Points read off the curve have a threshold that these very strangers chose: they describe, and promise nothing. "
    "The bands of curves are 95 % intervals, by drawing people.",
)
_TRUST = (
    "The best candidate's probability against whether it is that person, half of the searches weighing as strangers'.",
)
_SIZES_MEAN = (
    "The threshold follows the size of the gallery, so that the share of strangers named stays what was asked.",
)
_ERRORS = (
    "Photos that were given another's name, the most similar first, beside the enrolled photo they are most like.",
)
