"""Execution of sort plans, and completion of a killed run. Existing files are never overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from facebank.album.sort.entries import Entry, SortMode
from facebank.album.sort.files import content_hash_of, copy_file, link_file, move_file, stored_picture_hash
from facebank.album.sort.journal import SortJournal
from facebank.errors import StorageError
from facebank.storage.concurrency import uninterrupted
from facebank.storage.files import write_reason
from facebank.storage.folders import FileLocation, NamedFolders, open_location
from facebank.storage.leftovers import remove_leftovers
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan, Step

_TRANSFERS = {SortMode.COPY: copy_file, SortMode.LINK: link_file, SortMode.MOVE: move_file}


class SortedPhoto(NamedTuple):
    """The result of one step of a plan."""

    step: Step
    mode: SortMode
    reason: str | None  # why the step failed; None if it succeeded

    @property
    def moved(self) -> tuple[str, str] | None:
        """The old and the new path of a moved photo; None if the photo was not moved."""
        source, target = self.step.source, self.step.target
        is_moved = self.mode is SortMode.MOVE and not source.exists() and target.exists()
        return (str(source), str(target)) if is_moved else None


def sort_photos(plan: SortPlan, key: bytes, progress: Progress = SILENT) -> None:
    """Run a plan; each photo and its sidecars are recorded in the journal before they are transferred.

    Sidecars are copied where photos are linked, because programs rewrite them. Raises `StorageError` if the journal
    cannot be written.

    Parameters
    ----------
    plan
        The plan; its target folder is created if missing.
    key
        The gallery's key, which signs the journal.
    progress
        Receives a `SortedPhoto` after each step.
    """
    if not plan.steps:
        return
    with SortJournal.open(plan.out, plan.folder, key) as journal:
        progress.begin("Sorting", len(plan.steps))
        for step in plan.steps:
            with uninterrupted():  # an interruption must not separate a photo, its sidecars and their report
                reason = _run(journal, step, plan)
                progress.report(SortedPhoto(step, plan.mode, reason))
                progress.advance()


def _run(journal: SortJournal, step: Step, plan: SortPlan) -> str | None:
    """Run a step; return the reason for its failure, or None."""
    source = step.source
    if plan.mode is SortMode.MOVE and source.is_symlink():
        return f"{printable(str(source))} is a link to another file and is not moved: use --copy or --link"
    sidecar_mode = SortMode.COPY if plan.mode is SortMode.LINK else plan.mode
    try:
        with open_location(plan.folder, Path(os.path.realpath(source))) as source_location:
            picture = step.picture_hash or stored_picture_hash(source_location)
            entries = [Entry(plan.mode, str(source), str(step.target), step.content_hash, step.person, picture)]
            for sidecar in step.sidecars:
                source = sidecar.source
                content_hash = content_hash_of(FileLocation(source_location.folder, source.name))
                entries.append(Entry(sidecar_mode, str(source), str(sidecar.target), content_hash, step.person))
            journal.write(entries)
            with open_location(plan.out, step.target, create=True) as target_location:
                for entry in entries:
                    source = Path(entry.source)
                    name = source.name if entry.is_sidecar else source_location.name
                    target = FileLocation(target_location.folder, Path(entry.target).name)
                    _TRANSFERS[entry.mode](FileLocation(source_location.folder, name), target)
    except OSError as error:
        return f"{printable(str(source))} cannot be sorted: {write_reason(error)}"
    return None


def mend_sorting(journal: JournalContent, key: bytes) -> Entry | None:
    """Finish the last photo of a killed run, with its sidecars.

    Raises `StorageError` if a file cannot be transferred.

    Returns
    -------
    Entry or None
        The photo's entry if the photo is at its target now, else None.
    """
    remove_sort_leftovers(journal)
    if not journal.unfinished:
        return None
    entries = journal.entries[-journal.unfinished :]
    photo, folder = entries[0], journal.folders[-1]
    with SortJournal.open(journal.out, None, key), uninterrupted():
        try:
            if not _finish(photo, folder, journal.out):
                return None
            for sidecar in entries[1:]:
                _finish(sidecar, folder, journal.out, from_start=True)
        except OSError as error:
            raise StorageError(f"{printable(photo.source)} cannot be sorted: {write_reason(error)}") from error
    return photo


def _finish(entry: Entry, folder: Path, out: Path, *, from_start: bool = False) -> bool:
    """Finish an entry, or transfer its file if `from_start`; return whether the file is at its target now."""
    with (
        open_location(folder, Path(entry.source), create=True) as source,
        open_location(out, Path(entry.target), create=True) as target,
    ):
        if source.is_same_location(target):
            return False  # a link has made both folders the same, so there is nothing to finish
        if target.is_taken:
            if content_hash_of(target) != entry.content_hash:
                return False
            if entry.mode is SortMode.MOVE and _holds(source, entry):
                source.remove()
            return True
        if from_start and _holds(source, entry):
            _TRANSFERS[entry.mode](source, target)
            return True
    return False


def _holds(location: FileLocation, entry: Entry) -> bool:
    return location.is_taken and content_hash_of(location) == entry.content_hash


def remove_sort_leftovers(journal: JournalContent) -> None:
    """Remove unfinished copies of a killed run from the folders in the journal."""
    out = NamedFolders([journal.out])
    targets = (Path(entry.target).parent for entry in journal.entries)
    folders = {journal.out, *(folder for folder in targets if out.contains(folder))}
    for entry, folder in zip(journal.entries, journal.folders, strict=True):
        source_folder = Path(entry.source).parent
        if source_folder not in folders and NamedFolders([folder]).contains(source_folder):
            folders.add(source_folder)
    remove_leftovers(sorted(folders))
