"""Who looks alike: groups of people, and which of them can be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.protocols.experiments.parts import photos_of
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.laboratory import FaceSet
    from facebank.evaluation.relatives import Relatives

MOST_PEOPLE = 12
"""As many as are taken for people who look alike where nobody is named."""
NOTHING_COMPARABLE = (
    "untested: of no group of people who look alike two people have a photo with a face, so that these could be "
    "compared"
)
"""Why nothing can be measured."""


@dataclass(frozen=True, slots=True)
class Group:
    """People who look alike, and how they are related."""

    people: tuple[str, ...]
    relation: str = ""

    @property
    def label(self) -> str:
        """For people."""
        names = " and ".join(map(printable, self.people))
        return names + (f" ({printable(self.relation)})" if self.relation else "")


def groups_of(dataset: Dataset, people: Sequence[str] | None, relatives: Sequence[Relatives] | None) -> list[Group]:
    """Return who looks alike: pairs of a list, else the people named, else everybody of a small dataset.

    Parameters
    ----------
    dataset
        Where they are looked for.
    people
        Names of one group.
    relatives
        Pairs, each a group of its own; they go before the names.

    Raises
    ------
    DatasetError
        Nobody is named and there are too many people, one is not in the dataset, or there is only one.
    """
    if relatives is not None:
        return [Group((pair.first, pair.second), pair.relation) for pair in relatives]
    if people is None and len(dataset.people) > MOST_PEOPLE:
        raise DatasetError(
            f"{printable(dataset.title)}: of {len(dataset.people)} people, say who look alike: name them with "
            "--person, or a list of pairs with --relatives"
        )
    chosen = tuple(dict.fromkeys(dataset.people if people is None else people))
    missing = [name for name in chosen if name not in dataset.people]
    if missing:
        raise DatasetError(f"{printable(dataset.title)}: there is nobody called {printable(missing[0])!r}")
    if len(chosen) < 2:
        raise DatasetError(f"{printable(dataset.title)}: it takes two people to be confused; one is named")
    return [Group(chosen)]


def with_photos(
    dataset: Dataset, groups: Sequence[Group], counts: dict[str, int], what: str
) -> tuple[list[Group], list[LeftOut]]:
    """Return the groups of whom two people have a photo; the others are untested, and say why.

    Parameters
    ----------
    dataset
        Where they are from, for the message.
    groups
        Who looks alike.
    counts
        How many photos each person has.
    what
        What was counted, such as "photos with a face".

    Raises
    ------
    DatasetError
        No group is left.
    """
    able, untested = list[Group](), list[LeftOut]()
    for group in groups:
        if sum(counts.get(person, 0) > 0 for person in group.people) >= 2:
            able.append(group)
        else:
            untested.append(LeftOut(group.label, why_untested(group, counts, what)))
    if not able:
        raise DatasetError(f"{printable(dataset.title)}: {NOTHING_COMPARABLE}")
    return able, untested


def testable(groups: Sequence[Group], counts: dict[str, int], what: str) -> tuple[list[Group], list[LeftOut]]:
    """Return the groups with two photos of each person; the others are compared as pairs of photos only.

    Parameters
    ----------
    groups, counts, what
        As in `with_photos`.
    """
    able, few = list[Group](), list[LeftOut]()
    for group in groups:
        if min(counts.get(person, 0) for person in group.people) >= 2:
            able.append(group)
        else:
            few.append(LeftOut(group.label, f"{why_untested(group, counts, what)}; only compared as pairs of photos"))
    return able, few


def why_untested(group: Group, counts: dict[str, int], what: str = "photos with a face") -> str:
    """Say how many photos each of a group has."""
    return f"untested: {' and '.join(f'{counts.get(person, 0):,}' for person in group.people)} {what}"


def photos_found(faces: FaceSet) -> dict[str, int]:
    """Count everybody's photos with a face."""
    return photos_of(faces.dataset.where(bool(found) for found in faces.found))
