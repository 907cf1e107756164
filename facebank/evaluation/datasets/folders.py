"""Datasets with one folder per person, optionally below ``train``, ``validation`` and ``test``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from facebank.errors import PhotoNotFoundError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick, SkippedEntry
from facebank.evaluation.datasets.checking import People, UnusableEntryError, file_error, parse_split
from facebank.media import find_photos
from facebank.storage.text import printable


def read_folders(folder: Path, pick: Pick = Pick.LARGEST) -> Dataset:
    """Return a dataset with one folder per person; raises `DatasetError` if no person has a photo.

    ``Ada/ada1.jpg`` and ``Ada/2024/1.jpg`` are photos of Ada. If the people's folders lie in ``train``, ``validation``
    (or ``val``, ``valid``) and ``test``, the photos have these splits. Folders whose names differ only in case or
    spaces are one person, with a note in `skipped`. Hidden files are ignored and links are followed, as by
    `facebank.media.find_photos`. Photos are not opened; their names are their paths relative to the folder.
    """
    photos = _photos_below(folder)
    reader = _FolderReader(_split_folders(photos))
    for path, parts in photos:
        reader.add(path, parts)
    skipped = tuple(reader.notes())
    if not reader.photos:
        reason = "no folders of people" if photos else "the folder has no photos"
        raise file_error(folder, f"{reason}; put the photos of each person into a folder with the person's name")
    return Dataset(dataset_title(folder), tuple(reader.photos), pick=pick, skipped=skipped)


def _photos_below(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """Return the paths of a folder's photos, each with the parts of its relative path."""
    try:
        if not folder.is_dir():
            raise file_error(folder, "no such folder")
        return [(path, path.relative_to(folder).parts) for path in find_photos(folder)]
    except (OSError, ValueError, PhotoNotFoundError) as error:
        raise file_error(folder, "no such folder") from error


def dataset_title(path: Path) -> str:
    """Return the name of a file or folder, as printed in reports."""
    return printable(path.name or path.resolve().name or str(path))


@dataclass(slots=True)
class _FolderReader:
    """The photos read so far; `splits` are the top-level folders that are splits rather than people."""

    splits: frozenset[str]
    photos: list[DatasetPhoto] = field(default_factory=list)
    _people: People = field(default_factory=People)
    _names: Counter[str] = field(default_factory=Counter)
    _reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path, parts: tuple[str, ...]) -> None:
        name = printable("/".join(parts))
        split = parse_split(parts[0]) if parts and parts[0] in self.splits else None
        try:
            person = self._add_person(parts[1:] if split else parts, split)
        except UnusableEntryError as error:
            self._reasons.setdefault(str(error), []).append(name)
            return
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name} ({self._names[name]})"
        self.photos.append(DatasetPhoto(name, person, path, split=split))

    def notes(self) -> list[SkippedEntry]:
        """Return an entry for each reason to skip photos, and for each person with several folders."""
        skipped = [
            SkippedEntry(names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more", reason)
            for reason, names in self._reasons.items()
        ]
        return skipped + self._people.notes

    def _add_person(self, parts: tuple[str, ...], split: str | None) -> str:
        if len(parts) < 2:
            raise UnusableEntryError("it is not in a folder of a person")
        if self.splits and split is None:
            raise UnusableEntryError(f"its folder is next to {', '.join(sorted(self.splits))} and belongs to no split")
        return self._people.add(parts[0])


def _split_folders(photos: list[tuple[Path, tuple[str, ...]]]) -> frozenset[str]:
    """Return the top-level folders that are named like a split and hold folders with photos."""
    return frozenset(parts[0] for _, parts in photos if len(parts) > 2 and parse_split(parts[0]))
