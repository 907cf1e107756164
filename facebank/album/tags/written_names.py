"""Records of the names that facebank wrote into photos, and of the names to remove.

Each written name carries a mark that only its gallery can make, which distinguishes a name that was denied or forgotten
there from a name of another gallery. The gallery stores the key of its marks, and no forgotten name. The scan stores
people by numbers, which are never reused, so that the files of a forgotten person can be listed without the name.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from facebank.album.scan.rows import TagRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan.scan_plan import state_of
from facebank.errors import FacebankError, GalleryError, StorageError
from facebank.gallery import FaceKey, name_key

if TYPE_CHECKING:
    from typing import Self

    from facebank.album.tags.regions import Region
    from facebank.gallery import Gallery, PackIdentity
    from facebank.types import Photo

_KEY_SETTING = "tag_key"
_KEY_BYTES = 32
_MARK_DIGITS = 32


@dataclass(frozen=True, slots=True)
class TagMarks:
    """The marks of a gallery's names."""

    key: bytes | None  # 32 bytes; None for a read-only gallery without a key
    name_keys: frozenset[str]  # `name_key` of each person

    @classmethod
    def of(cls, gallery: Gallery) -> Self:
        """Return the marks of a gallery; creates its key if it has none and is writable."""
        key = _read_key(gallery)
        if key is None and not gallery.read_only:
            try:
                gallery.write_setting(_KEY_SETTING, secrets.token_hex(_KEY_BYTES))
            except (GalleryError, StorageError):
                key = None
            else:
                key = _read_key(gallery)
        return cls(key, frozenset(map(name_key, gallery.names().values())))

    def mark(self, name: str) -> str | None:
        """Return the mark of a name, 32 hexadecimal digits; None if the gallery has no key."""
        if self.key is None or not name:
            return None
        return hmac.new(self.key, name_key(name).encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:_MARK_DIGITS]

    def is_obsolete(self, region: Region, denied: AbstractSet[str]) -> bool:
        """Return whether facebank wrote a region's name, nobody changed it, and it is denied or forgotten now.

        `denied` are the keys (`name_key`) of the names that were denied of the face.
        """
        if not region.is_by_facebank or not region.name:
            return False
        key = name_key(region.name)
        if key in denied:
            return True
        mark = self.mark(region.name)
        return key not in self.name_keys and mark is not None and region.mark == mark


def _read_key(gallery: Gallery) -> bytes | None:
    setting = gallery.read_setting(_KEY_SETTING)
    try:
        key = bytes.fromhex(setting) if isinstance(setting, str) else b""
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None


NamesByFile: TypeAlias = Mapping[str, Collection[str]]
"""Names that facebank wrote, by path of the photo or sidecar."""


class WrittenNames:
    """The names that facebank wrote into photos of a scan, kept up to date in the scan file."""

    def __init__(self, scan_file: ScanFile, gallery: Gallery) -> None:
        self.marks = TagMarks.of(gallery)
        self._scan_file = scan_file
        self._gallery = gallery
        self._names = gallery.names()
        self._ids = {name_key(name): person_id for person_id, name in self._names.items()}
        self._rows: dict[str, set[TagRow]] = {}
        for row in scan_file.tags():
            self._rows.setdefault(row.photo_path, set()).add(row)

    def denied(self, photo: Photo) -> dict[int, frozenset[str]]:
        """Return the keys (`name_key`) of the names that were denied of a photo's faces, by the face's index from 0."""
        denied = {}
        for index, face in enumerate(photo.faces):
            person_ids = self._gallery.denials_of(FaceKey.from_photo(photo, face))
            if person_ids:
                names = (self._names[person_id] for person_id in person_ids if person_id in self._names)
                denied[index] = frozenset(map(name_key, names))
        return denied

    def may_have_forgotten(self, photo: Photo) -> bool:
        """Return whether the name of a forgotten person was written for a photo."""
        return any(row.person_id not in self._names for row in self._rows.get(photo.path, ()))

    def add_picture_hash(self, photo: Photo, picture_hash: str) -> None:
        """Record the hash of a photo's pixels, by which it is recognized after its bytes change."""
        if photo.picture_hash is None:
            self._scan_file.add_picture_hash(photo.content_hash, picture_hash)
        self._gallery.add_picture_hash(photo.content_hash, picture_hash)

    def prepare(self, photo: Photo, remaining: NamesByFile) -> None:
        """Record names before they are written, so that a crash leaves none unrecorded."""
        before = self._rows.get(photo.path, set())
        self._keep(photo.path, before | self._rows_of(photo.path, remaining))

    def keep(self, photo: Photo, content_hash: str | None, remaining: NamesByFile | None) -> None:
        """Record what was written for a photo.

        Parameters
        ----------
        photo
            As it was scanned.
        content_hash
            SHA-256 of its bytes now, in hex; None if they are as scanned, or unknown.
        remaining
            Names that facebank wrote and that remain, by file; None to leave the record unchanged.
        """
        if content_hash is not None:
            written = replace(photo, content_hash=content_hash)
            file = ScannedFile(photo.path, state_of(photo.path), content_hash, None, written)
            self._scan_file.keep_written(photo.content_hash, file)
        if remaining is not None:
            self._keep(photo.path, self._rows_of(photo.path, remaining))

    def keep_removed(
        self, path: str, before: str | None, content_hash: str | None, remaining: NamesByFile | None
    ) -> None:
        """Record what was removed from a photo, if the scan has it; as `keep`, with the SHA-256 before the change."""
        if content_hash is not None:
            photo = next(iter(self._scan_file.photos([path])), None)
            if photo is not None and photo.content_hash == before:
                self.keep(photo, content_hash, None)
        if remaining is not None and path in self._rows:
            self._keep(path, self._rows_of(path, remaining))

    def _rows_of(self, photo_path: str, remaining: NamesByFile) -> set[TagRow]:
        """Return the rows to record; those of forgotten people stay while their file has an unknown name."""
        rows = {
            TagRow(photo_path, path, self._ids[name_key(name)])
            for path, names in remaining.items()
            for name in names
            if name_key(name) in self._ids
        }
        has_unknown = {
            path for path, names in remaining.items() if any(name_key(name) not in self._ids for name in names)
        }
        before = self._rows.get(photo_path, ())
        return rows | {row for row in before if row.person_id not in self._names and row.tagged_path in has_unknown}

    def _keep(self, photo_path: str, rows: set[TagRow]) -> None:
        if rows != self._rows.get(photo_path, set()):
            with suppress(StorageError):  # the scan may be read-only
                self._scan_file.keep_tags(photo_path, rows)
            self._rows[photo_path] = rows


def files_with_name(scan_path: Path, pack: PackIdentity, person_id: int, photo_path: str | None = None) -> list[str]:
    """Return the files into which facebank wrote a person's name, according to the scan file; sorted.

    Parameters
    ----------
    scan_path, pack
        The scan file, which need not exist, and the pack of its embeddings.
    person_id
        The person's id in the gallery.
    photo_path
        Absolute path of the only photo to consider; None for all.
    """
    with suppress(FacebankError), ScanFile.open(scan_path, pack) as scan_file:
        tags = (tag for tag in scan_file.tags() if tag.person_id == person_id)
        return sorted({tag.tagged_path for tag in tags if photo_path in (None, tag.photo_path)})
    return []
