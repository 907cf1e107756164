"""Sorting photos into folders by person: nothing is overwritten, and a journal undoes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from facebank.album.interruption import uninterrupted
from facebank.album.sort_files import copy_file, digest_of, link_file, move_file
from facebank.album.sort_journal import Entry, SortJournal
from facebank.album.sort_plan import Step, Way
from facebank.text import printable

_WAYS = {Way.COPY: copy_file, Way.LINK: link_file, Way.MOVE: move_file}


def sort_photos(
    steps: Sequence[Step], out: Path, way: Way, on_step: Callable[[Step, str | None], None] | None = None
) -> None:
    """Do what was planned; each file is written into the journal before it is put anywhere.

    Parameters
    ----------
    steps
        As `facebank.album.sort_plan.plan_sorting` gives them.
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
    if not steps:
        return
    with SortJournal.open(out) as journal:
        for step in steps:
            with uninterrupted():  # a photo, its sidecars and what is told of them stay together
                why = _take(journal, step, way)
                if on_step is not None:
                    on_step(step, why)


def _take(journal: SortJournal, step: Step, way: Way) -> str | None:
    """Do a step; return why it could not be done, or None."""
    if way is Way.MOVE and step.source.is_symlink():
        return f"{printable(str(step.source))} is a link to another file and is not moved: use --copy or --link"
    beside = Way.COPY if way is Way.LINK else way
    source = step.source
    try:
        noted = Entry(way.value, str(source), str(step.target), step.content_hash, step.person)
        if step.is_begun:
            journal.write(noted)  # what follows belongs to it
            _finish(noted)
        else:
            _put(journal, noted)
        for sidecar in step.sidecars:
            source = sidecar.source
            _put(journal, Entry(beside.value, str(source), str(sidecar.target), digest_of(source), step.person))
    except OSError as error:
        return f"{printable(str(source))} cannot be sorted: {error.strerror or error}"
    return None


def _finish(begun: Entry) -> None:
    """Remove what a move that was interrupted left behind, if the very photo is at its target."""
    if not digest_of(Path(begun.source)) == begun.content_hash == digest_of(Path(begun.target)):
        raise OSError("it has changed meanwhile: scan again")
    Path(begun.source).unlink()


def _put(journal: SortJournal, entry: Entry) -> None:
    journal.write(entry)
    target = Path(entry.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _WAYS[Way(entry.way)](Path(entry.source), target)
