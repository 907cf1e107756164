"""Open-set identification: searches for enrolled people and for strangers.

Terms of ISO/IEC 19795-1: a search is mated if the person is enrolled. FNIR is the fraction of mated searches that do
not return the right name, FPIR the fraction of non-mated searches that return any name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import INTERVAL, Figure, Resamples, format_percent, rate, zero_event_bound
from facebank.evaluation.identification import (
    CALIBRATION,
    Condition,
    calibration_section,
    decision_note,
    line_of,
    searches_table,
    strangers_table,
)
from facebank.evaluation.leakage import Leak, find_leakage, leak_entries
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
    format_score,
)
from facebank.evaluation.searches import (
    MIN_STRANGERS,
    NOBODY,
    Searches,
    TrialGallery,
    enroll,
    exclude_related,
    round_robin,
)
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

RATES = (1e-1, 1e-2, 1e-3)
"""FPIR values at which FNIR is read off the curve."""
SIZES = (10, 30, 100, 300, 1000)
"""Gallery sizes to compare."""

_MANY_TIMES, _ENOUGH_PEOPLE = 4, 10
_GALLERIES = 10
_ENROLLED_IN_ALL = 300
_STRANGERS_PER_SIZE = 500
_PROBES_PER_SIZE = 3
_CANDIDATES = 5
_BAND_RESAMPLES = 200
_POINTS = 200
_SPLIT, _DRAW, _SIZE = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Enrolled people and strangers, as indices into ``dataset.people``: ``int64`` of shape ``(P,)`` each."""

    known: NDArray[np.int64]
    strangers: NDArray[np.int64]


class TrialSize(NamedTuple):
    """Number of enrolled photos of each person, and maximum numbers of probes of each person and of strangers."""

    photos: int
    probes_each: int
    strangers: int


@dataclass(frozen=True, slots=True, eq=False)
class GalleryTrial:
    """A gallery, the searches in it, and the copies of enrolled photos that were removed from the probes."""

    gallery: TrialGallery
    searches: Searches
    leaks: tuple[Leak, ...]


@protocol(
    "openset",
    open_data=open_people,
    details="Reports FNIR, FPIR and the calibration of probabilities, also by gallery size.",
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
    """Return the report of searches for enrolled people and strangers.

    Parameters
    ----------
    dataset
        Photos of labeled people; unlabeled photos count as strangers'.
    shots
        Numbers of enrolled photos of each person; numbers for which no person has enough photos are skipped.
    draws
        Number of random draws of the enrolled photos.
    people
        Maximum number of enrolled people, those with most photos first. If ten people have four times as many photos
        as are enrolled, only such people.
    probes_each
        Maximum number of probes of each person.
    strangers
        Maximum number of strangers, with one probe each.

    Raises
    ------
    DatasetError
        No person has two photos with a face, or no photo has a face.
    """
    faces = bench.read(replace(dataset, pairs=()))
    used = _usable_shots(faces, shots)
    split = _split(faces, max(used), people, bench.random(_SPLIT))
    conditions, trials = list[Condition](), list[GalleryTrial]()
    bench.progress.begin("galleries", draws * len(used))
    for photos in used:
        randoms = (bench.random(_DRAW, photos, draw_number) for draw_number in range(draws))
        size = TrialSize(photos, probes_each, strangers)
        drawn = [_run_trial(bench, faces, size, split, random) for random in randoms]
        conditions.append(_condition(faces, str(photos), f"{photos} enrolled", drawn))
        trials += drawn
    size_conditions, size_trials = _search_by_size(bench, faces)
    leaks = {leak.probe: leak for trial in (*trials, *size_trials) for leak in trial.leaks}
    figures: dict[str, Figure] = {}
    for condition in conditions:
        figures |= _shipped_figures(condition) | descriptive_figures(condition)
    for condition in size_conditions:
        measured = condition.figures()
        names = {f"{key}_among_{condition.name}": f"{key}_{condition.name}" for key in ("fnir", "fpir", "rank_1")}
        figures |= {name: measured[key] for name, key in names.items() if key in measured}
    sections = (
        _error_section(bench, conditions, figures),
        _calibration_section(conditions, figures),
        _size_section(size_conditions, figures),
        _hardest_section(bench, faces, trials[-1].gallery, conditions[-1]),
    )
    untested = [
        f"Not tested with {pluralize(photos, 'enrolled photo')}: nobody has {photos + 1} or more."
        for photos in shots
        if photos not in used
    ]
    return bench.report(
        "openset",
        "Open-set identification: enrolled people and strangers",
        faces,
        summary=(*_summary(conditions, figures, split), *untested),
        figures=figures,
        sections=sections,
        failures=leak_entries(faces, tuple(leaks.values())),
        scores=_search_scores(faces, trials),
    )


def _usable_shots(faces: FaceSet, shots: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of photos that at least one person exceeds."""
    counts = faces.photo_counts
    used = tuple(photos for photos in sorted(set(shots)) if (counts > photos).sum() >= 1)
    if not used:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: no labeled person has {min(shots) + 1} photos with a face, of which "
            f"{min(shots)} could be enrolled and one searched for; add photos, or enroll fewer with --enrolled"
        )
    return used


def _split(faces: FaceSet, photos: int, max_people: int, random: np.random.Generator) -> Split:
    """Return the people with most photos as enrolled people, and the others as strangers.

    With fewer than ten strangers, a third of the enrolled people become strangers. If ten people have four times as
    many photos as are enrolled, only such people are enrolled, since the others have few probes.
    """
    counts = faces.photo_counts
    eligible = np.flatnonzero(counts >= _MANY_TIMES * photos)
    if len(eligible) < _ENOUGH_PEOPLE:
        eligible = np.flatnonzero(counts > photos)
    known = eligible[np.argsort(-counts[eligible], kind="stable")][:max_people]
    strangers = np.setdiff1d(np.flatnonzero(counts > 0), known)
    unlabeled = int((faces.dataset.person_indices == NOBODY).sum())
    if len(strangers) + unlabeled < MIN_STRANGERS and len(known) > 2:
        mixed = random.permutation(known)
        third = max(1, len(known) // 3)
        known, strangers = np.sort(mixed[third:]), np.concatenate([strangers, mixed[:third]])
    return Split(np.sort(known).astype(np.int64), strangers.astype(np.int64))


def _condition(faces: FaceSet, name: str, label: str, trials: Sequence[GalleryTrial]) -> Condition:
    return Condition(name, label, faces, Searches.concatenate([trial.searches for trial in trials]))


def _run_trial(
    bench: Bench, faces: FaceSet, size: TrialSize, split: Split, random: np.random.Generator
) -> GalleryTrial:
    """Return a gallery of the known people, and searches for their other photos and for strangers, without copies."""
    person_indices = faces.dataset.person_indices
    enrolled: list[NDArray[np.int64]] = []
    mated: list[NDArray[np.int64]] = []
    for person in split.known:
        mixed = random.permutation(np.flatnonzero((person_indices == person) & faces.has_face))
        enrolled.append(mixed[: size.photos])
        without_face = np.flatnonzero((person_indices == person) & ~faces.has_face)
        mated.append(np.concatenate([mixed[size.photos :], without_face])[: size.probes_each])
    indices = np.concatenate(enrolled).astype(np.int64)
    mated_probes = exclude_related(faces, np.concatenate(mated).astype(np.int64), indices)
    strangers = [
        random.permutation(np.flatnonzero(person_indices == person))[:1]
        for person in random.permutation(split.strangers)
    ]
    strangers += [np.array([index]) for index in random.permutation(np.flatnonzero(person_indices == NOBODY))]
    probes = np.concatenate([mated_probes, round_robin(strangers, size.strangers)])
    leaks = find_leakage(bench.reader, faces, indices, probes)
    probes = probes[~np.isin(probes, [leak.probe for leak in leaks])]
    gallery = enroll(bench.reader, faces, indices)
    bench.progress.advance()
    return GalleryTrial(gallery, gallery.search(probes), leaks)


def _search_by_size(bench: Bench, faces: FaceSet) -> tuple[list[Condition], list[GalleryTrial]]:
    """Return the searches in galleries of each size, with one enrolled photo of each person, and the galleries."""
    eligible = np.flatnonzero(faces.photo_counts > 1)
    everybody = np.flatnonzero(faces.photo_counts > 0)
    sizes = [size for size in SIZES if size <= len(eligible)]
    bench.progress.begin("sizes of galleries", sum(map(_count_galleries, sizes)))
    conditions, trials = list[Condition](), list[GalleryTrial]()
    trial_size = TrialSize(1, _PROBES_PER_SIZE, _STRANGERS_PER_SIZE)
    for people in sizes:
        drawn = list[GalleryTrial]()
        for gallery_number in range(_count_galleries(people)):
            random = bench.random(_SIZE, people, gallery_number)
            known = random.permutation(eligible)[:people].astype(np.int64)
            split = Split(known, np.setdiff1d(everybody, known).astype(np.int64))
            drawn.append(_run_trial(bench, faces, trial_size, split, random))
        conditions.append(_condition(faces, str(people), f"{people:,} people", drawn))
        trials += drawn
    return conditions, trials


def _count_galleries(people: int) -> int:
    return int(np.clip(_ENROLLED_IN_ALL // people, 1, _GALLERIES))


def _shipped_figures(condition: Condition) -> dict[str, Figure]:
    """Return the figures with the shipped settings."""
    figures = condition.figures()
    searches, units = condition.searches, condition.units
    right = np.where(searches.mated, ~searches.missed, ~searches.misnamed)
    figures[f"open_set_classification_rate_{condition.name}"] = rate(
        right, units, f"Searches decided correctly, including strangers, {condition.label}.", ids=searches.indices
    )
    return figures


def descriptive_figures(condition: Condition) -> dict[str, Figure]:
    """Return FNIR at thresholds chosen on the same searches."""
    searches, units, figures = condition.searches, condition.units, dict[str, Figure]()
    mated, strangers = searches.mated, (~searches.mated).sum()
    if not mated.any():
        return figures
    for fpir in RATES:
        if strangers and fpir * strangers >= 1:
            missed = _is_missed(searches, _threshold_at(searches, fpir))
            figures[f"fnir_{condition.name}_at_fpir_{fpir:.0e}".replace("e-0", "e-")] = replace(
                rate(
                    missed,
                    units[mated],
                    f"FNIR at the threshold where {format_percent(fpir, None)} of the strangers get a name.",
                    descriptive=True,
                ),
                expected=fpir * float(strangers),
            )
    return figures


def _scores(searches: Searches) -> NDArray[np.float64]:
    return np.nan_to_num(searches.similarities, nan=-np.inf)


def _threshold_at(searches: Searches, fpir: float) -> float:
    non_mated = np.sort(_scores(searches)[~searches.mated])[::-1]
    return float(np.nextafter(non_mated[int(fpir * len(non_mated) + 1e-9)], np.inf))


def _is_missed(searches: Searches, threshold: float) -> NDArray[np.bool_]:
    mated = searches.mated
    is_found = (_scores(searches) >= threshold) & ~searches.not_first
    return np.asarray(~is_found[mated], dtype=np.bool_)


def _det(conditions: Iterable[Condition]) -> Curves:
    lines, markers = list[Line](), list[tuple[str, float, float]]()
    for condition in conditions:
        searches, figures = condition.searches, condition.figures()
        strangers = np.sort(_scores(searches)[~searches.mated])[::-1]
        if len(strangers) and searches.mated.any():
            thresholds = np.unique(strangers)[::-1]
            thresholds = thresholds[np.unique(np.geomspace(1, len(thresholds), _POINTS).astype(int)) - 1]
            fpir = np.searchsorted(-strangers, -thresholds, side="right") / len(strangers)
            missed = [_is_missed(searches, threshold) for threshold in thresholds]
            fnir, low, high = _curve_with_band(missed, condition.units[searches.mated])
            lines.append(Line(condition.label, fpir, fnir, low, high))
            if not fnir.any():
                count = len(missed[0])
                label = f"no misses in {count:,} searches, {condition.label}: 95 % upper bound of FNIR"
                markers.append((label, float(fpir.min()), zero_event_bound(count)))
            point = (figures[f"{key}_{condition.name}"].value for key in ("fpir", "fnir"))
            markers.append((f"shipped settings, {condition.label}", *point))  # type: ignore[arg-type]  # always two values
    return Curves("FNIR over FPIR", "FPIR", "FNIR", tuple(lines), "log", "log", markers=tuple(markers))


def _curve_with_band(
    missed: Sequence[NDArray[np.bool_]], units: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return FNIR at each threshold and its 95 % bootstrap interval; by the rule of three if nothing is missed."""
    resamples = Resamples.of(units, _BAND_RESAMPLES)
    counts = np.maximum(resamples.sums(np.ones(len(units))), 1e-12)
    resampled = np.array([resamples.sums(row.astype(np.float64)) / counts for row in missed])
    low, high = np.quantile(resampled, INTERVAL, axis=1)
    fnir = np.array([row.mean() for row in missed])
    return fnir, low, np.where(fnir == 0, np.maximum(high, zero_event_bound(len(units))), high)


def _cmc(conditions: Iterable[Condition]) -> Curves:
    """Return the CMC curve: the fraction of probes whose person is among the best 1, 2, 3, ... candidates."""
    lines = []
    for condition in conditions:
        searches, mated = condition.searches, condition.searches.mated
        if searches.ranks is None or not mated.any():
            continue
        ranks, units = searches.ranks[mated], condition.units[mated]
        limits = range(1, _CANDIDATES + 1)
        rates = [rate((ranks > 0) & (ranks <= limit), units, ids=searches.indices[mated]) for limit in limits]
        lines.append(line_of(condition.label, limits, rates))
    return Curves(
        "Cumulative match characteristic (CMC)",
        "number of best candidates",
        "fraction of probes whose person is among them",
        tuple(lines),
    )


def _similarity_histogram(condition: Condition) -> Histogram:
    """Return a histogram of the best candidate's similarity, for enrolled people and for strangers."""
    searches, has_candidate = condition.searches, np.isfinite(condition.searches.similarities)
    right = searches.mated & ~searches.not_first
    groups = (
        ("enrolled, right candidate", right & has_candidate),
        ("enrolled, wrong candidate", searches.mated & ~right & has_candidate),
        ("strangers", ~searches.mated & has_candidate),
    )
    values = tuple((label, searches.similarities[mask]) for label, mask in groups if mask.any())
    return Histogram(f"Similarity of the best candidate, {condition.label}", "similarity (cosine)", values)


def _search_scores(faces: FaceSet, trials: Sequence[GalleryTrial]) -> Table:
    photos, rows = faces.dataset.photos, list[tuple[str, ...]]()
    for gallery_number, trial in enumerate(trials, start=1):
        searches, names = trial.searches, trial.gallery.names
        for number, index in enumerate(searches.indices.tolist()):
            first, named = int(searches.first[number]), int(searches.named[number])
            rows.append(
                (
                    f"{len(trial.gallery.enrolled)}",
                    f"{gallery_number}",
                    photos[index].name,
                    photos[index].person or "",
                    "" if first == NOBODY else names[first],
                    "" if named == NOBODY else names[named],
                    "yes" if searches.uncertain[number] else "no",
                    format_score(float(searches.similarities[number])),
                    format_score(float(searches.probabilities[number])),
                )
            )
    return Table("Scores", SEARCH_SCORES, tuple(rows))


def _error_section(bench: Bench, conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    det, cmc = _det(conditions), _cmc(conditions)
    items: list[Item] = [searches_table(conditions), strangers_table(conditions)]
    items += [plot for plot in (det, cmc) if plot.lines]
    items += [_similarity_histogram(condition) for condition in conditions]
    names = [name for name in figures if "_among_" not in name and not name.startswith(CALIBRATION)]
    return Section("Error rates", (*_METHOD, decision_note(bench)), tuple(names), tuple(items))


def _calibration_section(conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    is_tested = any(name.startswith(CALIBRATION) for name in figures)
    text = _CALIBRATION_TEXT if is_tested else ("Not tested: this requires a calibrated pack, and strangers.",)
    return calibration_section("Calibration of probabilities", text, conditions, figures)


def _size_section(conditions: Sequence[Condition], figures: dict[str, Figure]) -> Section:
    if not conditions:
        return Section("Effect of the gallery size", ("Not tested: fewer than ten people have two photos.",))
    lines = []
    for key, label in (("fnir", "FNIR"), ("fpir", "FPIR")):
        names = {condition.name: f"{key}_among_{condition.name}" for condition in conditions}
        by_size = {float(size): figures[name] for size, name in names.items() if name in figures}
        if by_size:
            lines.append(line_of(label, list(by_size), list(by_size.values())))
    plot = Curves("Effect of the gallery size", "people enrolled, one photo each", "fraction", tuple(lines), "log")
    names_of_size = tuple(name for name in figures if "_among_" in name)
    return Section("Effect of the gallery size", _SIZE_TEXT, names_of_size, (plot,))


def _hardest_section(bench: Bench, faces: FaceSet, gallery: TrialGallery, condition: Condition) -> Section:
    """Return the section with the wrong names given in a gallery, each next to the most similar enrolled photo."""
    searches = gallery.search(np.unique(condition.searches.indices[condition.searches.misnamed]))
    searches = searches.select(searches.misnamed)
    person_indices, people, embeddings = faces.dataset.person_indices, faces.dataset.people, faces.embeddings
    errors = list[tuple[float, tuple[int, int], str]]()
    for index, number in zip(searches.indices.tolist(), searches.named.tolist(), strict=True):
        named = gallery.names[number]
        photos = gallery.enrolled[person_indices[gallery.enrolled] == people.index(named)]
        similarities = embeddings[photos] @ embeddings[index]
        verdict = f"named {named}, but is {faces.dataset.photos[index].person or 'unlabeled'}"
        errors.append((float(similarities.max()), (index, int(photos[np.argmax(similarities)])), verdict))
    errors.sort(key=lambda error: -error[0])
    pairs, verdicts = [pair for _, pair, _ in errors], [verdict for *_, verdict in errors]
    cases = bench.evidence(faces, pairs, verdicts)
    text = _ERROR_TEXT if cases else ("None: no wrong name was given in the last gallery.",)
    return Section("Hardest errors", text, items=(ContactSheet("Wrong names", cases),) if cases else ())


def _summary(conditions: Sequence[Condition], figures: dict[str, Figure], split: Split) -> tuple[str, ...]:
    sentences = []
    for condition in conditions:
        parts = [
            f"{label} {figures[f'{key}_{condition.name}']}"
            for key, label in (("fnir", "FNIR (missed or wrongly named)"), ("fpir", "FPIR (strangers given a name)"))
            if f"{key}_{condition.name}" in figures
        ]
        sentences.append(f"{len(split.known):,} people with {condition.label} each: " + "; ".join(parts) + ".")
    if not any(name.startswith("fpir") for name in figures):
        sentences.append("FPIR was not tested: the data has no strangers.")
    return tuple(sentences)


_METHOD = (
    "Each photo is searched for independently, with the decisions of 'facebank identify'. Photos without a face and "
    "uncertain answers count as missed. Copies of enrolled photos are excluded from the probes. Enrolled photos are "
    "drawn several times, and a photo can be counted several times; intervals treat it as one.",
    "Points read off the curve use a threshold chosen on the same strangers, and are no estimate for other data. Bands "
    "are 95 % bootstrap intervals that resample people.",
)
_CALIBRATION_TEXT = (
    "Compares the probability of the best candidate with the truth, weighting half of the searches as strangers'.",
)
_SIZE_TEXT = ("The threshold rises with the size of the gallery, which keeps FPIR near the requested value.",)
_ERROR_TEXT = (
    "Photos that were given a wrong name, most similar first, each next to the most similar enrolled photo.",
)
