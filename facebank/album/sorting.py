"""Sorting photos into folders by person: nothing is overwritten, and a journal undoes it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.certainty import LEAST_PROBABILITY, is_sure
from facebank.album.sidecars import SUFFIX, own_sidecars, sidecar_of
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
class Sidecar:
    """An XMP file that goes where its photo goes: from where, to where."""

    source: Path
    target: Path


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
    sidecars
        What goes with it.
    """

    source: Path
    target: Path
    content_hash: str
    person: str
    sidecars: tuple[Sidecar, ...] = ()


@dataclass(frozen=True, slots=True)
class SortPlan:
    """What there is to sort.

    Attributes
    ----------
    steps
        Which photo goes where.
    there
        How many photos are in a folder already in which they belong.
    unsure
        How many names are not sure enough to sort by.
    """

    steps: tuple[Step, ...]
    there: int
    unsure: int


def plan_sorting(
    photos: Iterable[tuple[PhotoFaces, IdentifiedPhoto]],
    out: Path,
    way: Way,
    folders: Mapping[str, str],
    least: float = LEAST_PROBABILITY,
) -> SortPlan:
    """Say which photo goes where: into the folder of each person who is known in it.

    A photo that is moved can be in one place only: in the folder of the known person with the largest face. What is
    in a folder already is not put there again, whatever it is called; another photo of the same name gets a number.

    Parameters
    ----------
    photos
        What was found in each and who it is.
    out
        The folder for the people's folders.
    way
        How they come there.
    folders
        The people's folders by their names, as `people_folders` gives them.
    least
        The probability that a name must have, 0..1.

    Raises
    ------
    StorageError
        The journal of what was sorted before is damaged.
    """
    taken: set[Path] = set()
    sorted_before = _sorted_before(out)
    steps, there, unsure = list[Step](), 0, 0
    for photo, identified in photos:
        known = [face.decision for face in identified.faces if face.decision.person is not None]
        people = dict.fromkeys(decision.person or "" for decision in known if is_sure(decision, least))
        unsure += len({decision.person for decision in known} - people.keys())
        for person in list(people)[: 1 if way is Way.MOVE else None]:
            folder, source = out / folders[person], Path(photo.source)
            step = None
            if source.parent != folder and photo.content_hash not in sorted_before.setdefault(folder, set()):
                step = _step(source, folder, photo.content_hash, person, taken)
            sorted_before.setdefault(folder, set()).add(photo.content_hash)
            if step is None:
                there += 1
            else:
                steps.append(step)
    return SortPlan(tuple(steps), there, unsure)


def sort_photos(
    steps: Iterable[Step], out: Path, way: Way, on_step: Callable[[Step, str | None], None] | None = None
) -> None:
    """Do what was planned; each file is written into the journal before it is put anywhere.

    Parameters
    ----------
    steps
        As `plan_sorting` gives them.
    out
        The folder for the people's folders; made where missing.
    way
        How they come there. A sidecar is copied where its photo is linked: programs write it anew.
    on_step
        Called after each step, with why it could not be done, or None.

    Raises
    ------
    StorageError
        The journal cannot be written.
    """
    beside = Way.COPY if way is Way.LINK else way
    with SortJournal.open(out) as journal:
        for step in steps:
            source = step.source
            try:
                _do(journal, way, source, step.target, step.content_hash)
                for sidecar in step.sidecars:
                    source = sidecar.source
                    _do(journal, beside, source, sidecar.target, _digest(source))
            except OSError as error:
                why: str | None = f"{printable(str(source))} cannot be sorted: {error.strerror or error}"
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
    for entry in dict.fromkeys(reversed(entries)):  # one that was interrupted may stand there twice
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


def people_folders(names: Iterable[str]) -> dict[str, str]:
    """Return the name of each person's folder; people whose names give the same one get a number, the first none.

    Parameters
    ----------
    names
        Of everybody, in an order that lasts.
    """
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = folder = folder_name(name)
        number = 1
        while folder.casefold() in taken:
            number += 1
            folder = f"{plain} ({number})"
        taken.add(folder.casefold())
        folders[name] = folder
    return folders


def folder_name(person: str) -> str:
    """Return the name of a person's folder: the name, but never one that means something else to a file system."""
    name = _UNSAFE.sub("_", person).rstrip(". ") or "_"
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return name


def _sorted_before(out: Path) -> dict[Path, set[str]]:
    """Return the hashes of the photos that were sorted into each folder and are still there."""
    there: dict[Path, set[str]] = {}
    for entry in SortJournal.read(out):
        target = Path(entry.target)
        if not entry.is_sidecar and os.path.lexists(target):
            there.setdefault(target.parent, set()).add(entry.content_hash)
    return there


def _step(source: Path, folder: Path, content_hash: str, person: str, taken: set[Path]) -> Step | None:
    """Return a step to where nothing is; None where the very photo is there under its name or a numbered one."""
    sidecars = own_sidecars(source)
    for number in range(1, _MOST_NAMES):
        target = folder / (source.name if number == 1 else f"{source.stem} ({number}){source.suffix}")
        beside = tuple(
            Sidecar(path, sidecar_of(target) if path == sidecar_of(source) else target.with_suffix(SUFFIX))
            for path in sidecars
        )
        places = {target, *(sidecar.target for sidecar in beside)}
        if not (places & taken or any(map(os.path.lexists, places))):
            taken |= places
            return Step(source, target, content_hash, person, beside)
        if target not in taken and target.is_file() and _digest(target) == content_hash:
            return None
    raise StorageError(f"{printable(str(folder))} holds too many photos called {printable(source.name)}")


def _do(journal: SortJournal, way: Way, source: Path, target: Path, content_hash: str) -> None:
    journal.write(Entry(way.value, str(source), str(target), content_hash))
    target.parent.mkdir(parents=True, exist_ok=True)
    if way is Way.LINK:
        target.hardlink_to(source)
    elif way is Way.COPY:
        _copy(source, target)
    else:
        try:
            target.hardlink_to(source)  # fails where anything is there, as a rename would not
        except FileExistsError:
            raise
        except OSError:  # another disk, or one without links
            _copy(source, target)
        source.unlink()


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
    is_moved_sidecar = entry.is_sidecar and entry.way == Way.MOVE.value  # it says more now, and goes back
    content_hash = _digest(target)
    if content_hash != entry.content_hash and not is_moved_sidecar:
        return f"{printable(entry.target)} has changed since: it stays"
    if entry.way == Way.MOVE.value:
        if not os.path.lexists(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            _copy(target, source)
        elif _digest(source) != content_hash:
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
