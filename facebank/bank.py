"""`FaceBank` joins the rooms: photos, a pack's networks, a gallery and decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from facebank.errors import ClosedError, GalleryError, PackError, StorageError
from facebank.gallery import Gallery, default_gallery_path
from facebank.storage.concurrency import SharedLock
from facebank.storage.paths import named_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, EnrolledPhoto, EnrollReason, EnrollReport, Photo

if TYPE_CHECKING:
    from types import TracebackType

    from facebank.gallery import Imported, PlaceKind, Upgrade
    from facebank.operations.engine import Engine
    from facebank.operations.enroll import Enroller, Pick
    from facebank.operations.feedback import Feedback
    from facebank.operations.identify import Identification
    from facebank.operations.inputs import Photos, Place
    from facebank.operations.lookalike import Lookalikes
    from facebank.operations.person_folders import PersonPhotos
    from facebank.operations.reembed import ReEmbeddingReport
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import DecodedPhoto, Person, Verification


class FaceBank:
    """A gallery and the pack that reads photos for it. Use `open` to get one, and ``with`` to close it.

    Nothing is opened, loaded or even imported before it is needed.

    Several threads may use one bank at once, such as those of a web server or of `asyncio.to_thread`; each answer is
    the one that a single thread would get. They share the networks; each has a connection to the gallery of its own,
    which is closed when the thread has ended. `close` may be called in any thread: what others are doing with the
    gallery then ends with `ClosedError`, and so does every later use.

    After `os.fork` (so also `multiprocessing` with ``fork``) both processes may go on with the bank. The forked one
    loads the networks anew when it needs them, and is refused the gallery (`UsageError`) if a thread was using it at
    the moment of the fork.

    Parameters
    ----------
    path
        The gallery's file.
    pack
        Name or folder of a pack; None for the gallery's own, or the embedded one for a new gallery.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads for one network on the CPU; None for as many as this process may use. Use 1 when photos are processed
        in parallel.
    on_upgrade
        Called once the gallery was brought up to date from an older version.
    """

    def __init__(
        self,
        path: Path,
        pack: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        on_upgrade: Callable[[Upgrade], None] | None = None,
    ) -> None:
        self.path = path
        self._on_upgrade = on_upgrade
        self._threads = threads
        self._pack_name = pack
        self._device = device
        self._gallery: Gallery | None = None
        self._engine: Engine | None = None
        self._identification: Identification | None = None
        self._is_closed = False
        self._opening = SharedLock()
        self._deciding = SharedLock()

    @classmethod
    def open(
        cls,
        path: Place | None = None,
        *,
        pack: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        on_upgrade: Callable[[Upgrade], None] | None = None,
    ) -> Self:
        """Open a gallery, which need not exist yet.

        Parameters
        ----------
        path
            The file; None for the default: ``FACEBANK_GALLERY``, else a file in the user's data folder.
        pack
            Name or folder of a pack; None for the gallery's own, or the embedded one for a new gallery.
        device
            ``auto``, ``cpu`` or ``cuda``.
        threads
            Threads for one network on the CPU; None for as many as this process may use. Use 1 when photos are
            processed in parallel.
        on_upgrade
            Called once the gallery was brought up to date from an older version.
        """
        place = default_gallery_path() if path is None else named_path(path, "the path of the gallery")
        return cls(place, pack, device, threads, on_upgrade)

    def close(self) -> None:
        """Close the gallery for good, in whatever thread it is used; a second time does nothing."""
        with self._opening:
            self._is_closed = True
            self._close_gallery()

    def _close_gallery(self) -> None:
        with self._opening:
            if self._gallery is not None:
                self._gallery.close()
            self._gallery = self._identification = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def gallery(self) -> Gallery:
        """The gallery, opened when it is first asked for.

        Raises
        ------
        GalleryError
            There is none, or it cannot be used with the pack.
        """
        return self.open_gallery(create=False)

    @property
    def engine(self) -> Engine:
        """The pack's networks and thresholds.

        Raises
        ------
        PackError
            The pack is unknown or broken.
        """
        if self._engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._found_engine()
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    def _found_engine(self) -> Engine:
        from facebank.operations.engine import load_engine, load_engine_of

        if self._pack_name is not None:
            return load_engine(self._pack_name, self._device, self._threads)
        return load_engine_of(self.path, self._device, self._threads)

    @property
    def comparing_engine(self) -> Engine:
        """The engine for what needs no gallery: the embedded pack's where the gallery cannot be read."""
        try:
            return self.engine
        except GalleryError:
            from facebank.operations.engine import load_engine

            return load_engine(None, self._device, self._threads)

    def preload(self) -> None:
        """Begin to load the networks in the background, for who knows that photos will follow.

        Raises
        ------
        GalleryError
            The gallery cannot be read.
        PackError
            The pack is unknown or broken.
        MissingDependencyError
            No runtime is installed.
        """
        self.engine.preload()

    def enroll(
        self,
        name: str,
        photos: Photos,
        *,
        pick: Pick | None = None,
        thumbnails: bool = True,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> EnrollReport:
        """Enroll photos of one person; they are looked at together: their order does not matter.

        Parameters
        ----------
        name
            The person's name.
        photos
            Photos, files or folders of them.
        pick
            ``largest`` or ``central``: which face of a photo with several; None to take the one that agrees with the
            person's other photos, if exactly one does, or is clearly the largest.
        thumbnails
            Whether the gallery keeps a small picture of each face.
        force
            Whether a face is taken that is unlike the person's others, or more like somebody else who is enrolled.
        progress
            Advanced with each analyzed photo; then each photo's `EnrolledPhoto` is reported, in their order.

        Returns
        -------
        EnrollReport
            In the order of the photos.

        Raises
        ------
        InvalidNameError
            Nobody can be called that.
        PhotoNotFoundError
            There is not a single photo; no gallery is made then.
        """
        from facebank.gallery import normalise_name
        from facebank.operations.inputs import require_photos, require_places

        person = normalise_name(name)
        found, skipped = require_photos(photos)
        files = [photo for photo in found if isinstance(photo, Path)]
        if len(files) == len(found):
            require_places(files)
        enroller = self._enroller(pick, thumbnails=thumbnails, force=force)
        progress.begin("Enrolling", len(found))
        return replace(enroller.enroll(person, self._analyzed(found), progress=progress), skipped=skipped)

    def enroll_people(
        self,
        people: Sequence[PersonPhotos],
        *,
        pick: Pick | None = None,
        thumbnails: bool = True,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> list[EnrollReport]:
        """Enroll photos of several people, one after the other.

        Parameters
        ----------
        people
            Names with files and folders, as `facebank.operations.person_folders.plan_enrollment` gives them.
        pick, thumbnails, force, progress
            As for `enroll`.

        Returns
        -------
        list[EnrollReport]
            One for each of `people`, in order; a photo named twice counts once, folders without a photo count as
            refused. Photos that may be an earlier person's and show that person are enrolled as that person's.

        Raises
        ------
        InvalidNameError
            Nobody can be called as one of them is; nobody is enrolled then.
        PhotoNotFoundError
            There is not a single photo of anybody, or none of the files and folders.
        """
        from facebank.gallery import normalise_name
        from facebank.operations.inputs import gather_photos, nothing_there, require_places

        names = [normalise_name(person.name) for person in people]
        places = [place for person in people for place in person.places]
        require_places(places)
        gathered = [gather_photos(person.places) for person in people]
        if not any(found.photos for found in gathered):
            raise nothing_there(places)
        progress.begin("Enrolling", sum(len(found.photos) for found in gathered))
        reports: list[EnrollReport] = []
        for name, person, found in zip(names, people, gathered, strict=True):
            if not found.photos:
                reports.append(replace(_nothing_to_enroll(name, person.places, progress), skipped=found.counts))
                continue
            earlier = list(dict.fromkeys(report.person for report in reports)) if person.may_be_earlier else []
            enroller = self._enroller(pick, thumbnails=thumbnails, force=force)
            report = enroller.enroll(name, self._analyzed(found.photos), earlier=earlier, progress=progress)
            reports.append(replace(report, skipped=found.counts))
        return reports

    def identify(self, photos: Photos, settings: DecisionSettings | None = None) -> Iterator[Photo]:
        """Say who is in photos.

        Parameters
        ----------
        photos
            Photos, files or folders of them.
        settings
            How decisions are made; None for the gallery's own settings.

        Yields
        ------
        Photo
            One for each photo, in order; one that cannot be read has an error instead of faces.

        Raises
        ------
        GalleryError
            There is no gallery, or it cannot be used with the pack.
        PhotoNotFoundError
            There is not a single photo.
        """
        from facebank.operations.identify import identified_photo
        from facebank.operations.inputs import require_photos

        gallery = self.gallery
        for result in self._analyzed(require_photos(photos)[0]):
            if isinstance(result, AnalyzedPhoto):
                yield identified_photo(result.found, gallery, self.identification(settings))
            else:
                yield result

    @property
    def settings(self) -> DecisionSettings:
        """The gallery's own settings of how decisions are made."""
        from facebank.recognition.settings import DecisionSettings

        return DecisionSettings.from_gallery(self.gallery)

    def identification(self, settings: DecisionSettings | None = None) -> Identification:
        """Return how faces are identified now: kept until the gallery, its scan or the settings change.

        Parameters
        ----------
        settings
            How decisions are made; None for the gallery's own settings.
        """
        from facebank.operations.identify import prepare_identification
        from facebank.recognition.cohort_file import album_version

        wanted = self.settings if settings is None else settings

        def kept() -> Identification | None:
            last, gallery = self._identification, self.gallery
            now = gallery.revision, wanted, album_version(gallery.path)
            is_current = last is not None and (last.revision, last.settings, last.album_version) == now
            return last if is_current else None

        found = kept()
        if found is None:
            with self._deciding:  # other threads wait rather than do the same
                found = kept()
                if found is None:
                    found = self._identification = prepare_identification(self.gallery, self.engine, wanted)
        return found

    def verify(self, a: Place | DecodedPhoto, b: Place | DecodedPhoto) -> Verification:
        """Compare the largest faces of two photos; needs no gallery.

        Parameters
        ----------
        a, b
            Photos or their files.

        Raises
        ------
        PhotoError
            One cannot be read or shows no face.
        """
        from facebank.operations.identify import compare_photos

        return compare_photos(self.comparing_engine, a, b)

    def confirm(
        self, photo: Place | DecodedPhoto, name: str, face: int | None = None, *, force: bool = False
    ) -> Feedback:
        """Say that a face is this person's: see `facebank.operations.feedback.confirm`."""
        from facebank.operations import feedback

        return feedback.confirm(self.gallery, self.engine, photo, name, face, force=force)

    def deny(self, photo: Place | DecodedPhoto, name: str, face: int | None = None) -> Feedback:
        """Say that a face is not this person's: see `facebank.operations.feedback.deny`."""
        from facebank.operations import feedback

        return feedback.deny(self.gallery, self.engine, photo, name, face)

    def deny_everybody(self, photo: Place | DecodedPhoto, face: int | None = None) -> Feedback:
        """Say that a face is nobody's whom you know: see `facebank.operations.feedback.deny_everybody`."""
        from facebank.operations import feedback

        return feedback.deny_everybody(self.gallery, self.engine, photo, face)

    def lookalikes(self, photo: Place | DecodedPhoto, face: int | None = None) -> Lookalikes:
        """Rank everybody by resemblance to a face: see `facebank.operations.lookalike.find_lookalikes`."""
        from facebank.operations.lookalike import find_lookalikes

        return find_lookalikes(self.gallery, self.engine, photo, face)

    def re_embed(self, *, drop_missing: bool = False, progress: Progress = SILENT) -> ReEmbeddingReport:
        """Make the gallery's embeddings anew with this bank's pack, from the photos, which must still be there.

        Parameters
        ----------
        drop_missing
            Whether samples whose photo or face is not found again are removed; otherwise nothing is changed then.
        progress
            Advanced with each sample and stranger whose photo was read.

        Returns
        -------
        ReEmbeddingReport
            What became of the samples.
        """
        from facebank.operations.reembed import re_embed

        self._require_open()
        engine = self.engine
        self._close_gallery()
        with Gallery.open(self.path, on_upgrade=self._on_upgrade) as gallery:
            return re_embed(gallery, engine, drop_missing=drop_missing, progress=progress)

    def merge(self, sources: Sequence[str], into: str, *, force: bool = False) -> Person:
        """Join people who are one person: see `facebank.operations.merge.merge_people`.

        Parameters
        ----------
        sources, into
            Names of those who go, and of the one who stays.
        force
            Whether they are joined even if their samples look like two people.
        """
        from facebank.operations.merge import merge_people

        if force:
            return self.gallery.merge(sources, into)
        return merge_people(self.gallery, sources, into, self.engine.thresholds.verify)

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person: see `facebank.Gallery.unmerge`."""
        return self.gallery.unmerge(name)

    def split(self, name: str, into: str, samples: Sequence[int] = ()) -> Person:
        """Make two people of one: see `facebank.Gallery.split`.

        Parameters
        ----------
        name, into
            Whose samples are split, and what the new person is called.
        samples
            Which go to the new person; none for the smaller of the two halves that the samples are in.
        """
        from facebank.operations.merge import find_half

        gallery = self.gallery
        return gallery.split(name, into, samples or find_half(gallery, name, self.engine.thresholds.verify))

    def import_people(self, folder: Place, *, force: bool = False) -> Imported:
        """Add an export's people to the gallery, which is made if there is none.

        A face that is unlike the samples that a person of that name has here, or nearer to somebody else here, is left
        out.

        Parameters
        ----------
        folder
            What `facebank.gallery.export_gallery` wrote.
        force
            Whether such faces are taken, too.

        Raises
        ------
        PackMismatchError
            Another pack made the export's embeddings.
        ExchangeError
            The export is partial or altered; nothing is imported then.
        """
        from facebank.gallery import check_export, exported_pack, import_gallery
        from facebank.operations.guard import ImportGuard

        self._require_open()
        if self._pack_name is None and not self.path.exists():
            with Gallery.open(self.path, exported_pack(folder), create=True) as gallery:
                return import_gallery(gallery, folder)
        check_export(folder, self.engine.identity)
        gallery = self.open_gallery(create=True)
        judge = None if force else ImportGuard(gallery, self.engine.thresholds.verify)
        return import_gallery(gallery, folder, judge)

    def open_gallery(self, *, create: bool = False) -> Gallery:
        """Return the gallery, opened; made where there is none and `create` says so.

        Raises
        ------
        GalleryError
            There is none, or it cannot be used with the pack.
        """
        gallery = self._gallery
        if gallery is None:
            with self._opening:
                self._require_open()
                gallery = self._gallery
                if gallery is None:
                    gallery = Gallery.open(self.path, self.engine.identity, create=create, on_upgrade=self._on_upgrade)
                    self._gallery = gallery
        return gallery

    def note_written(self, kind: PlaceKind, path: Place) -> None:
        """Remember in the gallery, if there is one, where a copy of something of its people was written.

        Whoever forgets somebody is told of the place. No-op if the gallery cannot be changed.

        Parameters
        ----------
        kind
            What was written.
        path
            The file or folder.
        """
        with suppress(GalleryError, PackError, StorageError):
            if self.path.exists():
                self.gallery.note_written(kind, path)

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError(f"The bank of {printable(str(self.path))} was closed: open it anew.")

    def _enroller(self, pick: Pick | None, *, thumbnails: bool, force: bool) -> Enroller:
        from facebank.operations.enroll import Enroller

        return Enroller(self.open_gallery(create=True), self.engine, pick, thumbnails, force)

    def _analyzed(self, photos: Iterable[Place | DecodedPhoto]) -> Iterator[AnalyzedPhoto | Photo]:
        from facebank.operations.inputs import analyze_readable

        return analyze_readable(self.engine, photos)


def _nothing_to_enroll(person: str, places: Sequence[Path], progress: Progress) -> EnrollReport:
    refused = []
    for place in places:
        refused.append(EnrolledPhoto(str(place), person, False, EnrollReason.NO_PHOTOS, "no photos there", None))
        progress.report(refused[-1])
    return EnrollReport(person, tuple(refused))
