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
    """A journal that is open for writing, with the files that it records."""

    journal: SortJournal
    content_hashes: dict[str, set[str]]  # recorded SHA-256 in hex, by target


class RewriteRecorder:
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
        self._hashes_before: dict[str, str | None] = {}  # of the last photo's files, by path; None for missing ones

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for open_journal in self._journals.values():
            if open_journal is not None:
                open_journal.journal.close()

    def record_hashes(self, path: Path, content_hash: str) -> None:
        """Keep the hashes of a photo and its sidecars in memory before they are written.

        Parameters
        ----------
        path, content_hash
            The photo's file, and the SHA-256 of its bytes in hex.
        """
        if self._find_journal(path) is not None:
            sidecars = {
                str(sidecar): sha256_of(sidecar) if is_file(sidecar) else None for sidecar in possible_sidecars(path)
            }
            self._hashes_before = {str(path): content_hash, **sidecars}

    def record(self, paths: Iterable[str]) -> None:
        """Record that files of the last photo passed to `record_hashes` have been written."""
        for path in paths:
            open_journal = self._find_journal(Path(path))
            if open_journal is None:
                continue
            recorded, before = open_journal.content_hashes.setdefault(path, set()), self._hashes_before.get(path, "")
            if before in recorded or (before is None and not recorded):
                content_hash = sha256_of(Path(path))
                open_journal.journal.note_rewritten(Path(path), content_hash)
                recorded.add(content_hash)

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
        journal = SortJournal.open(out, None, key)
        content = read_journal(out, key)
        content_hashes = dict[str, set[str]]()
        sorted_files = ((entry.target, entry.content_hash) for entry in content.entries)
        for target, content_hash in (*sorted_files, *content.rewritten):
            content_hashes.setdefault(target, set()).add(content_hash)
        return _OpenJournal(journal, content_hashes)
