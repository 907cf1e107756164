"""Calibrations made from photos of known people: what a pack's scores are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.recognition.calibration.background import LEAST_IDENTITIES, Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.fitting import calibrated_sizes, fit_calibrator
from facebank.recognition.calibration.reliability import (
    USUAL,
    Reliability,
    cross_fit,
    galleries_of,
    simulated_galleries,
)
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import FITTED
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import PackIdentity
    from facebank.recognition.calibration.fitting import Effort
    from facebank.recognition.calibration.simulation import Identities

QUICK = ("prototype", "knn")
"""The classifiers that are calibrated unless others are asked for: they have nothing to fit."""


@dataclass(frozen=True, slots=True)
class Job:
    """What there is to do.

    Attributes
    ----------
    classifiers
        What can be calibrated, in the order of `facebank.recognition.scoring.CLASSIFIERS`.
    galleries
        How many galleries are simulated for each of them.
    left_out
        The classifiers asked for that cannot be calibrated, and why not, each in a sentence.
    """

    classifiers: tuple[str, ...]
    galleries: Mapping[str, int]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A calibration and what it is worth.

    Attributes
    ----------
    calibration
        To be saved.
    background
        To be saved with it; None where there were too few people.
    reliability
        For each classifier what was counted on people it was not fitted to; empty where they are too few to halve.
    """

    calibration: Calibration
    background: Background | None
    reliability: Mapping[str, tuple[Reliability, ...]]


def wanted_classifiers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is to be calibrated.

    Parameters
    ----------
    names
        Some of `facebank.recognition.scoring.CLASSIFIERS`, or ``all``; none for `QUICK`.

    Raises
    ------
    UsageError
        There is no such classifier.
    """
    unknown = [name for name in names or () if name not in {*CLASSIFIERS, "all"}]
    if unknown:
        raise UsageError(f"there is no classifier {printable(unknown[0])!r}: choose of {', '.join(CLASSIFIERS)}, all")
    if not names:
        return QUICK
    return tuple(name for name in CLASSIFIERS if name in names or "all" in names)


def plan_calibration(identities: Identities, classifiers: Sequence[str] = QUICK, effort: Effort = USUAL) -> Job:
    """Say what can be calibrated with these people.

    Parameters
    ----------
    identities
        Known people and strangers.
    classifiers
        As for `wanted_classifiers`.
    effort
        How much is simulated.

    Raises
    ------
    UsageError
        There is no such classifier, or there are too few people.
    """
    people = len(identities.photos)
    wanted = wanted_classifiers(classifiers)
    try:
        calibrated_sizes(identities, wanted[0])
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}: strangers count as people with one photo") from error
    left_out = {
        name: f"it learns to tell people from a background, which needs {LEAST_IDENTITIES} people; there are {people}"
        for name in wanted
        if name in FITTED and people < LEAST_IDENTITIES
    }
    chosen = tuple(name for name in wanted if name not in left_out)
    if not chosen:
        raise UsageError(f"{wanted[0]} cannot be calibrated: {left_out[wanted[0]]}")
    return Job(
        chosen,
        {
            name: simulated_galleries(identities, name, effort) + galleries_of(identities, name, effort=effort)
            for name in chosen
        },
        left_out,
    )


def calibrate(
    identities: Identities,
    pack: PackIdentity,
    classifiers: Sequence[str],
    made_from: str,
    *,
    effort: Effort = USUAL,
    on_gallery: Callable[[str], None] | None = None,
) -> Calibrated:
    """Learn what a pack's scores are worth.

    Parameters
    ----------
    identities
        Known people and strangers, embedded by the pack.
    pack
        The pack.
    classifiers
        What to calibrate: those of a `Job`.
    made_from
        The photographs, in words.
    effort
        How much is simulated.
    on_gallery
        Called after each simulated gallery, with the classifier.

    Raises
    ------
    UsageError
        There are too few people, or their embeddings tell nobody apart.
    """
    enough = len(identities.photos) >= LEAST_IDENTITIES
    background = Background.measure(identities.embeddings, identities.people) if enough else None
    calibrators, reliability = [], {}
    for classifier in classifiers:

        def tell(classifier: str = classifier) -> None:
            if on_gallery is not None:
                on_gallery(classifier)

        calibrators.append(fit_calibrator(identities, classifier, background, effort=effort, on_gallery=tell))
        reliability[classifier] = cross_fit(identities, classifier, effort=effort, on_gallery=tell)
    calibration = Calibration(
        pack_digest=pack.digest,
        made_from=printable(made_from),
        people=len(identities.photos),
        photos=len(identities.people),
        calibrators=tuple(calibrators),
    )
    return Calibrated(calibration, background, reliability)
