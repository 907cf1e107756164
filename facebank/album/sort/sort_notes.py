"""Records in sort journals of the files that facebank rewrites in sorted folders."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.journal import JOURNAL, SortJournal, journal_key, read_journal
from facebank.album.tags.sidecars import possible_sidecars
from facebank.errors import GalleryError, StorageError
from facebank.storage.files import is_file, sha256_of

if TYPE_CHECKING:
    from typing import Self

    from facebank.gallery import Gallery


@dataclass(frozen=True, slots=True)
class _OpenJournal:
    """An open journal, and the hashes of its files."""

    journal: SortJournal
    hashes: dict[str, set[str]]  # recorded SHA-256 in hex, by target


class SortNotes:
    """Records in sort journals which files facebank rewrites. Use ``with`` to close the journals.

    A file that another program has changed since it was sorted is not recorded: it stays when the sort is undone.

    Parameters
    ----------
    gallery
        The gallery whose key signs the journals.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._journals: dict[Path, _OpenJournal | None] = {}
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._journals.values():
            if opened is not None:
                opened.journal.close()

    def remember_hashes(self, path: Path, content_hash: str) -> None:
        """Remember the hashes of a photo and its sidecars before they are written.

        Parameters
        ----------
        path, content_hash
            The photo's file, and the SHA-256 of its bytes in hex.
        """
        if self._find_journal(path) is not None:
            sidecars = {
                str(sidecar): sha256_of(sidecar) if is_file(sidecar) else None for sidecar in possible_sidecars(path)
            }
            self._before = {str(path): content_hash, **sidecars}

    def record(self, paths: Iterable[str]) -> None:
        """Record that files of the last photo passed to `remember_hashes` have been written."""
        for path in paths:
            opened = self._find_journal(Path(path))
            if opened is None:
                continue
            hashes, before = opened.hashes.setdefault(path, set()), self._before.get(path, "")
            if before in hashes or (before is None and not hashes):
                digest = sha256_of(Path(path))
                opened.journal.note_rewritten(Path(path), digest)
                hashes.add(digest)

    def _find_journal(self, path: Path) -> _OpenJournal | None:
        out = path.parent.parent
        if out not in self._journals:
            self._journals[out] = None
            if is_file(out / JOURNAL):
                with suppress(StorageError, GalleryError):  # another gallery's journal, or one in use
                    self._journals[out] = self._open_journal(out)
        return self._journals[out]

    def _open_journal(self, out: Path) -> _OpenJournal | None:
        key = journal_key(self._gallery)
        if key is None:
            return None
        opened = SortJournal.open(out, None, key)
        journal = read_journal(out, key)
        hashes = dict[str, set[str]]()
        recorded = ((entry.target, entry.content_hash) for entry in journal.entries)
        for target, digest in (*recorded, *journal.rewritten):
            hashes.setdefault(target, set()).add(digest)
        return _OpenJournal(opened, hashes)
