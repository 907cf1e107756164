"""What is wrong with a person's samples: too old for a child, taken before the birth, or all of them in a mask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from facebank.storage.dates import TOLERANCE, earliest_day
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.types import Person, Sample

CHILD_UNTIL = 16
"""The age, in years, until which a face changes so fast that old samples mislead."""

OUTDATED_AFTER = 2
"""How old, in years, the newest sample of a child may be."""


class FactWarningCode(StrEnum):
    """What is wrong with a person's samples: a closed list."""

    OUTDATED_SAMPLES = "outdated_samples"
    DATED_BEFORE_BIRTH = "dated_before_birth"
    ONLY_MASKED = "only_masked"


@dataclass(frozen=True, slots=True)
class FactWarning:
    """Something that is wrong with a person's samples.

    Attributes
    ----------
    code
        What it is.
    message
        One sentence, and what to do.
    samples
        Numbers of the samples that it is about.
    """

    code: FactWarningCode
    message: str
    samples: tuple[int, ...]


def fact_warnings(person: Person, samples: Sequence[Sample], today: date | None = None) -> list[FactWarning]:
    """Return what is wrong with a person's samples, as far as the birth date and masks show it.

    Parameters
    ----------
    person
        The person.
    samples
        All of the person's samples.
    today
        The current date; None for that of the system's clock.

    Returns
    -------
    list[FactWarning]
        Empty where nothing is wrong.
    """
    warnings = _mask_warnings(person, samples)
    if person.born is None or not samples:
        return warnings
    name, first_day, now = printable(person.name), earliest_day(person.born), today or datetime.now(UTC).date()
    newest = max(samples, key=_known_date)
    if first_day > _years_before(now, CHILD_UNTIL) and _known_date(newest) < _years_before(now, OUTDATED_AFTER):
        message = (
            f"the newest sample of {name}, who is under {CHILD_UNTIL}, is of {_known_date(newest)}: children change "
            "fast, enroll a newer photo"
        )
        warnings.append(FactWarning(FactWarningCode.OUTDATED_SAMPLES, message, (newest.id,)))
    early = [sample.id for sample in samples if _is_before(sample, first_day)]
    if early:
        dated = "samples are" if len(early) > 1 else "sample is"
        numbers = ", ".join(map(str, early))
        message = (
            f"{len(early)} {dated} dated before {name} was born ({person.born}): remove sample {numbers}, or correct "
            "the date"
        )
        warnings.append(FactWarning(FactWarningCode.DATED_BEFORE_BIRTH, message, tuple(early)))
    return warnings


def _mask_warnings(person: Person, samples: Sequence[Sample]) -> list[FactWarning]:
    if not samples or not all(sample.masked for sample in samples):
        return []
    message = only_masked_message(person.name)
    return [FactWarning(FactWarningCode.ONLY_MASKED, message, tuple(sample.id for sample in samples))]


def only_masked_message(name: str) -> str:
    """Return the sentence about a person who wears a mask in every sample."""
    return f"{printable(name)} wears a mask in every sample and is not recognized by these alone: enroll a bare face"


def _known_date(sample: Sample) -> date:
    """Return the day that the camera noted, else the day of enrollment, before which the photo was taken."""
    camera = sample.taken_at if sample.camera_dated else None
    return (camera or sample.enrolled_at).date()


def _is_before(sample: Sample, first_day: date) -> bool:
    return sample.camera_dated and sample.taken_at is not None and sample.taken_at.date() + TOLERANCE < first_day


def _years_before(day: date, years: int) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - years, day=28 if leap_day else day.day)
