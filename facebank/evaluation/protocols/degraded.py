"""Probes degraded step by step: masks, sizes, blur, light; and turned heads as they were photographed.

People are enrolled from photos as they are. The same other photos of them, and the same photos of strangers, are then
searched for under each condition. A photo in which no face is found any more is a miss, and is shown apart.
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
    how_decided,
    rates_over,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import Enrolled, open_people
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.searches import Roles, choose_roles, enroll, unrelated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.report import Curves, Report
    from facebank.evaluation.searches import Searches, TrialGallery

PHOTOS = 3
PROBES = 300
_PURPOSE = 4
_EVERYBODY = 10**9


def _stepwise(name: str, title: str, how: tuple[str, ...], axes: tuple[Axis, ...]) -> Callable[..., Report]:
    """Register the protocol that searches for probes degraded along some axes."""

    @protocol(name, open_data=open_people)
    def search(
        bench: Bench, dataset: Dataset, *, photos: Enrolled = PHOTOS, probes: int = PROBES, strangers: int = PROBES
    ) -> Report:
        faces = bench.read(dataset)
        roles = choose_roles(faces, photos=photos, mated=probes, strangers=strangers, random=bench.random(_PURPOSE))
        conditions, plots = degrade(bench, faces, roles, axes)
        sections = (Section("Step by step", items=plots),)
        return _report(bench, (name, title, how), faces, roles, conditions=conditions, plots=sections)

    return search


masks = _stepwise(
    "masks",
    "Faces behind masks",
    (
        "Masks are drawn at the landmarks found in the photo, in the photo's own light, and faces are looked for anew. "
        "Drawn masks are not worn ones.",
        "A gallery keeps each enrolled face with a light blue surgical mask drawn over it; the other three shapes and "
        "colors are others.",
    ),
    MASKS,
)
sizes = _stepwise(
    "sizes",
    "Small faces",
    (
        "The whole photo is shrunk until the longer side of the face's box is so many pixels, and faces are looked for "
        "anew. A photo whose face is smaller already stays as it is; the table shows the sizes then found.",
    ),
    SIZES,
)
blur = _stepwise(
    "blur",
    "Blurred faces",
    ("A Gaussian blurs the photo; its standard deviation is a share of the longer side of the face's box.",),
    BLUR,
)
exposure = _stepwise(
    "exposure",
    "Faces in bad light",
    (
        "Light is changed as a camera's shutter would change it, by stops; what becomes too bright or too dark is "
        "lost, and the levels that are left are the 8 bits of a stored photo. Contrast is taken away around the "
        "brightness of the face.",
    ),
    EXPOSURE,
)


@protocol("pose", open_data=open_people)
def pose(
    bench: Bench, dataset: Dataset, *, photos: Enrolled = PHOTOS, people: int = PROBES, strangers: int = _EVERYBODY
) -> Report:
    """Search for turned heads, as they were photographed: all other photos of so many people, and of strangers.

    Raises
    ------
    DatasetError
        Nobody has enough photos.
    """
    faces = bench.read(dataset)
    roles = choose_roles(faces, photos=photos, mated=2 * people, strangers=strangers, random=bench.random(_PURPOSE))
    roles = replace(roles, mated=_all_others(faces, roles))
    searches = enroll(bench.reader, faces, roles.enrolled).search(roles.probes)
    conditions, strengths = by_frontality(faces, searches)
    how = (
        "No photo is changed: a head cannot be turned honestly in a photo. Probes are sorted by frontality, which the "
        "five landmarks give: 1 with the nose midway between the eyes, 0 with the nose at the side of the face. People "
        "who turn their heads in a photo may do other things as well, so a bin is what such photos are like, and not "
        "the effect of turning alone.",
    )
    plots = Section(
        "Over the turn", items=(rates_over("Turned heads", "frontality, 1 from the front", strengths, conditions),)
    )
    return _report(bench, ("pose", "Turned heads", how), faces, roles, conditions=conditions, plots=(plots,))


def by_frontality(faces: FaceSet, searches: Searches) -> tuple[list[Condition], list[float]]:
    """Return searches in bins of frontality, and the middle of each; empty bins are left out."""
    turned = np.array([0.0 if face is None else face.assessment.frontality for face in faces.faces])[searches.places]
    conditions, middles = list[Condition](), list[float]()
    for high, low in pairwise(FRONTALITY):
        inside = (turned >= low) & ((turned < high) | (high == FRONTALITY[0]))
        if inside.any():
            name = f"frontality_{round(100 * low)}_to_{round(100 * high)}_per_cent"
            label = f"frontality {low:.1f} to {high:.1f}"
            conditions.append(Condition(name, label, faces, searches.where(inside)))
            middles.append((low + high) / 2)
    return conditions, middles


def _all_others(faces: FaceSet, roles: Roles) -> NDArray[np.int64]:
    """Return all photos of the enrolled people that are not enrolled and show a face."""
    owners = faces.dataset.owners
    theirs = np.isin(owners, owners[roles.enrolled]) & faces.found
    theirs[roles.enrolled] = False
    return unrelated(faces, np.flatnonzero(theirs).astype(np.int64), roles.enrolled)


def _report(
    bench: Bench,
    described: tuple[str, str, tuple[str, ...]],
    faces: FaceSet,
    roles: Roles,
    *,
    conditions: Sequence[Condition],
    plots: tuple[Section, ...],
) -> Report:
    """Return the report of a protocol, given its name, its title and what it does in words."""
    name, title, how = described
    figures = {key: figure for condition in conditions for key, figure in condition.figures().items()}
    trusted = [name for name in figures if name.startswith(CALIBRATION)]
    sections = (
        Section("What was done", (*how, _WORDS), items=(roles_table(faces, roles),)),
        *plots,
        Section(
            "Found and missed",
            (how_decided(bench),),
            tuple(name for name in figures if name not in trusted),
            (searches_table(conditions), strangers_table(conditions)),
        ),
        calibration_section("Probabilities", _trust_words(trusted), conditions, figures),
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


_WORDS = (
    "A miss (FNIR) is a photo of an enrolled person that is not given that person's name: unknown, uncertain, "
    "another's name, or no face found. A false name (FPIR) is a stranger's photo that is given a name."
)


def degrade(
    bench: Bench, faces: FaceSet, roles: Roles, axes: Sequence[Axis]
) -> tuple[list[Condition], tuple[Curves, ...]]:
    """Search for photos as they are, and under each step of some axes.

    Parameters
    ----------
    bench
        Where it runs.
    faces
        Of the photos as they are.
    roles
        Who is enrolled and searched for.
    axes
        The steps.

    Returns
    -------
    tuple[list[Condition], tuple[Curves, ...]]
        The conditions, the photos as they are first; and a plot for each axis.
    """
    trial = enroll(bench.reader, faces, roles.enrolled)
    chosen = np.zeros(len(faces.faces), dtype=np.bool_)
    chosen[roles.probes] = True
    part = faces.where(chosen)
    plain = Condition("plain", "as they are", part, _search_all(trial, part))
    conditions: list[Condition] = [plain]
    plots: list[Curves] = []
    for axis in axes:
        made = list[Condition]()
        for step in axis.steps:
            changed = bench.read(part.dataset, step.change)
            made.append(Condition(step.name, step.label, changed, _search_all(trial, changed)))
        strengths = [step.strength for step in axis.steps]
        along = sorted(zip(strengths, made, strict=True), key=lambda pair: pair[0])
        if axis.plain is not None:
            along = sorted([(axis.plain, plain), *along], key=lambda pair: pair[0])
        plots.append(rates_over("Found and missed", axis.label, [x for x, _ in along], [one for _, one in along]))
        conditions += made
    return conditions, tuple(plots)


def _search_all(trial: TrialGallery, probes: FaceSet) -> Searches:
    return trial.search(np.arange(len(probes.faces), dtype=np.int64), probes)


def roles_table(faces: FaceSet, roles: Roles) -> Table:
    """Return the numbers of people and photos enrolled and searched for."""
    people = faces.dataset.owners
    parts = (("enrolled", roles.enrolled), ("searched for", roles.mated), ("strangers", roles.strangers))
    rows = tuple((label, f"{len(np.unique(people[places])):,}", f"{len(places):,}") for label, places in parts)
    return Table("Who was what", ("part", "people", "photos"), rows)


def _trust_words(figures: Sequence[str]) -> tuple[str, ...]:
    if not figures:
        return (
            "Not tested: it needs a calibrated pack, and photos both of enrolled people and of strangers under one "
            "condition.",
        )
    return (
        "The best candidate's probability against whether it is that person, half of the searches weighing as "
        "strangers', as the program expects by default. Each condition is reported by itself: good probabilities of "
        "easy faces could hide bad ones of hard faces. A photo without a face has no probability.",
    )


def summary(conditions: Sequence[Condition]) -> tuple[str, ...]:
    """Return the results in a few sentences: the first condition, the worst one, and the strangers."""
    found = [(one.label, one.name, one.figures()) for one in conditions]
    missed = [(label, figures[f"fnir_{name}"]) for label, name, figures in found if f"fnir_{name}" in figures]
    named = [(label, figures[f"fpir_{name}"]) for label, name, figures in found if f"fpir_{name}" in figures]
    sentences = list[str]()
    if missed:
        first, worst = missed[0], max(missed, key=lambda one: one[1].value)
        sentences.append(f"Photos of enrolled people that are not given their name, {first[0]}: {first[1]}.")
        if worst is not first:
            sentences.append(f"Most are missed under the condition '{worst[0]}': {worst[1]}.")
        half = next((label for label, figure in missed if figure.value > 0.5), None)
        if half is not None:
            sentences.append(f"The first condition under which more than half are missed is '{half}'.")
    if named:
        label, figure = max(named, key=lambda one: one[1].value)
        often = f"most often under the condition '{label}'" if figure.events else "under no condition"
        sentences.append(f"Strangers are given a name {often}: {figure}.")
    else:
        sentences.append("Strangers are untested: everybody in the data was needed in the gallery.")
    return tuple(sentences)
