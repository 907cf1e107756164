"""Running a sort plan, and finishing a run that was killed: nothing is overwritten, and no link is followed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from facebank.album.sort.entries import Entry, SortMode
from facebank.album.sort.journal import SortJournal
from facebank.errors import StorageError
from facebank.media import picture_hash_of, with_orientation
from facebank.storage.concurrency import flock_now, uninterrupted
from facebank.storage.files import part_name, sha256_of
from facebank.storage.folders import FileLocation, NamedFolders, spot_within
from facebank.storage.leftovers import remove_leftovers
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from io import BufferedReader, BufferedWriter

    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan, Step


class SortedPhoto(NamedTuple):
    """A step of a plan that was run, with why it could not be done, or None."""

    step: Step
    mode: SortMode
    why: str | None

    @property
    def moved(self) -> tuple[str, str] | None:
        """The old and the new path of a photo that was moved."""
        source, target = self.step.source, self.step.target
        is_moved = self.mode is SortMode.MOVE and not source.exists() and target.exists()
        return (str(source), str(target)) if is_moved else None


def sort_photos(plan: SortPlan, key: bytes, progress: Progress = SILENT) -> None:
    """Run a plan; each photo and its sidecars are recorded in the journal before they are put anywhere.

    Sidecars are copied where photos are linked, because programs rewrite them. Raises `StorageError`: the journal
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
            with uninterrupted():  # a photo, its sidecars and their report stay together
                why = _run(journal, step, plan)
                progress.report(SortedPhoto(step, plan.mode, why))
                progress.advance()


def _run(journal: SortJournal, step: Step, plan: SortPlan) -> str | None:
    """Run a step; return why it could not be done, or None."""
    source = step.source
    if plan.mode is SortMode.MOVE and source.is_symlink():
        return f"{printable(str(source))} is a link to another file and is not moved: use --copy or --link"
    beside = SortMode.COPY if plan.mode is SortMode.LINK else plan.mode
    try:
        with spot_within(plan.folder, Path(os.path.realpath(source))) as at:
            picture = step.picture_hash or picture_of(at)
            entries = [Entry(plan.mode, str(source), str(step.target), step.content_hash, step.person, picture)]
            for sidecar in step.sidecars:
                source = sidecar.source
                digest = digest_of(FileLocation(at.folder, source.name))
                entries.append(Entry(beside, str(source), str(sidecar.target), digest, step.person))
            journal.write(entries)
            with spot_within(plan.out, step.target, create=True) as to:
                for entry in entries:
                    source = Path(entry.source)
                    name = source.name if entry.is_sidecar else at.name
                    _PUT[entry.mode](FileLocation(at.folder, name), FileLocation(to.folder, Path(entry.target).name))
    except OSError as error:
        return f"{printable(str(source))} cannot be sorted: {error.strerror or error}"
    return None


def mend_sorting(journal: JournalContent, key: bytes) -> Entry | None:
    """Finish the last photo of a killed run: the photo and its sidecars come together again.

    Raises `StorageError`: a file cannot be put where it belongs.

    Returns
    -------
    Entry or None
        The photo's, if it had been put anywhere.
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
                _finish(sidecar, folder, journal.out, begin=True)
        except OSError as error:
            raise StorageError(f"{printable(photo.source)} cannot be sorted: {error.strerror or error}") from error
    return photo


def _finish(entry: Entry, folder: Path, out: Path, *, begin: bool = False) -> bool:
    """Do what is left of an entry, or all of it if it may begin; return whether the file is at its target then."""
    with (
        spot_within(folder, Path(entry.source), create=True) as source,
        spot_within(out, Path(entry.target), create=True) as target,
    ):
        if source.is_same_place(target):
            return False  # a link leads from one folder to the other by now: there is nothing to finish
        if target.is_taken:
            if digest_of(target) != entry.content_hash:
                return False
            if entry.mode is SortMode.MOVE and _holds(source, entry):
                source.remove()
            return True
        if begin and _holds(source, entry):
            _PUT[entry.mode](source, target)
            return True
    return False


def _holds(spot: FileLocation, entry: Entry) -> bool:
    return spot.is_taken and digest_of(spot) == entry.content_hash


def remove_sort_leftovers(journal: JournalContent) -> None:
    """Remove unfinished copies of a killed run, in folders that are the journal's."""
    out = NamedFolders([journal.out])
    targets = (Path(entry.target).parent for entry in journal.entries)
    folders = {journal.out, *(folder for folder in targets if out.hold(folder))}
    for entry, folder in zip(journal.entries, journal.folders, strict=True):
        home = Path(entry.source).parent
        if home not in folders and NamedFolders([folder]).hold(home):
            folders.add(home)
    remove_leftovers(sorted(folders))


# Files ----------------------------------------------------------------------------------------------------------------


def digest_of(spot: FileLocation) -> str:
    """Return the SHA-256 of a file, in hex."""
    with spot.read() as file:
        return sha256_of(file)


def picture_of(spot: FileLocation) -> str:
    """Return the SHA-256 of a photo's stored pixels in hex, whatever metadata its file has."""
    with spot.read() as file:
        return picture_hash_of(file)


def is_picture(stored: str, noted: str) -> bool:
    """Return whether the hash of stored pixels was noted as it is, or as the hash of the picture seen upright."""
    return any(with_orientation(stored, orientation) == noted for orientation in range(1, 9))


def copy_file(source: FileLocation, target: FileLocation, *, settled: bool = False) -> None:
    """Copy a file with its times atomically, over nothing; flushed to the disk if `settled`."""
    part = part_name(target.path).name
    try:
        with source.read() as original, target.folder.create(part) as copy:
            flock_now(copy.fileno())  # or another process would take it for a killed one's leftover
            shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            _copy_metadata(original, copy)
            if settled:
                os.fsync(copy.fileno())
            _publish(part, target)
        if os.utime not in os.supports_fd:
            shutil.copystat(source.path, target.path)
    finally:
        with suppress(FileNotFoundError):
            target.folder.remove(part)


def link_file(source: FileLocation, target: FileLocation) -> None:
    """Give a file another name, over nothing."""
    source.read().close()  # a link or a pipe is refused
    source.folder.link(source.name, target.folder, target.name)


def move_file(source: FileLocation, target: FileLocation) -> None:
    """Move a file over nothing; if it cannot leave its place, it is not at the target either."""
    try:
        link_file(source, target)  # fails where anything is there, as a rename would not
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        copy_file(source, target, settled=True)
    try:
        source.remove()
    except OSError:
        if source.is_taken:  # else the target is all that is left of it
            with suppress(OSError):
                target.remove()
        raise


_PUT = {SortMode.COPY: copy_file, SortMode.LINK: link_file, SortMode.MOVE: move_file}


def _publish(part: str, target: FileLocation) -> None:
    try:
        target.folder.link(part, target.folder, target.name)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        if target.is_taken:
            raise
        target.folder.rename(part, target.name)


def _copy_metadata(original: BufferedReader, copy: BufferedWriter) -> None:
    """Copy permissions, extended attributes and times, as far as the system allows."""
    one, other = original.fileno(), copy.fileno()
    status = os.fstat(one)
    if hasattr(os, "fchmod"):
        os.fchmod(other, status.st_mode & 0o777)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(one):
                with suppress(OSError):
                    os.setxattr(other, name, os.getxattr(one, name))
    if os.utime in os.supports_fd:
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
