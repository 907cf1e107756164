"""Updates of an album's scan file: scanning places, merging other scans, forgetting places."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.people_cache import cache_people, has_cached_people
from facebank.album.scan.opening import open_source, scans_in
from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.scan_plan import plan_scan
from facebank.album.scan.scanner import lock_scan, scan
from facebank.errors import FacebankError, PhotoNotFoundError, UsageError
from facebank.gallery import PlaceKind
from facebank.storage.paths import place_path
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.merging import MergeReport
    from facebank.album.scan.scanner import ScanBackend, ScanReport
    from facebank.media.shards import Shard
    from facebank.storage.folders import NamedFolders
    from facebank.storage.progress import Progress


def scan_places(
    bank: GalleryAccess,
    path: Path,
    places: Sequence[Path | str],
    *,
    workers: int | None,
    within: NamedFolders | None,
    shard: Shard | None,
    needs_photos: bool,
    backend: ScanBackend | None,
    progress: Progress,
) -> ScanReport:
    """Scan files, folders and buckets into the scan file at `path`, created if missing.

    The other parameters, the result and the errors are those of `facebank.Album.scan`.
    """
    engine = bank.engine
    with lock_scan(path):
        is_new = is_empty = not path.exists()
        if is_new and backend is None:
            engine.preload()  # the networks load while the folders are listed
        try:
            with ScanFile.open(path, engine.identity, create=True) as scan_file:
                plan = plan_scan(scan_file, places, within, shard, needs_photos=needs_photos)
                is_empty = False
                progress.report(plan)
                if plan.todo and backend is None:
                    engine.preload()
                report = scan(
                    engine,
                    scan_file,
                    plan,
                    workers=workers,
                    within=within,
                    backend=backend,
                    progress=progress,
                )
                if report.analyzed or report.gone or not has_cached_people(bank):
                    cache_people(bank, path, scan_file)
                bank.note_written(PlaceKind.SCAN, path)
                return report
        except FacebankError:
            if is_empty:
                path.unlink(missing_ok=True)
            raise


def merge_scans(
    bank: GalleryAccess, path: Path, paths: Sequence[Path], *, moved: tuple[str, str] | None, progress: Progress
) -> MergeReport:
    """Merge the scans at `paths` into the scan file at `path`, created if missing.

    `moved` are the two absolute names of a folder, as for `facebank.Album.merge`; so are the result and the errors.
    """
    identity = bank.engine.identity
    with lock_scan(path), ExitStack() as opened:
        sources = scans_in(paths)
        _require_others(path, sources)
        scans = [open_source(source, identity, opened) for source in sources]
        is_new = not path.exists()
        try:
            with ScanFile.open(path, identity, create=True) as scan_file:
                report = scan_file.merge(scans, moved=moved, progress=progress)
                if report.new or report.changed or report.gone or not has_cached_people(bank):
                    cache_people(bank, path, scan_file)
        except BaseException:
            if is_new:
                path.unlink(missing_ok=True)  # the new file is empty
            raise
        bank.note_written(PlaceKind.SCAN, path)
        return report


def forget_places(bank: GalleryAccess, path: Path, scan_file: ScanFile, places: Sequence[Path | str]) -> int:
    """Remove the photos and videos of files and folders from the scan, and return the number of files.

    Raises `PhotoNotFoundError` if one of the places was not scanned.
    """
    paths, videos = set[str](), set[str]()
    for place in places:
        place_files = scan_file.files(place_path(place))
        place_videos = scan_file.videos.known(place_path(place))
        if not place_files and not place_videos:
            count_photos(path, scan_file, [place])  # raises PhotoNotFoundError
        paths.update(place_files)
        videos.update(place_videos)
    scan_file.forget(paths)
    for place in places:
        scan_file.forget_shards(place_path(place))
    scan_file.videos.forget(videos)
    cache_people(bank, path, scan_file)
    return len(paths) + len(videos)


def count_photos(path: Path, scan_file: ScanFile, places: Sequence[Path | str]) -> int:
    """Return the number of readable photos of files and folders, or of the whole scan if `places` is empty.

    Raises `PhotoNotFoundError` if one of the places has no scanned photo.
    """
    if not places:
        return scan_file.count().files
    counts = [scan_file.count_in(place_path(place)) for place in places]
    missing = next((place for place, count in zip(places, counts, strict=True) if not count), None)
    if missing is not None:
        raise PhotoNotFoundError(
            f"the scan {printable(str(path))} has no photo of {printable(str(missing))}: scan it first, with "
            "'facebank scan'"
        )
    return sum(counts)


def _require_others(path: Path, sources: Sequence[Path]) -> None:
    """Raise `UsageError` unless there are sources, each named once, and none is the target at `path`."""
    if not sources:
        raise UsageError("name the scans to merge: scan files, Parquet shards or folders of shards")
    seen = dict[str, Path]()
    for source in sources:
        file = os.path.realpath(source)
        if file == os.path.realpath(path):
            raise UsageError(
                f"{printable(str(source))} is the scan that the others are merged into: name only the others"
            )
        if file in seen:
            raise UsageError(
                f"{printable(str(seen[file]))} and {printable(str(source))} are the same scan: name it once"
            )
        seen[file] = source
