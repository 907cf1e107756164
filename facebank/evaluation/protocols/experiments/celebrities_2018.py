"""Three footballers, as in 2018: each face its own answer, whatever shirt and background, and strangers unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, LeftOut, read_pixels
from facebank.evaluation.figures import rate, sampling_units
from facebank.evaluation.identification import person_by_person
from facebank.evaluation.protocols.experiments.composites import face_on_another, side_by_side
from facebank.evaluation.protocols.experiments.filmed import film_table
from facebank.evaluation.protocols.experiments.parts import (
    OTHER_PHOTOS,
    accuracies,
    draw_photos,
    require,
    search_draws,
    whom,
    with_most_photos,
)
from facebank.evaluation.report import Section, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, in_turns
from facebank.media import turn_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Report
    from facebank.types import DecodedPhoto, Face, Identity

FOOTBALLERS = (
    "David_Beckham", "Luis_Figo", "Michael_Ballack", "Rio_Ferdinand", "Roberto_Carlos",
    "Ronaldo_Luis_Nazario_de_Lima", "Zinedine_Zidane",
)  # fmt: skip
"""People of LFW who are footballers, from general knowledge."""
NUMBER, ENROLLED = 3, 3
PUBLISHED = (
    "about 0.90 training accuracy of three footballers, Inception v3 with its last layer trained; not these photos"
)
PUBLISHED_STRANGER = (
    "a stranger was called Neymar with 0.82; shirts decided, and two people in a photo shared one answer"
)
_PURPOSE = 2018
_RULE = (
    "The three people with most photos, at least {}, on a list of footballers in LFW, from general knowledge. LFW has "
    "few photos of footballers: of somebody with just four, each draw searches for one photo."
)


def celebrities_2018(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    photos: int = ENROLLED,
    draws: int = 10,
    strangers: int = 200,
    composites: int = 60,
    video: Path | None = None,
    filmed: Dataset | None = None,
) -> Report:
    """Name three footballers; beside strangers, before other backgrounds, and in a video.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        Photos of named people.
    people
        The three; None for those of `FOOTBALLERS` with most photos.
    photos
        How many photos of each are enrolled.
    draws
        How often they are drawn.
    strangers
        At most so many photos of others are searched for, one of each.
    composites
        How many photos are put together of each kind.
    video
        Looked at frame by frame; None leaves this untested.
    filmed
        Photos of people to enroll beside the three before the video is looked at.

    Raises
    ------
    DatasetError
        There are no three with enough photos. A video that cannot be read is listed as left out.
    """
    least = photos + 1
    three = with_most_photos(dataset, NUMBER, least, FOOTBALLERS) if people is None else require(dataset, people, least)
    faces = bench.read(dataset.of([*three, *_others(bench, dataset, three, strangers)]))
    drawn = [draw_photos(faces, three, photos, bench.random(_PURPOSE, turn)) for turn in range(draws)]
    bench.progress.begin("three footballers", draws)
    searches, trial = search_draws(bench, faces, drawn)
    figures: dict[str, Figure] = accuracies(faces, searches, photos)
    figures["accuracy"] = replace(figures[f"rank_1_{photos}"], published=PUBLISHED)
    others = _strangers_places(faces, three)
    pairs = _pairs(faces, (drawn[-1].probes, others), composites)
    parts = (
        _strangers(faces, trial, others, figures),
        _together(bench, faces, trial, pairs, figures),
        _backgrounds(bench, faces, trial, pairs, figures),
    )
    film, failures = _film(bench, trial, video, filmed)
    summary = (
        f"Three footballers, {photos} photos of each enrolled: {figures['accuracy']} of their other photos have the "
        f"right best candidate; published: {PUBLISHED}.",
        *(part.text[-1] for part in parts),
    )
    sections = (
        whom(bench, faces, three, _RULE.format(least), OTHER_PHOTOS),
        _three(searches, trial, photos, draws),
        *parts,
        film,
    )
    return bench.report(
        "celebrities-2018",
        "Three footballers of 2018",
        faces,
        summary=summary,
        figures=figures,
        sections=sections,
        failures=failures,
    )


def _others(bench: Bench, dataset: Dataset, three: Sequence[str], most: int) -> tuple[str, ...]:
    """Draw people, those with one photo first: strangers without a choice of photo."""
    owners = dataset.owners
    counts = np.bincount(owners[owners >= 0], minlength=len(dataset.people))
    order = bench.random(_PURPOSE).permutation(len(dataset.people))
    able = order[np.argsort(counts[order] > 1, kind="stable")]
    return tuple(dataset.people[number] for number in able if dataset.people[number] not in three)[:most]


def _strangers_places(faces: FaceSet, three: Sequence[str]) -> NDArray[np.int64]:
    known = np.isin(faces.dataset.owners, [faces.dataset.people.index(person) for person in three])
    return np.flatnonzero(~known & faces.found).astype(np.int64)


def _three(searches: Searches, trial: TrialGallery, photos: int, draws: int) -> Section:
    text = f"{photos} photos of each are drawn and enrolled, {draws} times; counts are of all draws together."
    items = person_by_person(searches, trial.names, "Who was named")
    return Section("Three footballers", (text,), ("accuracy", f"rank_1_{photos}", f"fnir_{photos}"), items)


def _strangers(faces: FaceSet, trial: TrialGallery, others: NDArray[np.int64], figures: dict[str, Figure]) -> Section:
    if not len(others):
        return Section("Strangers", ("Strangers are untested: nobody else has photos here.",))
    searches = trial.search(others)
    figures["fpir"] = rate(searches.misnamed, _units(faces, searches), "Strangers who are called one of the three.")
    likely = searches.probabilities[np.isfinite(searches.probabilities)]
    most = f" The highest probability that any was given is {likely.max():.4f}." if len(likely) else ""
    found = f"Strangers who are called one of the three: {figures['fpir']}.{most}"
    return Section("Strangers", (f"Published: {PUBLISHED_STRANGER}.", found), ("fpir",))


def _together(
    bench: Bench,
    faces: FaceSet,
    trial: TrialGallery,
    pairs: Sequence[tuple[int, int]],
    figures: dict[str, Figure],
) -> Section:
    """Put two people side by side, and see whether each gets the answer that it gets alone."""
    if not pairs:
        return Section("Two people in one photo", ("Two people in one photo are untested: too few photos.",))
    bench.progress.begin("two people in one photo", len(pairs))
    same, rows = list[bool](), list[tuple[str, ...]]()
    for first, second in pairs:
        left, right = (_upright(faces, place) for place in (first, second))
        joined = replace(left, pixels=side_by_side(left.pixels, right.pixels), has_orientation=True)
        (analyzed,) = bench.reader.engine.analyzer.analyze([joined])
        decisions = trial.recognizer.identify(analyzed.faces) if analyzed.faces else []
        alone = [_alone(faces, trial, place) for place in (first, second)]
        for wanted, offset, place in zip(alone, (0, left.width), (first, second), strict=True):
            said = _at(faces, place, offset, analyzed.faces, decisions)
            same.append(said is not None and (said.decision, said.person) == (wanted.decision, wanted.person))
            if not same[-1]:
                rows.append(
                    (str(faces.names[place]), _words(wanted), "no face found" if said is None else _words(said))
                )
        bench.progress.advance()
    places = np.array(pairs).ravel()
    figures["same_answer_beside_another"] = rate(
        np.array(same), faces.groups[places], "Faces that are decided beside somebody else as they are alone."
    )
    found = (
        f"Two photos side by side are one photo, its faces searched for together, {len(pairs)} times; each face gets "
        f"the answer that it gets alone: {figures['same_answer_beside_another']}."
    )
    table = Table("Other answers", ("photo", "alone", "beside another"), tuple(rows))
    return Section("Two people in one photo", (found,), ("same_answer_beside_another",), (table,) if rows else ())


def _backgrounds(
    bench: Bench,
    faces: FaceSet,
    trial: TrialGallery,
    pairs: Sequence[tuple[int, int]],
    figures: dict[str, Figure],
) -> Section:
    """Put faces on other people's bodies, and see whether the face or the rest decides."""
    chosen = list(dict.fromkeys([*pairs, *((second, first) for first, second in pairs)]))
    if not chosen:
        return Section("Other shirts and backgrounds", ("Other shirts and backgrounds are untested: too few photos.",))
    photos = tuple(_pasted(faces, place, body) for place, body in chosen)
    pasted = bench.read(Dataset("faces on other bodies", photos, pick=faces.dataset.pick))
    alone = trial.search(np.array([place for place, _ in chosen], dtype=np.int64))
    moved = trial.search(np.arange(len(chosen), dtype=np.int64), pasted)
    body = np.array([faces.dataset.photos[place].person for _, place in chosen])
    names = np.array([*trial.names, ""])
    kept = (alone.named == moved.named) & (alone.uncertain == moved.uncertain) & moved.acquired
    units = faces.groups[alone.places]
    figures["same_answer_on_another_body"] = rate(
        kept, units, "Faces that are decided the same with another's shirt and background."
    )
    figures["named_as_the_body"] = rate(
        (names[moved.named] == body) & (moved.own != moved.named), units, "Faces that are given the name of the body."
    )
    found = (
        f"The face of one photo is pasted over the face of another, which gives shirt and background, {len(chosen)} "
        "times, footballers on strangers and strangers on footballers too; the decision stays as it was: "
        f"{figures['same_answer_on_another_body']}; the name of the body is given: {figures['named_as_the_body']}."
    )
    rows = tuple(
        (pasted.names[place], names[alone.named[place]] or "nobody", names[moved.named[place]] or "nobody")
        for place in np.flatnonzero(~kept)
    )
    table = Table("Other answers", ("photo", "as it is", "on another body"), rows)
    shown = ("same_answer_on_another_body", "named_as_the_body")
    return Section("Other shirts and backgrounds", (found,), shown, (table,) if rows else ())


def _film(
    bench: Bench, trial: TrialGallery, video: Path | None, filmed: Dataset | None
) -> tuple[Section, tuple[LeftOut, ...]]:
    title = "Video, frame by frame"
    if video is None:
        return Section(title, ("Untested: no video was named.",)), ()
    who = "the three footballers, none of whom is expected in it"
    if filmed is not None:
        them = bench.read(filmed)
        trial = enroll(bench.reader, them, np.flatnonzero(filmed.owners >= 0).astype(np.int64))
        who = ", ".join(trial.names)
    try:
        table, named = film_table(bench, video, trial)
    except DatasetError as error:
        return Section(title, (f"Untested: {error}.",)), (LeftOut(video.name, str(error)),)
    counts = ", ".join(f"{name or 'nobody'} {count}" for name, count in named.most_common())
    text = (
        f"Enrolled are {who}. Every face of {len(table.rows)} frames is decided by itself; named were: {counts or '–'}."
    )
    return Section(title, (text,), items=(table,)), ()


def _pairs(faces: FaceSet, probes: tuple[NDArray[np.int64], NDArray[np.int64]], number: int) -> list[tuple[int, int]]:
    """Pair photos of different people: half of them two of the three, half a stranger with one of the three."""
    owners, (known, others) = faces.dataset.owners, probes
    known = known[faces.found[known]]
    turns = in_turns([known[owners[known] == person] for person in np.unique(owners[known])], len(known))
    both = [(int(a), int(b)) for a in turns for b in turns if owners[a] < owners[b]]
    mixed = [(int(other), int(turns[place % len(turns)])) for place, other in enumerate(others)] if len(turns) else []
    return both[: number - number // 2] + mixed[: number // 2]


def _upright(faces: FaceSet, place: int) -> DecodedPhoto:
    return turn_photo(read_pixels(faces.dataset.photos[place]), faces.turns[place])


def _pasted(faces: FaceSet, place: int, body: int) -> DatasetPhoto:
    face, other = faces.faces[place], faces.faces[body]
    if face is None or other is None:
        raise DatasetError("a photo without a face cannot be put together")
    pixels = face_on_another(_upright(faces, place).pixels, face, _upright(faces, body).pixels, other)
    name = f"{faces.names[place]} on {faces.names[body]}"
    return DatasetPhoto(name, faces.dataset.photos[place].person, pixels)


def _alone(faces: FaceSet, trial: TrialGallery, place: int) -> Identity:
    face = faces.faces[place]
    if face is None:
        raise DatasetError("a photo without a face has no answer")
    return trial.recognizer.identify([face])[0]


def _at(
    faces: FaceSet, place: int, offset: int, found: Sequence[Face], decisions: Sequence[Identity]
) -> Identity | None:
    """Return the decision of the face that is where a photo's face is now; None where none is."""
    face = faces.faces[place]
    if face is None or not found:
        return None
    middle = face.landmarks.mean(axis=0) + np.array([offset, 0])
    away = [float(np.linalg.norm(one.landmarks.mean(axis=0) - middle)) for one in found]
    nearest = int(np.argmin(away))
    return decisions[nearest] if away[nearest] < 0.25 * face.size else None


def _words(decision: Identity) -> str:
    return decision.person or decision.decision.value


def _units(faces: FaceSet, searches: Searches) -> NDArray[np.int64]:
    return sampling_units(faces.dataset.owners[searches.places], faces.groups[searches.places])
