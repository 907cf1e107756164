"""In-memory state of the page: decisions about the album and pictures, kept up to date by a thread."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request

from facebank.album.answers import take_back
from facebank.album.overview import AlbumOverview
from facebank.album.questions import Questions
from facebank.album.videos import VideoOverview
from facebank.errors import FacebankError, PersonNotFoundError, PhotoNotFoundError
from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_same_place
from facebank.recognition.audit import audit_gallery
from facebank.service.page.picture_cache import PictureCache
from facebank.service.page.wording import scan_words
from facebank.service.problems import RequestError
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from facebank.album.answers import Answer
    from facebank.album.overview import SeenPhoto
    from facebank.album.questions import Question
    from facebank.recognition.audit import Finding
    from facebank.service.access import Caller
    from facebank.service.service import Service
    from facebank.types import Photo, Sample

_MAX_ANSWERS = 1_000  # that can be undone
_STOP_SECONDS = 10.0  # for the thread to end on shutdown
_POLL_SECONDS = 2.0
_SETTLE_SECONDS, _SETTLE_POLL = 1.0, 0.02
_SMALL_GALLERY = 500  # samples; smaller galleries are audited immediately
_MAX_WAIT = 15.0  # seconds without an answer before a large album is identified again
_LARGE_ALBUM = 500  # photos; fewer are identified while a browser waits for the page

ContentHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of a file of the album, in hex.")]
MISSING_PHOTO = "the album no longer has this photo: go back and reload the page"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """Progress of the work on the album's photos."""

    words: str  # empty for short work
    done: int  # number of finished photos
    total: int  # number of all photos; 0 if unknown


@dataclass(frozen=True, slots=True)
class UndoableAnswer:
    """An answer that can be undone."""

    token: str  # identifies the answer in a request to undo it
    answer: Answer
    photos: tuple[str, ...]  # content hashes of its photos
    session: str  # session of the browser that gave it
    request_key: tuple[str, ...]  # the request
    words: str  # such as ``Not Ada``
    face_count: int
    gallery_state: tuple[int, int]  # revisions of the gallery and of its denials after the answer was applied

    @property
    def label(self) -> str:
        """The description, such as ``Ada, 9 faces``."""
        return f"{self.words}, {pluralize(self.face_count, 'face')}"


class PageMemory:
    """Shared state of the pages of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.overview = AlbumOverview(service.bank, service.album, service.folders.paths)
        self.videos = VideoOverview(service.bank, service.album, service.folders.paths)
        self.pictures = PictureCache()
        self.questions = Questions(service.bank, service.album, self.overview)
        self._answers: OrderedDict[str, UndoableAnswer] = OrderedDict()  # by token
        self._excluded: OrderedDict[str, frozenset[int]] = OrderedDict()  # by question, of undone answers
        self._best_samples: tuple[int, dict[int, Sample]] = (-1, {})
        self._sample_ids: frozenset[int] = frozenset()  # ids at the last check
        self.needs_audit = False
        self._findings: tuple[object, tuple[Finding, ...] | None] = (None, None)  # with their basis
        self._audit_lock = Lock()
        self._identification_seconds = 0.0  # of the last identification of the album
        self._grouped_version: str | None = None  # version of the scan whose faces were grouped
        self._wake, self._stopped = Event(), Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread that keeps the overview up to date."""
        self._thread = Thread(target=self._update_loop, name="overview", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def wake(self) -> None:
        """Check for changes now."""
        self._wake.set()

    async def settle(self) -> None:
        """After a change, wait briefly until the photos of a small album are identified again.

        A large album takes longer; pages show the progress and are reloaded (`progress`).
        """
        self.wake()
        deadline = time.monotonic() + _SETTLE_SECONDS
        while len(self.overview) < _LARGE_ALBUM and time.monotonic() < deadline:
            if self.service.scanning.state.is_at_photos or await self.service.lookups.run(self.progress) is None:
                return
            await asyncio.sleep(_SETTLE_POLL)

    def progress(self) -> WorkProgress | None:
        """Return the progress of work on the album's photos; None if the pages are up to date."""
        if not self.service.folders.paths:
            return None
        overview, scan = self.overview, self.service.scanning.state
        if scan.is_at_photos:
            return WorkProgress(scan_words(scan.done, scan.total, scan.seconds_left), scan.done, scan.total or 0)
        if overview.is_refreshing and overview.total >= _LARGE_ALBUM:
            words = f"Deciding who is in the photos: {overview.done:,} of {overview.total:,} photos"
            return WorkProgress(words, overview.done, overview.total)
        return None if overview.is_current and self.videos.is_current else WorkProgress("", 0, 0)

    def first_steps(self) -> dict[str, Any]:
        """Return the content of pages before any person can be named."""
        progress = self.progress()  # before counting photos, so that the count is correct once there is no work
        return {
            "has_albums": bool(self.service.folders.paths),
            "photo_count": len(self.overview),
            "scan_error": self.service.scanning.state.error,
            "progress": progress,
        }

    @property
    def is_busy(self) -> bool:
        """Whether more questions may follow shortly: photos are being scanned, identified or grouped."""
        overview = self.overview
        return (
            self.service.scanning.state.is_at_photos
            or not overview.is_current
            or self._grouped_version != overview.scan_version()
        )

    def photo(self, content_hash: str) -> tuple[SeenPhoto, Photo]:
        """Return a photo of the album by its hash, as identified and as scanned.

        Raises `PhotoNotFoundError` if the album has none, or a link leads out of its folders.
        """
        seen = self.overview.photo(content_hash)
        if seen is not None and self.service.folders.contains(seen.path):
            for photo in self.service.album.scan_file.photos([seen.path]):
                if photo.content_hash == content_hash:
                    return seen, photo
        raise PhotoNotFoundError(MISSING_PHOTO)

    def repeated_answer(self, caller: Caller, request_key: tuple[str, ...]) -> UndoableAnswer | None:
        """Return the previous result for a request repeated by a browser, after a lost response or a double click.

        None for another browser or request, or if the gallery has changed since.
        """
        key = caller.csrf, request_key, self._gallery_state()
        answers = reversed(list(self._answers.values()))
        return next(
            (answer for answer in answers if (answer.session, answer.request_key, answer.gallery_state) == key), None
        )

    def add_answer(
        self,
        answer: Answer,
        photos: Iterable[str],
        caller: Caller,
        request_key: tuple[str, ...],
        words: str,
        *,
        face_count: int = 1,
    ) -> UndoableAnswer:
        """Identify photos again after an answer, and return the answer for undo.

        Parameters
        ----------
        answer, photos
            The applied answer, and the content hashes of its photos.
        caller, request_key
            The caller and the request, for `repeated_answer`.
        words, face_count
            The answer in words and its number of faces, for `last_answer`.
        """
        content_hashes = tuple(dict.fromkeys(photos))
        self.overview.identify_again(content_hashes)
        self.wake()
        token = secrets.token_urlsafe(16)
        undoable = UndoableAnswer(
            token, answer, content_hashes, caller.csrf, request_key, words, face_count, self._gallery_state()
        )
        self._excluded.pop(request_key[0], None)
        self._answers[token] = undoable
        while len(self._answers) > _MAX_ANSWERS:
            self._answers.popitem(last=False)
        return undoable

    def undo(self, token: str) -> str:
        """Undo an answer, and return the result in words.

        Raises `RequestError` (404) if it was undone already, or is from before a restart.
        """
        with self.service.album.naming:
            undoable = self._answers.get(token)
            if undoable is None:
                raise RequestError(
                    404, "NothingToUndo", "this was undone already, or is from before a restart: reload the page"
                )
            is_changed = take_back(self.service.bank, undoable.answer, self.service.album)
            self._answers.pop(token, None)  # only now, so that a failed undo can be repeated
            if undoable.answer.split is not None:
                self._excluded[undoable.request_key[0]] = frozenset(undoable.answer.split.taken)
                while len(self._excluded) > _MAX_ANSWERS:
                    self._excluded.popitem(last=False)
        self.questions.reset()
        self.overview.identify_again(undoable.photos)
        self.wake()
        if is_changed:
            return f"Undone: {undoable.label}."
        return f"Nothing is left to undo of this: {undoable.label}."

    def excluded_faces(self, question: Question, faces: Mapping[int, tuple[Photo, int]]) -> set[int]:
        """Return the faces excluded from a question: excluded in an undone answer, or denied.

        Parameters
        ----------
        question, faces
            The question, and its faces by id in the scan: photo and face number.
        """
        denied: Collection[FaceKey] = ()
        if question.likely_person is not None:
            with suppress(PersonNotFoundError):  # forgotten in the meantime
                denied = self.service.bank.gallery.denied_faces(question.likely_person).values()
        undone = self._excluded.get(question.key, frozenset())
        excluded = {
            face_id
            for face_id, (photo, face_number) in faces.items()
            if face_id in undone
            or any(is_same_place(FaceKey.from_photo(photo, photo.faces[face_number - 1]), key) for key in denied)
        }
        return excluded if len(excluded) < len(faces) else set()

    def last_answer(self, caller: Caller, content_hash: str | None = None) -> dict[str, str] | None:
        """Return token and words of a browser's last answer that can be undone, about one photo or any."""
        for token, undoable in reversed(list(self._answers.items())):
            if undoable.session == caller.csrf and (content_hash is None or content_hash in undoable.photos):
                return {"token": token, "words": undoable.label}
        return None

    def best_samples(self) -> dict[int, Sample]:
        """Return each person's best sample with a picture, by person id.

        All pictures are dropped when a sample was removed, also by the command line or another route.
        """
        gallery = self.service.bank.gallery
        revision = gallery.revision
        if self._best_samples[0] != revision:
            by_person = gallery.samples_by_person()
            sample_ids = frozenset(sample.id for samples in by_person.values() for sample in samples)
            if not self._sample_ids <= sample_ids:
                self.pictures.clear()
            best = {
                person: max(with_picture, key=lambda sample: (not sample.masked, sample.quality))
                for person, samples in by_person.items()
                if (with_picture := [sample for sample in samples if sample.has_thumbnail])
            }
            self._best_samples, self._sample_ids = (revision, best), sample_ids
        return self._best_samples[1]

    def findings(self) -> tuple[Finding, ...] | None:
        """Return the findings of the last audit of the gallery; None if there is none yet.

        A large gallery is audited by the background thread; meanwhile the last findings are returned.
        """
        basis, findings = self._findings
        if basis != self._audit_basis():
            if sum(person.sample_count for person in self.service.bank.people()) <= _SMALL_GALLERY:
                return self._audit()
            self.needs_audit = True
            self.wake()
        return findings

    def _audit(self) -> tuple[Finding, ...]:
        bank = self.service.bank
        with self._audit_lock:
            basis = self._audit_basis()
            if self._findings[0] != basis or self._findings[1] is None:
                engine = bank.engine
                report = audit_gallery(bank.gallery, engine.pack_calibration, threshold=engine.thresholds.verify)
                self._findings = basis, report.findings
            return self._findings[1] or ()

    def _audit_basis(self) -> tuple[object, ...]:
        return self.service.bank.gallery.revision, self.service.bank.engine.pack_calibration

    def _update_loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self.best_samples()
                if self.needs_audit:
                    self.needs_audit = False
                    self._audit()
                if not self.overview.is_current and self._wait_until_quiet():
                    started = time.monotonic()
                    if self.overview.refresh(self._is_running):
                        self.questions.identify_again()
                    self._identification_seconds = time.monotonic() - started
                if not self.videos.is_current:
                    self.videos.refresh(self._is_running)
                self._group()
            except FacebankError as error:  # such as a damaged scan, reported by the page that needs it
                log.warning("the album cannot be identified: %s", error)
            except Exception:
                log.exception("the album could not be identified")
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()

    def _wait_until_quiet(self) -> bool:
        """Wait while answers arrive in quick succession, if identifying the album takes long; False when stopped."""
        pause = min(self._identification_seconds, _MAX_WAIT)
        state = self._gallery_state()
        while pause > _POLL_SECONDS and not self._stopped.wait(pause):
            before, state = state, self._gallery_state()
            if before == state:
                break
        return not self._stopped.is_set()

    def _gallery_state(self) -> tuple[int, int]:
        gallery = self.service.bank.gallery
        return gallery.revision, gallery.denials_revision

    def _is_running(self) -> bool:
        return not self._stopped.is_set()

    def _group(self) -> None:
        """Group the unnamed faces if photos have changed and no scan is running."""
        if self._stopped.is_set() or self.service.scanning.state.is_at_photos:
            return
        version = self.overview.scan_version()
        if version is not None and version != self._grouped_version:
            self.service.album.cluster(min_faces=1, known_ids=self.overview.known_faces())
            self._grouped_version = version
            self.questions.reset()


async def memory_of(request: Request) -> PageMemory:
    """Return the shared state of the pages for a request."""
    memory: PageMemory = request.app.state.page
    return memory


MemoryDep = Annotated[PageMemory, Depends(memory_of)]
