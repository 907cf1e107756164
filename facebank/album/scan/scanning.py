"""Scanning folders: every photo is looked at once, whatever becomes of its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.scan.lookout import Lookout, state_of
from facebank.album.scan.rows import FileState
from facebank.album.scan.scan_file import ScannedFile
from facebank.errors import PhotoNotFoundError
from facebank.media import FolderContents, decoder_versions, is_annotated, look_through
from facebank.operations.inputs import nothing_there, require_places
from facebank.storage.paths import absolute
from facebank.storage.progress import SILENT, Progress
from facebank.types import SkippedCounts

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import ScanFile
    from facebank.operations.engine import Engine

_KEPT_AT_ONCE = 16  # what an interruption can lose


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did.

    Attributes
    ----------
    unchanged
        Files that can be read, were known and are as they were.
    looked_at
        Photos in which faces were looked for.
    known_by_content
        Files that are new or changed but hold a photo that was known: moved, renamed, copied or with other metadata.
    gone
        Photos that were known and that no file has any more.
    unreadable
        Paths of files that cannot be read, and why.
    skipped
        How many files were passed over in the folders.
    """

    unchanged: int
    looked_at: int
    known_by_content: int
    gone: int
    unreadable: dict[str, str]
    skipped: SkippedCounts = field(default_factory=SkippedCounts)


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What there is to do.

    Attributes
    ----------
    places
        The folders and files, absolute.
    todo
        New and changed files, absolute, with their states; of a file that cannot be looked at the state is empty. Also
        files that could not be read, where other readers are installed by now.
    unchanged
        How many files can be read, are known and as they were.
    gone
        Files that are known and no more, absolute.
    emptied
        Places that held photos and hold none at all: more likely a disk that is not there than photos that are gone.
    skipped
        How many files were passed over in the folders.
    """

    places: tuple[str, ...]
    todo: tuple[tuple[str, FileState], ...]
    unchanged: int
    gone: tuple[str, ...]
    emptied: tuple[str, ...]
    skipped: SkippedCounts = field(default_factory=SkippedCounts)


def plan_scan(scan_file: ScanFile, places: Sequence[Path]) -> ScanPlan:
    """Compare folders with what a scan file knows, by names, sizes and times only.

    Parameters
    ----------
    scan_file
        What is known.
    places
        Files and folders.

    Raises
    ------
    PhotoNotFoundError
        None of the places is there.
    """
    roots = _roots(places)
    _require_some(scan_file, places, roots)
    todo: list[tuple[str, FileState]] = []
    unchanged, still_unreadable, annotated, gone, emptied = 0, 0, 0, list[str](), list[str]()
    videos, skipped = 0, Counter[str]()
    for root in roots:
        known, contents = {file.path: file for file in scan_file.known_files(root)}, _contents_of(root)
        photos = list(map(str, contents.photos))
        videos += len(contents.videos)
        skipped.update(kind.code for _, kind in contents.skipped)
        for path in photos:
            state, file = state_of(path), known.pop(path, None)
            if file is None and path != root and is_annotated(Path(path)):
                annotated += 1
            elif file is None or file.state != state or (file.error is not None and file.readers != decoder_versions()):
                todo.append((path, state))
            else:
                unchanged += file.error is None
                still_unreadable += file.error is not None
        if known and not photos:
            emptied.append(root)
        else:
            # what is unreadable and no photo by its name was named once, such as a text
            gone += [file.path for file in known.values() if file.error is not None or not _may_be_there(file.path)]
    if not (todo or unchanged or still_unreadable or gone or emptied or annotated):
        raise nothing_there(places)
    counts = SkippedCounts(skipped, videos, annotated)
    return ScanPlan(tuple(roots), tuple(todo), unchanged, tuple(gone), tuple(emptied), counts)


def scan(
    engine: Engine,
    scan_file: ScanFile,
    plan: ScanPlan,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> ScanReport:
    """Look at what is new or changed, and forget what is gone.

    What was looked at is kept as it comes: an interrupted scan goes on where it was.

    Parameters
    ----------
    engine
        The pack; it should run each network on one thread, as `facebank.operations.engine.load_engine` makes it when
        asked.
    scan_file
        Remembers.
    plan
        As `plan_scan` gives it.
    workers
        How many photos are looked at at the same time; None for one a processor core.
    progress
        Receives each `ScannedFile` once its faces are kept.

    Raises
    ------
    StorageError
        The scan file cannot be written.
    """
    looked_at = known = 0
    progress.begin("Scanning", len(plan.todo))
    for batch in _batches(_looked_at(engine, scan_file, plan.todo, workers), _KEPT_AT_ONCE):
        scan_file.keep(batch)
        for file in batch:
            looked_at += file.found is not None
            known += file.found is None and file.error is None
            progress.report(file)
            progress.advance()
    gone = scan_file.forget(plan.gone)
    there = [place for place in plan.places if place not in plan.emptied]
    unreadable = {path: why for place in there for path, why in scan_file.unreadable(place).items()}
    return ScanReport(plan.unchanged, looked_at, known, gone, unreadable, plan.skipped)


def _looked_at(
    engine: Engine, scan_file: ScanFile, todo: Sequence[tuple[str, FileState]], workers: int | None
) -> Iterator[ScannedFile]:
    """Look at files; no network is loaded where there are none."""
    if todo:
        lookout = Lookout(engine.analyzer, scan_file.known_photos(), workers, scan_file.known_pictures())
        yield from lookout.look(todo)


def _require_some(scan_file: ScanFile, places: Sequence[Path], roots: Sequence[str]) -> None:
    """Raise `PhotoNotFoundError` where none of the places is there, and say so if there were photos once."""
    try:
        require_places(places)
    except PhotoNotFoundError as error:
        known = sum(scan_file.count_in(root) for root in roots)
        if not known:
            raise
        raise PhotoNotFoundError(
            f"{error}; the scan knows {known:,} photos of there, and keeps them in case a disk is missing: with "
            "--forget it forgets them"
        ) from error


def _roots(places: Iterable[Path]) -> list[str]:
    """Return the places as absolute paths, none inside another."""
    roots: list[str] = []
    for path in sorted(map(absolute, places)):
        if not roots or not Path(path).is_relative_to(roots[-1]):
            roots.append(path)
    return roots


def _contents_of(root: str) -> FolderContents:
    try:
        return look_through(root)
    except PhotoNotFoundError:  # another of the places is there
        return FolderContents()


def _may_be_there(path: str) -> bool:
    """Tell whether a file is only out of sight, such as one in a folder that may not be opened just now."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _batches(files: Iterator[ScannedFile], size: int) -> Iterator[list[ScannedFile]]:
    batch: list[ScannedFile] = []
    for file in files:
        batch.append(file)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
