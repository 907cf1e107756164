"""The plan of a sort: which photo goes into which person's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import LONGEST_NAME, SortMode, folder_name, shortened
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
    """An XMP file that goes with its photo: from where, to where."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Step:
    """One photo into one folder."""

    source: Path  # absolute
    target: Path  # absolute; nothing is there
    content_hash: str  # SHA-256 of the photo's bytes, in hex
    person: str  # whose folder it is
    sidecars: tuple[Sidecar, ...] = ()  # the XMP files that go with it
    picture_hash: str = ""  # SHA-256 of its pixels, in hex; empty if unknown


@dataclass(frozen=True, slots=True)
class SortPlan:
    """What is sorted from where to where, and how."""

    # the folder that is sorted and the folder of the people's folders, absolute
    folder: Path
    out: Path
    mode: SortMode  # whether photos are copied, linked or moved
    steps: tuple[Step, ...]  # which photo goes where
    there: int  # how many photos are in their person's folder already
    unsure: int  # how many names are too improbable to sort by, each once a photo
    # what is passed over: a link leads out of `folder` to the photo, or out of `out` to the person's folder
    outside: tuple[Step, ...]


def plan_sorting(
    photos: Iterable[Photo],
    people: Iterable[str],
    folder: Path,
    out: Path,
    mode: SortMode,
    *,
    before: Sequence[Entry] = (),
) -> SortPlan:
    """Plan that each photo goes into the folder of each person who is known in it.

    A moved photo goes into one folder only, that of the known person with the largest face. A photo that is already in
    a folder under any name is not put there again; another photo of the same name gets a number. Raises `StorageError`:
    a folder holds too many photos of one name.

    Parameters
    ----------
    photos
        Identified photos.
    people
        Everybody's names, in an order that stays the same between runs.
    folder, out, mode
        As of `SortPlan`.
    before
        What was sorted there before, from the journal.
    """
    folders = people_folders(people, {entry.person: Path(entry.target).parent.name for entry in before})
    planner = _Planner(before)
    sorted_folder, out_folder = NamedFolders([folder]), NamedFolders([out])
    steps, outside, there, unsure = list[Step](), list[Step](), 0, 0
    for photo in photos:
        known = dict.fromkeys(face.person for face in photo.faces if face.person is not None)
        improbable = {each.candidates[0].person for each in photo.faces if each.reason is Reason.IMPROBABLE}
        unsure += len(improbable - known.keys())
        for person in list(known)[: 1 if mode is SortMode.MOVE else None]:
            source, place = Path(photo.path), out / folders[person]
            if not (sorted_folder.hold(source) and out_folder.hold(place)):
                outside.append(Step(source, place / source.name, photo.content_hash, person))
                continue
            step = planner.step(source, place, photo.content_hash, person)
            if step is None:
                there += 1
            else:
                steps.append(replace(step, picture_hash=photo.picture_hash or ""))
    return SortPlan(folder, out, mode, tuple(steps), there, unsure, tuple(outside))


def people_folders(names: Iterable[str], had: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each person's folder; of people whose names give the same one, all but the first are numbered.

    Parameters
    ----------
    names
        Everybody's, in an order that stays the same between runs.
    had
        The folders that people had before, by name: they keep them, and nobody else gets one of them.
    """
    owners = {folder.casefold(): person for person, folder in had.items()}
    folders: dict[str, str] = {}
    for name in names:
        plain = folder_name(name)
        folder, number = had.get(name, plain), 1
        while owners.get(folder.casefold(), name) != name:
            number += 1
            suffix = f" ({number})"
            folder = f"{shortened(plain, LONGEST_NAME - len(suffix))}{suffix}"
        owners[folder.casefold()] = name
        folders[name] = folder
    return folders


class _Planner:
    """Finds free targets, considering what was planned and what was sorted before."""

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
        """Return the step that puts a photo into a folder; None if it is there under any name."""
        place = folder, content_hash
        if source.parent == folder or place in self._planned:
            return None
        self._planned.add(place)
        target = self._sorted.get(place)
        if target is not None and _has_content(target, content_hash):
            return None
        return self._free(source, folder, content_hash, person)

    def _free(self, source: Path, folder: Path, content_hash: str, person: str) -> Step | None:
        for number in range(1, _MOST_NAMES):
            target = folder / (source.name if number == 1 else f"{source.stem} ({number}){source.suffix}")
            beside = tuple(
                Sidecar(path, sidecar_of(target) if path == sidecar_of(source) else target.with_suffix(SUFFIX))
                for path in own_sidecars(source)
            )
            if self._is_free(target, beside):
                self._taken |= {target, *(sidecar.target for sidecar in beside)}
                self._taken_stems.add(target.with_suffix(""))
                return Step(source, target, content_hash, person, beside)
            if target not in self._taken and _has_content(target, content_hash):
                return None
        raise StorageError(f"{printable(str(folder))} holds too many photos called {printable(source.name)}")

    def _is_free(self, target: Path, beside: Sequence[Sidecar]) -> bool:
        """Return whether a photo can lie there with its own sidecars and no other photo's."""
        places = {target, *possible_sidecars(target)}
        if places & self._taken or any(map(os.path.lexists, places)):
            return False
        if not any(sidecar.target == target.with_suffix(SUFFIX) for sidecar in beside):
            return True
        stands_alone = not target.parent.exists() or belongs_to_it_alone(target)
        return stands_alone and target.with_suffix("") not in self._taken_stems


def _has_content(path: Path, content_hash: str) -> bool:
    return is_file(path) and sha256_of(path) == content_hash
