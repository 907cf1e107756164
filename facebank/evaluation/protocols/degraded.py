"""Robustness to degraded probes (masks, size, blur, exposure) and to turned heads.

People are enrolled from unaltered photos. The same probes of them and of strangers are then searched for under each
condition. A probe in which no face is found counts as missed, and is also reported separately.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.bench import Bench
from facebank.evaluation.changes import BLUR, EXPOSURE, FRONTALITY, MASKS, SIZES, Axis
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.identification import (
    CALIBRATION,
    Condition,
    calibration_section,
    decision_note,
    rate_curves,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import Enrolled, open_people
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.searches import Roles, choose_roles, enroll, exclude_related

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.report import Curves
    from facebank.evaluation.searches import Searches, TrialGallery

PHOTOS = 3
PROBES = 300
_PURPOSE = 4
_EVERYBODY = 10**9


def _stepwise(name: str, title: str, description: tuple[str, ...], axes: tuple[Axis, ...]) -> Callable[..., Report]:
    """Register a protocol that searches for probes degraded along some axes."""

    @protocol(name, open_data=open_people)
    def search(
        bench: Bench, dataset: Dataset, *, photos: Enrolled = PHOTOS, probes: int = PROBES, strangers: int = PROBES
    ) -> Report:
        faces = bench.read(dataset)
        roles = choose_roles(faces, photos=photos, mated=probes, strangers=strangers, random=bench.random(_PURPOSE))
        conditions, plots = degrade(bench, faces, roles, axes)
        sections = (Section("Step by step", items=plots),)
        return _report(bench, (name, title, description), faces, roles, conditions=conditions, plots=sections)

    return search


masks = _stepwise(
    "masks",
    "Faces behind masks",
    (
        "Masks are drawn at the detected landmarks, matched to the brightness of the photo, and faces are detected "
        "again. Results on drawn masks may differ from those on worn ones.",
        "A gallery keeps a variant of each enrolled face with a light blue surgical mask; the other three shapes and "
        "colors are not part of any gallery.",
    ),
    MASKS,
)
sizes = _stepwise(
    "sizes",
    "Small faces",
    (
        "The whole photo is downsized until the longer side of the face's box has the stated number of pixels, and "
        "faces are detected again. Photos with smaller faces are left unchanged; the table shows the sizes found.",
    ),
    SIZES,
)
blur = _stepwise(
    "blur",
    "Blurred faces",
    ("The photo is blurred by a Gaussian; its standard deviation is a fraction of the longer side of the face's box.",),
    BLUR,
)
exposure = _stepwise(
    "exposure",
    "Faces in bad light",
    (
        "Exposure is changed in stops, as by a camera's shutter, and clipped to the 8 bits of a stored photo. Contrast "
        "is reduced around the mean brightness of the face.",
    ),
    EXPOSURE,
)


@protocol("pose", open_data=open_people)
def pose(
    bench: Bench, dataset: Dataset, *, photos: Enrolled = PHOTOS, people: int = PROBES, strangers: int = _EVERYBODY
) -> Report:
    """Return the report of searches for heads by frontality, in unaltered photos of enrolled people and of strangers.

    Parameters
    ----------
    photos
        Number of enrolled photos of each person.
    people, strangers
        Maximum numbers of enrolled people and of strangers' photos.

    Raises
    ------
    DatasetError
        No person has enough photos.
    """
    faces = bench.read(dataset)
    roles = choose_roles(faces, photos=photos, mated=2 * people, strangers=strangers, random=bench.random(_PURPOSE))
    roles = replace(roles, mated=_other_photos(faces, roles))
    searches = enroll(bench.reader, faces, roles.enrolled).search(roles.probes)
    conditions, strengths = split_by_frontality(faces, searches)
    description = (
        "No photo is altered. Probes are binned by frontality, computed from the five landmarks: 1 if the nose is "
        "midway between the eyes, 0 if it is at the edge of the face. Photos of turned heads may differ from frontal "
        "ones in other ways as well, so the bins do not isolate the effect of the pose.",
    )
    plots = Section(
        "By frontality", items=(rate_curves("Turned heads", "frontality, 1 from the front", strengths, conditions),)
    )
    return _report(bench, ("pose", "Turned heads", description), faces, roles, conditions=conditions, plots=(plots,))


def split_by_frontality(faces: FaceSet, searches: Searches) -> tuple[list[Condition], list[float]]:
    """Return the searches of each non-empty bin of frontality, and the middle of each bin."""
    frontalities = np.array([0.0 if face is None else face.assessment.frontality for face in faces.faces])[
        searches.indices
    ]
    conditions, middles = list[Condition](), list[float]()
    for high, low in pairwise(FRONTALITY):
        inside = (frontalities >= low) & ((frontalities < high) | (high == FRONTALITY[0]))
        if inside.any():
            name = f"frontality_{round(100 * low)}_to_{round(100 * high)}_per_cent"
            label = f"frontality {low:.1f} to {high:.1f}"
            conditions.append(Condition(name, label, faces, searches.select(inside)))
            middles.append((low + high) / 2)
    return conditions, middles


def _other_photos(faces: FaceSet, roles: Roles) -> NDArray[np.int64]:
    """Return the indices of all other photos of the enrolled people in which a face was found."""
    person_indices = faces.dataset.person_indices
    is_other = np.isin(person_indices, person_indices[roles.enrolled]) & faces.has_face
    is_other[roles.enrolled] = False
    return exclude_related(faces, np.flatnonzero(is_other).astype(np.int64), roles.enrolled)


def _report(
    bench: Bench,
    heading: tuple[str, str, tuple[str, ...]],
    faces: FaceSet,
    roles: Roles,
    *,
    conditions: Sequence[Condition],
    plots: tuple[Section, ...],
) -> Report:
    """Return the report of a protocol; `heading` has its name, title and description."""
    name, title, description = heading
    figures = {key: figure for condition in conditions for key, figure in condition.figures().items()}
    calibration = [name for name in figures if name.startswith(CALIBRATION)]
    sections = (
        Section("Method", (*description, _DEFINITIONS), items=(roles_table(faces, roles),)),
        *plots,
        Section(
            "Error rates",
            (decision_note(bench),),
            tuple(name for name in figures if name not in calibration),
            (searches_table(conditions), strangers_table(conditions)),
        ),
        calibration_section("Probabilities", _calibration_text(calibration), conditions, figures),
    )
    return bench.report(
        name,
        title,
        faces,
        summary=summary(conditions),
        figures=figures,
        sections=sections,
        failures=[failure for condition in conditions for failure in condition.failures],
    )


_DEFINITIONS = (
    "FNIR counts photos of enrolled people that do not get the right name: unknown, uncertain, another's name, or no "
    "face found. FPIR counts photos of strangers that get any name."
)


def degrade(
    bench: Bench, faces: FaceSet, roles: Roles, axes: Sequence[Axis]
) -> tuple[list[Condition], tuple[Curves, ...]]:
    """Search for unaltered probes, and for the probes altered by each step of some axes.

    Parameters
    ----------
    bench
        The bench that reads the altered photos.
    faces
        Faces of the unaltered photos.
    roles
        Photos to enroll and to search for.
    axes
        Steps of alterations.

    Returns
    -------
    tuple[list[Condition], tuple[Curves, ...]]
        The conditions, beginning with the unaltered photos, and a plot for each axis.
    """
    trial = enroll(bench.reader, faces, roles.enrolled)
    is_probe = np.zeros(len(faces.faces), dtype=np.bool_)
    is_probe[roles.probes] = True
    probes = faces.select(is_probe)
    plain = Condition("plain", "unaltered", probes, _search_all(trial, probes))
    conditions: list[Condition] = [plain]
    plots: list[Curves] = []
    for axis in axes:
        altered = list[Condition]()
        for step in axis.steps:
            changed = bench.read(probes.dataset, step.change)
            altered.append(Condition(step.name, step.label, changed, _search_all(trial, changed)))
        strengths = [step.strength for step in axis.steps]
        points = sorted(zip(strengths, altered, strict=True), key=lambda pair: pair[0])
        if axis.plain is not None:
            points = sorted([(axis.plain, plain), *points], key=lambda pair: pair[0])
        plots.append(
            rate_curves("Error rates", axis.label, [x for x, _ in points], [condition for _, condition in points])
        )
        conditions += altered
    return conditions, tuple(plots)


def _search_all(trial: TrialGallery, probes: FaceSet) -> Searches:
    return trial.search(np.arange(len(probes.faces), dtype=np.int64), probes)


def roles_table(faces: FaceSet, roles: Roles) -> Table:
    """Return the numbers of people and photos that are enrolled and searched for."""
    people = faces.dataset.person_indices
    parts = (("enrolled", roles.enrolled), ("searched for", roles.mated), ("strangers", roles.strangers))
    rows = tuple((label, f"{len(np.unique(people[indices])):,}", f"{len(indices):,}") for label, indices in parts)
    return Table("People and photos", ("part", "people", "photos"), rows)


def _calibration_text(figures: Sequence[str]) -> tuple[str, ...]:
    if not figures:
        return (
            "Not tested: this requires a calibrated pack, and probes of both enrolled people and strangers under one "
            "condition.",
        )
    return (
        "Compares the probability of the best candidate with the truth, weighting half of the searches as strangers', "
        "as the program assumes by default. Conditions are reported separately, since good calibration on easy faces "
        "could hide bad calibration on hard ones. Photos without a face have no probability.",
    )


def summary(conditions: Sequence[Condition]) -> tuple[str, ...]:
    """Return sentences on the first condition, the worst one, and the strangers."""
    measured = [(condition.label, condition.name, condition.figures()) for condition in conditions]
    missed = [(label, figures[f"fnir_{name}"]) for label, name, figures in measured if f"fnir_{name}" in figures]
    named = [(label, figures[f"fpir_{name}"]) for label, name, figures in measured if f"fpir_{name}" in figures]
    sentences = list[str]()
    if missed:
        first, worst = missed[0], max(missed, key=lambda pair: pair[1].value)
        sentences.append(f"FNIR (photos of enrolled people that do not get their name), {first[0]}: {first[1]}.")
        if worst is not first:
            sentences.append(f"FNIR is highest under the condition '{worst[0]}': {worst[1]}.")
        half = next((label for label, figure in missed if figure.value > 0.5), None)
        if half is not None:
            sentences.append(f"The first condition with an FNIR above one half is '{half}'.")
    if named:
        label, figure = max(named, key=lambda pair: pair[1].value)
        extent = f"highest under the condition '{label}'" if figure.events else "zero under all conditions"
        sentences.append(f"FPIR (photos of strangers that get a name) is {extent}: {figure}.")
    else:
        sentences.append("FPIR was not tested: all people of the data are enrolled.")
    return tuple(sentences)
