"""Search of a work folder for data of a forgotten person, and for incomplete files of killed runs."""

from __future__ import annotations

from pathlib import Path

from facebank.gallery import Gallery
from facebank.storage.leftovers import is_leftover_name

_TRACE_BYTES = 64  # leading bytes by which an embedding is recognized


class PersonTraces:
    """Bytes that show a person's data in a file: the name, and the beginning of each embedding.

    Parameters
    ----------
    gallery
        Path of a gallery in which the person is still enrolled.
    name
        The person's name.
    """

    def __init__(self, gallery: Path, name: str) -> None:
        with Gallery.open(gallery, read_only=True) as opened:
            embeddings = opened.vectors_of([sample.id for sample in opened.samples(name)])
        self._traces = [name.encode(), name.casefold().encode(), *(row.tobytes()[:_TRACE_BYTES] for row in embeddings)]

    def is_in(self, path: Path) -> bool:
        """Return whether a file contains any of the traces."""
        data = path.read_bytes()
        return any(trace in data for trace in self._traces)

    def find_files(self, work: Path, excluded_folders: frozenset[str]) -> list[str]:
        """Return the files with traces, as paths relative to `work`; skips the named folders directly below it."""
        return sorted(
            str(path.relative_to(work))
            for path in work.rglob("*")
            if path.is_file() and path.relative_to(work).parts[0] not in excluded_folders and self.is_in(path)
        )


def find_leftovers(work: Path) -> list[str]:
    """Return the incomplete files left by killed runs, as paths relative to `work`."""
    return sorted(str(path.relative_to(work)) for path in work.rglob("*") if is_leftover_name(path.name))
