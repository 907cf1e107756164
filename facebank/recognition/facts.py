"""Checks by facts other than faces: birth dates, masks and poor photos."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from facebank.storage.dates import TOLERANCE, earliest_day
from facebank.storage.text import printable
from facebank.types import Decision, Face, Identity, Reason

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.recognition.recognizer import Recognizer
    from facebank.types import Person, Sample

CHILD_UNTIL = 16  # age in years until which a face changes fast
OUTDATED_AFTER = 2  # maximum age in years of a child's newest sample


class FactWarningCode(StrEnum):
    """A problem of a person's samples: a closed list."""

    OUTDATED_SAMPLES = "outdated_samples"
    DATED_BEFORE_BIRTH = "dated_before_birth"
    ONLY_MASKED = "only_masked"


@dataclass(frozen=True, slots=True)
class FactWarning:
    """A problem of a person's samples."""

    code: FactWarningCode
    message: str  # one sentence with advice
    sample_ids: tuple[int, ...]  # of the samples concerned


def fact_warnings(person: Person, samples: Sequence[Sample], today: date | None = None) -> list[FactWarning]:
    """Return the problems of a person's samples found by birth date and masks.

    `today` is the reference date; None for the current date.
    """
    warnings = _mask_warnings(person, samples)
    if person.born is None or not samples:
        return warnings
    name, first_day, now = printable(person.name), earliest_day(person.born), today or datetime.now(UTC).date()
    newest = max(samples, key=_known_date)
    if first_day > _years_before(now, CHILD_UNTIL) and _known_date(newest) < _years_before(now, OUTDATED_AFTER):
        message = (
            f"the newest sample of {name}, who is under {CHILD_UNTIL}, is from {_known_date(newest)}: children change "
            "fast, enroll a newer photo"
        )
        warnings.append(FactWarning(FactWarningCode.OUTDATED_SAMPLES, message, (newest.id,)))
    early_ids = [sample.id for sample in samples if _is_before(sample, first_day)]
    if early_ids:
        noun, verb = ("samples", "are") if len(early_ids) > 1 else ("sample", "is")
        listing = ", ".join(map(str, early_ids))
        message = (
            f"{len(early_ids)} {noun} {verb} dated before {name} was born ({person.born}): remove {noun} {listing}, or "
            "correct the date"
        )
        warnings.append(FactWarning(FactWarningCode.DATED_BEFORE_BIRTH, message, tuple(early_ids)))
    return warnings


def _mask_warnings(person: Person, samples: Sequence[Sample]) -> list[FactWarning]:
    if not samples or not all(sample.masked for sample in samples):
        return []
    message = only_masked_message(person.name)
    return [FactWarning(FactWarningCode.ONLY_MASKED, message, tuple(sample.id for sample in samples))]


def only_masked_message(name: str) -> str:
    """Return the message about a person who wears a mask in every sample."""
    return f"{printable(name)} wears a mask in every sample and is not recognized without one: enroll an unmasked face"


def _known_date(sample: Sample) -> date:
    camera_date = sample.taken_at if sample.camera_dated else None
    return (camera_date or sample.enrolled_at).date()


def _is_before(sample: Sample, first_day: date) -> bool:
    return sample.camera_dated and sample.taken_at is not None and sample.taken_at.date() + TOLERANCE < first_day


def _years_before(day: date, years: int) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - years, day=28 if leap_day else day.day)


POOR = 0.5
"""Quality of a single sample below which a person's other faces are clearly less similar, and poor strangers more."""


def advice_about(gallery: Gallery, name: str) -> str | None:
    """Return advice on a person who has a single poor photo, else None; raises `PersonNotFoundError`."""
    person = gallery.person(name)
    if person.sample_count != 1:
        return None
    (sample,) = gallery.samples(name)
    if sample.quality >= POOR:
        return None
    return (
        f"{printable(person.name)} has a single poor photo (quality {sample.quality:.2f}) and is named with care: "
        "add a good one"
    )


@dataclass(frozen=True, slots=True)
class BirthDates:
    """The known birth dates of people."""

    days: tuple[date, ...] = ()  # earliest possible days of birth, ascending
    people: tuple[tuple[int, str], ...] = ()  # ids and names of the people, in the order of the days

    @classmethod
    def from_texts(cls, born: Mapping[int, str], names: Mapping[int, str]) -> Self:
        """Build from birth dates (``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``) and names, both by person id."""
        days_and_ids = sorted((earliest_day(text), person_id) for person_id, text in born.items())
        people = tuple((person_id, names[person_id]) for _, person_id in days_and_ids)
        return cls(tuple(day for day, _ in days_and_ids), people)

    def born_after(self, taken_at: datetime) -> dict[int, str]:
        """Return the names, by person id, of the people born after a photo was taken."""
        if not self.days or taken_at.date() + TOLERANCE >= self.days[-1]:
            return {}
        return dict(self.people[bisect_right(self.days, taken_at.date() + TOLERANCE) :])


def identify_without_unborn(
    recognizer: Recognizer, faces: Sequence[Face], denied: Sequence[AbstractSet[int]], unborn: Mapping[int, str]
) -> list[Identity]:
    """Return the identities of the faces of one photo without the people born after it was taken.

    A face that would be named as one of them stays unnamed with `Reason.BEFORE_BIRTH`, even if another person is
    similar enough: the date or the similarity is wrong, or it is a relative, which only a user can decide.

    Parameters
    ----------
    recognizer
        The recognizer of the gallery.
    faces, denied
        As for `Recognizer.identify`.
    unborn
        Names of the people born later, by person id.
    """
    excluded = [people | unborn.keys() for people in denied]
    # Each face alone, because names that are withheld do not compete.
    is_unborn = [
        recognizer.identify([face], [people])[0].person in unborn.values()
        for face, people in zip(faces, denied, strict=True)
    ]
    remaining = [row for row, is_excluded in enumerate(is_unborn) if not is_excluded]
    identities = recognizer.identify([faces[row] for row in remaining], [excluded[row] for row in remaining])
    by_row = dict(zip(remaining, identities, strict=True))
    for row, face in enumerate(faces):
        if is_unborn[row]:
            (identity,) = recognizer.identify([face], [excluded[row]])
            by_row[row] = replace(identity, decision=Decision.UNCERTAIN, reason=Reason.BEFORE_BIRTH, person=None)
    return [by_row[row] for row in range(len(faces))]
