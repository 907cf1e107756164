"""`FaceBank`: people in one file, and who is in photos. The one object that most programs need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, NoReturn, Self

from facebank.errors import ClosedError, GalleryError, PackError, StorageError, UsageError
from facebank.gallery import Gallery, default_gallery_path
from facebank.storage.concurrency import SharedLock
from facebank.storage.paths import file_path, is_list_like, named_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, EnrolledPhoto, EnrollReason, EnrollReport, Photo

if TYPE_CHECKING:
    from types import TracebackType

    from facebank.album.album import Album
    from facebank.gallery import Exported, Forgotten, Imported, PlaceKind, Upgrade
    from facebank.index.milvus_address import MilvusAddress
    from facebank.media import Channels, PhotoInput, Place
    from facebank.operations.compare import Comparison
    from facebank.operations.engine import Engine
    from facebank.operations.enroll import Enroller, Pick
    from facebank.operations.feedback import Feedback
    from facebank.operations.identify import Identification
    from facebank.operations.import_compreface import ImportedExample
    from facebank.operations.inputs import Photos
    from facebank.operations.lookalike import Lookalikes
    from facebank.operations.person_folders import PersonPhotos
    from facebank.operations.reembed import ReEmbeddingReport
    from facebank.recognition.audit import GalleryAudit
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Person, Sample, Verification
    from facebank.video.identify import VideoReport
    from facebank.video.watch import Visitor, VisitorChange, WatchSummary

_MOST_THREADS = 1024  # thousands take minutes to start, and more are refused with misleading words


class FaceBank:
    """People whom you enroll from a few photos each, in one file, and who of them is in other photos.

    Use `open` to get one, and ``with`` to close it. Nothing is loaded before it is needed.

    Wherever a photo is taken it may be a path, ``bytes`` or an open binary file of an encoded photo, a Pillow image, or
    a ``uint8`` array of shape ``(height, width, 3)``: RGB, or with ``channels="BGR"`` as OpenCV has it. Where several
    are taken, a list or iterator of those will do, and a folder stands for its photos.

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
    runtime, index, fallback
        As for `open`.

    Examples
    --------
    >>> from facebank import FaceBank
    >>> with FaceBank.open("family.facebank") as bank:
    ...     report = bank.enroll("Barack", ["barack1.jpg", "barack2.jpg"])
    ...     for photo in bank.identify("party.jpg"):
    ...         for face in photo.faces:
    ...             print(face.face_number, face.person, face.decision, face.reason)
    1 Barack known match
    2 None unknown below_threshold
    """

    def __init__(
        self,
        path: Path,
        pack: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        on_upgrade: Callable[[Upgrade], None] | None = None,
        *,
        runtime: str = "auto",
        index: str | None = None,
        fallback: str | None = None,
    ) -> None:
        from facebank.packs import check_device, check_runtime

        check_device(device)
        check_runtime(runtime)
        if not (threads is None or (type(threads) is int and 0 < threads <= _MOST_THREADS)):
            allowed = f"a number from 1 to {_MOST_THREADS:,}, or None for all cores"
            raise UsageError(f"threads are {allowed}, not {printable(repr(threads))}")
        if not (pack is None or isinstance(pack, str | os.PathLike)):
            raise UsageError(f"pack is the name or folder of one, not {printable(repr(pack))}")
        self.path = path
        self._on_upgrade = on_upgrade
        self._threads = threads
        self._pack_name = pack
        self._device = device
        self._runtime = runtime
        self._index = None if index is None else _index_address(index)
        if fallback not in {None, "local"} or (fallback and not index):
            raise UsageError(f"fallback is 'local' or None, and needs an index, not {printable(repr(fallback))}")
        self._fallback = fallback
        self._gallery: Gallery | None = None
        self._engine: Engine | None = None
        self._identification: Identification | None = None
        self._known = local()  # what each thread has read of the gallery's faces
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
        runtime: str = "auto",
        index: str | None = None,
        fallback: str | None = None,
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
        runtime
            What embeds faces: ``onnxruntime`` or ``openvino`` (extra ``openvino``, CPU only); ``auto``: the faster one
            on this machine, if both are installed, measured once.
        index
            Where enrolled people are searched: ``milvus://HOST:PORT/NAME``, ``milvus+tls://HOST:PORT/NAME`` or
            ``milvus-lite:FILE.db`` (extra ``milvus``); None for this machine. Decisions are the same.
        fallback
            ``local``: this machine searches, with a warning, while the index cannot be reached. None: `ServiceError`.

        Raises
        ------
        UsageError
            There is no such device or runtime, or no such number of threads, or the index is no address.

        Examples
        --------
        >>> bank = FaceBank.open("friends.facebank", device="cpu")
        >>> bank.path.name
        'friends.facebank'
        """
        place = default_gallery_path() if path is None else file_path(path, "the path of the gallery")
        return cls(place, pack, device, threads, on_upgrade, runtime=runtime, index=index, fallback=fallback)

    def close(self) -> None:
        """Close the gallery for good, in whatever thread it is used; a second time does nothing.

        Examples
        --------
        >>> bank.close()
        >>> bank.people()
        Traceback (most recent call last):
        facebank.errors.ClosedError: ...
        """
        with self._opening:
            self._is_closed = True
            self._close_gallery()

    def _close_gallery(self) -> None:
        with self._opening:
            if self._gallery is not None:
                self._gallery.close()
            self._gallery = self._identification = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FaceBank cannot be pickled: call FaceBank.open in each process")

    def __repr__(self) -> str:
        return f"FaceBank({str(self.path)!r})"

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

        Examples
        --------
        >>> bank.gallery.names()
        {1: 'Barack', 2: 'Joe'}
        """
        return self.open_gallery(create=False)

    @property
    def engine(self) -> Engine:
        """The pack's networks and thresholds.

        Raises
        ------
        PackError
            The pack is unknown or broken.

        Examples
        --------
        >>> bank.engine.identity.name
        'opencv'
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
            return load_engine(self._pack_name, self._device, self._threads, self._runtime)
        return load_engine_of(self.path, self._device, self._threads, self._runtime)

    @property
    def comparing_engine(self) -> Engine:
        """The engine for what needs no gallery: the embedded pack's where the gallery cannot be read.

        Examples
        --------
        >>> bank.comparing_engine is bank.engine
        True
        """
        try:
            return self.engine
        except GalleryError:
            from facebank.operations.engine import load_engine

            return load_engine(None, self._device, self._threads, self._runtime)

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

        Examples
        --------
        >>> bank.preload()
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
        channels: Channels = "RGB",
        progress: Progress = SILENT,
    ) -> EnrollReport:
        """Enroll photos of one person; they are looked at together: their order does not matter.

        Parameters
        ----------
        name
            The person's name.
        photos
            One photo or several, or folders.
        pick
            ``largest`` or ``central``: which face of a photo with several; None to take the one that agrees with the
            person's other photos, if exactly one does, or is clearly the largest.
        thumbnails
            Whether the gallery keeps a small picture of each face.
        force
            Whether a face is taken that is unlike the person's others, or more like somebody else who is enrolled.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.
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
        UsageError
            Something is not a photo; the message names what it is.

        Examples
        --------
        >>> report = bank.enroll("Eileen", "eileen.jpg")
        >>> report.accepted
        1
        >>> [(photo.path, photo.accepted, photo.reason.value) for photo in report.photos]
        [('eileen.jpg', True, 'enrolled')]
        """
        from facebank.gallery import normalize_name
        from facebank.media import check_channels
        from facebank.operations.inputs import existing_photos

        person = normalize_name(name)
        check_channels(channels)
        found, skipped = existing_photos(photos)
        enroller = self._enroller(pick, thumbnails=thumbnails, force=force)
        progress.begin("Enrolling", len(found))
        return replace(enroller.enroll(person, self._analyzed(found, channels), progress=progress), skipped=skipped)

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

        Examples
        --------
        >>> from pathlib import Path
        >>> from facebank.operations.person_folders import PersonPhotos
        >>> reports = bank.enroll_people([PersonPhotos("Eileen", (Path("eileen.jpg"),))])
        >>> [(report.person, report.accepted) for report in reports]
        [('Eileen', 1)]
        """
        from facebank.gallery import normalize_name
        from facebank.operations.inputs import gather_photos, nothing_there, require_places

        names = [normalize_name(person.name) for person in people]
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

    def identify(
        self, photos: Photos, settings: DecisionSettings | None = None, *, channels: Channels = "RGB"
    ) -> Iterator[Photo]:
        """Say who is in photos, lazily and in order.

        Parameters
        ----------
        photos
            One photo or several, or folders. An iterator is read as far as its photos are asked for.
        settings
            How decisions are made; None for the gallery's own settings.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Returns
        -------
        Iterator[Photo]
            One for each photo; one that cannot be read has an `error` instead of faces.

        Raises
        ------
        GalleryError
            There is no gallery, or it cannot be used with the pack.
        PhotoNotFoundError
            There is not a single photo.
        UsageError
            Something is not a photo; the message names what it is.

        Examples
        --------
        >>> for photo in bank.identify(["party.jpg", "broken.jpg"]):
        ...     print(photo.path, [face.person for face in photo.faces], photo.error)
        party.jpg ['Barack', 'Joe'] None
        broken.jpg [] broken.jpg is not a photo: unknown file format
        """
        from facebank.media import check_channels
        from facebank.operations.inputs import each_photo
        from facebank.recognition.settings import check_settings

        check_channels(channels)
        check_settings(settings)
        gallery = self.gallery
        return self._identified(gallery, each_photo(photos), settings, channels)

    def _identified(
        self, gallery: Gallery, photos: Iterable[PhotoInput], settings: DecisionSettings | None, channels: Channels
    ) -> Iterator[Photo]:
        from facebank.operations.identify import identified_photo

        for result in self._analyzed(photos, channels):
            if isinstance(result, AnalyzedPhoto):
                yield identified_photo(result.found, gallery, lambda: self.identification(settings))
            else:
                yield result

    def analyze(self, photos: Photos, *, channels: Channels = "RGB") -> Iterator[Photo]:
        """Find the faces of photos, with quality and embedding, but without saying whose they are; needs no gallery.

        Parameters
        ----------
        photos
            One photo or several, or folders.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Returns
        -------
        Iterator[Photo]
            One for each photo, in order; its faces have no `Face.identity`.

        Raises
        ------
        PhotoNotFoundError
            There is not a single photo.
        UsageError
            Something is not a photo; the message names what it is.

        Examples
        --------
        >>> photo = next(bank.analyze("party.jpg"))
        >>> len(photo.faces), photo.faces[0].embedding.shape, photo.faces[0].decision
        (2, (128,), None)
        """
        from facebank.media import check_channels
        from facebank.operations.inputs import each_photo

        check_channels(channels)
        return self._found(each_photo(photos), channels)

    def _found(self, photos: Iterable[PhotoInput], channels: Channels) -> Iterator[Photo]:
        from facebank.media import open_photo
        from facebank.operations.inputs import analyze_readable

        for result in analyze_readable(self.comparing_engine, photos, channels):
            yield replace(result.found, opener=open_photo) if isinstance(result, AnalyzedPhoto) else result

    @property
    def settings(self) -> DecisionSettings:
        """The gallery's own settings of how decisions are made.

        Examples
        --------
        >>> bank.settings.fpir
        0.01
        """
        from facebank.recognition.settings import DecisionSettings

        return DecisionSettings.from_gallery(self.gallery)

    def identification(self, settings: DecisionSettings | None = None) -> Identification:
        """Return how faces are identified now: kept until what decisions rest on changes.

        Parameters
        ----------
        settings
            How decisions are made; None for the gallery's own settings.

        Examples
        --------
        >>> bank.identification().calibrated
        True
        """
        from facebank.operations.identify import decision_basis, prepare_identification
        from facebank.recognition.settings import check_settings

        check_settings(settings)
        wanted = self.settings if settings is None else settings

        def kept() -> Identification | None:
            last = self._identification
            if last is None or last.is_lost or last.basis != decision_basis(self.gallery, self.engine, wanted):
                return None
            return last

        found = kept()
        if found is None:
            with self._deciding:  # other threads wait rather than do the same
                found = kept()
                if found is None:
                    found = self._identification = prepare_identification(self.gallery, self.engine, wanted)
        return found

    def verify(self, a: PhotoInput, b: PhotoInput, *, channels: Channels = "RGB") -> Verification:
        """Compare the largest faces of two photos; needs no gallery.

        Parameters
        ----------
        a, b
            The photos.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Raises
        ------
        PhotoError
            One cannot be read or shows no face.

        Examples
        --------
        >>> result = bank.verify("barack1.jpg", "barack2.jpg")
        >>> result.same, round(result.similarity, 2), round(result.threshold, 2)
        (True, 0.77, 0.29)
        """
        from facebank.operations.identify import compare_photos

        return compare_photos(self.comparing_engine, _opened(a, channels), _opened(b, channels))

    def compare(self, a: PhotoInput | Sample, b: PhotoInput, *, channels: Channels = "RGB") -> Comparison:
        """Compare one face with every face of a photo; `verify` compares with the largest only.

        Parameters
        ----------
        a
            A photo, of which the largest face counts; or a sample of the gallery.
        b
            The photo whose faces are compared.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Raises
        ------
        PhotoError
            One cannot be read or shows no face.
        UsageError
            The gallery has no such sample.

        Examples
        --------
        >>> for compared in bank.compare("joe.jpg", "party.jpg").faces:
        ...     print(compared.face.face_number, compared.same)
        1 False
        2 True
        >>> [compared.same for compared in bank.compare(bank.samples("Barack")[0], "party.jpg").faces]
        [True, False]
        """
        from facebank.operations.compare import compare_faces, compare_sample
        from facebank.types import Sample

        if isinstance(a, Sample):
            return compare_sample(self.engine, self.gallery, a, _opened(b, channels))
        return compare_faces(self.comparing_engine, _opened(a, channels), _opened(b, channels))

    def confirm(
        self,
        photo: PhotoInput,
        name: str,
        face_number: int | None = None,
        *,
        force: bool = False,
        new: bool = False,
        channels: Channels = "RGB",
    ) -> Feedback:
        """Say that a face is this person's: it is enrolled as another sample.

        Parameters
        ----------
        photo
            The photo.
        name
            Who it is.
        face_number
            Which face, from 1, the largest; None for the only one.
        force
            Whether a poor face, or one that is unlike the person, is taken too.
        new
            Whether somebody who is not enrolled yet is made by it.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Examples
        --------
        >>> bank.confirm("party.jpg", "Joe", 2).detail
        'the face is a sample of Joe now'
        >>> bank.confirm("eileen.jpg", "Eileen", new=True).person
        'Eileen'
        """
        from facebank.operations import feedback

        opened = _opened(photo, channels)
        return feedback.confirm(self.gallery, self.engine, opened, name, face_number, force=force, new=new)

    def deny(
        self, photo: PhotoInput, name: str, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Feedback:
        """Say that a face is not this person's: it is never given that name again.

        Parameters
        ----------
        photo, name, face_number, channels
            As for `confirm`.

        Examples
        --------
        >>> feedback = bank.deny("party.jpg", "Joe", 2)
        >>> [face.person for face in next(bank.identify("party.jpg")).faces]
        ['Barack', None]
        """
        from facebank.operations import feedback

        return feedback.deny(self.gallery, self.engine, _opened(photo, channels), name, face_number)

    def deny_everybody(
        self, photo: PhotoInput, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Feedback:
        """Say that a face is nobody's whom you know: it is remembered as a stranger.

        Parameters
        ----------
        photo, face_number, channels
            As for `confirm`.

        Examples
        --------
        >>> feedback = bank.deny_everybody("eileen.jpg")
        >>> next(bank.identify("eileen.jpg")).faces[0].reason.value
        'remembered_stranger'
        """
        from facebank.operations import feedback

        return feedback.deny_everybody(self.gallery, self.engine, _opened(photo, channels), face_number)

    def lookalikes(
        self, photo: PhotoInput, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Lookalikes:
        """Rank everybody by resemblance to a face, which is no identity.

        Parameters
        ----------
        photo, face_number, channels
            As for `confirm`.

        Examples
        --------
        >>> [one.person for one in bank.lookalikes("eileen.jpg").people]
        ['Joe', 'Barack']
        """
        from facebank.operations.lookalike import find_lookalikes

        return find_lookalikes(self.gallery, self.engine, _opened(photo, channels), face_number)

    def people(self) -> list[Person]:
        """Return everybody who is enrolled, by name.

        Examples
        --------
        >>> [(person.name, person.sample_count) for person in bank.people()]
        [('Barack', 2), ('Joe', 1)]
        """
        return self.gallery.people()

    def person(self, name: str) -> Person:
        """Return a person; upper and lower case do not matter. `PersonNotFoundError` if nobody is called so.

        Examples
        --------
        >>> bank.person("joe").name
        'Joe'
        """
        return self.gallery.person(name)

    def samples(self, name: str) -> list[Sample]:
        """Return a person's samples: the faces that were enrolled.

        Examples
        --------
        >>> [sample.quality > 0.5 for sample in bank.samples("Barack")]
        [True, True]
        """
        return self.gallery.samples(name)

    def audit(self, *, most_pairs: int = 20) -> GalleryAudit:
        """Find people who may be confused, and doubtful samples; changes nothing.

        Parameters
        ----------
        most_pairs
            Largest number of pairs of confusable people to report.

        Returns
        -------
        GalleryAudit
            The findings, the most important first: each has a `kind`, `people`, a `message` and `commands` that help.

        Raises
        ------
        GalleryNotFoundError
            If there is no gallery yet.
        UsageError
            If `most_pairs` is negative.

        Examples
        --------
        >>> for finding in bank.audit().findings:
        ...     print(finding.kind, finding.people)
        few_samples ('Joe',)
        """
        from facebank.recognition.audit import audit_gallery

        engine = self.engine
        verify = engine.thresholds.verify
        return audit_gallery(self.gallery, engine.pack_calibration, most_pairs=most_pairs, verify=verify)

    def rename(self, name: str, new: str) -> Person:
        """Give a person another name.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, InvalidNameError
            Nobody is called `name`; somebody is called `new`; or nobody can be called so.

        Examples
        --------
        >>> bank.rename("Joe", "Joe Biden").name
        'Joe Biden'
        """
        return self.gallery.rename(name, new)

    def forget(self, name: str) -> Forgotten:
        """Remove a person for good: samples, embeddings, pictures and name; freed bytes are overwritten.

        Raises
        ------
        PersonNotFoundError
            Nobody is called so.

        Examples
        --------
        >>> bank.forget("Joe").samples
        1
        >>> [person.name for person in bank.people()]
        ['Barack']
        """
        return self.gallery.forget(name)

    def export(self, folder: Place, people: Sequence[str] | None = None, *, thumbnails: bool = True) -> Exported:
        """Write people and their samples into a new folder, from which `import_people` takes them.

        Parameters
        ----------
        folder
            Where; it must not exist, or be empty. Only its owner can read it.
        people
            Names; None for everybody.
        thumbnails
            Whether the small pictures of faces go along.

        Raises
        ------
        PersonNotFoundError, ExchangeError, StorageError
            Somebody named is not enrolled; the folder is there already; or it cannot be written.

        Examples
        --------
        >>> bank.export("family").people
        2
        """
        from facebank.gallery import export_gallery

        return export_gallery(self.gallery, folder, people, thumbnails=thumbnails)

    def album(self, path: Place | None = None) -> Album:
        """Return the photos that are scanned once and asked about often: see `Album`.

        Parameters
        ----------
        path
            The scan file; None for the one beside the gallery.

        Examples
        --------
        >>> with bank.album() as album:
        ...     report = album.scan(["party.jpg", "eileen.jpg"])
        ...     [found.path for found in album.find(["Joe"])] == [os.path.abspath("party.jpg")]
        True
        """
        from facebank.album.album import Album

        return Album(self, path)

    def video(self, path: Place, *, rate: float = 5.0, start: float = 0.0, end: float | None = None) -> VideoReport:
        """Say who is in a video, and when.

        Parameters
        ----------
        path
            The file.
        rate
            How many frames a second are looked at.
        start, end
            From when to when, in seconds; None for the end of the video.

        Raises
        ------
        VideoError
            There is no such video, or it cannot be read.
        GalleryError
            There is no gallery.

        Examples
        --------
        >>> for seen in bank.video("party.avi").appearances:
        ...     print(seen.label, f"{seen.start:.1f} to {seen.end:.1f} s")
        Barack 0.0 to 1.8 s
        Joe 0.0 to 1.8 s
        """
        from facebank.video.identify import VideoPlan, identify_video

        plan = VideoPlan(rate=rate, start=start, end=end)
        self.identification()  # refuses a bank without a gallery before the video is read
        return identify_video(self.engine, self.identification, named_path(path, "the path of the video"), plan)

    def watch(
        self,
        source: str | int,
        on_news: Callable[[VisitorChange, Visitor], None],
        *,
        rate: float = 5.0,
        seconds: float | None = None,
        mqtt: str | None = None,
        webhook: str | None = None,
        camera: str | None = None,
        thumbnails: bool = False,
        on_trouble: Callable[[str], None] | None = None,
    ) -> WatchSummary:
        """Say who comes and goes before a camera, until the source ends, time is over, or Ctrl-C.

        Nothing leaves the machine unless `mqtt` or `webhook` is given; then only who is known does.

        Parameters
        ----------
        source
            The number of a camera, a stream's URL, or a video file.
        on_news
            Called with what happened and with whom.
        rate
            How many frames a second are looked at, at most.
        seconds
            For how long; None for ever.
        mqtt
            The broker that is told who is there, such as ``mqtts://USER:PASSWORD@HOST/PREFIX``, or ``@`` and the path
            of a file whose first line that is; Home Assistant finds the sensors by itself. Needs the extra ``mqtt``.
        webhook
            The http or https address that each known person's coming and leaving is posted to, or ``@`` and a path.
        camera
            The camera's name in topics and messages; None for the source as messages show it.
        thumbnails
            Whether messages have the faces of people who come.
        on_trouble
            Called with a sentence, in other threads, when a broker or webhook is away, and when it is there again; the
            watch goes on.

        Raises
        ------
        VideoError
            The source cannot be opened.
        GalleryError
            There is no gallery.
        UsageError, MissingDependencyError
            An address cannot be used, or the extra is not installed.

        Examples
        --------
        >>> seen = bank.watch("party.avi", lambda news, visitor: print(news.value, visitor.label))
        came Barack
        came Joe
        left Barack
        left Joe
        """
        from facebank.media.live import LiveVideo, live_source
        from facebank.video.publishing import Publishing, plan_publishing
        from facebank.video.watch import watch

        if not callable(on_news):
            raise UsageError(f"on_news is called with what happens, and {printable(repr(on_news))} cannot be called")
        if on_trouble is not None and not callable(on_trouble):
            raise UsageError(f"on_trouble is called with sentences, and {printable(repr(on_trouble))} cannot be called")
        place = live_source(str(source))
        plan = plan_publishing(mqtt, webhook, place.shown, camera=camera, thumbnails=thumbnails)
        self.identification()  # refuses a bank without a gallery before a camera is opened
        self.preload()
        publishing = Publishing(plan, lambda: self.gallery, on_trouble or (lambda _: None))
        with LiveVideo(place, lambda change, _: publishing.follow(change)) as live, publishing:
            return watch(
                self.engine,
                self.identification,
                live,
                publishing.after(on_news),
                lambda _: publishing.refresh(),
                rate=rate,
                seconds=seconds,
            )

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

        Examples
        --------
        >>> bank.re_embed().embedded
        3
        """
        from facebank.operations.reembed import re_embed

        self._require_open()
        engine = self.engine
        self._close_gallery()
        with Gallery.open(self.path, on_upgrade=self._on_upgrade) as gallery:
            return re_embed(gallery, engine, drop_missing=drop_missing, progress=progress)

    def merge(self, sources: str | Sequence[str], into: str, *, force: bool = False) -> Person:
        """Join people who are one person; `unmerge` separates them again.

        Parameters
        ----------
        sources, into
            The name of who goes, or several names, and the name of who stays.
        force
            Whether they are joined even if their samples look like two people.

        Raises
        ------
        UsageError
            Their samples look like two people.

        Examples
        --------
        >>> report = bank.enroll("B. Obama", "party.jpg", pick="largest", force=True)
        >>> bank.merge("B. Obama", "Barack").sample_count
        3
        """
        from facebank.operations.merge import merge_people

        if not isinstance(sources, str) and not is_list_like(sources):
            raise UsageError(f"names are text or a list of text, not {printable(repr(sources))}")
        names = [sources] if isinstance(sources, str) else sources
        if force:
            return self.gallery.merge(names, into)
        return merge_people(self.gallery, names, into, self.engine.thresholds.verify)

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person, and return those who are separate again.

        Examples
        --------
        >>> merged = bank.merge(["Joe"], "Barack", force=True)
        >>> [person.name for person in bank.unmerge("Barack")]
        ['Joe']
        """
        return self.gallery.unmerge(name)

    def split(self, name: str, into: str, samples: Sequence[int] = ()) -> Person:
        """Make two people of one, and return the new one.

        Parameters
        ----------
        name, into
            Whose samples are split, and what the new person is called.
        samples
            Numbers of those that go to the new person; none for the smaller of the two groups that they form.

        Examples
        --------
        >>> number = bank.samples("Barack")[0].id
        >>> bank.split("Barack", "Barack in 2012", [number]).sample_count
        1
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
            What `export` wrote.
        force
            Whether such faces are taken, too.

        Raises
        ------
        PackMismatchError
            Another pack made the export's embeddings.
        ExchangeError
            The export is partial or altered; nothing is imported then.

        Examples
        --------
        >>> exported = bank.export("family")
        >>> with FaceBank.open("other.facebank") as other:
        ...     imported = other.import_people("family")
        ...     [person.name for person in other.people()]
        ['Barack', 'Joe']
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

    def import_compreface(
        self, url: str, key: str, *, thumbnails: bool = True, force: bool = False, progress: Progress = SILENT
    ) -> list[ImportedExample]:
        """Enroll everybody of a CompreFace service from the example images there; the gallery is made if there is none.

        A second import adds nothing that the first one took, and goes on where one was interrupted.

        Parameters
        ----------
        url
            The service's address, such as ``http://192.168.1.5:8000``.
        key
            The key of its recognition service.
        thumbnails, force
            As for `enroll`.
        progress
            Advanced with each example; each `ImportedExample` is reported.

        Returns
        -------
        list[ImportedExample]
            What became of each example, by person.

        Raises
        ------
        UsageError
            The address or the key cannot be one.
        ServiceError
            The service cannot be reached, does not accept the key, or is no CompreFace service; what was enrolled until
            then is kept.

        Examples
        --------
        >>> bank.import_compreface("ftp://192.168.1.5", "a-key")
        Traceback (most recent call last):
        facebank.errors.UsageError: 'ftp://192.168.1.5' is not the address of a CompreFace service, ...
        """
        from facebank.operations.compreface_client import CompreFaceClient
        from facebank.operations.import_compreface import import_examples

        with CompreFaceClient(url, key) as client:
            return import_examples(
                client,
                self.open_gallery(create=True),
                lambda name, images: self.enroll(name, images, thumbnails=thumbnails, force=force),
                progress,
            )

    def open_gallery(self, *, create: bool = False) -> Gallery:
        """Return the gallery, opened; made where there is none and `create` says so.

        Raises
        ------
        GalleryError
            There is none, or it cannot be used with the pack.

        Examples
        --------
        >>> bank.open_gallery().path.name
        'people.facebank'
        """
        gallery = self._gallery
        if gallery is None:
            with self._opening:
                self._require_open()
                gallery = self._gallery
                if gallery is None:
                    gallery = Gallery.open(self.path, self.engine.identity, create=create, on_upgrade=self._on_upgrade)
                    if self._index is not None:
                        from facebank.index.milvus import milvus_mirror

                        gallery.mirror = milvus_mirror(self._index, fallback=self._fallback is not None)
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

        Examples
        --------
        >>> from facebank.gallery import PlaceKind
        >>> bank.note_written(PlaceKind.ANNOTATED, "drawn")
        """
        with suppress(GalleryError, PackError, StorageError):
            if self.path.exists():
                self.gallery.note_written(kind, path)

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError(f"The bank of {printable(str(self.path))} was closed: open it anew.")

    def _enroller(self, pick: Pick | None, *, thumbnails: bool, force: bool) -> Enroller:
        from facebank.operations.enroll import Enroller
        from facebank.operations.guard import EnrolledFaces

        gallery = self.open_gallery(create=True)
        known: EnrolledFaces | None = getattr(self._known, "faces", None)
        if known is None:
            known = self._known.faces = EnrolledFaces(gallery)
        return Enroller(gallery, self.engine, pick, thumbnails, force, enrolled=known)

    def _analyzed(self, photos: Iterable[PhotoInput], channels: Channels = "RGB") -> Iterator[AnalyzedPhoto | Photo]:
        from facebank.operations.inputs import analyze_readable

        return analyze_readable(self.engine, photos, channels)


def _index_address(index: str) -> MilvusAddress:
    from facebank.index.milvus_address import MilvusAddress

    if not isinstance(index, str):
        raise UsageError(f"index is an address such as milvus://HOST:PORT/NAME, not {printable(repr(index))}")
    return MilvusAddress.parse(index)


def _opened(photo: PhotoInput, channels: Channels) -> PhotoInput:
    """Return a photo in memory as pixels; a path stays one."""
    from facebank.media import check_photo, open_photo

    check_photo(photo)
    return photo if isinstance(photo, str | os.PathLike) else open_photo(photo, channels)


def _nothing_to_enroll(person: str, places: Sequence[Path], progress: Progress) -> EnrollReport:
    refused = []
    for place in places:
        refused.append(EnrolledPhoto(str(place), person, False, EnrollReason.NO_PHOTOS, "no photos there", None))
        progress.report(refused[-1])
    return EnrollReport(person, tuple(refused))
