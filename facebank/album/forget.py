"""Forgetting a person, together with the person's pictures in the scanned videos of the gallery's album."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.album.scan.opening import is_parquet_scan
from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan_paths import album_scan_path
from facebank.errors import FacebankError
from facebank.index.gallery_index import open_local_index, read_with_retry

if TYPE_CHECKING:
    from facebank.gallery import ForgetReport, Gallery
    from facebank.index.people_index import PeopleIndex
    from facebank.types import FloatArray

_MIN_SIMILARITY = 0.2  # two faces of a person are more alike than this in every pack


def forget_person(gallery: Gallery, name: str) -> ForgetReport:
    """Forget a person as `Gallery.forget` does, and wipe the person's thumbnails from the scanned videos.

    These are the pictures of every shot with a face that is most similar to a sample of the person, as they show whole
    frames. They stay if the scan cannot be changed, for example because another program is writing to it.

    Raises
    ------
    PersonNotFoundError
        Nobody has this name.
    StorageError
        The gallery cannot be written.
    """
    track_numbers = list[int]()
    with suppress(FacebankError):
        track_numbers = read_with_retry(lambda: _tracks_of(gallery, name))
    forgotten = gallery.forget(name)
    if track_numbers:
        with suppress(FacebankError), ScanFile.open(album_scan_path(gallery.path), gallery.pack) as scan_file:
            scan_file.videos.wipe_pictures(track_numbers)
    return forgotten


def _tracks_of(gallery: Gallery, name: str) -> list[int]:
    """Return the track numbers in all shots with a face that is most similar to a sample of a person."""
    path = album_scan_path(gallery.path)
    if is_parquet_scan(path):  # has no videos
        return []
    with ScanFile.open(path, gallery.pack, read_only=True) as scan_file:
        tracks = [(video.path, track) for video in scan_file.videos.each() for track in video.tracks]
    person_id, index = gallery.person(name).id, open_local_index(gallery).people if tracks else None
    if index is None:
        return []
    shots = {
        (path, track.shot)
        for path, track in tracks
        if any(_nearest_person(index, face.embedding) == person_id for face in track.faces)
    }
    return [track.number for path, track in tracks if (path, track.shot) in shots]


def _nearest_person(index: PeopleIndex, embedding: FloatArray) -> int | None:
    """Return the id of the person with the most similar sample; None if no sample is similar."""
    near = index.samples_near(embedding)
    best = int(near.similarities.argmax())
    if near.similarities[best] < _MIN_SIMILARITY:
        return None
    return int(index.person_ids[index.person_indices(near.rows[[best]])[0]])
