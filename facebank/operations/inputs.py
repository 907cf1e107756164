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
    list_folder,
    open_photo,
    photo_label,
)
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.files import is_folder
from facebank.storage.paths import named_path, outermost
from facebank.storage.text import printable
from facebank.types import Photo, SkippedCounts

if TYPE_CHECKING:
    from facebank.media import Channels, PhotoInput, SkippedKind
    from facebank.media.shards import Shard
    from facebank.operations.engine import Engine
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face


Photos: TypeAlias = "PhotoInput | Iterable[PhotoInput]"


@dataclass(frozen=True, slots=True)
class GatheredPhotos:
    """The photos of files and folders, each file once."""

    photos: tuple[Path, ...]
    videos: int  # number of skipped videos
    skipped: tuple[tuple[Path | str, SkippedKind], ...] = ()  # pictures of unsupported kinds, with their kind
    annotated: int = 0  # number of annotated copies by facebank skipped in folders

    @property
    def counts(self) -> SkippedCounts:
        """The numbers of skipped files."""
        return SkippedCounts(Counter(kind.code for _, kind in self.skipped), self.videos, self.annotated)


def gather_photos(paths: Sequence[Path], *, skip_annotated: bool = True, shard: Shard | None = None) -> GatheredPhotos:
    """Return the photos of files and folders; a photo named twice counts once.

    A missing file is listed, and fails when it is read. With `skip_annotated` annotated copies are skipped in
    folders, for which every photo is opened. With `shard` only that shard of the files is listed.
    """
    roots = [] if shard is None else outermost(paths)
    photos: dict[Path, Path] = {}
    annotated: set[Path] = set()
    videos: set[Path] = set()
    skipped: dict[Path, tuple[Path, SkippedKind]] = {}
    for root in paths:
        contents = list_folder(root) if is_folder(root) else FolderContents(photos=(root,))
        if shard is not None:
            contents = shard.select(contents, roots)
        for photo in contents.photos:
            if skip_annotated and photo != root and is_annotated(photo):
                annotated.add(_identity(photo))
            else:
                photos.setdefault(_identity(photo), photo)
        videos.update(map(_identity, contents.videos))
        skipped |= {_identity(path): (path, kind) for path, kind in contents.skipped}
    return GatheredPhotos(tuple(photos.values()), len(videos), tuple(skipped.values()), len(annotated - photos.keys()))


def check_any_exists(paths: Sequence[Path | str]) -> None:
    """Raise `PhotoNotFoundError` if none of the files and folders exists, or none is named.

    Buckets count as existing: listing one reports the error.
    """
    if not paths:
        raise no_photos_error(paths)
    if not any(map(_exists, paths)):
        raise PhotoNotFoundError(f"there is no such file or folder: {_format_paths(paths)}")


def _exists(path: Path | str) -> bool:
    if is_bucket_url(path):
        return True
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # it exists: reading it reports the error
        return True
    return True


def _identity(path: Path) -> Path:
    """Return a path that two spellings of it share; links to one file stay two photos."""
    return Path(os.path.realpath(path.parent), path.name)


def require_photos(photos: Photos) -> tuple[list[PhotoInput], SkippedCounts]:
    """Return the photos of files and folders, and the numbers of skipped files in folders.

    Parameters
    ----------
    photos
        One photo or several: files, folders of them, or photos in memory. A missing file fails when it is read.

    Returns
    -------
    tuple[list[PhotoInput], SkippedCounts]
        Photos, paths as `pathlib.Path`, folders expanded in natural order; and the counts.

    Raises
    ------
    PhotoNotFoundError
        There are no photos.
    UsageError
        An argument is not a photo; the message states its type.
    """
    inputs = _list_photos(photos)
    listed: list[PhotoInput] = []
    videos, annotated, skipped = set[Path](), set[Path](), dict[Path, str]()
    for photo in inputs:
        if not isinstance(photo, str | os.PathLike):
            listed.append(photo)
            continue
        path = named_path(photo)
        if not is_folder(path):
            listed.append(path)
            continue
        contents = list_folder(path)
        annotated_copies = {path for path in contents.photos if is_annotated(path)}
        listed += [path for path in contents.photos if path not in annotated_copies]
        videos.update(map(_identity, contents.videos))
        annotated.update(map(_identity, annotated_copies))
        skipped |= {_identity(path): kind.code for path, kind in contents.skipped}
    if not listed:
        raise no_photos_error(inputs)
    return listed, SkippedCounts(Counter(skipped.values()), len(videos), len(annotated))


def existing_photos(photos: Photos) -> tuple[list[PhotoInput], SkippedCounts]:
    """Return photos as `require_photos` does; also raises `PhotoNotFoundError` if all are files and none exists."""
    listed, skipped = require_photos(photos)
    files = [photo for photo in listed if isinstance(photo, Path)]
    if len(files) == len(listed):
        check_any_exists(files)
    return listed, skipped


def iterate_photos(photos: Photos) -> Iterable[PhotoInput]:
    """Return photos as `existing_photos` does; an iterator is consumed lazily."""
    if isinstance(photos, Iterator) and _is_collection(photos):
        return chain.from_iterable(require_photos(photo)[0] for photo in photos)
    return existing_photos(photos)[0]


def no_photos_error(photos: Sequence[PhotoInput]) -> PhotoNotFoundError:
    """Return the error for files and folders without photos, with the unsupported pictures found there."""
    files = (Path(path) for path in _path_texts(photos) if not is_bucket_url(path))
    gathered = gather_photos([path for path in files if is_folder(path)])
    skipped = describe_skipped(kind for _, kind in gathered.skipped)
    advice = f", only {skipped}; convert them to JPEG or PNG" if skipped else ""
    return PhotoNotFoundError(f"{_format_paths(photos)}: no photos there{advice}")


def _path_texts(photos: Iterable[PhotoInput]) -> list[str]:
    paths = (os.fspath(photo) for photo in photos if isinstance(photo, str | os.PathLike))
    return [path if is_bucket_url(path) else str(Path(path)) for path in paths]


def _format_paths(photos: Sequence[PhotoInput]) -> str:
    paths = list(map(printable, _path_texts(photos)))
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{', '.join(paths[:3]) or 'nothing given'}{more}"


def largest_face(analyzed: AnalyzedPhoto) -> Face:
    """Return the largest face of a photo; raises `NoFaceError` without one."""
    if not analyzed.faces:
        raise NoFaceError(f"{printable(analyzed.photo.path)}: no face was found")
    return analyzed.faces[0]


def absolute_path(path: str) -> str:
    """Return a photo's absolute path; labels of photos without a file, and addresses, are unchanged."""
    file = Path(path)
    return str(file.absolute()) if not is_bucket_url(path) and file.is_file() else path


def _is_collection(photos: object) -> bool:
    is_one = photo_label(photos) is not None or isinstance(photos, Mapping | TextIOBase)
    return not is_one and isinstance(photos, Iterable)


def _list_photos(photos: Photos) -> list[PhotoInput]:
    """Return photos as a list of at least one, checking each."""
    if not _is_collection(photos):
        check_photo(photos)
        return [cast("PhotoInput", photos)]
    listed = list(cast("Iterable[PhotoInput]", photos))
    for photo in listed:
        check_photo(photo)
    return listed


def analyze_readable(
    engine: Engine, photos: Iterable[PhotoInput], channels: Channels = "RGB"
) -> Iterator[AnalyzedPhoto | Photo]:
    """Read and analyze photos, a bounded number ahead; yields one result per photo, in order."""
    unread: deque[Photo | None] = deque()
    readable = _readable(photos, unread, channels)
    first = list(islice(readable, 1))  # while the networks are loading
    for analyzed in engine.analyzer.analyze(chain(first, readable)):
        while (unreadable := unread.popleft()) is not None:
            yield unreadable
        yield analyzed
    yield from (unreadable for unreadable in unread if unreadable is not None)


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


_MAX_LISTED_FACES = 12


@dataclass(frozen=True, slots=True, eq=False)
class SelectedFace:
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


def select_face(engine: Engine, photo: PhotoInput, face_number: int | None = None) -> SelectedFace:
    """Return the face of a photo with a number, from 1, largest first; None for a photo with one face.

    Raises `PhotoError` (the photo cannot be read or has no face) or `UsageError` (it shows several faces and no number
    is given, or there is no face with the number; the message lists the faces).
    """
    if face_number is not None and not _is_integer(face_number):
        raise UsageError(f"face_number must be an integer from 1, not {printable(repr(face_number))}")
    (analyzed,) = engine.analyzer.analyze([open_photo(photo)])
    largest_face(analyzed)
    label, count = printable(analyzed.photo.path), len(analyzed.faces)
    if face_number is None and count > 1:
        raise UsageError(f"{label} shows {count} faces, choose one with --face: {_list_faces(analyzed.faces)}")
    if face_number is not None and not 1 <= face_number <= count:
        raise UsageError(f"{label} has no face {face_number}, only {_list_faces(analyzed.faces)}")
    return SelectedFace(analyzed, 1 if face_number is None else face_number)


def _is_integer(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _list_faces(faces: tuple[Face, ...]) -> str:
    listed = [f"{number} {_format_box(face)}" for number, face in enumerate(faces[:_MAX_LISTED_FACES], 1)]
    more = f" and {len(faces) - _MAX_LISTED_FACES} smaller ones" if len(faces) > _MAX_LISTED_FACES else ""
    return f"{', '.join(listed)}{more}"


def _format_box(face: Face) -> str:
    x1, y1, x2, y2 = (round(float(coordinate)) for coordinate in face.box)
    return f"(x {x1} to {x2}, y {y1} to {y2})"
