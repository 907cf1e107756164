"""Names in the photo files of an album: written, listed, removed and imported, and recorded in scan and gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.groups.naming import MAX_SAMPLES
from facebank.album.sort.rewrites import RewriteRecorder
from facebank.album.tags.importing import TagOffer, enroll_tags, read_tags
from facebank.album.tags.removing import remove_name
from facebank.album.tags.writing import TaggedPhoto, tag_photo
from facebank.album.tags.written_names import WrittenNames
from facebank.gallery import PlaceKind, name_key
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url
from facebank.storage.concurrency import uninterrupted
from facebank.storage.folders import NamedFolders
from facebank.storage.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.scan_file import ScanFile
    from facebank.album.tags.importing import ImportedTag
    from facebank.album.tags.removing import RemovedTags
    from facebank.album.tags.writing import TagOptions
    from facebank.storage.progress import Progress
    from facebank.types import Photo


def write_album_tags(
    bank: GalleryAccess, scan_file: ScanFile, photos: Iterable[Photo], places: Sequence[Path], options: TagOptions
) -> Iterator[TaggedPhoto]:
    """Write the names of identified photos, and yield each photo's result.

    Parameters
    ----------
    bank, scan_file
        Record what was written.
    photos
        Identified photos that lie in the places.
    places
        The files and folders that the user named; no file is written through a link that leads out of them.
    options
        As for `facebank.album.tags.writing.tag_photo`.
    """
    options = replace(options, folders=NamedFolders(places))
    recorded = set[Path]()
    tags = WrittenNames(scan_file, bank.gallery)
    with RewriteRecorder(bank.gallery) as recorder:
        for photo in photos:
            if is_bucket_url(photo.path):
                yield TaggedPhoto(photo.path, (), bucket_file_message(photo.path), ())
                continue
            with uninterrupted():  # else a photo could be written and not recorded
                recorder.record_hashes(Path(photo.path), photo.content_hash)
                if not options.dry_run and any(face.person for face in photo.faces):
                    _note_place(bank, Path(photo.path), places, recorded)
                tagged = tag_photo(photo, options, tags)
                if not options.dry_run:
                    remaining = None if tagged.error is not None else tagged.remaining
                    tags.keep(photo, tagged.content_hash, remaining)
                    recorder.record(tagged.files)
            yield tagged


def _note_place(bank: GalleryAccess, path: Path, places: Sequence[Path], recorded: set[Path]) -> None:
    """Record in the gallery, once for each place, that names were written there."""
    named = (Path(absolute(place)) for place in places)
    place = next((place for place in named if path.is_relative_to(place)), path.parent)
    if place not in recorded:
        recorded.add(place)
        bank.note_written(PlaceKind.TAGS, place)


def recorded_photos(bank: GalleryAccess, scan_file: ScanFile, name: str) -> list[Path]:
    """Return the paths of the photos for which a scan records a person's name, or that of a forgotten person."""
    names = bank.gallery.names()
    other_ids = {person_id for person_id, other in names.items() if name_key(other) != name_key(name)}
    photo_paths = {tag.photo_path for tag in scan_file.tags() if tag.person_id not in other_ids}
    return sorted(map(Path, photo_paths))


def remove_album_tags(
    tags: WrittenNames | None, name: str, paths: Sequence[Path], places: Sequence[Path], *, dry_run: bool
) -> Iterator[RemovedTags]:
    """Remove a name from photos and sidecars, and yield each photo's result.

    Parameters
    ----------
    tags
        Records what was removed; None without a scan or a gallery.
    name, paths
        The name in any case, and the photos' files.
    places
        The files and folders that the user named; no file is changed through a link that leads out of them.
    dry_run
        Whether files stay unchanged, and the results are only reported.
    """
    folders = NamedFolders(places)
    for path in paths:
        with uninterrupted():
            removed = remove_name(path, name, folders, dry_run=dry_run)
            if tags is not None and not dry_run:
                before = None if removed.before is None else removed.before.content_hash
                remaining = None if removed.error is not None else removed.remaining
                tags.keep_removed(removed.path, before, removed.content_hash, remaining)
        yield removed


def import_album_tags(
    bank: GalleryAccess,
    photos: Iterable[Photo],
    count: int,
    *,
    max_samples: int | None,
    include_own: bool,
    force: bool,
    progress: Progress,
) -> Iterator[ImportedTag]:
    """Enroll people from the regions of scanned photos, and yield each region's result.

    `count` is the number of photos; the other parameters are as for `facebank.Album.import_tags`.
    """
    offers = list[TagOffer]()
    progress.begin("Reading tags", count)
    for read in read_tags(photos, include_own=include_own, progress=progress):
        if isinstance(read, TagOffer):
            offers.append(read)
        else:
            yield read
    if offers:
        progress.begin("Enrolling", len(offers))
        gallery = bank.open_gallery(create=True)
        max_samples = MAX_SAMPLES if max_samples is None else max_samples
        for tag in enroll_tags(gallery, bank.engine, offers, max_samples=max_samples, force=force):
            progress.advance()
            yield tag
