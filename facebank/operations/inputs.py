"""Photos as callers give them: files, folders and photos in memory, and one face of a photo by its number."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOBase
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from facebank.errors import NoFaceError, PhotoError, PhotoNotFoundError, UsageError
from facebank.gallery import FaceKey
from facebank.media import (
    FolderContents,
    check_photo,
    counted_skipped,
    is_annotated,
    look_through,
    open_photo,
    photo_label,
)
from facebank.storage.paths import named_path
from facebank.storage.text import printable
from facebank.types import Photo, SkippedCounts

if TYPE_CHECKING:
    from facebank.media import Channels, PhotoInput, SkippedKind
    from facebank.operations.engine import Engine
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face


Photos: TypeAlias = "PhotoInput | Iterable[PhotoInput]"


@dataclass(frozen=True, slots=True)
class Gathered:
    """The contents of some files and folders, each file once."""

    photos: tuple[Path, ...]
    videos: int  # number of videos passed over
    skipped: tuple[tuple[Path, SkippedKind], ...] = ()  # pictures of unsupported kinds, with their kind
    annotated: int = 0  # number of annotated copies by facebank passed over in folders

    @property
    def counts(self) -> SkippedCounts:
        """The numbers of files passed over."""
        return SkippedCounts(Counter(kind.code for _, kind in self.skipped), self.videos, self.annotated)


def gather_photos(places: Sequence[Path], *, knows_annotated: bool = True) -> Gathered:
    """List the photos of files and folders as typed; one that is named twice counts once.

    A missing file is listed, and fails when it is read. With `knows_annotated` annotated copies are passed over in
    folders, for which every photo is opened.
    """
    photos: dict[Path, Path] = {}
    annotated: set[Path] = set()
    videos: set[Path] = set()
    skipped: dict[Path, tuple[Path, SkippedKind]] = {}
    for place in places:
        found = look_through(place) if place.is_dir() else FolderContents(photos=(place,))
        for photo in found.photos:
            if knows_annotated and photo != place and is_annotated(photo):
                annotated.add(_identity(photo))
            else:
                photos.setdefault(_identity(photo), photo)
        videos.update(map(_identity, found.videos))
        skipped |= {_identity(path): (path, kind) for path, kind in found.skipped}
    return Gathered(tuple(photos.values()), len(videos), tuple(skipped.values()), len(annotated - photos.keys()))


def require_places(places: Sequence[Path]) -> None:
    """Raise `PhotoNotFoundError` if none of the files and folders exists."""
    if not any(map(_is_there, places)):
        raise PhotoNotFoundError(f"there is no such file or folder: {_named(places)}")


def _is_there(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # it exists: reading it reports the error
        return True
    return True


def _identity(path: Path) -> Path:
    """Return a path that two spellings of it share; links to one file stay two photos."""
    return Path(os.path.realpath(path.parent), path.name)


def require_photos(photos: Photos) -> tuple[list[PhotoInput], SkippedCounts]:
    """List the photos that files and folders stand for, and count what is passed over in folders.

    Raises `PhotoNotFoundError` (there is not a single photo) or `UsageError` (something is no photo; the message names
    what it is).

    Parameters
    ----------
    photos
        One photo or several: files, folders of them, or photos in memory. A missing file fails when it is read.

    Returns
    -------
    tuple[list[PhotoInput], SkippedCounts]
        Paths are `pathlib.Path`; folders give their photos in natural order.
    """
    several = _several(photos)
    found: list[PhotoInput] = []
    videos, annotated, skipped = set[Path](), set[Path](), dict[Path, str]()
    for photo in several:
        if not isinstance(photo, str | os.PathLike):
            found.append(photo)
            continue
        place = named_path(photo)
        if not place.is_dir():
            found.append(place)
            continue
        contents = look_through(place)
        drawn = {path for path in contents.photos if is_annotated(path)}
        found += [path for path in contents.photos if path not in drawn]
        videos.update(map(_identity, contents.videos))
        annotated.update(map(_identity, drawn))
        skipped |= {_identity(path): kind.code for path, kind in contents.skipped}
    if not found:
        raise nothing_there(several)
    return found, SkippedCounts(Counter(skipped.values()), len(videos), len(annotated))


def existing_photos(photos: Photos) -> tuple[list[PhotoInput], SkippedCounts]:
    """List photos as `require_photos` does; raises `PhotoNotFoundError` also if they are files and none exists."""
    found, skipped = require_photos(photos)
    files = [photo for photo in found if isinstance(photo, Path)]
    if len(files) == len(found):
        require_places(files)
    return found, skipped


def each_photo(photos: Photos) -> Iterable[PhotoInput]:
    """List photos as `existing_photos` does, one by one as an iterator gives them."""
    if isinstance(photos, Iterator) and _are_several(photos):
        return chain.from_iterable(require_photos(photo)[0] for photo in photos)
    return existing_photos(photos)[0]


def nothing_there(places: Sequence[PhotoInput]) -> PhotoNotFoundError:
    """Return the error that there is no photo at some places, and say what there is instead."""
    gathered = gather_photos([place for place in _paths(places) if place.is_dir()])
    instead = counted_skipped(kind for _, kind in gathered.skipped)
    only = f", only {instead}; save them as JPEG or PNG to have them read" if instead else ""
    return PhotoNotFoundError(f"{_named(places)}: no photos there{only}")


def _paths(photos: Iterable[PhotoInput]) -> list[Path]:
    return [Path(photo) for photo in photos if isinstance(photo, str | os.PathLike)]


def _named(places: Sequence[PhotoInput]) -> str:
    named = [printable(os.fspath(place)) for place in _paths(places)]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{', '.join(named[:3]) or 'nothing given'}{more}"


def largest_face(analyzed: AnalyzedPhoto) -> Face:
    """Return the largest face of a photo; raises `NoFaceError` without one."""
    if not analyzed.faces:
        raise NoFaceError(f"{printable(analyzed.photo.path)}: no face was found")
    return analyzed.faces[0]


def lasting_source(source: str) -> str:
    """Return a photo's path as an absolute one; a label that names no file stays as it is."""
    path = Path(source)
    return str(path.absolute()) if path.is_file() else source


def _are_several(photos: object) -> bool:
    is_one = photo_label(photos) is not None or isinstance(photos, Mapping | TextIOBase)
    return not is_one and isinstance(photos, Iterable)


def _several(photos: Photos) -> list[PhotoInput]:
    """Return photos as a list of one or more, each of which is a photo."""
    if not _are_several(photos):
        check_photo(photos)
        return [cast("PhotoInput", photos)]
    several = list(cast("Iterable[PhotoInput]", photos))
    for photo in several:
        check_photo(photo)
    return several


def analyze_readable(
    engine: Engine, photos: Iterable[PhotoInput], channels: Channels = "RGB"
) -> Iterator[AnalyzedPhoto | Photo]:
    """Read and analyze photos, a bounded number ahead of what is yielded: one result for each photo, in order."""
    unread: deque[Photo | None] = deque()
    readable = _readable(photos, unread, channels)
    first = list(islice(readable, 1))  # while the networks are still being loaded
    for analyzed in engine.analyzer.analyze(chain(first, readable)):
        while (problem := unread.popleft()) is not None:
            yield problem
        yield analyzed
    yield from (problem for problem in unread if problem is not None)


def _readable(photos: Iterable[PhotoInput], unread: deque[Photo | None], channels: Channels) -> Iterator[DecodedPhoto]:
    """Yield the photos that can be opened; append to `unread` a photo with its error, or None, for each."""
    for photo in photos:
        try:
            opened = open_photo(photo, channels)
        except PhotoError as error:
            unread.append(Photo(photo_label(photo) or "", error=str(error)))
        else:
            unread.append(None)
            yield opened


_LISTED = 12


@dataclass(frozen=True, slots=True, eq=False)
class PointedFace:
    """One face of a photo."""

    photo: AnalyzedPhoto  # the photo and all its faces
    face_number: int  # from 1, the largest

    @property
    def face(self) -> Face:
        """The face."""
        return self.photo.faces[self.face_number - 1]

    @property
    def key(self) -> FaceKey:
        """The face's key in a gallery."""
        return FaceKey.of(self.photo, self.face)

    @property
    def path(self) -> str:
        """The photo's path as the user gave it."""
        return self.photo.photo.path


def point_at(engine: Engine, photo: PhotoInput, face_number: int | None = None) -> PointedFace:
    """Find the face of a photo by its number in identifications, 1 is the largest; None for the only one.

    Raises `PhotoError` (the photo cannot be read or shows no face) or `UsageError` (it shows several faces and none is
    named, or there is no face of this number; the message lists the faces).
    """
    (analyzed,) = engine.analyzer.analyze([open_photo(photo)])
    largest_face(analyzed)
    name, count = printable(analyzed.photo.path), len(analyzed.faces)
    if face_number is None and count > 1:
        raise UsageError(f"{name} shows {count} faces, say which with --face: {_listed(analyzed.faces)}")
    if face_number is not None and not 1 <= face_number <= count:
        raise UsageError(f"{name} has no face {face_number}, only {_listed(analyzed.faces)}")
    return PointedFace(analyzed, 1 if face_number is None else face_number)


def _listed(faces: tuple[Face, ...]) -> str:
    listed = [f"{number} {_place(face)}" for number, face in enumerate(faces[:_LISTED], 1)]
    more = f" and {len(faces) - _LISTED} smaller ones" if len(faces) > _LISTED else ""
    return f"{', '.join(listed)}{more}"


def _place(face: Face) -> str:
    x1, y1, x2, y2 = (round(float(edge)) for edge in face.box)
    return f"(x {x1} to {x2}, y {y1} to {y2})"
