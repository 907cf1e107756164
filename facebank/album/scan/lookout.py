"""Looking for faces in many photos at once: reading, decoding and the networks overlap, a photo for each core.

Each worker takes a few files, reads, decodes and analyses them, and embeds their faces together; the runtime and the
decoders let go of the interpreter meanwhile. So every core has a photo of its own, and none waits for the others at
every layer of a network, as the threads of one network do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from facebank.album.scan.rows import FileState
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.album.scan.side_by_side import side_by_side
from facebank.errors import PhotoError
from facebank.media import decode_photo, decoder_versions, read_photo_file
from facebank.packs import usable_cores
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto
    from facebank.vision import FaceAnalyzer

    Task = tuple[str, FileState]

_CHANGED = "changed while it was read: scan again"


class Lookout:
    """Looks for faces in files.

    Parameters
    ----------
    analyzer
        Finds and embeds faces, each network on one thread.
    known
        SHA-256 of photos whose faces need not be looked for; grows with those that were.
    workers
        How many files are looked at at the same time; None for one a core.
    pictures
        Hashes of pictures (`facebank.types.DecodedPhoto.picture_hash`) whose faces need not be looked for.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        known: set[bytes],
        workers: int | None = None,
        pictures: AbstractSet[bytes] = frozenset(),
    ) -> None:
        self._analyzer = analyzer
        self._pictures = pictures
        self._settled = known
        self._claims = _Claims(known)
        self._workers = usable_cores() if workers is None else workers

    def look(self, files: Iterable[Task]) -> Iterator[ScannedFile]:
        """Look at files.

        Parameters
        ----------
        files
            Paths and states as they were.

        Yields
        ------
        ScannedFile
            One for each file, nearly in order: a copy comes after the photo that it is a copy of.
        """
        copies: dict[bytes, list[ScannedFile]] = {}
        again: list[Task] = []
        for file in self._looked_at(files):
            digest = b"" if file.content_hash is None else bytes.fromhex(file.content_hash)
            if file.found is not None or file.edited is not None:
                self._settled.add(digest)
                yield file
                yield from copies.pop(digest, ())
            elif file.error is not None:
                yield file
                again += [(copy.path, copy.state) for copy in copies.pop(digest, ())]
            elif digest in self._settled:
                yield file
            else:
                copies.setdefault(digest, []).append(file)
        if again:
            yield from self.look(again)

    def _looked_at(self, files: Iterable[Task]) -> Iterator[ScannedFile]:
        """Give the workers their tasks, never many more than they can do, and take their answers in order."""
        coming, at_once = iter(files), self._analyzer.embedder.batch
        tasks = iter(lambda: list(islice(coming, at_once)), [])
        for looked_at in side_by_side(self._look_at, tasks, self._workers):
            yield from looked_at

    def _look_at(self, task: Sequence[Task]) -> list[ScannedFile]:
        done: list[ScannedFile] = []
        places = deque[int]()

        def photos() -> Iterator[DecodedPhoto]:
            for path, state in task:
                file, photo = self._opened(path, state)
                done.append(file)
                if photo is not None:
                    places.append(len(done) - 1)
                    yield photo

        for analyzed in self._analyzer.analyze(photos()):
            place = places.popleft()
            done[place] = replace(done[place], found=analyzed.found)
        return done

    def _opened(self, path: str, state: FileState) -> tuple[ScannedFile, DecodedPhoto | None]:
        content_hash = None
        try:
            file = read_photo_file(path)
            if state_of(path) != state:
                return ScannedFile(path, UNSETTLED, None, f"{printable(path)} {_CHANGED}", None), None
            content_hash = file.content_hash
            if not self._claims.claim(bytes.fromhex(content_hash)):
                return ScannedFile(path, state, content_hash, None, None), None
            photo = decode_photo(file)
        except PhotoError as error:
            if content_hash is not None:
                self._claims.give_up(bytes.fromhex(content_hash))
            by = None if content_hash is None else decoder_versions()  # unopenable files are retried each time
            return ScannedFile(path, state, content_hash, str(error), None, by), None
        if bytes.fromhex(photo.picture_hash or "") in self._pictures:
            edited = AnalyzedPhoto(photo, ()).found
            return ScannedFile(path, state, content_hash, None, None, edited=edited), None
        return ScannedFile(path, state, content_hash, None, None), photo


def state_of(path: str) -> FileState:
    """Return size and time of a file; `UNSETTLED` where it cannot be looked at."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return UNSETTLED
    return FileState(status.st_size, status.st_mtime_ns)


class _Claims:
    """Who looks at a photo that lies in several files: the first."""

    def __init__(self, known: Iterable[bytes]) -> None:
        self._claimed = set(known)
        self._lock = Lock()

    def claim(self, digest: bytes) -> bool:
        """Return whether nobody else looks at it, or has."""
        with self._lock:
            if digest in self._claimed:
                return False
            self._claimed.add(digest)
            return True

    def give_up(self, digest: bytes) -> None:
        """Let somebody else try."""
        with self._lock:
            self._claimed.discard(digest)
