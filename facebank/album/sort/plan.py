"""Plans of sorts: the target of each photo in people's folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import MAX_NAME_LENGTH, SortMode, folder_name, truncate
from facebank.album.tags.sidecars import SUFFIX, has_unique_stem, own_sidecars, possible_sidecars, sidecar_of
from facebank.errors import StorageError
from facebank.storage.files import is_file, sha256_of
from facebank.storage.folders import NamedFolders
from facebank.storage.text import printable
from facebank.types import Reason

if TYPE_CHECKING:
    from facebank.album.sort.entries import Entry
    from facebank.types import Photo

_MAX_NUMBER = 10_000  # of photos with one name in a folder


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
    existing: int  # photos that are in their person's folder already
    improbable: int  # names that are too improbable to sort by, counted once per photo
    outside: tuple[Step, ...]  # skipped: a link leads out of `folder` to the photo, or out of `out` to the target


def plan_sorting(
    photos: Iterable[Photo],
    people: Iterable[str],
    folder: Path,
    out: Path,
    mode: SortMode,
    *,
    earlier: Sequence[Entry] = (),
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
        As for `SortPlan`.
    earlier
        Entries of the journal of `out`.
    """
    folders = people_folders(people, {entry.person: Path(entry.target).parent.name for entry in earlier})
    planner = _Planner(earlier)
    sorted_folder, out_folder = NamedFolders([folder]), NamedFolders([out])
    steps, outside, existing, improbable = list[Step](), list[Step](), 0, 0
    for photo in photos:
        identified = dict.fromkeys(face.person for face in photo.faces if face.person is not None)
        doubtful = {face.candidates[0].person for face in photo.faces if face.reason is Reason.IMPROBABLE}
        improbable += len(doubtful - identified.keys())
        for person in list(identified)[: 1 if mode is SortMode.MOVE else None]:
            source, target_folder = Path(photo.path), out / folders[person]
            if not (sorted_folder.contains(source) and out_folder.contains(target_folder)):
                outside.append(Step(source, target_folder / source.name, photo.content_hash, person))
                continue
            step = planner.step(source, target_folder, photo.content_hash, person)
            if step is None:
                existing += 1
            else:
                steps.append(replace(step, picture_hash=photo.picture_hash or ""))
    return SortPlan(folder, out, mode, tuple(steps), existing, improbable, tuple(outside))


def people_folders(names: Iterable[str], earlier: Mapping[str, str]) -> dict[str, str]:
    """Return the folder name of each person, by name; equal folder names get numbers after the first.

    Parameters
    ----------
    names
        All names, in an order that does not change between runs.
    earlier
        The people's earlier folder names, by name, which they keep.

    Examples
    --------
    >>> people_folders(["A/B", "A:B"], {})
    {'A/B': 'A_B', 'A:B': 'A_B (2)'}
    """
    owners = {folder.casefold(): person for person, folder in earlier.items()}
    folders: dict[str, str] = {}
    for name in names:
        plain = folder_name(name)
        folder, number = earlier.get(name, plain), 1
        while owners.get(folder.casefold(), name) != name:
            number += 1
            suffix = f" ({number})"
            folder = f"{truncate(plain, MAX_NAME_LENGTH - len(suffix))}{suffix}"
        owners[folder.casefold()] = name
        folders[name] = folder
    return folders


class _Planner:
    """Finds free targets, in view of earlier steps of the plan and earlier sorts."""

    def __init__(self, earlier: Sequence[Entry]) -> None:
        self._planned: set[tuple[Path, str]] = set()
        self._taken: set[Path] = set()
        self._taken_stems: set[Path] = set()
        self._sorted: dict[tuple[Path, str], Path] = {
            (Path(entry.target).parent, entry.content_hash): Path(entry.target)
            for entry in earlier
            if not entry.is_sidecar
        }

    def step(self, source: Path, folder: Path, content_hash: str, person: str) -> Step | None:
        """Return the step that puts a photo into a folder; None if the folder has it under any name."""
        key = folder, content_hash
        if source.parent == folder or key in self._planned:
            return None
        self._planned.add(key)
        target = self._sorted.get(key)
        if target is not None and _has_hash(target, content_hash):
            return None
        return self._free_step(source, folder, content_hash, person)

    def _free_step(self, source: Path, folder: Path, content_hash: str, person: str) -> Step | None:
        """Return the step to the first free name in a folder; None if one of the names has the same content."""
        for number in range(1, _MAX_NUMBER):
            target = folder / (source.name if number == 1 else f"{source.stem} ({number}){source.suffix}")
            sidecars = tuple(
                Sidecar(path, sidecar_of(target) if path == sidecar_of(source) else target.with_suffix(SUFFIX))
                for path in own_sidecars(source)
            )
            if self._is_free(target, sidecars):
                self._taken |= {target, *(sidecar.target for sidecar in sidecars)}
                self._taken_stems.add(target.with_suffix(""))
                return Step(source, target, content_hash, person, sidecars)
            if target not in self._taken and _has_hash(target, content_hash):
                return None
        raise StorageError(f"{printable(str(folder))} has too many photos named {printable(source.name)}: rename some")

    def _is_free(self, target: Path, sidecars: Sequence[Sidecar]) -> bool:
        """Return whether the photo's target and the names of its sidecars are free, and no other photo claims them."""
        paths = {target, *possible_sidecars(target)}
        if paths & self._taken or any(map(os.path.lexists, paths)):
            return False
        if not any(sidecar.target == target.with_suffix(SUFFIX) for sidecar in sidecars):
            return True
        is_unique = not target.parent.exists() or has_unique_stem(target)
        return is_unique and target.with_suffix("") not in self._taken_stems


def _has_hash(path: Path, content_hash: str) -> bool:
    return is_file(path) and sha256_of(path) == content_hash
