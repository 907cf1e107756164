"""Undoing a sort from its journal, without losing data or separating photos from their sidecars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import Entry, SortMode, is_photo_or_sidecar
from facebank.album.sort.files import digest_of, is_picture, move_file, picture_of
from facebank.album.sort.journal import JOURNAL, only_undoing
from facebank.album.sort.run import remove_sort_leftovers
from facebank.album.tags.sidecars import SUFFIX, own_sidecars, sidecar_of
from facebank.errors import UsageError
from facebank.storage.folders import NOT_THERE, FileLocation, open_location
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.album.sort.journal import JournalContent


class _StaysError(Exception):
    """A file stays where it is; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Undone:
    """The result of undoing the sort of a photo."""

    entry: Entry  # the journal's
    why: str | None  # why it is not undone; None if it is
    sidecars: tuple[str, ...] = ()  # present paths of the returned sidecars that were changed since the sort

    @property
    def moved(self) -> tuple[str, str] | None:
        """The old and the new path of a photo that was moved back; None if it was not."""
        is_moved = self.why is None and self.entry.mode is SortMode.MOVE
        return (self.entry.target, self.entry.source) if is_moved else None


def undo_sorting(journal: JournalContent, progress: Progress = SILENT, *, dry_run: bool = False) -> None:
    """Undo everything that was sorted into a folder, the last photo first.

    A copy or link is removed if it is unchanged and its original exists. A moved photo goes back unless another file
    has taken its place; metadata written into it since is kept. Sidecars follow their photos. The journal is removed
    once everything is undone. Raises `UsageError` (nothing was sorted into the folder) or `StorageError` (the journal
    is not trusted).

    Parameters
    ----------
    journal
        The journal of the folder.
    progress
        Receives an `Undone` for each photo that was put back, or could not be.
    dry_run
        Whether files stay unchanged, and only the report is made.
    """
    out = journal.out
    if not journal.is_there:
        raise UsageError(f"nothing was sorted into {printable(str(out))}: there is no journal of it")
    journal.require_trust()
    failed = False
    with only_undoing(journal):
        if not dry_run:
            remove_sort_leftovers(journal)
        photos = list(_photos(journal))
        progress.begin("Undoing", len(photos))
        for photo in reversed(photos):
            undone = photo.undo(dry_run=dry_run)
            if undone is not None:
                failed = failed or undone.why is not None
                progress.report(undone)
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
    entry: Entry
    sidecars: tuple[Entry, ...]
    folder: Path  # the sorted folder from which it came
    journal: JournalContent

    def undo(self, *, dry_run: bool) -> Undone | None:
        """Undo the sort of the photo; None if there was nothing to do."""
        entry = self.entry
        try:
            undo = self._undo_move if entry.mode is SortMode.MOVE else self._undo_copy
            changed = undo(dry_run=dry_run)
        except _StaysError as stays:
            return Undone(entry, str(stays))
        except OSError as error:
            return Undone(entry, f"{printable(entry.target)} cannot be undone: {error.strerror or error}")
        return None if changed is None else Undone(entry, None, tuple(changed))

    def _undo_move(self, *, dry_run: bool) -> list[str] | None:
        """Put a moved photo and its sidecars back; return the sidecars changed since, None if it was back already."""
        entry = self.entry
        source, target = Path(entry.source), Path(entry.target)
        with _spot(self.journal.out, target) as at, _spot(self.folder, source) as home:
            there, is_home = at is not None and at.is_taken, home is not None and home.is_taken
            if at is not None and home is not None and at.is_same_location(home):
                return None  # a link has made both folders the same
            beside = [] if at is None else [FileLocation(at.folder, path.name) for path in own_sidecars(target)]
            if there and at is not None:
                self._require_same(at)
                if is_home and home is not None and digest_of(home) != digest_of(at):
                    raise _StaysError(f"{printable(entry.source)} is another file now: {printable(entry.target)} stays")
            elif not is_home:
                raise _StaysError(f"{printable(entry.source)} cannot be moved back: {printable(entry.target)} is gone")
            elif home is None or not beside or not self._is_same(home):
                return None  # it was never moved, or the user put it back
            homes = [self._home_of(sidecar) for sidecar in beside]
            for sidecar, place in zip(beside, homes, strict=True):
                self._require_free(sidecar, place)
            changed = [place for sidecar, place in zip(beside, homes, strict=True) if not self._is_noted(sidecar)]
            if dry_run:
                return list(map(str, changed)) if there else None
            with open_location(self.folder, source, create=True) as back:
                if there and at is not None:
                    _put_back(at, back)
                for sidecar, place in zip(beside, homes, strict=True):
                    _put_back(sidecar, FileLocation(back.folder, place.name))
            return list(map(str, changed)) if there else None

    def _undo_copy(self, *, dry_run: bool) -> list[str] | None:
        """Remove a copy or link; return its sidecars that were changed since and go to the original, None if absent."""
        entry = self.entry
        target = Path(entry.target)
        with _spot(self.journal.out, target) as at:
            there = at is not None and at.is_taken
            beside = [] if at is None else [FileLocation(at.folder, path.name) for path in own_sidecars(target)]
            if at is None or not (there or beside) or self._is_original(at):
                return None
            if there:
                self._require_same(at, alone=True)
            if not self._has_original():
                raise _StaysError(f"{printable(entry.target)} stays: its original has changed or is gone")
            homes = {sidecar.name: home for sidecar in beside if (home := self._copy_goes_to(sidecar)) is not None}
            changed = [str(homes[spot.name]) for spot in beside if spot.name in homes and not self._is_noted(spot)]
            if not dry_run:
                for sidecar in beside:
                    self._take_away(sidecar, homes.get(sidecar.name))
                if there:
                    at.remove()
            return changed if there else None

    def _copy_goes_to(self, sidecar: FileLocation) -> Path | None:
        """Return the path for a copy's sidecar beside the original; None if the original has the same sidecar."""
        home = self._home_of(sidecar)
        if not os.path.lexists(home):
            return home
        if not (self._is_noted(sidecar) or self._is_ours(sidecar)):
            self._require_free(sidecar, home)
        return None

    def _take_away(self, sidecar: FileLocation, home: Path | None) -> None:
        if home is None:
            sidecar.remove()
            return
        with open_location(self.folder, home, create=True) as back:
            move_file(sidecar, back)

    def _require_same(self, spot: FileLocation, *, alone: bool = False) -> None:
        """Raise `_StaysError` unless a file is the sorted photo; with `alone`, its metadata must be unchanged too."""
        shown = printable(self.entry.target)
        if digest_of(spot) != self.entry.content_hash and not self._is_ours(spot):
            if not self._has_picture(spot):
                raise _StaysError(f"{shown} has changed since: it stays")
            if alone:
                raise _StaysError(f"{shown} has changed since, though not its picture: it stays with what is new in it")
        if not is_photo_or_sidecar(spot, by_name=not self.journal.is_signed):
            raise _StaysError(f"{shown} is not a photo: it stays")

    def _is_same(self, spot: FileLocation) -> bool:
        return digest_of(spot) == self.entry.content_hash or self._is_ours(spot) or self._has_picture(spot)

    def _has_picture(self, spot: FileLocation) -> bool:
        noted = self.entry.picture_hash
        return bool(noted) and is_picture(picture_of(spot), noted)

    def _is_ours(self, spot: FileLocation) -> bool:
        """Return whether facebank itself wrote the file, and nobody has changed it since."""
        place = Path(self.entry.target).with_name(spot.name)
        return (str(place), digest_of(spot)) in self.journal.rewritten

    def _is_noted(self, sidecar: FileLocation) -> bool:
        """Return whether a sidecar is unchanged since it was sorted."""
        noted = {Path(entry.target).name: entry.content_hash for entry in self.sidecars}
        return sidecar.name in noted and digest_of(sidecar) == noted[sidecar.name]

    def _home_of(self, sidecar: FileLocation) -> Path:
        """Return the path of a sidecar beside the original."""
        source, target = Path(self.entry.source), Path(self.entry.target)
        return sidecar_of(source) if sidecar.name == sidecar_of(target).name else source.with_suffix(SUFFIX)

    def _require_free(self, sidecar: FileLocation, place: Path) -> None:
        with _spot(self.folder, place) as home:
            if home is not None and home.is_taken and digest_of(home) != digest_of(sidecar):
                shown = printable(str(sidecar.path))
                raise _StaysError(f"{printable(str(place))} is another file now: {shown} stays, with its photo")

    def _is_original(self, spot: FileLocation) -> bool:
        """Return whether a location is the original's, because a link has made both folders the same."""
        with suppress(OSError), _spot(self.folder, Path(os.path.realpath(self.entry.source))) as original:
            return original is not None and original.is_same_location(spot)
        return False

    def _has_original(self) -> bool:
        with _spot(self.folder, Path(os.path.realpath(self.entry.source))) as original:
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
    for entry, beside in sidecars.items():
        yield _SortedPhoto(entry, tuple(beside), folders[entry], journal)


@contextmanager
def _spot(root: Path, path: Path) -> Iterator[FileLocation | None]:
    """Open the location of a file; None if its folder is missing."""
    with ExitStack() as opened:
        try:
            spot = opened.enter_context(open_location(root, path))
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            spot = None
        yield spot


def _put_back(spot: FileLocation, home: FileLocation) -> None:
    """Move a file back, or remove it if the same file is there already."""
    if home.is_same_location(spot):
        return
    if home.is_taken:
        spot.remove()
    else:
        move_file(spot, home)
