"""What a scan and a gallery know of the names that stand in photos, kept in step with what is written there.

The scan notes people by their numbers, not by their names, and a number is never used again: a person who is forgotten
leaves no name behind, and still can it be said in how many files it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.scan.lookout import state_of
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan.written_tags import TagRow
from facebank.album.tags.marks import TagMarks
from facebank.errors import FacebankError, StorageError
from facebank.gallery import FaceKey, name_key

if TYPE_CHECKING:
    from facebank.album.tags.removing import RemovedTags
    from facebank.album.tags.tagged import TaggedPhoto
    from facebank.gallery import Gallery, PackIdentity
    from facebank.types import Photo

Standing = Mapping[str, Collection[str]]
"""Names that facebank wrote, by the file in which they stand."""


class KnownTags:
    """What is known of the names in photos.

    Parameters
    ----------
    scan_file
        In which the photos were found.
    gallery
        Whose names are written.
    """

    def __init__(self, scan_file: ScanFile, gallery: Gallery) -> None:
        self.marks = TagMarks.of(gallery)
        self._scan_file = scan_file
        self._gallery = gallery
        self._names = gallery.names()
        self._ids = {name_key(name): number for number, name in self._names.items()}
        self._rows: dict[str, set[TagRow]] = {}
        for row in scan_file.tags():
            self._rows.setdefault(row.photo, set()).add(row)

    def denied(self, photo: Photo) -> dict[int, frozenset[str]]:
        """Return the keys of the names that faces of a photo were denied to have, by the face."""
        found = {}
        for place, face in enumerate(photo.faces):
            people = self._gallery.denials_of(FaceKey.found(photo, face))
            if people:
                found[place] = frozenset(name_key(self._names[number]) for number in people if number in self._names)
        return found

    def may_have_forgotten(self, photo: Photo) -> bool:
        """Return whether the name of somebody who is forgotten was written for a photo."""
        return any(row.person not in self._names for row in self._rows.get(photo.path, ()))

    def learn_picture(self, photo: Photo, picture_hash: str) -> None:
        """Let a photo be known by its picture, before it gets other bytes."""
        if photo.picture_hash is None:
            self._scan_file.learn_picture(photo.content_hash, picture_hash)
        self._gallery.learn_picture(photo.content_hash, picture_hash)

    def prepare(self, photo: Photo, standing: Standing) -> None:
        """Note the names that are about to stand in files: a crash while they are written leaves none unknown."""
        before = self._rows.get(photo.path, set())
        self._keep(photo.path, before | self._rows_of(photo.path, standing))

    def keep(self, photo: Photo, tagged: TaggedPhoto) -> None:
        """Note what was written."""
        if tagged.content_hash is not None:
            keep_known(self._scan_file, photo, tagged.content_hash)
        if tagged.standing is not None and tagged.error is None:
            self._keep(photo.path, self._rows_of(photo.path, tagged.standing))

    def keep_removed(self, removed: RemovedTags) -> None:
        """Note what was taken out."""
        if removed.content_hash is not None and removed.before is not None:
            found = next(iter(self._scan_file.photos([removed.image])), None)
            if found is not None and found.content_hash == removed.before.content_hash:
                keep_known(self._scan_file, found, removed.content_hash)
        if removed.error is None and removed.image in self._rows:
            self._keep(removed.image, self._rows_of(removed.image, removed.standing))

    def _rows_of(self, photo: str, standing: Standing) -> set[TagRow]:
        """Return what is to be noted; a name that nobody has keeps what was noted of people who are forgotten."""
        rows = {
            TagRow(photo, file, self._ids[name_key(name)])
            for file, names in standing.items()
            for name in names
            if name_key(name) in self._ids
        }
        strange = {file for file, names in standing.items() if any(name_key(name) not in self._ids for name in names)}
        before = self._rows.get(photo, ())
        return rows | {row for row in before if row.person not in self._names and row.file in strange}

    def _keep(self, photo: str, rows: set[TagRow]) -> None:
        if rows != self._rows.get(photo, set()):
            with suppress(StorageError):  # a scan that may not be written keeps no count
                self._scan_file.keep_tags(photo, rows)
            self._rows[photo] = rows


def keep_known(scan_file: ScanFile, photo: Photo, content_hash: str) -> None:
    """Let a scan know a photo that has other bytes and the same picture.

    Parameters
    ----------
    scan_file
        Where the photo was found.
    photo
        What was found in it.
    content_hash
        SHA-256 of its bytes now, in hex.
    """
    written = replace(photo, content_hash=content_hash)
    file = ScannedFile(photo.path, state_of(photo.path), content_hash, None, written)
    scan_file.keep_written(photo.content_hash, file)


def files_with_name(scan: Path, pack: PackIdentity, person: int, photo: str | None = None) -> list[str]:
    """Return the files in which a name stands that facebank wrote, as far as a scan knows; none where there is no scan.

    Parameters
    ----------
    scan
        The scan file.
    pack
        Whose embeddings it holds.
    person
        The person's number in the gallery.
    photo
        Only at this photo, an absolute path; None for all.
    """
    with suppress(FacebankError), ScanFile.open(scan, pack) as scan_file:
        tags = scan_file.tags()
        return sorted({tag.file for tag in tags if tag.person == person and photo in (None, tag.photo)})
    return []
