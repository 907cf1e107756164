"""Telling sort journals what facebank itself writes into sorted photos and beside them, so that it can be undone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.journal import JOURNAL, SortJournal, journal_key, read_journal
from facebank.album.tags.sidecars import possible_sidecars
from facebank.errors import GalleryError, StorageError
from facebank.storage.files import is_file, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from facebank.gallery import Gallery


@dataclass(frozen=True, slots=True)
class _Open:
    """A journal that is open, and the hashes that it knows by target."""

    journal: SortJournal
    known: dict[str, set[str]]


class SortNotes:
    """Notes of what is rewritten in the folders into which photos were sorted. Use ``with`` to let go of the journals.

    What somebody else has changed since it was sorted stays so, whatever facebank adds: it is not noted.

    Parameters
    ----------
    gallery
        Whose journals.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._journals: dict[Path, _Open | None] = {}
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._journals.values():
            if opened is not None:
                opened.journal.close()

    def look(self, photo: Path, content_hash: str) -> None:
        """Look at a photo of a known SHA-256 and at what is beside it, before they are written."""
        if self._journal_of(photo) is not None:
            beside = {str(path): sha256_of(path) if is_file(path) else None for path in possible_sidecars(photo)}
            self._before = {str(photo): content_hash, **beside}

    def note(self, paths: Iterable[str]) -> None:
        """Note that some of the files that were looked at were written."""
        for path in paths:
            opened = self._journal_of(Path(path))
            if opened is None:
                continue
            known, before = opened.known.setdefault(path, set()), self._before.get(path, "")
            if before in known or (before is None and not known):
                digest = sha256_of(Path(path))
                opened.journal.note_rewritten(Path(path), digest)
                known.add(digest)

    def _journal_of(self, path: Path) -> _Open | None:
        out = path.parent.parent
        if out not in self._journals:
            self._journals[out] = None
            if is_file(out / JOURNAL):
                with suppress(StorageError, GalleryError):  # somebody else's, or in use: nothing is noted there
                    self._journals[out] = self._opened(out)
        return self._journals[out]

    def _opened(self, out: Path) -> _Open | None:
        key = journal_key(self._gallery)
        if key is None:
            return None
        opened = SortJournal.open(out, None, key)
        journal = read_journal(out, key)
        known = dict[str, set[str]]()
        for target, digest in (*((each.target, each.content_hash) for each in journal.entries), *journal.rewritten):
            known.setdefault(target, set()).add(digest)
        return _Open(opened, known)
