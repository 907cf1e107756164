"""Resolution of photo arguments: files, folders, photos in memory, and one face by its number."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOBase
from itertools import chain, islice
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from facebank.errors import NoFaceError, PhotoError, PhotoNotFoundError, UsageError
from facebank.gallery import FaceKey
from facebank.media import (
    FolderContents,
    check_photo,
    describe_skipped,
    is_annotated,
    look_through,
    open_photo,
    photo_label,
)
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.files import is_folder
from facebank.storage.paths import named_path, outermost
from facebank.storage.text import printable
from facebank.types import Photo, SkippedCounts

if TYPE_CHECKING:
    from facebank.media import Channels, PhotoInput, Shard, SkippedKind
    from facebank.operations.engine import Engine
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face


Photos: TypeAlias = "PhotoInput | Iterable[PhotoInput]"


@dataclass(frozen=True, slots=True)
class Gathered:
    """The photos of files and folders, each file once."""

    photos: tuple[Path, ...]
    videos: int  # number of skipped videos
    skipped: tuple[tuple[Path | str, SkippedKind], ...] = ()  # pictures of unsupported kinds, with their kind
    annotated: int = 0  # number of annotated copies by facebank skipped in folders

    @property
    def counts(self) -> SkippedCounts:
        """The numbers of skipped files."""
        return SkippedCounts(Counter(kind.code for _, kind in self.skipped), self.videos, self.annotated)


def gather_photos(places: Sequence[Path], *, knows_annotated: bool = True, shard: Shard | None = None) -> Gathered:
    """List the photos of files and folders; a photo named twice counts once.

    A missing file is listed, and fails when it is read. With `knows_annotated` annotated copies are skipped in
    folders, for which every photo is opened. With `shard` only that shard of the files is listed.
    """
    roots = [] if shard is None else outermost(places)
    photos: dict[Path, Path] = {}
    annotated: set[Path] = set()
    videos: set[Path] = set()
    skipped: dict[Path, tuple[Path, SkippedKind]] = {}
    for place in places:
        found = look_through(place) if is_folder(place) else FolderContents(photos=(place,))
        if shard is not None:
            found = shard.select(found, roots)
        for photo in found.photos:
            if knows_annotated and photo != place and is_annotated(photo):
                annotated.add(_identity(photo))
            else:
                photos.setdefault(_identity(photo), photo)
        videos.update(map(_identity, found.videos))
        skipped |= {_identity(path): (path, kind) for path, kind in found.skipped}
    return Gathered(tuple(photos.values()), len(videos), tuple(skipped.values()), len(annotated - photos.keys()))


def require_places(places: Sequence[Path | str]) -> None:
    """Raise `PhotoNotFoundError` if none of the files and folders exists, or none is named.

    Buckets count as existing: listing one reports the error.
    """
    if not places:
        raise nothing_there(places)
    if not any(map(_is_there, places)):
        raise PhotoNotFoundError(f"there is no such file or folder: {_places_text(places)}")


def _is_there(place: Path | str) -> bool:
    if is_bucket_url(place):
        return True
    try:
        Path(place).lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # it exists: reading it reports the error
        return True
    return True


def _identity(path: Path) -> Path:
    """Return a path that two spellings of it share; links to one file stay two photos."""
    return Path(os.path.realpath(path.parent), path.name)


def require_photos(photos: Photos) -> tuple[list[PhotoInput], SkippedCounts]:
    """List the photos of files and folders, and count skipped files in folders.

    Raises `PhotoNotFoundError` (there are no photos) or `UsageError` (an argument is not a photo; the message names
    what it is).

    Parameters
    ----------
    photos
        One photo or several: files, folders of them, or photos in memory. A missing file fails when it is read.

    Returns
    -------
    tuple[list[PhotoInput], SkippedCounts]
        Photos, paths as `pathlib.Path`, folders expanded in natural order; and the counts.
    """
    several = _several(photos)
    found: list[PhotoInput] = []
    videos, annotated, skipped = set[Path](), set[Path](), dict[Path, str]()
    for photo in several:
        if not isinstance(photo, str | os.PathLike):
            found.append(photo)
            continue
        place = named_path(photo)
        if not is_folder(place):
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
    """List photos as `require_photos` does; also raises `PhotoNotFoundError` if all are files and none exists."""
    found, skipped = require_photos(photos)
    files = [photo for photo in found if isinstance(photo, Path)]
    if len(files) == len(found):
        require_places(files)
    return found, skipped


def each_photo(photos: Photos) -> Iterable[PhotoInput]:
    """List photos as `existing_photos` does; an iterator is consumed lazily."""
    if isinstance(photos, Iterator) and _are_several(photos):
        return chain.from_iterable(require_photos(photo)[0] for photo in photos)
    return existing_photos(photos)[0]


def nothing_there(places: Sequence[PhotoInput]) -> PhotoNotFoundError:
    """Return the error for places without photos, with the unsupported pictures found there."""
    files = (Path(place) for place in _paths(places) if not is_bucket_url(place))
    gathered = gather_photos([place for place in files if is_folder(place)])
    instead = describe_skipped(kind for _, kind in gathered.skipped)
    only = f", only {instead}; convert them to JPEG or PNG" if instead else ""
    return PhotoNotFoundError(f"{_places_text(places)}: no photos there{only}")


def _paths(photos: Iterable[PhotoInput]) -> list[str]:
    named = (os.fspath(photo) for photo in photos if isinstance(photo, str | os.PathLike))
    return [place if is_bucket_url(place) else str(Path(place)) for place in named]


def _places_text(places: Sequence[PhotoInput]) -> str:
    named = list(map(printable, _paths(places)))
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{', '.join(named[:3]) or 'nothing given'}{more}"


def largest_face(analyzed: AnalyzedPhoto) -> Face:
    """Return the largest face of a photo; raises `NoFaceError` without one."""
    if not analyzed.faces:
        raise NoFaceError(f"{printable(analyzed.photo.path)}: no face was found")
    return analyzed.faces[0]


def lasting_source(source: str) -> str:
    """Return a photo's absolute path; labels of photos without a file, and addresses, are unchanged."""
    path = Path(source)
    return str(path.absolute()) if not is_bucket_url(source) and path.is_file() else source


def _are_several(photos: object) -> bool:
    is_one = photo_label(photos) is not None or isinstance(photos, Mapping | TextIOBase)
    return not is_one and isinstance(photos, Iterable)


def _several(photos: Photos) -> list[PhotoInput]:
    """Return photos as a list of at least one, checking each."""
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
    """Read and analyze photos, a bounded number ahead; yields one result per photo, in order."""
    unread: deque[Photo | None] = deque()
    readable = _readable(photos, unread, channels)
    first = list(islice(readable, 1))  # while the networks are loading
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
    """A selected face of a photo."""

    photo: AnalyzedPhoto  # the photo and all its faces
    face_number: int  # from 1, largest first

    @property
    def face(self) -> Face:
        """The face."""
        return self.photo.faces[self.face_number - 1]

    @property
    def key(self) -> FaceKey:
        """The face's key in a gallery."""
        return FaceKey.from_analysis(self.photo, self.face)

    @property
    def path(self) -> str:
        """The photo's path as the user gave it."""
        return self.photo.photo.path


def point_at(engine: Engine, photo: PhotoInput, face_number: int | None = None) -> PointedFace:
    """Select the face of a photo by its number, from 1, largest first; None for a photo with one face.

    Raises `PhotoError` (the photo cannot be read or has no face) or `UsageError` (it shows several faces and no number
    is given, or there is no face with the number; the message lists the faces).
    """
    if face_number is not None and not _is_whole(face_number):
        raise UsageError(f"face_number must be an integer from 1, not {printable(repr(face_number))}")
    (analyzed,) = engine.analyzer.analyze([open_photo(photo)])
    largest_face(analyzed)
    name, count = printable(analyzed.photo.path), len(analyzed.faces)
    if face_number is None and count > 1:
        raise UsageError(f"{name} shows {count} faces, choose one with --face: {_list_faces(analyzed.faces)}")
    if face_number is not None and not 1 <= face_number <= count:
        raise UsageError(f"{name} has no face {face_number}, only {_list_faces(analyzed.faces)}")
    return PointedFace(analyzed, 1 if face_number is None else face_number)


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _list_faces(faces: tuple[Face, ...]) -> str:
    listed = [f"{number} {_place(face)}" for number, face in enumerate(faces[:_LISTED], 1)]
    more = f" and {len(faces) - _LISTED} smaller ones" if len(faces) > _LISTED else ""
    return f"{', '.join(listed)}{more}"


def _place(face: Face) -> str:
    x1, y1, x2, y2 = (round(float(edge)) for edge in face.box)
    return f"(x {x1} to {x2}, y {y1} to {y2})"
