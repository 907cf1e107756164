"""Sorting photos into folders by person: nothing is overwritten, and a journal undoes it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort_journal import Entry, SortJournal
from facebank.errors import StorageError, UsageError
from facebank.text import printable

if TYPE_CHECKING:
    from facebank.faces import IdentifiedPhoto, PhotoFaces

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # Windows'
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f/\\]')
_MOST_NAMES = 10_000


class Way(StrEnum):
    """How a photo comes into a person's folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Step:
    """One photo into one folder.

    Attributes
    ----------
    source
        The photo, absolute.
    target
        Where it goes; nothing is there.
    content_hash
        SHA-256 of the photo, in hex.
    person
        Whose folder it is.
    """

    source: Path
    target: Path
    content_hash: str
    person: str


def plan_sorting(photos: Iterable[tuple[PhotoFaces, IdentifiedPhoto]], out: Path, way: Way) -> Iterator[Step]:
    """Say which photo goes where: into the folder of each person who is known in it.

    A photo that is moved can be in one place only: in the folder of the known person with the largest face. What is
    in a folder already, whatever it is called there, is not put there again; another photo of the same name gets a
    number.

    Parameters
    ----------
    photos
        What was found in each and who it is.
    out
        The folder for the people's folders.
    way
        How they come there.
    """
    taken: set[Path] = set()
    there: dict[Path, set[str]] = {}
    for photo, identified in photos:
        people = dict.fromkeys(face.decision.person for face in identified.faces if face.decision.person)
        for person in list(people)[: 1 if way is Way.MOVE else None]:
            folder = out / folder_name(person)
            known = there.setdefault(folder, set())
            source = Path(photo.source)
            if source.parent == folder or photo.content_hash in known:
                continue
            target = _free(folder, source.name, photo.content_hash, taken)
            known.add(photo.content_hash)
            if target is not None:
                taken.add(target)
                yield Step(source, target, photo.content_hash, person)


def sort_photos(
    steps: Iterable[Step], out: Path, way: Way, on_step: Callable[[Step, str | None], None] | None = None
) -> None:
    """Do what was planned; each step is written into the journal before it is done.

    Parameters
    ----------
    steps
        As `plan_sorting` gives them.
    out
        The folder for the people's folders; made where missing.
    way
        How they come there.
    on_step
        Called after each step, with why it could not be done, or None.

    Raises
    ------
    StorageError
        The journal cannot be written.
    """
    with SortJournal.open(out) as journal:
        for step in steps:
            journal.write(Entry(way.value, str(step.source), str(step.target), step.content_hash))
            try:
                _do(step, way)
            except OSError as error:
                why: str | None = f"{printable(str(step.source))} cannot be sorted: {error.strerror or error}"
            else:
                why = None
            if on_step is not None:
                on_step(step, why)


def undo_sorting(out: Path, on_entry: Callable[[Entry, str | None], None] | None = None) -> None:
    """Undo everything that was sorted into a folder, the last first.

    A copy or link is removed if it is still the photo that was sorted, a moved photo goes back to where it was if
    nothing else is there now. The journal goes when everything is undone.

    Parameters
    ----------
    out
        The folder for the people's folders.
    on_entry
        Called after each entry, with why it could not be undone, or None.

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
    for entry in reversed(entries):
        try:
            why = _undo(entry)
        except OSError as error:
            why = f"{printable(entry.target)} cannot be undone: {error.strerror or error}"
        failed = failed or why is not None
        if on_entry is not None:
            on_entry(entry, why)
    if not failed:
        SortJournal.remove(out)
    for folder in sorted({Path(entry.target).parent for entry in entries}, reverse=True):
        _remove_if_empty(folder)
    _remove_if_empty(out)


def folder_name(person: str) -> str:
    """Return the name of a person's folder: the name, but never one that means something else to a file system."""
    name = _UNSAFE.sub("_", person).rstrip(". ") or "_"
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return name


def _free(folder: Path, name: str, content_hash: str, taken: set[Path]) -> Path | None:
    """Return a path where nothing is; None where the very photo is there under this name or a numbered one."""
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in range(1, _MOST_NAMES):
        path = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        if path in taken:
            continue
        if not os.path.lexists(path):
            return path
        if path.is_file() and _digest(path) == content_hash:
            return None
    raise StorageError(f"{printable(str(folder))} holds too many photos called {printable(name)}")


def _do(step: Step, way: Way) -> None:
    step.target.parent.mkdir(parents=True, exist_ok=True)
    if way is Way.LINK:
        step.target.hardlink_to(step.source)
    elif way is Way.COPY:
        _copy(step.source, step.target)
    else:
        try:
            step.target.hardlink_to(step.source)  # fails where anything is there, as a rename would not
        except FileExistsError:
            raise
        except OSError:  # another disk, or one without links
            _copy(step.source, step.target)
        step.source.unlink()


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its times, completely or not at all, over nothing."""
    part = target.with_name(f".facebank-{secrets.token_hex(8)}.part")
    try:
        shutil.copy2(source, part)
        try:
            target.hardlink_to(part)
        except FileExistsError:
            raise
        except OSError:
            if os.path.lexists(target):
                raise
            part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _undo(entry: Entry) -> str | None:
    source, target = Path(entry.source), Path(entry.target)
    if not os.path.lexists(target):
        if entry.way == Way.MOVE.value and not os.path.lexists(source):
            return f"{printable(entry.source)} cannot be moved back: {printable(entry.target)} is gone"
        return None  # it was never done, or somebody undid it
    if _digest(target) != entry.content_hash:
        return f"{printable(entry.target)} has changed since: it stays"
    if entry.way == Way.MOVE.value:
        if not os.path.lexists(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            _copy(target, source)
        elif _digest(source) != entry.content_hash:
            return f"{printable(entry.source)} is another file now: {printable(entry.target)} stays"
    target.unlink()
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it holds something else
