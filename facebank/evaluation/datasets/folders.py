"""A folder for each person, also below ``train``, ``validation`` and ``test``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from facebank.errors import PhotoNotFoundError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, LeftOut, Pick
from facebank.evaluation.datasets.checking import People, UnusableError, broken, split_named
from facebank.media import find_photos
from facebank.storage.text import printable


def read_folders(folder: Path, pick: Pick = Pick.LARGEST) -> Dataset:
    """Read a dataset with a folder for each person; raises `DatasetError` if there is none with a photo.

    ``Ada/ada1.jpg`` is a photo of Ada, as is ``Ada/2024/1.jpg``. If folders called ``train``, ``validation`` (or
    ``val``, ``valid``) and ``test`` hold the people's folders, the photos have these splits. Folders whose names
    differ only in case or spaces are one person, with a note in `left_out`. Hidden files are skipped and links are
    followed, as by `facebank.media.find_photos`. Photos are not read; they are named by their paths below the folder.
    """
    photos = _photos_below(folder)
    read = _Read(_split_folders(photos))
    for path, parts in photos:
        read.add(path, parts)
    left_out = tuple(read.notes())
    if not read.photos:
        why = "it holds no photos" if not photos else "it holds no people's folders: put each person's photos in one"
        raise broken(folder, why)
    return Dataset(title_of(folder), tuple(read.photos), pick=pick, left_out=left_out)


def _photos_below(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """List the photos of a folder with the parts of their paths below it."""
    try:
        if not folder.is_dir():
            raise broken(folder, "there is no such folder")
        return [(path, path.relative_to(folder).parts) for path in find_photos(folder)]
    except (OSError, ValueError, PhotoNotFoundError) as error:
        raise broken(folder, "there is no such folder") from error


def title_of(place: Path) -> str:
    """Return the name of a file or folder as reports print it."""
    return printable(place.name or place.resolve().name or str(place))


@dataclass(slots=True)
class _Read:
    """The photos read so far; `splits` are the top folders that are parts and not people."""

    splits: frozenset[str]
    photos: list[DatasetPhoto] = field(default_factory=list)
    _people: People = field(default_factory=People)
    _names: Counter[str] = field(default_factory=Counter)
    _unused: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path, parts: tuple[str, ...]) -> None:
        name = printable("/".join(parts))
        split = split_named(parts[0]) if parts and parts[0] in self.splits else None
        try:
            person = self._person(parts[1:] if split else parts, split)
        except UnusableError as error:
            self._unused.setdefault(str(error), []).append(name)
            return
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name} ({self._names[name]})"
        self.photos.append(DatasetPhoto(name, person, path, split=split))

    def notes(self) -> list[LeftOut]:
        """Return a note for each reason to leave photos out, and for each person with several folders."""
        unused = [
            LeftOut(names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more", why)
            for why, names in self._unused.items()
        ]
        return unused + self._people.joined

    def _person(self, inner: tuple[str, ...], split: str | None) -> str:
        if len(inner) < 2:
            raise UnusableError("it lies in no person's folder")
        if self.splits and split is None:
            raise UnusableError(f"its folder is beside {', '.join(sorted(self.splits))}, so it belongs to no part")
        return self._people.named(inner[0])


def _split_folders(photos: list[tuple[Path, tuple[str, ...]]]) -> frozenset[str]:
    """Return the top folders that are named as a part and hold folders with photos."""
    return frozenset(parts[0] for _, parts in photos if len(parts) > 2 and split_named(parts[0]))
