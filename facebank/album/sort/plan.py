"""Plans of sorts: the target of each photo in people's folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import MAX_NAME_LENGTH, SortMode, folder_name, shortened
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
    """An XMP file that is transferred with its photo."""

    source: Path  # absolute
    target: Path  # absolute


@dataclass(frozen=True, slots=True)
class Step:
    """The transfer of one photo into one person's folder."""

    source: Path  # absolute
    target: Path  # absolute; does not exist
    content_hash: str  # SHA-256 of the photo's bytes, in hex
    person: str  # owner of the folder
    sidecars: tuple[Sidecar, ...] = ()  # transferred with the photo
    picture_hash: str = ""  # SHA-256 of its pixels, in hex; empty if unknown


@dataclass(frozen=True, slots=True)
class SortPlan:
    """The transfers that sort a folder."""

    folder: Path  # to sort, absolute
    out: Path  # holds the people's folders, absolute
    mode: SortMode  # whether photos are copied, linked or moved
    steps: tuple[Step, ...]
    there: int  # photos that are in their person's folder already
    unsure: int  # names that are too improbable to sort by, counted once a photo
    outside: tuple[Step, ...]  # skipped: a link leads out of `folder` to the photo, or out of `out` to the target


def plan_sorting(
    photos: Iterable[Photo],
    people: Iterable[str],
    folder: Path,
    out: Path,
    mode: SortMode,
    *,
    before: Sequence[Entry] = (),
) -> SortPlan:
    """Return the plan that puts each photo into the folder of each person identified in it.

    A moved photo goes only into the folder of the identified person with the largest face. A photo that a folder has
    already, under any name, is not put there again; another photo of the same name gets a number. Raises `StorageError`
    if a folder holds too many photos of one name.

    Parameters
    ----------
    photos
        Identified photos.
    people
        All names, in an order that does not change between runs.
    folder, out, mode
        As of `SortPlan`.
    before
        Entries of the journal of `out`.
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
            if not (sorted_folder.contains(source) and out_folder.contains(place)):
                outside.append(Step(source, place / source.name, photo.content_hash, person))
                continue
            step = planner.step(source, place, photo.content_hash, person)
            if step is None:
                there += 1
            else:
                steps.append(replace(step, picture_hash=photo.picture_hash or ""))
    return SortPlan(folder, out, mode, tuple(steps), there, unsure, tuple(outside))


def people_folders(names: Iterable[str], had: Mapping[str, str]) -> dict[str, str]:
    """Return the folder name of each person, by name; equal folder names get numbers after the first.

    Parameters
    ----------
    names
        All names, in an order that does not change between runs.
    had
        The people's earlier folder names, by name, which they keep.

    Examples
    --------
    >>> people_folders(["A/B", "A:B"], {})
    {'A/B': 'A_B', 'A:B': 'A_B (2)'}
    """
    owners = {folder.casefold(): person for person, folder in had.items()}
    folders: dict[str, str] = {}
    for name in names:
        plain = folder_name(name)
        folder, number = had.get(name, plain), 1
        while owners.get(folder.casefold(), name) != name:
            number += 1
            suffix = f" ({number})"
            folder = f"{shortened(plain, MAX_NAME_LENGTH - len(suffix))}{suffix}"
        owners[folder.casefold()] = name
        folders[name] = folder
    return folders


class _Planner:
    """Finds free targets, in view of earlier steps of the plan and earlier sorts."""

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
        """Return the step that puts a photo into a folder; None if the folder has it under any name."""
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
        """Return whether the photo's target and the names of its sidecars are free, and no other photo claims them."""
        places = {target, *possible_sidecars(target)}
        if places & self._taken or any(map(os.path.lexists, places)):
            return False
        if not any(sidecar.target == target.with_suffix(SUFFIX) for sidecar in beside):
            return True
        stands_alone = not target.parent.exists() or belongs_to_it_alone(target)
        return stands_alone and target.with_suffix("") not in self._taken_stems


def _has_content(path: Path, content_hash: str) -> bool:
    return is_file(path) and sha256_of(path) == content_hash
