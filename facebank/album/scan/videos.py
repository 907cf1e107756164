"""The videos of a scan file: the times at which each face is visible, its best sightings and a thumbnail."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from facebank.album.scan.merging import is_inside
from facebank.album.scan.rows import (
    FaceRow,
    FileStamp,
    error_or_none,
    face_row,
    face_values,
    faces_of,
    insert,
    path_of,
    select,
    text_or_none,
)
from facebank.album.scan.schema import SCAN_FILE
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, finite_number, hex_digest, integer, integer_between, verify_row

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from facebank.album.scan.tables import ScanTables
    from facebank.types import Face

_MAX_TRACKS, _MAX_FACES = 1_000_000, 1_000
_MAX_SECONDS = 1e7
_MAX_PICTURE = 1 << 20  # bytes
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True, eq=False)
class ScannedTrack:
    """A face that is followed through a shot of a video; times are seconds from the video's beginning."""

    shot: int  # number of the shot in the video, from 0
    begun: float  # first sighting
    seen: float  # last sighting
    ended: float  # time until which the face counts as visible
    faces: tuple[Face, ...]  # the best sightings, the best first
    picture: bytes | None = None  # JPEG of the frame with the best sighting; None when read without pictures
    number: int = 0  # in the scan file; 0 before it is stored


@dataclass(frozen=True, slots=True, eq=False)
class ScannedVideo:
    """The result of scanning a video."""

    path: str  # absolute
    state: FileStamp  # as it was before the file was read
    content_hash: str | None  # SHA-256 of its bytes, in hex; None if it cannot be read
    seconds: float = 0.0
    tracks: tuple[ScannedTrack, ...] = ()
    error: str | None = None  # why it cannot be decoded, or None
    readers: str | None = None  # versions of the decoders that failed; None to retry in any case
    is_known: bool = False  # whether its bytes were known under another name, so that it was not analyzed


class VideoRow(NamedTuple):
    """A video, without its tracks."""

    id: int
    path: str
    state: FileStamp
    content_hash: str | None  # SHA-256 of its bytes, in hex; None if it cannot be read
    seconds: float  # duration
    error: str | None  # why it cannot be decoded, or None
    readers: str | None  # versions of the decoders that failed; None to retry in any case
    track_count: int


class _TrackRow(NamedTuple):
    id: int
    video: int
    shot: int
    begun: float
    seen: float
    ended: float
    face_count: int


class ScanVideos:
    """The videos of an open scan file; several threads may use it.

    Parameters
    ----------
    tables
        The tables of the scan file.
    dimension
        Length of its embeddings.
    """

    def __init__(self, tables: ScanTables, dimension: int) -> None:
        self._tables = tables
        self._dimension = dimension

    def known(self, place: str | None = None) -> dict[str, VideoRow]:
        """Return the videos below a folder, or the single one, by path, in order; None for all."""
        with self._tables.reading():
            rows = list(self._tables.whole_table("videos", "id", _video_row, "videos"))
        inside = sorted((row for row in rows if place is None or is_inside(row.path, place)), key=lambda row: row.path)
        if len({row.path for row in inside}) != len(inside):
            raise SCAN_FILE.damage_error(self._tables.path)
        return {row.path: row for row in inside}

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the errors of unreadable videos below a folder, by path."""
        return {path: row.error for path, row in self.known(place).items() if row.error is not None}

    def version(self) -> str:
        """Return a digest that changes whenever a video is added, changed, moved or forgotten."""
        digest = hashlib.sha256()
        for path, row in self.known().items():
            digest.update(b"%s\0%s\0" % (os.fsencode(path), (row.content_hash or "").encode()))
        return digest.hexdigest()

    def each(
        self, places: Sequence[str] = (), is_wanted: Callable[[VideoRow], bool] = lambda _: True
    ) -> Iterator[ScannedVideo]:
        """Yield the readable videos in the order of their paths, without pictures; of all folders without places.

        `is_wanted` filters the videos before their tracks are read.
        """
        for path, row in self.known().items():
            is_in_places = not places or any(is_inside(path, place) for place in places)
            if row.error is None and is_in_places and is_wanted(row):
                tracks = self._tracks(row)
                if tracks is not None:
                    yield ScannedVideo(path, row.state, row.content_hash, row.seconds, tracks)

    def picture(self, track_number: int) -> bytes | None:
        """Return the JPEG file of a track; None if it has none."""
        rows = self._tables.rows(select(("track_pictures",), "FROM track_pictures WHERE track = ?"), (track_number,))
        return self._tables.read(_picture_row, rows[0]) if rows else None

    def keep(self, video: ScannedVideo) -> None:
        """Store a video with its tracks, replacing the video of its path."""
        with self._tables.changing() as changed:
            number = self._put(video, len(video.tracks), changed)
            for track in video.tracks:
                self._add_track(number, track)

    def keep_copy(self, path: str, state: FileStamp, content_hash: str) -> bool:
        """Store a copy of a known video under another path; return False if no readable video has these bytes."""
        with self._tables.changing() as changed:
            rows = self._tables.rows(
                select(("videos",), "FROM videos WHERE content_hash = ? AND error IS NULL ORDER BY id LIMIT 1"),
                (content_hash,),
            )
            if not rows:
                return False
            known = self._tables.read(_video_row, rows[0])
            tracks = self._tracks(known) or ()
            pictures = [self.picture(track.number) for track in tracks]
            number = self._put(ScannedVideo(path, state, content_hash, known.seconds), len(tracks), changed)
            for track, picture in zip(tracks, pictures, strict=True):
                self._add_track(number, track, picture)
        return True

    def forget(self, paths: Iterable[str]) -> int:
        """Remove videos with their tracks and pictures, and return their number."""
        with self._tables.changing() as changed:
            before = changed["videos"]
            for path in paths:
                self._drop(path, changed)
            return before - changed["videos"]

    def wipe_pictures(self, track_numbers: Collection[int]) -> None:
        """Remove the pictures of tracks, given by track number; the tracks stay."""
        if track_numbers:
            with self._tables.changing():
                for track_number in track_numbers:
                    self._tables.connection.execute("DELETE FROM track_pictures WHERE track = ?", (track_number,))

    def _put(self, video: ScannedVideo, tracks: int, changed: Counter[str]) -> int:
        self._drop(video.path, changed)
        number = self._next("videos")
        error = None if video.error is None else printable(video.error)
        path, state = os.fsencode(video.path), video.state
        values = (number, path, state.size, state.modified, video.content_hash, float(video.seconds))
        insert(self._tables.connection, "videos", [(*values, error, video.readers, tracks)])
        changed["videos"] += 1
        return number

    def _add_track(self, video: int, track: ScannedTrack, picture: bytes | None = None) -> None:
        connection, number = self._tables.connection, self._next("tracks")
        times = (float(track.begun), float(track.seen), float(track.ended))
        insert(connection, "tracks", [(number, video, track.shot, *times, len(track.faces))])
        first = self._next("track_faces")
        faces = [face_values(face_id, number, face) for face_id, face in enumerate(track.faces, first)]
        insert(connection, "track_faces", faces)
        picture = track.picture if picture is None else picture
        if picture is not None:
            insert(connection, "track_pictures", [(number, picture)])

    def _drop(self, path: str, changed: Counter[str]) -> None:
        deleted = self._tables.connection.execute("DELETE FROM videos WHERE path = ?", (os.fsencode(path),))
        changed["videos"] -= deleted.rowcount

    def _tracks(self, video: VideoRow) -> tuple[ScannedTrack, ...] | None:
        """Return the tracks of a video, in the order of their beginnings; None if it has been changed or removed."""
        in_video = "WHERE track IN (SELECT id FROM tracks WHERE video = ?)"
        with self._tables.reading():
            current = self._tables.rows(select(("videos",), "FROM videos WHERE id = ?"), (video.id,))
            if not current or self._tables.read(_video_row, current[0]) != video:
                return None
            track_rows = self._tables.rows(select(("tracks",), "FROM tracks WHERE video = ? ORDER BY id"), (video.id,))
            face_rows = self._tables.rows(
                select(("track_faces",), f"FROM track_faces {in_video} ORDER BY id"), (video.id,)
            )
        tracks = [self._tables.read(_track_row, row) for row in track_rows]
        faces: dict[int, list[FaceRow]] = defaultdict(list)
        for row in face_rows:
            face = self._tables.read(_face_row, row)
            faces[face.photo_id].append(face)  # the track's number
        if len(tracks) != video.track_count or any(len(faces[track.id]) != track.face_count for track in tracks):
            raise SCAN_FILE.damage_error(self._tables.path, "some of its rows are lost")
        sightings = self._tables.read(faces_of, [faces[track.id] for track in tracks], self._dimension)
        return tuple(
            ScannedTrack(track.shot, track.begun, track.seen, track.ended, track_faces, number=track.id)
            for track, track_faces in zip(tracks, sightings, strict=True)
        )

    def _next(self, table: str) -> int:
        ((number,),) = self._tables.rows(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")  # noqa: S608 - our tables
        return int(number)


def _video_row(row: Sequence[object]) -> VideoRow:
    number, path, size, modified, content_hash, seconds, error, readers, tracks = verify_row("videos", row)
    return VideoRow(
        integer(number),
        path_of(path),
        FileStamp(integer(size), integer(modified)),
        None if content_hash is None else hex_digest(content_hash),
        _seconds(seconds),
        error_or_none(error),
        text_or_none(readers),
        integer_between(tracks, 0, _MAX_TRACKS),
    )


def _track_row(row: Sequence[object]) -> _TrackRow:
    number, video, shot, begun, seen, ended, faces = verify_row("tracks", row)
    track = _TrackRow(
        integer(number),
        integer(video),
        integer_between(shot, 0, 2**62),
        _seconds(begun),
        _seconds(seen),
        _seconds(ended),
        integer_between(faces, 1, _MAX_FACES),
    )
    if not track.begun <= track.seen <= track.ended:
        raise InvalidValueError("it holds a face that disappears before it appears")
    return track


def _face_row(row: Sequence[object]) -> FaceRow:
    return face_row(row, "track_faces")


def _picture_row(row: Sequence[object]) -> bytes:
    _, picture = verify_row("track_pictures", row)
    if not isinstance(picture, bytes) or not picture.startswith(_JPEG) or len(picture) > _MAX_PICTURE:
        raise InvalidValueError("it holds an invalid picture")
    return picture


def _seconds(value: object) -> float:
    seconds = finite_number(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidValueError("it holds an impossible time in a video")
    return seconds
