"""People who look alike: told apart in a gallery of just them, from few photos of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import risk_coverage
from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.datasets import open_dataset
from facebank.evaluation.figures import Figure, Kind, Resamples
from facebank.evaluation.identification import classification_report, confusion_matrix, how_decided
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.draws import draw_photos, drawn_rate, photos_of, units_of
from facebank.evaluation.protocols.options import Person, RelativesFile
from facebank.evaluation.protocols.twins_pairs import (
    Group,
    groups_of,
    photos_found,
    shown_and_missing,
    testable,
    why_untested,
    with_photos,
)
from facebank.evaluation.relatives import Relatives, read_relatives
from facebank.evaluation.report import Curves, Histogram, Item, Report, Section, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, one_each, unrelated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

SHOTS = (1, 2, 3, 5)
_COVERAGE = 0.7
_RESAMPLES = 200
_MATRICES = 3
_DRAW, _STRANGERS, _OTHERS = 1, 4, 5
_STRANGERS_OF_A_DRAW = 20
_MOST_OTHERS = 500
"""Other people, one photo of each: enough for 100,000 pairs of unrelated people."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Searches in one group's galleries, and those for strangers.

    ``own``, the probability of the person shown, is NaN without a face or a calibration.
    """

    group: Group
    photos: int
    searches: Searches
    own: NDArray[np.float64]
    strangers: Searches


def _open(data: Path, relatives: RelativesFile = None) -> dict[str, Any]:
    listed = None if relatives is None else read_relatives(relatives)
    return {"dataset": open_dataset(data), "relatives": listed}


@protocol(
    "twins",
    open_data=_open,
    details="Who is taken for whom, and how much can be answered without an error.",
    examples=("twins people/ --person Ada --person Byron", "twins lfw/ --relatives relatives.tsv"),
)
def twins(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Person = None,
    relatives: Sequence[Relatives] | None = None,
    shots: Sequence[int] = SHOTS,
    draws: int = 10,
) -> Report:
    """Tell people apart who look alike.

    Parameters
    ----------
    people
        Two or more who look alike: one gallery.
    relatives
        Pairs, each a gallery of its own. With neither, all people of a dataset of at most twelve are one gallery.
    shots
        Numbers of photos enrolled of each person; a group in which somebody has no more is only compared as pairs.
    draws
        How often the enrolled photos are drawn.

    Raises
    ------
    DatasetError
        Somebody named is not in the dataset, nobody is named, or of no group two people have a photo with a face.
    """
    if not shots or min(shots) < 1 or draws < 1:
        raise DatasetError("at least one photo of each person must be enrolled, and drawn at least once")
    groups, used = groups_of(dataset, people, relatives), sorted(set(shots))
    present, absent = with_photos(dataset, groups, photos_of(dataset), "photos")
    alike = {person for group in groups for person in group.people}
    faces = bench.read(_looked_at(bench, replace(dataset, pairs=()), alike))
    present, faceless = with_photos(dataset, present, photos_found(faces), "photos with a face")
    strangers = _strangers(bench, faces, alike)
    able, few = testable(present, photos_found(faces), "photos with a face")
    tried, rows = _tried(bench, faces, able, used, draws=draws, strangers=strangers)
    done = {trial.group for trials in tried.values() for trial in trials}
    never = [LeftOut(one.label, "untested with any of these numbers of photos") for one in able if one not in done]
    left_out = (*absent, *faceless, *few, *never)
    as_pairs, shown, sentences = shown_and_missing(bench, faces, present, alike, used)
    figures, parts = _told_apart(faces, tried, rows) if tried else ({}, ())
    return bench.report(
        "twins",
        "People who look alike",
        faces,
        summary=(*_summary(figures | as_pairs, tried, len(left_out)), *sentences),
        figures=figures | as_pairs,
        sections=(*parts, *shown, Section("What the decisions rest on", (how_decided(bench),))),
        failures=left_out,
    )


def _told_apart(
    faces: FaceSet, tried: dict[int, list[Trial]], rows: tuple[tuple[str, ...], ...]
) -> tuple[dict[str, Figure], tuple[Section, ...]]:
    rates = {name: figure for photos, found in tried.items() for name, figure in _rates(faces, found, photos).items()}
    middle = max((photos for photos in tried if photos <= 3), default=min(tried))
    risk, some = _risk(faces, tried[middle], middle), tried[middle]
    shown = (Table("Group by group", _HEADINGS, rows), *_matrices(some), *_wrong_photos(faces, some))
    strangers = _STRANGERS_ARE if any(name.startswith("fpir") for name in rates) else _NO_STRANGERS
    return rates | risk, (
        Section("Who is told apart", (f"{_HOW} {strangers}", _COMPARE), tuple(rates), shown),
        Section("How sure it is", _SURE, tuple(risk), (_curves(tried), *_histogram(tried))),
    )


def _tried(
    bench: Bench,
    faces: FaceSet,
    groups: Sequence[Group],
    shots: Sequence[int],
    *,
    draws: int,
    strangers: NDArray[np.int64],
) -> tuple[dict[int, list[Trial]], tuple[tuple[str, ...], ...]]:
    """Try every group with every number of photos; return trials, and a row for each, untested ones included."""
    counts, tried, rows = photos_found(faces), dict[int, list[Trial]](), list[tuple[str, ...]]()
    bench.progress.begin("people who look alike", len(shots) * len(groups))
    for photos in shots:
        for group in groups:
            start, trial = (group.label, f"{photos}"), None
            why = why_untested(group, counts)
            if min(counts[person] for person in group.people) > photos:
                trial = _try(bench, faces, group, photos, draws=draws, strangers=strangers)
                why = "untested: all other photos share a source"
            bench.progress.advance()
            if trial is None:
                rows.append((*start, why, "", "", "", ""))
                continue
            tried.setdefault(photos, []).append(trial)
            found = trial.searches
            events = (~found.not_first, found.missed, found.misnamed, found.uncertain)
            rows.append((*start, f"{len(found.own):,}", *(f"{int(event.sum()):,}" for event in events)))
    return tried, tuple(rows)


def _looked_at(bench: Bench, dataset: Dataset, alike: set[str]) -> Dataset:
    """Return the photos of those who look alike, and one each of as many others as their threshold needs."""
    others = np.array([photo.person not in alike for photo in dataset.photos])
    mixed = bench.random(_OTHERS).permutation(np.flatnonzero(others))
    named = mixed[dataset.owners[mixed] >= 0]
    first = np.sort(np.unique(dataset.owners[named], return_index=True)[1])
    others[np.concatenate([named[first], mixed[dataset.owners[mixed] < 0]])[:_MOST_OTHERS]] = False
    return dataset.where(~others)


def _strangers(bench: Bench, faces: FaceSet, alike: set[str]) -> NDArray[np.int64]:
    """Draw one photo of each person who looks like nobody, and photos of nobody named."""
    owners, random = faces.dataset.owners, bench.random(_STRANGERS)
    known = [number for number, person in enumerate(faces.dataset.people) if person in alike]
    mixed = random.permutation(np.flatnonzero(faces.found & ~np.isin(owners, known)))
    return random.permutation(one_each(owners, mixed))


def _try(
    bench: Bench, faces: FaceSet, group: Group, photos: int, *, draws: int, strangers: NDArray[np.int64]
) -> Trial | None:
    """Draw, enroll and search; None if somebody's photos all share a source with what is enrolled."""
    number = sum(map(ord, "".join(group.people))) % 2**16
    searches, own, others = [], [], []
    for turn in range(draws):
        draw = draw_photos(faces, group.people, photos, bench.random(_DRAW, number, photos, turn))
        trial = enroll(bench.reader, faces, draw.enrolled)
        searches.append(trial.search(draw.probes))
        strange = np.roll(strangers, -_STRANGERS_OF_A_DRAW * (number + turn))[:_STRANGERS_OF_A_DRAW]
        others.append(trial.search(unrelated(faces, strange, draw.enrolled)))
        own.append(_own_probabilities(trial, searches[-1]))
    joined = Searches.joined(searches)
    if len(np.unique(joined.own)) < len(group.people):
        return None
    return Trial(group, photos, joined, np.concatenate(own), Searches.joined(others))


def _own_probabilities(trial: TrialGallery, searches: Searches) -> NDArray[np.float64]:
    """Return the probability of the person shown; 0 if not among the candidates."""
    own = searches.probabilities.copy()
    for number in np.flatnonzero(searches.not_first & searches.acquired):
        face, name = trial.faces.faces[searches.places[number]], trial.names[searches.own[number]]
        if face is not None and np.isfinite(own[number]):
            candidates = trial.recognizer.identify([face])[0].candidates
            own[number] = next((one.probability or 0.0 for one in candidates if one.person == name), 0.0)
    return own


def _joined(trials: Sequence[Trial]) -> Searches:
    return Searches.joined([trial.searches for trial in trials])


def _rates(faces: FaceSet, trials: Sequence[Trial], photos: int) -> dict[str, Figure]:
    searches = _joined(trials)
    measured = {
        "accuracy": (~searches.not_first, "the best candidate is right"),
        "fnir": (searches.missed, "the right name is not given"),
        "wrongly_named": (searches.misnamed, "the name of one who looks alike is given"),
        "uncertain": (searches.uncertain, "the answer is uncertain"),
    }
    rates = {
        f"{name}_{photos}": drawn_rate(events, faces, searches, f"Photos, {photos} enrolled of each: {words}.")
        for name, (events, words) in measured.items()
    }
    strangers = Searches.joined([trial.strangers for trial in trials])
    if len(strangers.own):
        meaning = f"Photos of people who are not in the gallery, {photos} enrolled of each: a name is given."
        rates[f"fpir_{photos}"] = drawn_rate(strangers.misnamed, faces, strangers, meaning)
    return rates


def _sureness(searches: Searches) -> NDArray[np.float64]:
    """Return ranks by the best candidate's probability, then by its similarity, as where probabilities are near 1."""
    values = (np.nan_to_num(each, nan=-np.inf) for each in (searches.similarities, searches.probabilities))
    return np.unique(np.stack(list(values)[::-1], axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(float)


def _risk(faces: FaceSet, trials: Sequence[Trial], photos: int) -> dict[str, Figure]:
    """Return the error among the surest answers, and the area under the risk-coverage curve."""
    searches = _joined(trials)
    sureness, wrong = _sureness(searches), searches.not_first
    surest = np.argsort(-sureness, kind="stable")
    part = searches.where(np.isin(np.arange(len(wrong)), surest[: int(np.ceil(_COVERAGE * len(wrong)))]))
    error = drawn_rate(part.not_first, faces, part, f"Wrong among the surest 70 % of answers, {photos} enrolled.")
    drawn = Resamples.of(units_of(faces, searches), _RESAMPLES)
    areas = []
    for counts in drawn.draws:
        weights = counts[drawn.places][surest]
        given = np.maximum(np.cumsum(weights), 1e-12)
        areas.append(float((np.cumsum(weights * wrong[surest]) / given) @ weights / given[-1]))
    low, high = np.quantile(areas, (0.025, 0.975))
    area = Figure(
        risk_coverage(sureness, wrong).area,
        (float(low), float(high)) if wrong.any() and drawn.draws.shape[1] > 1 else None,
        len(wrong),
        kind=Kind.NUMBER,
        descriptive=True,
        meaning=f"Mean share wrong over all coverages, {photos} enrolled; the less the better.",
    )
    return {"error_at_coverage_70": replace(error, descriptive=True), "area_under_risk_coverage": area}


def _curves(tried: dict[int, list[Trial]]) -> Curves:
    found = {photos: _joined(trials) for photos, trials in tried.items()}
    lines = [risk_coverage(_sureness(one), one.not_first).line(f"{photos} enrolled") for photos, one in found.items()]
    return Curves("Error among the answers given", "share answered", "share wrong", tuple(lines))


def _histogram(tried: dict[int, list[Trial]]) -> tuple[Item, ...]:
    own = {photos: np.concatenate([trial.own for trial in trials]) for photos, trials in tried.items()}
    finite = [(f"{photos} enrolled", values[np.isfinite(values)]) for photos, values in own.items()]
    groups = tuple((label, values) for label, values in finite if len(values))
    return (Histogram("Probability of the person shown", "probability", groups),) if groups else ()


def _matrices(trials: Sequence[Trial]) -> tuple[Item, ...]:
    """Return who was taken for whom in the groups with most misses."""
    items = list[Item]()
    for trial in sorted(trials, key=lambda one: -int(one.searches.missed.sum()))[:_MATRICES]:
        title = f"{trial.group.label}, {trial.photos} enrolled of each"
        matrix = confusion_matrix(trial.searches, tuple(sorted(trial.group.people)), title)
        items += [matrix, classification_report(matrix, f"{title}: person by person")]
    return tuple(items)


def _wrong_photos(faces: FaceSet, trials: Sequence[Trial]) -> tuple[Table, ...]:
    """Return the photos whose best candidate is wrong, each once for a group; nothing without any."""
    rows = list[tuple[str, ...]]()
    for trial in trials:
        found = trial.searches
        for place in np.unique(found.places[found.not_first]):
            mine = found.places == place
            named = "yes" if (mine & found.misnamed).any() else "no"
            often = f"{int((mine & found.not_first).sum())} of {int(mine.sum())}"
            rows.append((str(faces.names[place]), trial.group.label, often, named))
    title = f"Photos whose best candidate is wrong, {trials[0].photos} enrolled of each"
    headings = ("photo", "in the gallery of", "wrong in draws", "wrong name given")
    return (Table(title, headings, tuple(rows)),) if rows else ()


def _summary(figures: dict[str, Figure], tried: dict[int, list[Trial]], untested: int) -> tuple[str, ...]:
    sentences = [
        f"{photos} enrolled of each, {len(trials)} {'group' if len(trials) == 1 else 'groups'}: the best candidate is "
        f"right for {figures[f'accuracy_{photos}']}; the other's name is given for "
        f"{figures[f'wrongly_named_{photos}']}."
        for photos, trials in tried.items()
        if photos in (min(tried), max(tried))
    ]
    alike = next((name for name in figures if name.startswith("twin_fmr")), None)
    if alike is not None:
        unrelated = "a threshold that 0.01 % of pairs of unrelated people reach"
        where = unrelated if "unrelated" in alike else "the shipped threshold"
        sentences.append(f"As pairs of photos, people who look alike match for {figures[alike]}, at {where}.")
    if untested:
        verb = "group is" if untested == 1 else "groups are"
        sentences.append(f"{untested} {verb} untested, because somebody has too few photos.")
    return tuple(sentences)


_HEADINGS = ("who", "enrolled of each", "searches", "best right", "not named rightly", "another's name", "uncertain")
_HOW = (
    "A gallery holds just the people who look alike; some photos of each are enrolled and all others searched for, "
    "drawn several times. Photos that share a source with an enrolled one are not searched for."
)
_STRANGERS_ARE = (
    "Strangers (FPIR) are those of the data who are said to look like nobody, one photo of each, 20 others for each "
    "gallery."
)
_NO_STRANGERS = "Nobody of the data is a stranger, so that FPIR is untested: no names for strangers could be counted."
_COMPARE = (
    "Who has many photos weighs most, and with more photos enrolled fewer groups have enough of them: compare numbers "
    "of photos group by group."
)
_SURE = (
    "The least sure answers are withheld, by the best candidate's probability, and by its similarity where that is the "
    "same; what is wrong among the answers given is the risk.",
)
