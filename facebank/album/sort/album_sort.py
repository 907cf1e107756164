"""Sorting an album: plans, runs, repairs and undoes sorts with the gallery's journal key, and reports moved files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facebank.album.sort.entries import SortMode
from facebank.album.sort.journal import adopt_journal, ensure_journal_key, journal_key, read_journal
from facebank.album.sort.plan import plan_sorting
from facebank.album.sort.run import mend_sorting, sort_photos
from facebank.album.sort.undo import undo_sorting
from facebank.errors import GalleryError, UsageError
from facebank.gallery import Gallery, PlaceKind
from facebank.storage.paths import absolute
from facebank.storage.progress import Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.sort.entries import Entry
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan
    from facebank.album.sort.run import SortedPhoto
    from facebank.album.sort.undo import UndoResult
    from facebank.media import StrPath
    from facebank.types import Photo

    NoteMoved = Callable[[Sequence[tuple[str, str]]], None]
    """Receives the old and the new absolute path of each moved file."""


def plan_album_sort(
    bank: GalleryAccess, photos: Iterable[Photo], folder: StrPath, out: StrPath, mode: SortMode
) -> SortPlan:
    """Return the plan that sorts identified photos of a folder into people's folders in `out`.

    Raises `UsageError` (`out` lies inside the folder) or `StorageError` (the journal of `out` is not trusted).
    """
    resolvers = (absolute, os.path.realpath)  # the paths as named, and where links lead
    if any(Path(resolve(out)).is_relative_to(resolve(folder)) for resolve in resolvers):
        raise UsageError(
            f"{printable(str(out))} lies in {printable(str(folder))}, whose photos are sorted: name a folder "
            "outside of it"
        )
    people = [name for _, name in sorted(bank.gallery.names().items())]
    target = Path(absolute(out))
    journal = read_journal(target, journal_key(bank.gallery))
    journal.require_trust()
    return plan_sorting(photos, people, _folder_to_sort(folder), target, mode, earlier=journal.entries)


def run_album_sort(bank: GalleryAccess, plan: SortPlan, progress: Progress, note_moved: NoteMoved) -> None:
    """Run a plan; `note_moved` is called at the end, also after an error."""
    key = ensure_journal_key(bank.gallery)
    if plan.steps:
        bank.note_written(PlaceKind.SORTED, plan.out)
    moves = _MoveCollector(progress)
    try:
        sort_photos(plan, key, moves)
    finally:
        note_moved(moves.moved)


def mend_album_sort(bank: GalleryAccess, out: StrPath) -> Entry | None:
    """Finish the last photo of a killed sort into `out`; return its entry, None if nothing was unfinished.

    Raises `StorageError` if the journal is not trusted.
    """
    key = journal_key(bank.gallery)
    journal = read_journal(Path(absolute(out)), key)
    journal.require_trust()
    return None if key is None else mend_sorting(journal, key)


def sign_journal(bank: GalleryAccess, out: StrPath, folder: StrPath) -> None:
    """Sign the journal of `out` for the gallery; no-op if it is trusted already.

    Raises `StorageError` if an entry does not come from `folder`, or the journal cannot be written.
    """
    target, source = Path(absolute(out)), _folder_to_sort(folder)
    if read_journal(target, journal_key(bank.gallery)).untrusted_reason is not None:
        adopt_journal(read_journal(target, None, source), source, ensure_journal_key(bank.gallery))


def read_album_journal(bank: GalleryAccess, out: StrPath, trusted_folder: StrPath | None) -> JournalContent:
    """Return the journal of `out`; unsigned entries from `trusted_folder` are accepted."""
    try:
        with Gallery.open(bank.path, read_only=True) as gallery:
            key = journal_key(gallery)
    except GalleryError:  # the journal is reported as not trusted
        key = None
    target = Path(absolute(out))
    journal = read_journal(target, key)
    if journal.untrusted_reason is None or trusted_folder is None:
        return journal
    return read_journal(target, None, _folder_to_sort(trusted_folder))


def undo_album_sort(journal: JournalContent, progress: Progress, note_moved: NoteMoved, *, dry_run: bool) -> None:
    """Undo what a journal lists; `note_moved` is called at the end, also after an error, unless `dry_run`."""
    moves = _MoveCollector(progress)
    try:
        undo_sorting(journal, moves, dry_run=dry_run)
    finally:
        if not dry_run:
            note_moved(moves.moved)


class _MoveCollector(Progress):
    """Passes progress on, and collects the old and new paths of moved photos from its results."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.moved: list[tuple[str, str]] = []

    def begin(self, step: str, total: float | None) -> None:
        self._progress.begin(step, total)

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(amount)

    def report(self, result: object) -> None:
        paths = cast("SortedPhoto | UndoResult", result).moved
        if paths is not None:
            self.moved.append(paths)
        self._progress.report(result)


def _folder_to_sort(place: StrPath) -> Path:
    """Return the absolute path of the folder to sort; for a photo, the folder that holds it."""
    path = Path(absolute(place))
    return path.parent if path.is_file() else path
