"""Nobody is named in a photo that was taken before their birth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Self

from facebank.storage.dates import TOLERANCE, earliest_day
from facebank.types import Decision, Face, Identity, Reason

if TYPE_CHECKING:
    from facebank.recognition.recognizer import Recognizer


@dataclass(frozen=True, slots=True)
class BirthDates:
    """When people were born, as far as it is known.

    Attributes
    ----------
    days
        First possible days of birth, rising.
    people
        The people's numbers and names, in the order of the days.
    """

    days: tuple[date, ...] = ()
    people: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, born: Mapping[int, str], names: Mapping[int, str]) -> Self:
        """Return the birth dates of the people of a gallery.

        Parameters
        ----------
        born
            ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` by the people's numbers.
        names
            Everybody's name by number.
        """
        known = sorted((earliest_day(text), number) for number, text in born.items())
        return cls(tuple(day for day, _ in known), tuple((number, names[number]) for _, number in known))

    def unborn(self, taken_at: datetime) -> dict[int, str]:
        """Return the people born after a photo was taken, by number."""
        if not self.days or taken_at.date() + TOLERANCE >= self.days[-1]:
            return {}
        return dict(self.people[bisect_right(self.days, taken_at.date() + TOLERANCE) :])


def identify_without(
    recognizer: Recognizer, faces: Sequence[Face], denied: Sequence[AbstractSet[int]], unborn: Mapping[int, str]
) -> list[Identity]:
    """Identify the faces of one photo without the people born after it was taken.

    A face that would be named as one of them stays without a name, `Reason.BEFORE_BIRTH`, even where somebody else is
    similar enough: the date or the likeness is wrong, or it is a relative, which only a person can tell.

    Parameters
    ----------
    recognizer
        Decides.
    faces
        All faces of the photo.
    denied
        For each face the numbers of people that it is known not to be.
    unborn
        Names of the people born later, by number.

    Returns
    -------
    list[Identity]
        One for each face, in order.
    """
    without = [people | unborn.keys() for people in denied]
    # One by one: which of two faces of the photo gets a name does not matter where it is nobody's.
    wrong = [
        recognizer.identify([face], [people])[0].person in unborn.values()
        for face, people in zip(faces, denied, strict=True)
    ]
    others = [row for row, is_wrong in enumerate(wrong) if not is_wrong]
    decided = recognizer.identify([faces[row] for row in others], [without[row] for row in others])
    decisions = dict(zip(others, decided, strict=True))
    for row, face in enumerate(faces):
        if wrong[row]:
            (decision,) = recognizer.identify([face], [without[row]])
            decisions[row] = replace(decision, decision=Decision.UNCERTAIN, reason=Reason.BEFORE_BIRTH, person=None)
    return [decisions[row] for row in range(len(faces))]
