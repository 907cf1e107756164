"""The scan file: which photos there are, by content, and the faces that were found in them.

One SQLite file. It holds faces of everybody in the photos, so that only its owner can read it; what a scan finds gone
is wiped from it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.album.scan_schema import SCAN_FILE, prepare
from facebank.errors import FacebankError
from facebank.face_numbers import embeddings_of, face_from_numbers, face_to_numbers, qualities_of, width_of
from facebank.faces import PhotoFaces
from facebank.storage.sqlite import connect, transaction

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.gallery import PackIdentity

_WAIT_SECONDS = 60.0
_PAGE = 500
_OLD_PHOTO_TAKES_THE_NEW_ONES_PLACE = (
    "UPDATE files SET photo = (SELECT id FROM photos WHERE content_hash = :old) "
    "WHERE photo = (SELECT id FROM photos WHERE content_hash = :new)",
    "DELETE FROM photos WHERE content_hash = :new",
    "UPDATE photos SET content_hash = :new WHERE content_hash = :old",
)


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file looked like from outside: when both are as they were, it is taken to be the same.

    Attributes
    ----------
    size
        In bytes.
    modified
        Time of the last change in nanoseconds since 1970.
    """

    size: int
    modified: int


@dataclass(frozen=True, slots=True, eq=False)
class ScannedFile:
    """What a scan found out about a file.

    Attributes
    ----------
    path
        Absolute.
    state
        As it was before it was read.
    content_hash
        SHA-256 of its bytes, in hex; None where not even those can be read.
    error
        Why it cannot be read; None where it can.
    found
        What was found in it; None where that was known already, or it cannot be read.
    """

    path: str
    state: FileState
    content_hash: str | None
    error: str | None
    found: PhotoFaces | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many files can be read, how many different photos they are, and how many faces those have."""

    files: int
    photos: int
    faces: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredFaces:
    """All faces of a scan.

    Attributes
    ----------
    ids, photos
        Numbers of the faces and of their photos, ``int64`` of shape ``(N,)``.
    embeddings
        ``float32`` of shape ``(N, D)``.
    qualities
        0..1, ``float32`` of shape ``(N,)``.
    """

    ids: NDArray[np.int64]
    photos: NDArray[np.int64]
    embeddings: FloatArray
    qualities: FloatArray


class ScanFile:
    """Photos by content, with their faces. Use `open`, and ``with`` to close it.

    Parameters
    ----------
    path
        The file.
    connection
        To it.
    dimension
        Length of the embeddings.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, dimension: int) -> None:
        self.path = path
        self._connection = connection
        self._dimension = dimension

    @classmethod
    def open(cls, path: Path, pack: PackIdentity, *, create: bool = False) -> Self:
        """Open a scan file.

        Parameters
        ----------
        path
            The file.
        pack
            Whose embeddings it holds.
        create
            Whether to make it where there is none.

        Raises
        ------
        ScanNotFoundError
            There is none.
        ScanFormatError
            It is no scan file, a damaged one, or one of a newer facebank.
        PackMismatchError
            Another pack made its embeddings.
        StorageError
            It cannot be made or opened.
        """
        if create:
            SCAN_FILE.make_empty_file(path)
        SCAN_FILE.check_header(path, may_be_empty=create)
        with SCAN_FILE.said_plainly(path):
            connection = connect(path, busy_timeout=_WAIT_SECONDS)
        try:
            with SCAN_FILE.said_plainly(path):
                prepare(connection, path, pack)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, pack.dimension)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def files(self, place: str) -> dict[str, FileState]:
        """Return the files known in a folder and the folders in it, or a single file, with their states."""
        statement = "SELECT path, size, modified FROM files WHERE path = ? OR (path > ? AND path < ?)"
        rows = self._rows(statement, _range_of(place))
        return {os.fsdecode(path): FileState(size, modified) for path, size, modified in rows}

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the files in a folder that cannot be read, and why."""
        rows = self._rows(
            "SELECT path, error FROM files WHERE error IS NOT NULL AND (path = ? OR (path > ? AND path < ?)) "
            "ORDER BY path",
            _range_of(place),
        )
        return {os.fsdecode(path): error for path, error in rows}

    def known_photos(self) -> set[bytes]:
        """Return SHA-256 of all photos whose faces are there, 32 bytes each."""
        return {bytes.fromhex(content_hash) for (content_hash,) in self._rows("SELECT content_hash FROM photos")}

    def count_in(self, place: str) -> int:
        """Return how many files of a folder can be read."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM files WHERE photo IS NOT NULL AND (path = ? OR (path > ? AND path < ?))",
            _range_of(place),
        )
        return int(count)

    def count(self) -> Counts:
        """Return how much it holds."""
        rows = self._rows(
            "SELECT (SELECT count(*) FROM files WHERE photo IS NOT NULL), (SELECT count(*) FROM photos), "
            "(SELECT count(*) FROM faces)"
        )
        return Counts(*rows[0])

    def keep(self, files: Sequence[ScannedFile]) -> None:
        """Remember what was found out about files, all or nothing."""
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            for file in files:
                if file.found is not None:
                    self._keep_faces(file.found)
            self._connection.executemany(
                "INSERT OR REPLACE INTO files (path, size, modified, photo, error) "
                "VALUES (?, ?, ?, (SELECT id FROM photos WHERE content_hash = ?), ?)",
                [
                    (os.fsencode(file.path), file.state.size, file.state.modified, file.content_hash, file.error)
                    for file in files
                ],
            )

    def keep_written(self, old_hash: str, file: ScannedFile) -> None:
        """Remember that a file has other bytes and still the same picture: its faces keep their numbers and groups."""
        hashes = {"old": old_hash, "new": file.content_hash}
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            (alone,) = self._connection.execute(
                "SELECT count(*) = 1 FROM files JOIN photos ON photos.id = files.photo WHERE content_hash = :old",
                hashes,
            ).fetchone()
            if alone:  # copies that were written before have a photo of their own by now
                for change in _OLD_PHOTO_TAKES_THE_NEW_ONES_PLACE:
                    self._connection.execute(change, hashes)
        self.keep([file])  # copies that were not written keep the old photo

    def forget(self, paths: Iterable[str]) -> int:
        """Forget files, and the faces of photos that no file has any more; return how many photos that were."""
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            self._connection.executemany("DELETE FROM files WHERE path = ?", [(os.fsencode(path),) for path in paths])
            gone = self._connection.execute(
                "DELETE FROM photos WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.photo = photos.id)"
            )
            return gone.rowcount

    def move(self, paths: Iterable[tuple[str, str]]) -> None:
        """Know files under other paths; a path that is not known is passed over."""
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE OR REPLACE files SET path = ? WHERE path = ?",
                [(os.fsencode(after), os.fsencode(before)) for before, after in paths],
            )

    def photos(self, places: Sequence[str] = ()) -> Iterator[PhotoFaces]:
        """Return what was found in the photos of some folders, or in all; a photo in several files comes for each.

        Yields
        ------
        PhotoFaces
            In the order of the paths.
        """
        ranges = [_range_of(place) for place in places] or [(b"", b"", b"\xff" * 8)]
        for exact, below, above in ranges:
            pages = self._pages(
                "SELECT files.path, photos.* FROM files JOIN photos ON photos.id = files.photo "
                "WHERE files.path = ? OR (files.path > ? AND files.path < ?) ORDER BY files.path",
                (exact, below, above),
            )
            yield from map(self._photo_of, chain.from_iterable(pages))

    def each_photo(self) -> Iterator[tuple[list[int], PhotoFaces]]:
        """Return what was found in each photo, once however many files it has, with the faces' numbers."""
        pages = self._pages(
            "SELECT min(files.path), photos.* FROM photos JOIN files ON files.photo = photos.id GROUP BY photos.id", ()
        )
        for row in chain.from_iterable(pages):
            yield self._face_ids(row[1]), self._photo_of(row)

    def face_table(self) -> StoredFaces:
        """Return all faces, with what is needed to group them."""
        width = width_of(self._dimension)
        rows = self._rows("SELECT id, photo, numbers FROM faces ORDER BY id")
        if any(len(numbers) != 4 * width for *_, numbers in rows):
            raise self._damaged()
        values = np.frombuffer(b"".join(numbers for *_, numbers in rows), dtype="<f4").reshape(-1, width)
        return StoredFaces(
            ids=np.array([number for number, *_ in rows], dtype=np.int64),
            photos=np.array([photo for _, photo, _ in rows], dtype=np.int64),
            embeddings=np.ascontiguousarray(embeddings_of(values)),
            qualities=qualities_of(values),
        )

    def keep_groups(self, numbers: Mapping[int, Sequence[int]]) -> None:
        """Remember groups instead of those that are there: faces' ids by the number of their group, in order."""
        rows = [(face, number, place) for number, faces in numbers.items() for place, face in enumerate(faces, 1)]
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            self._connection.execute("DELETE FROM groups")
            self._connection.executemany("INSERT INTO groups (face, number, position) VALUES (?, ?, ?)", rows)

    def groups(self) -> dict[int, list[int]]:
        """Return the groups as they were remembered."""
        found: dict[int, list[int]] = {}
        for number, face in self._rows("SELECT number, face FROM groups ORDER BY number, position"):
            found.setdefault(number, []).append(face)
        return found

    def dates_of(self, group: int) -> list[datetime | None]:
        """Return when each photo with a face of a group was taken, if known; in UTC where it knows no time zone."""
        rows = self._rows(
            "SELECT DISTINCT photos.id, photos.taken_at FROM groups JOIN faces ON faces.id = groups.face "
            "JOIN photos ON photos.id = faces.photo WHERE groups.number = ?",
            (group,),
        )
        dates = (None if taken_at is None else datetime.fromisoformat(taken_at) for _, taken_at in rows)
        return [when if when is None or when.tzinfo else when.replace(tzinfo=UTC) for when in dates]

    def tell_apart(self, first: int, second: int) -> None:
        """Remember that two faces are not one person."""
        with SCAN_FILE.said_plainly(self.path), transaction(self._connection):
            self._connection.execute("INSERT OR IGNORE INTO apart VALUES (?, ?)", sorted((first, second)))

    def told_apart(self) -> list[tuple[int, int]]:
        """Return the pairs of faces that are not one person."""
        return list(self._rows("SELECT first, second FROM apart"))

    def place_of(self, face: int) -> tuple[PhotoFaces, int]:
        """Return a photo with a face and which of its faces it is, from 0; the first file by name is named.

        Raises
        ------
        ScanFormatError
            There is no such face.
        """
        rows = self._rows(
            "SELECT files.path, photos.* FROM faces JOIN photos ON photos.id = faces.photo "
            "JOIN files ON files.photo = photos.id WHERE faces.id = ? ORDER BY files.path LIMIT 1",
            (face,),
        )
        if not rows:
            raise self._damaged()
        return self._photo_of(rows[0]), self._face_ids(rows[0][1]).index(face)

    def _face_ids(self, photo: int) -> list[int]:
        return [number for (number,) in self._rows("SELECT id FROM faces WHERE photo = ? ORDER BY id", (photo,))]

    def _photo_of(self, row: Any) -> PhotoFaces:
        path, number, content_hash, width, height, turns, taken_at, *dated = row  # an old scan does not say by whom
        when = None if taken_at is None else datetime.fromisoformat(taken_at)
        faces = tuple(self._faces(number))
        return PhotoFaces(os.fsdecode(path), content_hash, width, height, turns, when, faces, camera_dated=any(dated))

    def _damaged(self) -> FacebankError:
        return SCAN_FILE.damage_error(self.path)

    def _faces(self, photo: int) -> Iterator[Any]:
        statement = "SELECT numbers, weaknesses FROM faces WHERE photo = ? ORDER BY id"
        for numbers, weaknesses in self._rows(statement, (photo,)):
            if len(numbers) != 4 * width_of(self._dimension):
                raise self._damaged()
            yield face_from_numbers(np.frombuffer(numbers, dtype="<f4"), tuple(json.loads(weaknesses)))

    def _keep_faces(self, photo: PhotoFaces) -> None:
        when = None if photo.taken_at is None else photo.taken_at.isoformat()
        kept = self._connection.execute(
            "INSERT OR IGNORE INTO photos (content_hash, width, height, quarter_turns, taken_at, camera_dated) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (photo.content_hash, photo.width, photo.height, photo.quarter_turns, when, int(photo.camera_dated)),
        )
        if kept.rowcount:
            self._connection.executemany(
                "INSERT INTO faces (photo, numbers, weaknesses) VALUES (?, ?, ?)",
                [
                    (kept.lastrowid, face_to_numbers(face).tobytes(), json.dumps(face.quality.weaknesses))
                    for face in photo.faces
                ],
            )

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        with SCAN_FILE.said_plainly(self.path):
            return self._connection.execute(statement, values).fetchall()

    def _pages(self, statement: str, values: tuple[object, ...]) -> Iterator[list[Any]]:
        """Return rows as they are asked for; nothing is left to be done where nobody asks to the end."""
        with SCAN_FILE.said_plainly(self.path):
            cursor = self._connection.execute(statement, values)
            page = cursor.fetchmany(_PAGE)
        while page:
            yield page
            with SCAN_FILE.said_plainly(self.path):
                page = cursor.fetchmany(_PAGE)


def _range_of(place: str) -> tuple[bytes, bytes, bytes]:
    """Return the path itself, and what lies between which two is inside of it."""
    path = os.fsencode(place).rstrip(b"/\\") or b"/"
    separator = os.fsencode(os.sep)
    inside = path if path.endswith(separator) else path + separator
    return path, inside, inside[:-1] + bytes([inside[-1] + 1])
