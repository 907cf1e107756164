"""Undoing what was sorted, from its journal: nothing is lost, and a photo and its sidecars stay together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sidecars import SUFFIX, own_sidecars, sidecar_of
from facebank.album.sort_files import copy_file, digest_of
from facebank.album.sort_journal import Entry, SortJournal
from facebank.album.sort_plan import Way
from facebank.errors import UsageError
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


class _StaysError(Exception):
    """Why something is not undone."""


def undo_sorting(out: Path, on_entry: Callable[[Entry, str | None], None] | None = None) -> None:
    """Undo everything that was sorted into a folder, the last first.

    A copy or link is removed if it is still the photo that was sorted and its original is there; a moved photo goes
    back to where it was if nothing else is there now. Sidecars follow their photos: those of a moved photo go back
    with it, whoever wrote them since. The journal goes when everything is undone.

    Parameters
    ----------
    out
        The folder for the people's folders.
    on_entry
        Called after each photo that was put back, or could not be, with the reason, else None.

    Raises
    ------
    UsageError
        Nothing was sorted there.
    StorageError
        The journal is damaged.
    """
    entries = SortJournal.read(out)
    if not entries:
        raise UsageError(f"nothing was sorted into {printable(str(out))}: there is no journal of it")
    failed = False
    for entry, sidecars in reversed(list(_photos(entries))):
        why = None
        try:
            done = _undo_move(entry) if entry.way == Way.MOVE.value else _undo_copy(entry, sidecars)
        except _StaysError as stays:
            why = str(stays)
        except OSError as error:
            why = f"{printable(entry.target)} cannot be undone: {error.strerror or error}"
        failed = failed or why is not None
        if on_entry is not None and (why is not None or done):
            on_entry(entry, why)
    if not failed:
        SortJournal.remove(out)
    for folder in sorted({Path(entry.target).parent for entry in entries}, reverse=True):
        _remove_if_empty(folder)
    _remove_if_empty(out)


def _photos(entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Put the entries of sidecars to those of their photos."""
    sidecars = dict[Entry, list[Entry]]()
    photo = None
    for entry in entries:
        if not entry.is_sidecar:
            photo = entry
            sidecars.setdefault(entry, [])
        elif photo is not None:
            sidecars[photo].append(entry)
    yield from sidecars.items()


def _undo_move(entry: Entry) -> bool:
    """Put a moved photo back, and its sidecars; tell whether there was anything to do."""
    source, target = Path(entry.source), Path(entry.target)
    sidecars = own_sidecars(target)
    there = os.path.lexists(target)
    if there:
        if digest_of(target) != entry.content_hash:
            raise _StaysError(f"{printable(entry.target)} has changed since: it stays")
        if not os.path.lexists(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            copy_file(target, source)
        elif digest_of(source) != entry.content_hash:
            raise _StaysError(f"{printable(entry.source)} is another file now: {printable(entry.target)} stays")
        target.unlink()
    elif not os.path.lexists(source):
        raise _StaysError(f"{printable(entry.source)} cannot be moved back: {printable(entry.target)} is gone")
    elif not sidecars or digest_of(source) != entry.content_hash:
        return False  # it was never moved, or somebody put it back
    for sidecar in sidecars:
        _put_back(sidecar, sidecar_of(source) if sidecar == sidecar_of(target) else source.with_suffix(SUFFIX))
    return there


def _put_back(sidecar: Path, home: Path) -> None:
    if not os.path.lexists(home):
        copy_file(sidecar, home)
    elif digest_of(home) != digest_of(sidecar):
        raise _StaysError(f"{printable(str(home))} is another file now: {printable(str(sidecar))} stays")
    sidecar.unlink()


def _undo_copy(entry: Entry, sidecars: Sequence[Entry]) -> bool:
    """Remove a copy or a link, and the sidecars that came with it; tell whether there was anything to do."""
    target = Path(entry.target)
    there = os.path.lexists(target)
    for each in (entry, *sidecars):
        copy, original = Path(each.target), Path(each.source)
        if not os.path.lexists(copy):
            continue
        if digest_of(copy) != each.content_hash:
            raise _StaysError(f"{printable(each.target)} has changed since: it stays")
        if not original.exists() or (each is entry and digest_of(original) != each.content_hash):
            raise _StaysError(f"{printable(each.target)} stays: its original has changed or is gone")
        copy.unlink()
    return there


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it holds something else
