"""Sorting photos into folders by person: nothing is overwritten, and a journal undoes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facebank.album.sort.entries import Entry
from facebank.album.sort.files import copy_file, digest_of, link_file, move_file, picture_of
from facebank.album.sort.journal import Sorted, SortJournal
from facebank.album.sort.plan import SortPlan, Step
from facebank.album.sort.ways import Way
from facebank.errors import StorageError
from facebank.storage.concurrency import uninterrupted
from facebank.storage.folders import NamedFolders, Spot, spot_within
from facebank.storage.leftovers import remove_leftovers
from facebank.storage.text import printable

_WAYS = {Way.COPY: copy_file, Way.LINK: link_file, Way.MOVE: move_file}


def sort_photos(
    plan: SortPlan, out: Path, way: Way, key: bytes, on_step: Callable[[Step, str | None], None] | None = None
) -> None:
    """Do what was planned; a photo and its sidecars are written into the journal before they are put anywhere.

    Parameters
    ----------
    plan
        As `facebank.album.sort.plan.plan_sorting` gives it.
    out
        The folder for the people's folders, absolute; made where missing.
    way
        How they come there. A sidecar is copied where its photo is linked: programs write it anew.
    key
        The gallery's, which signs the journal.
    on_step
        Called after each step, with why it could not be done, or None.

    Raises
    ------
    StorageError
        The journal cannot be written.
    """
    if not plan.steps:
        return
    with SortJournal.open(out, plan.folder, key) as journal:
        for step in plan.steps:
            with uninterrupted():  # a photo, its sidecars and what is told of them stay together
                why = _take(journal, step, plan.folder, out, way)
                if on_step is not None:
                    on_step(step, why)


def mend_sorting(journal: Sorted, key: bytes) -> Entry | None:
    """Finish what was done by half when the program was killed: a photo and its sidecars come together again.

    Parameters
    ----------
    journal
        As `facebank.album.sort.journal.read_journal` gives it.
    key
        The gallery's.

    Returns
    -------
    Entry or None
        The photo's, if it had been put anywhere.

    Raises
    ------
    StorageError
        A file cannot be put where it belongs.
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


def remove_sort_leftovers(journal: Sorted) -> None:
    """Remove copies that were not finished when the program was killed."""
    out = NamedFolders([journal.out])
    targets = (Path(entry.target).parent for entry in journal.entries)
    folders = {journal.out, *(folder for folder in targets if out.hold(folder))}
    for entry, folder in zip(journal.entries, journal.folders, strict=True):
        home = Path(entry.source).parent
        if home not in folders and NamedFolders([folder]).hold(home):
            folders.add(home)
    remove_leftovers(sorted(folders))


def _take(journal: SortJournal, step: Step, folder: Path, out: Path, way: Way) -> str | None:
    """Do a step; return why it could not be done, or None."""
    source = step.source
    if way is Way.MOVE and source.is_symlink():
        return f"{printable(str(source))} is a link to another file and is not moved: use --copy or --link"
    beside = Way.COPY if way is Way.LINK else way
    try:
        with spot_within(folder, Path(os.path.realpath(source))) as at:
            picture = step.picture_hash or picture_of(at)
            entries = [Entry(way.value, str(source), str(step.target), step.content_hash, step.person, picture)]
            for sidecar in step.sidecars:
                source = sidecar.source
                digest = digest_of(Spot(at.folder, source.name))
                entries.append(Entry(beside.value, str(source), str(sidecar.target), digest, step.person))
            journal.write(entries)
            with spot_within(out, step.target, create=True) as to:
                for entry in entries:
                    source = Path(entry.source)
                    name = source.name if entry.is_sidecar else at.name
                    put = _WAYS[Way(entry.way)]
                    put(Spot(at.folder, name), Spot(to.folder, Path(entry.target).name))
    except OSError as error:
        return f"{printable(str(source))} cannot be sorted: {error.strerror or error}"
    return None


def _finish(entry: Entry, folder: Path, out: Path, *, begin: bool = False) -> bool:
    """Do what is left of an entry, or all of it if it may begin; return whether the file is at its target then."""
    with _both(entry, folder, out) as (source, target):
        if source.is_same_place(target):
            return False  # a link leads from one folder to the other by now: there is nothing to finish
        moves = entry.way == Way.MOVE.value
        if target.is_taken:
            if digest_of(target) != entry.content_hash:
                return False
            if moves and source.is_taken and digest_of(source) == entry.content_hash:
                source.remove()
            return True
        if begin and source.is_taken and digest_of(source) == entry.content_hash:
            _WAYS[Way(entry.way)](source, target)
            return True
    return False


@contextmanager
def _both(entry: Entry, folder: Path, out: Path) -> Iterator[tuple[Spot, Spot]]:
    source, target = Path(entry.source), Path(entry.target)
    with spot_within(folder, source, create=True) as one, spot_within(out, target, create=True) as other:
        yield one, other
