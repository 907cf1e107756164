"""Reversal of a sort from its journal, without losing data or separating photos from their sidecars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import Entry, SortMode, is_photo_or_sidecar
from facebank.album.sort.files import content_hash_of, matches_picture, move_file, stored_picture_hash
from facebank.album.sort.journal import JOURNAL, lock_journal
from facebank.album.sort.run import remove_sort_leftovers
from facebank.album.tags.sidecars import SUFFIX, own_sidecars, sidecar_of
from facebank.errors import UsageError
from facebank.storage.files import write_reason
from facebank.storage.folders import NOT_THERE, FileLocation, open_location
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.album.sort.journal import JournalContent

_ADVICE_IF_TAKEN = "move or rename that file, and undo again"
_KEEP_OR_DELETE = "move it elsewhere or delete it, and undo again"


class _KeptFileError(Exception):
    """A file is kept where it is; the message is the reason."""


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The result of undoing the sort of a photo."""

    entry: Entry  # from the journal
    reason: str | None  # why it was not undone, else None
    sidecars: tuple[str, ...] = ()  # current paths of the returned sidecars that were changed since the sort

    @property
    def moved(self) -> tuple[str, str] | None:
        """The old and the new path of a photo that was moved back; None if it was not."""
        is_moved = self.reason is None and self.entry.mode is SortMode.MOVE
        return (self.entry.target, self.entry.source) if is_moved else None


def undo_sorting(journal: JournalContent, progress: Progress = SILENT, *, dry_run: bool = False) -> None:
    """Undo everything that was sorted into a folder, the last photo first.

    A copy or link is removed if it is unchanged and its original exists. A moved photo is moved back unless another
    file has its place; metadata written into it since is kept. Sidecars are treated like their photos. The journal is
    removed once everything is undone. Raises `UsageError` (nothing was sorted into the folder) or `StorageError` (the
    journal is not trusted).

    Parameters
    ----------
    journal
        The journal of the folder.
    progress
        Receives an `UndoResult` for each photo that was put back, or could not be.
    dry_run
        Whether files remain unchanged, and the results are only reported.
    """
    out = journal.out
    if not journal.exists:
        raise UsageError(f"nothing was sorted into {printable(str(out))}: it has no sort journal")
    journal.require_trust()
    failed = False
    with lock_journal(journal):
        if not dry_run:
            remove_sort_leftovers(journal)
        photos = list(_photos(journal))
        progress.begin("Undoing", len(photos))
        for photo in reversed(photos):
            result = photo.undo(dry_run=dry_run)
            if result is not None:
                failed = failed or result.reason is not None
                progress.report(result)
            progress.advance()
        if dry_run:
            return
        if not failed:
            (out / JOURNAL).unlink(missing_ok=True)
    targets = sorted({Path(entry.target).parent for entry in journal.entries}, reverse=True)
    for folder in (*targets, out):
        with suppress(OSError):  # the folder is not empty
            folder.rmdir()


@dataclass(frozen=True, slots=True)
class _SortedPhoto:
    """A sorted photo with the entries of its sidecars."""

    entry: Entry
    sidecars: tuple[Entry, ...]
    folder: Path  # the sorted folder from which it came
    journal: JournalContent

    def undo(self, *, dry_run: bool) -> UndoResult | None:
        """Undo the sort of the photo, and return the result; None if there was nothing to do."""
        entry = self.entry
        try:
            undo = self._undo_move if entry.mode is SortMode.MOVE else self._undo_copy
            changed = undo(dry_run=dry_run)
        except _KeptFileError as error:
            return UndoResult(entry, str(error))
        except OSError as error:
            reason = f"cannot be undone: {write_reason(error)}; undo again once this is solved"
            return UndoResult(entry, f"the sort of {printable(entry.target)} {reason}")
        return None if changed is None else UndoResult(entry, None, tuple(changed))

    def _undo_move(self, *, dry_run: bool) -> list[str] | None:
        """Put a moved photo and its sidecars back; return the sidecars changed since, None if it was back already."""
        entry = self.entry
        original_path, target = Path(entry.source), Path(entry.target)
        with (
            _try_open_location(self.journal.out, target) as location,
            _try_open_location(self.folder, original_path) as original,
        ):
            is_present = location is not None and location.is_taken
            is_restored = original is not None and original.is_taken
            if location is not None and original is not None and location.is_same_location(original):
                return None  # a link has made both folders the same
            sidecars = _sidecars_beside(location, target)
            if is_present and location is not None:
                self._require_same(location)
                if is_restored and original is not None and content_hash_of(original) != content_hash_of(location):
                    raise _KeptFileError(
                        f"{printable(entry.target)} is kept, because {printable(entry.source)} is another file now: "
                        f"{_ADVICE_IF_TAKEN}"
                    )
            elif not is_restored:
                raise _KeptFileError(
                    f"{printable(entry.source)} cannot be moved back, because {printable(entry.target)} is gone: "
                    "restore one of them from a backup"
                )
            elif original is None or not sidecars or not self._is_same(original):
                return None  # it was never moved, or the user put it back
            pairs = [(sidecar, self._original_path_of(sidecar)) for sidecar in sidecars]
            for sidecar, path in pairs:
                self._require_free(sidecar, path)
            changed = [path for sidecar, path in pairs if not self._is_unchanged(sidecar)]
            if dry_run:
                return list(map(str, changed)) if is_present else None
            with open_location(self.folder, original_path, create=True) as destination:
                if is_present and location is not None:
                    _put_back(location, destination)
                for sidecar, path in pairs:
                    _put_back(sidecar, FileLocation(destination.folder, path.name))
            return list(map(str, changed)) if is_present else None

    def _undo_copy(self, *, dry_run: bool) -> list[str] | None:
        """Remove a copy or link; return the new paths of its sidecars changed since, None if it is absent."""
        entry = self.entry
        target = Path(entry.target)
        with _try_open_location(self.journal.out, target) as location:
            is_present = location is not None and location.is_taken
            sidecars = _sidecars_beside(location, target)
            if location is None or not (is_present or sidecars) or self._is_original(location):
                return None
            if is_present:
                self._require_same(location, with_metadata=True)
            if not self._has_original():
                raise _KeptFileError(
                    f"{printable(entry.target)} is kept, because its original has changed or is gone: "
                    "delete it if it is not needed"
                )
            paths = {sidecar.name: path for sidecar in sidecars if (path := self._free_path_of(sidecar)) is not None}
            changed = [
                str(paths[sidecar.name])
                for sidecar in sidecars
                if sidecar.name in paths and not self._is_unchanged(sidecar)
            ]
            if not dry_run:
                for sidecar in sidecars:
                    self._remove_sidecar(sidecar, paths.get(sidecar.name))
                if is_present:
                    location.remove()
            return changed if is_present else None

    def _free_path_of(self, sidecar: FileLocation) -> Path | None:
        """Return the path for a copy's sidecar beside the original; None if the original has the same sidecar."""
        path = self._original_path_of(sidecar)
        if not os.path.lexists(path):
            return path
        if not (self._is_unchanged(sidecar) or self._is_rewritten(sidecar)):
            self._require_free(sidecar, path)
        return None

    def _remove_sidecar(self, sidecar: FileLocation, path: Path | None) -> None:
        """Move a sidecar to a path beside the original; None removes it."""
        if path is None:
            sidecar.remove()
            return
        with open_location(self.folder, path, create=True) as destination:
            move_file(sidecar, destination)

    def _require_same(self, location: FileLocation, *, with_metadata: bool = False) -> None:
        """Raise `_KeptFileError` unless a file is the sorted photo, including its metadata if `with_metadata`."""
        label = printable(self.entry.target)
        if content_hash_of(location) != self.entry.content_hash and not self._is_rewritten(location):
            if not self._has_picture(location):
                raise _KeptFileError(f"{label} is kept, because it has changed since it was sorted: {_KEEP_OR_DELETE}")
            if with_metadata:
                raise _KeptFileError(
                    f"{label} is kept, because its metadata has changed since it was sorted: {_KEEP_OR_DELETE}"
                )
        if not is_photo_or_sidecar(location, by_name=not self.journal.is_signed):
            raise _KeptFileError(f"{label} is kept, because it is not a photo: delete it if it is not needed")

    def _is_same(self, location: FileLocation) -> bool:
        if content_hash_of(location) == self.entry.content_hash:
            return True
        return self._is_rewritten(location) or self._has_picture(location)

    def _has_picture(self, location: FileLocation) -> bool:
        recorded = self.entry.picture_hash
        return bool(recorded) and matches_picture(stored_picture_hash(location), recorded)

    def _is_rewritten(self, location: FileLocation) -> bool:
        """Return whether facebank wrote the file, and nobody has changed it since."""
        path = Path(self.entry.target).with_name(location.name)
        return (str(path), content_hash_of(location)) in self.journal.rewritten

    def _is_unchanged(self, sidecar: FileLocation) -> bool:
        """Return whether a sidecar is unchanged since it was sorted."""
        recorded = {Path(entry.target).name: entry.content_hash for entry in self.sidecars}
        return sidecar.name in recorded and content_hash_of(sidecar) == recorded[sidecar.name]

    def _original_path_of(self, sidecar: FileLocation) -> Path:
        """Return the path of a sidecar beside the original."""
        original_path, target = Path(self.entry.source), Path(self.entry.target)
        has_photo_suffix = sidecar.name == sidecar_of(target).name
        return sidecar_of(original_path) if has_photo_suffix else original_path.with_suffix(SUFFIX)

    def _require_free(self, sidecar: FileLocation, path: Path) -> None:
        with _try_open_location(self.folder, path) as existing:
            if existing is not None and existing.is_taken and content_hash_of(existing) != content_hash_of(sidecar):
                label, other_label = printable(str(sidecar.path)), printable(str(path))
                raise _KeptFileError(
                    f"{label} and its photo are kept, because {other_label} is another file now: {_ADVICE_IF_TAKEN}"
                )

    def _is_original(self, location: FileLocation) -> bool:
        """Return whether a location is the original's, because a link has made both folders the same."""
        with suppress(OSError), _try_open_location(self.folder, Path(os.path.realpath(self.entry.source))) as original:
            return original is not None and original.is_same_location(location)
        return False

    def _has_original(self) -> bool:
        with _try_open_location(self.folder, Path(os.path.realpath(self.entry.source))) as original:
            return original is not None and original.is_taken and self._is_same(original)


def _photos(journal: JournalContent) -> Iterator[_SortedPhoto]:
    """Yield the sorted photos with their sidecars."""
    sidecars, folders = dict[Entry, list[Entry]](), dict[Entry, Path]()
    photo = None
    for entry, folder in zip(journal.entries, journal.folders, strict=True):
        if not entry.is_sidecar:
            photo = entry
            sidecars.setdefault(entry, [])
            folders[entry] = folder
        elif photo is not None:
            sidecars[photo].append(entry)
    for entry, photo_sidecars in sidecars.items():
        yield _SortedPhoto(entry, tuple(photo_sidecars), folders[entry], journal)


@contextmanager
def _try_open_location(root: Path, path: Path) -> Iterator[FileLocation | None]:
    """Open the location of a file; None if its folder is missing."""
    with ExitStack() as opened:
        try:
            location = opened.enter_context(open_location(root, path))
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            location = None
        yield location


def _sidecars_beside(location: FileLocation | None, path: Path) -> list[FileLocation]:
    if location is None:
        return []
    return [FileLocation(location.folder, sidecar.name) for sidecar in own_sidecars(path)]


def _put_back(location: FileLocation, original: FileLocation) -> None:
    """Move a file back, or remove it if the same file is there already."""
    if original.is_same_location(location):
        return
    if original.is_taken:
        location.remove()
    else:
        move_file(location, original)
