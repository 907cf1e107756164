"""Which photo goes into which person's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.ways import LONGEST_NAME, Way, cut, folder_name
from facebank.album.tags.sidecars import SUFFIX, belongs_to_it_alone, own_sidecars, possible_sidecars, sidecar_of
from facebank.errors import StorageError
from facebank.storage.files import is_file, sha256_of
from facebank.storage.folders import NamedFolders
from facebank.storage.text import printable
from facebank.types import Reason

if TYPE_CHECKING:
    from facebank.album.sort.entries import Entry
    from facebank.types import Photo

_MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Sidecar:
    """An XMP file that goes where its photo goes: from where, to where."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Step:
    """One photo into one folder.

    Attributes
    ----------
    source
        The photo, absolute.
    target
        Where it goes; nothing is there.
    content_hash
        SHA-256 of the photo, in hex.
    person
        Whose folder it is.
    sidecars
        What goes with it.
    picture_hash
        SHA-256 of its picture, in hex; empty where it is not known yet.
    """

    source: Path
    target: Path
    content_hash: str
    person: str
    sidecars: tuple[Sidecar, ...] = ()
    picture_hash: str = ""


@dataclass(frozen=True, slots=True)
class SortPlan:
    """What there is to sort.

    Attributes
    ----------
    folder
        The folder that is sorted, absolute.
    steps
        Which photo goes where.
    there
        How many photos are in a folder already in which they belong.
    unsure
        How many people are only too improbable to be sorted by, each once a photo.
    outside
        What is passed over, because a link leads out of the folder that is sorted to the photo, or out of the folder
        for the people's folders to the person's.
    """

    folder: Path
    steps: tuple[Step, ...]
    there: int
    unsure: int
    outside: tuple[Step, ...]


def plan_sorting(
    photos: Iterable[tuple[Photo, Photo]],
    people: Iterable[str],
    folder: Path,
    out: Path,
    way: Way,
    *,
    before: Sequence[Entry] = (),
) -> SortPlan:
    """Say which photo goes where: into the folder of each person who is known in it.

    A photo that is moved can be in one place only: in the folder of the known person with the largest face. What is
    in a folder already is not put there again, whatever it is called; another photo of the same name gets a number.

    Parameters
    ----------
    photos
        What was found in each and who it is.
    people
        Everybody's names, in an order that lasts.
    folder, out
        The folder that is sorted, and the one for the people's folders.
    way
        How they come there.
    before
        What was sorted there before, from the journal.

    Raises
    ------
    StorageError
        A folder holds too many photos of one name.
    """
    folders = people_folders(people, {entry.person: Path(entry.target).parent.name for entry in before})
    planner = _Planner(before)
    sorted_folder, out_folder = NamedFolders([folder]), NamedFolders([out])
    steps, outside, there, unsure = list[Step](), list[Step](), 0, 0
    for photo, identified in photos:
        known = dict.fromkeys(face.person for face in identified.faces if face.person is not None)
        improbable = {each.candidates[0].person for each in identified.faces if each.reason is Reason.IMPROBABLE}
        unsure += len(improbable - known.keys())
        for person in list(known)[: 1 if way is Way.MOVE else None]:
            source, place = Path(photo.path), out / folders[person]
            if not (sorted_folder.hold(source) and out_folder.hold(place)):
                outside.append(Step(source, place / source.name, photo.content_hash, person))
                continue
            step = planner.step(source, place, photo.content_hash, person)
            if step is None:
                there += 1
            else:
                steps.append(replace(step, picture_hash=photo.picture_hash or ""))
    return SortPlan(folder, tuple(steps), there, unsure, tuple(outside))


def people_folders(names: Iterable[str], had: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the name of each person's folder; people whose names give the same one get a number, the first none.

    Parameters
    ----------
    names
        Of everybody, in an order that lasts.
    had
        The folders that people had before, by their names: they keep them, and nobody else gets one of them.
    """
    had = {} if had is None else had
    owners = {folder.casefold(): person for person, folder in had.items()}
    folders: dict[str, str] = {}
    for name in names:
        plain = folder_name(name)
        folder, number = had.get(name, plain), 1
        while owners.get(folder.casefold(), name) != name:
            number += 1
            suffix = f" ({number})"
            folder = f"{cut(plain, LONGEST_NAME - len(suffix))}{suffix}"
        owners[folder.casefold()] = name
        folders[name] = folder
    return folders


class _Planner:
    """Finds free places, knowing what was planned and what was sorted before."""

    def __init__(self, before: Sequence[Entry]) -> None:
        self._planned: set[tuple[Path, str]] = set()
        self._taken: set[Path] = set()
        self._taken_stems: set[Path] = set()
        self._sorted: dict[tuple[Path, str], Path] = {
            (Path(entry.target).parent, entry.content_hash): Path(entry.target)
            for entry in before
            if not entry.is_sidecar
        }

    def step(self, source: Path, folder: Path, content_hash: str, person: str) -> Step | None:
        """Return how a photo comes into a folder; None where it is there, under whatever name."""
        place = folder, content_hash
        if source.parent == folder or place in self._planned:
            return None
        self._planned.add(place)
        target = self._sorted.get(place)
        if target is not None and _is(target, content_hash):
            return None
        return self._free(source, folder, content_hash, person)

    def _free(self, source: Path, folder: Path, content_hash: str, person: str) -> Step | None:
        for number in range(1, _MOST_NAMES):
            target = folder / (source.name if number == 1 else f"{source.stem} ({number}){source.suffix}")
            beside = _beside(source, target)
            if self._is_free(target, beside):
                self._taken |= {target, *(sidecar.target for sidecar in beside)}
                self._taken_stems.add(target.with_suffix(""))
                return Step(source, target, content_hash, person, beside)
            if target not in self._taken and _is(target, content_hash):
                return None
        raise StorageError(f"{printable(str(folder))} holds too many photos called {printable(source.name)}")

    def _is_free(self, target: Path, beside: Sequence[Sidecar]) -> bool:
        """Tell whether a photo can lie there, and will have its own sidecars and no other photo's."""
        places = {target, *possible_sidecars(target)}
        if places & self._taken or any(map(os.path.lexists, places)):
            return False
        shares = any(sidecar.target == target.with_suffix(SUFFIX) for sidecar in beside)
        return not shares or (target.with_suffix("") not in self._taken_stems and _stands_alone(target))


def _beside(source: Path, target: Path) -> tuple[Sidecar, ...]:
    return tuple(
        Sidecar(path, sidecar_of(target) if path == sidecar_of(source) else target.with_suffix(SUFFIX))
        for path in own_sidecars(source)
    )


def _stands_alone(target: Path) -> bool:
    return not target.parent.exists() or belongs_to_it_alone(target)


def _is(path: Path, content_hash: str) -> bool:
    return is_file(path) and sha256_of(path) == content_hash
