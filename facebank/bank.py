"""`FaceBank`, the main object of facebank: people in a gallery file, and their recognition in photos."""

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
from facebank.storage.concurrency import ForkSafeLock
from facebank.storage.paths import file_path, is_list_like, named_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, EnrolledPhoto, EnrollReason, EnrollReport, Photo

if TYPE_CHECKING:
    from types import TracebackType

    from facebank.album.album import Album
    from facebank.gallery import ExportReport, ForgetReport, ImportReport, PlaceKind, Upgrade
    from facebank.index.milvus_address import MilvusAddress
    from facebank.media import Channels, PhotoInput, StrPath
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

_MAX_THREADS = 1024  # thousands take minutes to start, and more raise misleading errors


class FaceBank:
    """Enrolls people from a few photos each into a gallery file, and recognizes them in other photos.

    Created by `open` and closed by ``with`` or `close`. Networks and the gallery are loaded on first use.

    A photo may be a path, ``bytes`` or an open binary file of an encoded photo, a Pillow image, or a ``uint8`` array of
    shape ``(height, width, 3)``: RGB, or with ``channels="BGR"`` in OpenCV's order. Several photos may be a list or
    iterator of those, and a folder stands for the photos in it.

    A bank is thread-safe: threads share the networks, and each has its own connection to the gallery, which is closed
    when the thread ends. `close` may be called in any thread; operations of other threads on the gallery then raise
    `ClosedError`, and so does any later use.

    After `os.fork` (also through `multiprocessing` with ``fork``), both processes may use the bank. The child process
    loads the networks again on first use, and raises `UsageError` for the gallery if a thread was using it during the
    fork.

    Parameters
    ----------
    path
        The gallery file.
    pack
        Name or folder of a pack; None for the gallery's own, or the embedded one for a new gallery.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads for one network on the CPU; None for as many as this process may use. Use 1 when photos are processed
        in parallel.
    on_upgrade
        Called after the gallery was upgraded from an older version.
    runtime
        As for `open`.
    index, fallback
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
        if not (threads is None or (type(threads) is int and 0 < threads <= _MAX_THREADS)):
            allowed = f"a number from 1 to {_MAX_THREADS:,}, or None for all cores"
            raise UsageError(f"threads must be {allowed}, not {printable(repr(threads))}")
        if not (pack is None or isinstance(pack, str | os.PathLike)):
            raise UsageError(f"pack must be the name or folder of a pack, not {printable(repr(pack))}")
        self.path = path
        self._on_upgrade = on_upgrade
        self._threads = threads
        self._pack_name = pack
        self._device = device
        self._runtime = runtime
        self._index = None if index is None else _index_address(index)
        if fallback not in {None, "local"} or (fallback and not index):
            raise UsageError(f"fallback must be 'local' with an index, or None, not {printable(repr(fallback))}")
        self._fallback = fallback
        self._gallery: Gallery | None = None
        self._engine: Engine | None = None
        self._identification: Identification | None = None
        self._enrolled_faces = local()  # one cache of the gallery's faces per thread
        self._is_closed = False
        self._opening_lock = ForkSafeLock()
        self._identification_lock = ForkSafeLock()

    @classmethod
    def open(
        cls,
        path: StrPath | None = None,
        *,
        pack: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        on_upgrade: Callable[[Upgrade], None] | None = None,
        runtime: str = "auto",
        index: str | None = None,
        fallback: str | None = None,
    ) -> Self:
        """Return a bank for a gallery file, which need not exist yet.

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
            Called after the gallery was upgraded from an older version.
        runtime
            Runtime of the embedder: ``onnxruntime``, ``openvino`` (extra ``openvino``, CPU only), or ``auto``: the
            faster one on this machine, measured once, if both are installed.
        index
            Address of a vector store for the search of people: ``milvus://HOST:PORT/NAME``,
            ``milvus+tls://HOST:PORT/NAME`` or ``milvus-lite:FILE.db`` (extra ``milvus``); None to search in this
            process. Decisions are the same.
        fallback
            ``local`` to search in this process, with a warning, while the vector store cannot be reached; None to raise
            `ServiceError`.

        Raises
        ------
        UsageError
            The device, runtime, number of threads or index is invalid.

        Examples
        --------
        >>> bank = FaceBank.open("friends.facebank", device="cpu")
        >>> bank.path.name
        'friends.facebank'
        """
        gallery_path = default_gallery_path() if path is None else file_path(path, "the path of the gallery")
        return cls(gallery_path, pack, device, threads, on_upgrade, runtime=runtime, index=index, fallback=fallback)

    def close(self) -> None:
        """Close the bank and its gallery in all threads; no-op if it is closed.

        Examples
        --------
        >>> bank.close()
        >>> bank.people()
        Traceback (most recent call last):
        facebank.errors.ClosedError: ...
        """
        with self._opening_lock:
            self._is_closed = True
            self._close_gallery()

    def _close_gallery(self) -> None:
        with self._opening_lock:
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
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def gallery(self) -> Gallery:
        """The gallery, opened on first use.

        Raises
        ------
        GalleryError
            The gallery does not exist, or cannot be used with the pack.

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
            with self._opening_lock:
                if self._engine is None:
                    self._engine = self._load_engine()
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    def _load_engine(self) -> Engine:
        from facebank.operations.engine import load_engine, load_engine_of

        if self._pack_name is not None:
            return load_engine(self._pack_name, self._device, self._threads, self._runtime)
        return load_engine_of(self.path, self._device, self._threads, self._runtime)

    @property
    def comparing_engine(self) -> Engine:
        """The engine for operations without a gallery: the embedded pack's if the gallery cannot be read.

        Raises
        ------
        PackError
            The pack is unknown or broken.

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
        """Start loading the networks in the background, so that the first photo does not wait for them.

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
        """Enroll photos of one person; their order does not matter, because they are considered together.

        Parameters
        ----------
        name
            The person's name.
        photos
            One photo or several, or folders.
        pick
            The face to enroll from a photo with several: ``largest`` or ``central``; None for the only one that matches
            the person's other photos, or is clearly the largest.
        thumbnails
            Whether the gallery stores a thumbnail of each face.
        force
            Whether to enroll a face that is unlike the person's others, or more similar to another enrolled person.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.
        progress
            Advanced by each analyzed photo; then receives each `EnrolledPhoto`, in the order of the photos.

        Returns
        -------
        EnrollReport
            The results, in the order of the photos.

        Raises
        ------
        InvalidNameError
            The name is not valid.
        PhotoNotFoundError
            There are no photos; no gallery is created.
        UsageError
            An item is not a photo; the message states its type.
        GalleryError, StorageError
            The gallery cannot be used with the pack, or cannot be written.

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
        inputs, skipped = existing_photos(photos)
        enroller = self._enroller(pick, thumbnails=thumbnails, force=force)
        progress.begin("Enrolling", len(inputs))
        return replace(enroller.enroll(person, self._analyze(inputs, channels), progress=progress), skipped=skipped)

    def enroll_people(
        self,
        people: Sequence[PersonPhotos],
        *,
        pick: Pick | None = None,
        thumbnails: bool = True,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> list[EnrollReport]:
        """Enroll photos of several people, one person after the other.

        Parameters
        ----------
        people
            Names with files and folders, such as from `facebank.operations.person_folders.plan_enrollment`.
        pick, thumbnails, force, progress
            As for `enroll`.

        Returns
        -------
        list[EnrollReport]
            One report for each of `people`, in order. Duplicate photos count once, and folders without a photo are
            refused. Faces of an earlier person are enrolled as that person's if `PersonPhotos` allows it.

        Raises
        ------
        InvalidNameError
            A name is not valid; nobody is enrolled.
        PhotoNotFoundError
            There are no photos at all, or none of the files and folders exist.
        GalleryError, StorageError
            The gallery cannot be used with the pack, or cannot be written.

        Examples
        --------
        >>> from pathlib import Path
        >>> from facebank.operations.person_folders import PersonPhotos
        >>> reports = bank.enroll_people([PersonPhotos("Eileen", (Path("eileen.jpg"),))])
        >>> [(report.person, report.accepted) for report in reports]
        [('Eileen', 1)]
        """
        from facebank.gallery import normalize_name
        from facebank.operations.inputs import check_any_exists, gather_photos, no_photos_error

        names = [normalize_name(person.name) for person in people]
        paths = [path for person in people for path in person.paths]
        check_any_exists(paths)
        gathered = [gather_photos(person.paths) for person in people]
        if not any(inputs.photos for inputs in gathered):
            raise no_photos_error(paths)
        progress.begin("Enrolling", sum(len(inputs.photos) for inputs in gathered))
        reports: list[EnrollReport] = []
        for name, person, inputs in zip(names, people, gathered, strict=True):
            if not inputs.photos:
                reports.append(replace(_report_no_photos(name, person.paths, progress), skipped=inputs.counts))
                continue
            earlier = list(dict.fromkeys(report.person for report in reports)) if person.may_be_earlier else []
            enroller = self._enroller(pick, thumbnails=thumbnails, force=force)
            report = enroller.enroll(name, self._analyze(inputs.photos), earlier=earlier, progress=progress)
            reports.append(replace(report, skipped=inputs.counts))
        return reports

    def identify(
        self, photos: Photos, settings: DecisionSettings | None = None, *, channels: Channels = "RGB"
    ) -> Iterator[Photo]:
        """Yield photos with the identities of their faces, lazily and in order.

        Parameters
        ----------
        photos
            One photo or several, or folders. An iterator is consumed lazily.
        settings
            Settings of the decisions; None for the gallery's own.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Returns
        -------
        Iterator[Photo]
            One result per photo; a photo that cannot be read has an `error` and no faces.

        Raises
        ------
        GalleryError
            The gallery does not exist, or cannot be used with the pack.
        PhotoNotFoundError
            There are no photos.
        UsageError
            An item is not a photo; the message states its type.

        Examples
        --------
        >>> for photo in bank.identify(["party.jpg", "broken.jpg"]):
        ...     print(photo.path, [face.person for face in photo.faces], photo.error)
        party.jpg ['Barack', 'Joe'] None
        broken.jpg [] broken.jpg is not a photo: unknown file format
        """
        from facebank.media import check_channels
        from facebank.operations.inputs import iterate_photos
        from facebank.recognition.settings import check_settings

        check_channels(channels)
        check_settings(settings)
        gallery = self.gallery
        return self._identify_photos(gallery, iterate_photos(photos), settings, channels)

    def _identify_photos(
        self, gallery: Gallery, photos: Iterable[PhotoInput], settings: DecisionSettings | None, channels: Channels
    ) -> Iterator[Photo]:
        from facebank.operations.identify import identify_photo

        for result in self._analyze(photos, channels):
            if isinstance(result, AnalyzedPhoto):
                yield identify_photo(result.without_pixels, gallery, lambda: self.identification(settings))
            else:
                yield result

    def analyze(self, photos: Photos, *, channels: Channels = "RGB") -> Iterator[Photo]:
        """Yield photos with their faces, quality and embeddings, but without identities; needs no gallery.

        Parameters
        ----------
        photos
            One photo or several, or folders.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Returns
        -------
        Iterator[Photo]
            One result per photo, in order; `Face.identity` is None.

        Raises
        ------
        PhotoNotFoundError
            There are no photos.
        UsageError
            An item is not a photo; the message states its type.

        Examples
        --------
        >>> photo = next(bank.analyze("party.jpg"))
        >>> len(photo.faces), photo.faces[0].embedding.shape, photo.faces[0].decision
        (2, (128,), None)
        """
        from facebank.media import check_channels
        from facebank.operations.inputs import iterate_photos

        check_channels(channels)
        return self._analyze_photos(iterate_photos(photos), channels)

    def _analyze_photos(self, photos: Iterable[PhotoInput], channels: Channels) -> Iterator[Photo]:
        from facebank.media import open_photo
        from facebank.operations.inputs import analyze_readable

        for result in analyze_readable(self.comparing_engine, photos, channels):
            yield replace(result.without_pixels, opener=open_photo) if isinstance(result, AnalyzedPhoto) else result

    @property
    def settings(self) -> DecisionSettings:
        """The gallery's settings of decisions.

        Raises
        ------
        GalleryError
            The gallery does not exist, or cannot be used with the pack.

        Examples
        --------
        >>> bank.settings.fpir
        0.01
        """
        from facebank.recognition.settings import DecisionSettings

        return DecisionSettings.from_gallery(self.gallery)

    def identification(self, settings: DecisionSettings | None = None) -> Identification:
        """Return the prepared identification, cached until the gallery or the settings change.

        Parameters
        ----------
        settings
            Settings of the decisions; None for the gallery's own.

        Raises
        ------
        GalleryError
            The gallery does not exist, or cannot be used with the pack.
        UsageError
            The gallery is too large for the classifier, or has too few people for it.

        Examples
        --------
        >>> bank.identification().calibrated
        True
        """
        from facebank.operations.identify import decision_basis, prepare_identification
        from facebank.recognition.settings import check_settings

        check_settings(settings)
        used = self.settings if settings is None else settings

        def read_cached() -> Identification | None:
            cached = self._identification
            if cached is None or cached.is_lost or cached.basis != decision_basis(self.gallery, self.engine, used):
                return None
            return cached

        identification = read_cached()
        if identification is None:
            with self._identification_lock:  # only one thread prepares it
                identification = read_cached()
                if identification is None:
                    identification = prepare_identification(self.gallery, self.engine, used)
                    self._identification = identification
        return identification

    def verify(self, a: PhotoInput, b: PhotoInput, *, channels: Channels = "RGB") -> Verification:
        """Return whether the largest faces of two photos are of the same person; needs no gallery.

        Parameters
        ----------
        a, b
            The photos.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Raises
        ------
        PhotoError
            A photo cannot be read or shows no face.

        Examples
        --------
        >>> result = bank.verify("barack1.jpg", "barack2.jpg")
        >>> result.same, round(result.similarity, 2), round(result.threshold, 2)
        (True, 0.77, 0.29)
        """
        from facebank.operations.identify import compare_photos

        return compare_photos(self.comparing_engine, _open_input(a, channels), _open_input(b, channels))

    def compare(self, a: PhotoInput | Sample, b: PhotoInput, *, channels: Channels = "RGB") -> Comparison:
        """Return the comparison of one face with each face of a photo; `verify` uses the largest face only.

        Parameters
        ----------
        a
            A photo, whose largest face is compared, or a sample of the gallery.
        b
            The photo whose faces are compared.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Raises
        ------
        PhotoError
            A photo cannot be read or shows no face.
        UsageError
            The sample is not in the gallery.

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
            return compare_sample(self.engine, self.gallery, a, _open_input(b, channels))
        return compare_faces(self.comparing_engine, _open_input(a, channels), _open_input(b, channels))

    def confirm(
        self,
        photo: PhotoInput,
        name: str,
        face_number: int | None = None,
        *,
        force: bool = False,
        create: bool = False,
        channels: Channels = "RGB",
    ) -> Feedback:
        """Confirm that a face is a person's, and enroll it as a sample.

        Parameters
        ----------
        photo
            The photo.
        name
            The person's name.
        face_number
            Number of the face, from 1 for the largest; None for the only one.
        force
            Whether to enroll a face of poor quality, or one that is unlike the person.
        create
            Whether to enroll a new person if nobody has this name.
        channels
            The order of an array's colors, ``RGB`` or ``BGR``.

        Raises
        ------
        PersonNotFoundError, InvalidNameError
            Nobody has this name; or, with `create`, it is not valid.
        PhotoError
            The photo cannot be read or shows no face.
        UsageError
            There is no face of this number, the photo shows several faces and no number is given, or the face is
            enrolled as another person.

        Examples
        --------
        >>> bank.confirm("party.jpg", "Joe", 2).detail
        'the face is a sample of Joe now'
        >>> bank.confirm("eileen.jpg", "Eileen", create=True).person
        'Eileen'
        """
        from facebank.operations import feedback

        opened = _open_input(photo, channels)
        return feedback.confirm(self.gallery, self.engine, opened, name, face_number, force=force, create=create)

    def deny(
        self, photo: PhotoInput, name: str, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Feedback:
        """Deny that a face shows a person: identification no longer gives it that name.

        Parameters
        ----------
        photo, name, face_number, channels
            As for `confirm`.

        Raises
        ------
        PersonNotFoundError, PhotoError, UsageError
            As for `confirm`; also `UsageError` if the face is a sample of the person.

        Examples
        --------
        >>> feedback = bank.deny("party.jpg", "Joe", 2)
        >>> [face.person for face in next(bank.identify("party.jpg")).faces]
        ['Barack', None]
        """
        from facebank.operations import feedback

        return feedback.deny(self.gallery, self.engine, _open_input(photo, channels), name, face_number)

    def deny_everybody(
        self, photo: PhotoInput, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Feedback:
        """Deny that a face is any person's: it is remembered as a stranger.

        Parameters
        ----------
        photo, face_number, channels
            As for `confirm`.

        Raises
        ------
        PhotoError, UsageError
            As for `confirm`; also `UsageError` if the face is a person's sample.

        Examples
        --------
        >>> feedback = bank.deny_everybody("eileen.jpg")
        >>> next(bank.identify("eileen.jpg")).faces[0].reason.value
        'remembered_stranger'
        """
        from facebank.operations import feedback

        return feedback.deny_everybody(self.gallery, self.engine, _open_input(photo, channels), face_number)

    def lookalikes(
        self, photo: PhotoInput, face_number: int | None = None, *, channels: Channels = "RGB"
    ) -> Lookalikes:
        """Return all people ranked by resemblance to a face; a rank is not an identification.

        Parameters
        ----------
        photo, face_number, channels
            As for `confirm`.

        Raises
        ------
        PhotoError, UsageError
            As for `confirm`; also `UsageError` if nobody has a sample.

        Examples
        --------
        >>> [resemblance.person for resemblance in bank.lookalikes("eileen.jpg").people]
        ['Joe', 'Barack']
        """
        from facebank.operations.lookalike import find_lookalikes

        return find_lookalikes(self.gallery, self.engine, _open_input(photo, channels), face_number)

    def people(self) -> list[Person]:
        """Return all enrolled people, in the order of their names.

        Raises
        ------
        GalleryNotFoundError
            The gallery does not exist.

        Examples
        --------
        >>> [(person.name, person.sample_count) for person in bank.people()]
        [('Barack', 2), ('Joe', 1)]
        """
        return self.gallery.people()

    def person(self, name: str) -> Person:
        """Return a person by name, regardless of case.

        Raises
        ------
        PersonNotFoundError
            Nobody has this name.

        Examples
        --------
        >>> bank.person("joe").name
        'Joe'
        """
        return self.gallery.person(name)

    def samples(self, name: str) -> list[Sample]:
        """Return the enrolled faces of a person.

        Raises
        ------
        PersonNotFoundError
            Nobody has this name.

        Examples
        --------
        >>> [sample.quality > 0.5 for sample in bank.samples("Barack")]
        [True, True]
        """
        return self.gallery.samples(name)

    def audit(self, *, max_pairs: int = 20) -> GalleryAudit:
        """Return findings about confusable people and doubtful samples; changes nothing.

        Parameters
        ----------
        max_pairs
            Largest number of pairs of confusable people to report.

        Returns
        -------
        GalleryAudit
            The findings, most important first, each with a `kind`, `people`, a `message` and helpful `commands`.

        Raises
        ------
        GalleryNotFoundError
            The gallery does not exist.
        UsageError
            `max_pairs` is negative.

        Examples
        --------
        >>> for finding in bank.audit().findings:
        ...     print(finding.kind, finding.names)
        few_samples ('Joe',)
        """
        from facebank.recognition.audit import audit_gallery

        engine = self.engine
        threshold = engine.thresholds.verify
        return audit_gallery(self.gallery, engine.pack_calibration, max_pairs=max_pairs, threshold=threshold)

    def rename(self, name: str, new_name: str) -> Person:
        """Rename a person, and return the person.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, InvalidNameError
            Nobody has the name `name`; another person has the name `new_name`; or `new_name` is not valid.

        Examples
        --------
        >>> bank.rename("Joe", "Joe Biden").name
        'Joe Biden'
        """
        return self.gallery.rename(name, new_name)

    def forget(self, name: str) -> ForgetReport:
        """Permanently remove a person with all samples, embeddings and thumbnails; freed bytes are overwritten.

        The person's thumbnails are wiped from the scanned videos of the gallery's album, too.

        Raises
        ------
        PersonNotFoundError
            Nobody has this name.

        Examples
        --------
        >>> bank.forget("Joe").sample_count
        1
        >>> [person.name for person in bank.people()]
        ['Barack']
        """
        from facebank.album.forget import forget_person

        return forget_person(self.gallery, name)

    def export(self, folder: StrPath, people: Sequence[str] | None = None, *, thumbnails: bool = True) -> ExportReport:
        """Write people and their samples to a new folder for `import_people`.

        Parameters
        ----------
        folder
            The folder, new or empty. Only its owner can read it.
        people
            Names of the people; None for all.
        thumbnails
            Whether to include the thumbnails of faces.

        Raises
        ------
        PersonNotFoundError, ExchangeError, StorageError
            A person is not enrolled; the folder is not empty; or it cannot be written.

        Examples
        --------
        >>> bank.export("family").person_count
        2
        """
        from facebank.gallery import export_gallery

        return export_gallery(self.gallery, folder, people, thumbnails=thumbnails)

    def album(self, path: StrPath | None = None) -> Album:
        """Return the album of the gallery: photos that are scanned once and then searched.

        Parameters
        ----------
        path
            The scan file; None for the one beside the gallery.

        Examples
        --------
        >>> with bank.album() as album:
        ...     report = album.scan(["party.jpg", "eileen.jpg"])
        ...     [photo.path for photo in album.find(["Joe"])] == [os.path.abspath("party.jpg")]
        True
        """
        from facebank.album.album import Album

        return Album(self, path)

    def video(self, path: StrPath, *, rate: float = 5.0, start: float = 0.0, end: float | None = None) -> VideoReport:
        """Return the people who appear in a video, and the times.

        Parameters
        ----------
        path
            The video file.
        rate
            Analyzed frames per second.
        start, end
            The analyzed part, in seconds; None for the end of the video.

        Raises
        ------
        VideoError
            The video does not exist or cannot be read.
        GalleryError
            The gallery does not exist.

        Examples
        --------
        >>> for appearance in bank.video("party.avi").appearances:
        ...     print(appearance.label, f"{appearance.start:.1f} to {appearance.end:.1f} s")
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
        on_change: Callable[[VisitorChange, Visitor], None],
        *,
        rate: float = 5.0,
        seconds: float | None = None,
        mqtt: str | None = None,
        webhook: str | None = None,
        camera: str | None = None,
        thumbnails: bool = False,
        on_status: Callable[[str], None] | None = None,
    ) -> WatchSummary:
        """Watch a camera and report who comes and goes, until the source ends, the time is over, or Ctrl-C is pressed.

        Nothing is sent to other machines unless `mqtt` or `webhook` is given, and then only about known people.

        Parameters
        ----------
        source
            The number of a camera, a stream's URL, or a video file.
        on_change
            Called with each change and the visitor.
        rate
            Largest number of analyzed frames per second.
        seconds
            Duration in seconds; None for no limit.
        mqtt
            Address of an MQTT broker for the presence of people, such as ``mqtts://USER:PASSWORD@HOST/PREFIX``, or
            ``@`` and the path of a file with the address in its first line. Home Assistant discovers the sensors.
            Needs the extra ``mqtt``.
        webhook
            The http or https address to which arrivals and departures of known people are posted, or ``@`` and the path
            of a file with it.
        camera
            The camera's name in topics and messages; None for the source as shown in messages.
        thumbnails
            Whether messages include the faces of people who arrive.
        on_status
            Called in other threads, with one sentence, when a broker or webhook fails and when it recovers; the watch
            continues.

        Raises
        ------
        VideoError
            The source cannot be opened.
        GalleryError
            The gallery does not exist.
        UsageError, MissingDependencyError
            An address is invalid, or the extra is not installed.

        Examples
        --------
        >>> summary = bank.watch("party.avi", lambda change, visitor: print(change.value, visitor.label))
        came Barack
        came Joe
        left Barack
        left Joe
        """
        from facebank.media.live import LiveVideo, live_source
        from facebank.video.publishing import Publishing, plan_publishing
        from facebank.video.watch import watch

        if not callable(on_change):
            raise UsageError(
                f"on_change must be a function of a change and a visitor: {printable(repr(on_change))} cannot be called"
            )
        if on_status is not None and not callable(on_status):
            raise UsageError(
                f"on_status must be a function of a sentence: {printable(repr(on_status))} cannot be called"
            )
        stream = live_source(str(source))
        plan = plan_publishing(mqtt, webhook, stream.label, camera=camera, thumbnails=thumbnails)
        self.identification()  # refuses a bank without a gallery before a camera is opened
        self.preload()
        publishing = Publishing(plan, lambda: self.gallery, on_status or (lambda _: None))
        with LiveVideo(stream, lambda change, _: publishing.publish_stream_change(change)) as live, publishing:
            return watch(
                self.engine,
                self.identification,
                live,
                publishing.wrap(on_change),
                lambda _: publishing.refresh(),
                rate=rate,
                seconds=seconds,
            )

    def re_embed(self, *, drop_missing: bool = False, progress: Progress = SILENT) -> ReEmbeddingReport:
        """Recompute the gallery's embeddings with this bank's pack from the photos, which must still exist.

        Parameters
        ----------
        drop_missing
            Whether to remove samples whose photo or face is not found again; if False, such samples cancel the change.
        progress
            Advanced by each sample and stranger whose photo was read.

        Returns
        -------
        ReEmbeddingReport
            The results of the samples.

        Raises
        ------
        GalleryError
            The gallery does not exist.
        UsageError
            Another process has changed the samples or strangers meanwhile.

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
        """Merge people who are the same person, and return that person; `unmerge` undoes it.

        Parameters
        ----------
        sources, into
            The name or names to merge, and the name that remains.
        force
            Whether to merge people whose samples look like different people.

        Raises
        ------
        PersonNotFoundError
            One of the people is not enrolled.
        UsageError
            The samples look like different people.

        Examples
        --------
        >>> report = bank.enroll("B. Obama", "party.jpg", pick="largest", force=True)
        >>> bank.merge("B. Obama", "Barack").sample_count
        3
        """
        from facebank.operations.merge import merge_people

        if not isinstance(sources, str) and not is_list_like(sources):
            raise UsageError(f"sources must be a name or a list of names, not {printable(repr(sources))}")
        names = [sources] if isinstance(sources, str) else sources
        if force:
            return self.gallery.merge(names, into)
        return merge_people(self.gallery, names, into, self.engine.thresholds.verify)

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person, and return the separated people.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, UsageError
            Nobody has this name; another person has one of the names by now; or there is no merge to undo.

        Examples
        --------
        >>> merged = bank.merge(["Joe"], "Barack", force=True)
        >>> [person.name for person in bank.unmerge("Barack")]
        ['Joe']
        """
        return self.gallery.unmerge(name)

    def split(self, name: str, into: str, sample_ids: Sequence[int] = ()) -> Person:
        """Move some samples of a person to a new person, and return the new person.

        Parameters
        ----------
        name, into
            The person's name, and the name of the new person.
        sample_ids
            Ids of the samples to move; if empty, the smaller of two groups of similar samples.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, InvalidNameError
            Nobody has the name `name`; a person has the name `into` already; or `into` is not valid.
        UsageError
            A sample is not the person's, all samples are given, or the samples do not form two groups.

        Examples
        --------
        >>> first_sample = bank.samples("Barack")[0]
        >>> bank.split("Barack", "Barack in 2012", [first_sample.id]).sample_count
        1
        """
        from facebank.operations.merge import find_half

        gallery = self.gallery
        return gallery.split(name, into, sample_ids or find_half(gallery, name, self.engine.thresholds.verify))

    def import_people(self, folder: StrPath, *, force: bool = False) -> ImportReport:
        """Add the people of an export to the gallery, which is created if missing.

        Skips faces that are unlike this gallery's samples of the person of that name, or more similar to another
        person.

        Parameters
        ----------
        folder
            A folder written by `export`.
        force
            Whether to import such faces, too.

        Raises
        ------
        PackMismatchError
            The export's embeddings are from another pack.
        ExchangeError
            The export is partial or altered; nothing is imported.

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
        guard = None if force else ImportGuard(gallery, self.engine.thresholds.verify)
        return import_gallery(gallery, folder, guard)

    def import_compreface(
        self, url: str, key: str, *, thumbnails: bool = True, force: bool = False, progress: Progress = SILENT
    ) -> list[ImportedExample]:
        """Enroll all people of a CompreFace service from their example images; the gallery is created if missing.

        Repeating an import adds only new examples, and continues an interrupted import.

        Parameters
        ----------
        url
            The service's address, such as ``http://192.168.1.5:8000``.
        key
            The key of its recognition service.
        thumbnails, force
            As for `enroll`.
        progress
            Advanced by each example, and receives each `ImportedExample`.

        Returns
        -------
        list[ImportedExample]
            The result of each example, by person.

        Raises
        ------
        UsageError
            The address or the key is invalid.
        ServiceError
            The service cannot be reached, rejects the key, or is not a CompreFace service; people enrolled until then
            remain.

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
                lambda name, photos: self.enroll(name, photos, thumbnails=thumbnails, force=force),
                progress,
            )

    def open_gallery(self, *, create: bool = False) -> Gallery:
        """Return the open gallery.

        Parameters
        ----------
        create
            Whether to create a missing gallery.

        Raises
        ------
        GalleryError
            The gallery does not exist, or cannot be used with the pack.

        Examples
        --------
        >>> bank.open_gallery().path.name
        'people.facebank'
        """
        gallery = self._gallery
        if gallery is None:
            with self._opening_lock:
                self._require_open()
                gallery = self._gallery
                if gallery is None:
                    gallery = Gallery.open(self.path, self.engine.identity, create=create, on_upgrade=self._on_upgrade)
                    if self._index is not None:
                        from facebank.index.milvus import milvus_mirror

                        gallery.mirror = milvus_mirror(self._index, fallback=self._fallback is not None)
                    self._gallery = gallery
        return gallery

    def note_written(self, kind: PlaceKind, path: StrPath) -> None:
        """Record in the gallery where a copy of people's data was written, so that `forget` can report it.

        No-op if the gallery does not exist or cannot be changed.

        Parameters
        ----------
        kind
            The kind of data.
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
            raise ClosedError(f"The bank of {printable(str(self.path))} was closed: open it again.")

    def _enroller(self, pick: Pick | None, *, thumbnails: bool, force: bool) -> Enroller:
        from facebank.operations.enroll import Enroller
        from facebank.operations.guard import EnrolledFaces

        gallery = self.open_gallery(create=True)
        enrolled: EnrolledFaces | None = getattr(self._enrolled_faces, "faces", None)
        if enrolled is None:
            enrolled = self._enrolled_faces.faces = EnrolledFaces(gallery)
        return Enroller(gallery, self.engine, pick, thumbnails, force, enrolled=enrolled)

    def _analyze(self, photos: Iterable[PhotoInput], channels: Channels = "RGB") -> Iterator[AnalyzedPhoto | Photo]:
        from facebank.operations.inputs import analyze_readable

        return analyze_readable(self.engine, photos, channels)


def _index_address(index: str) -> MilvusAddress:
    from facebank.index.milvus_address import MilvusAddress

    if not isinstance(index, str):
        raise UsageError(f"index must be an address such as milvus://HOST:PORT/NAME, not {printable(repr(index))}")
    return MilvusAddress.parse(index)


def _open_input(photo: PhotoInput, channels: Channels) -> PhotoInput:
    """Return a path unchanged, and any other photo as pixels."""
    from facebank.media import check_photo, open_photo

    check_photo(photo)
    return photo if isinstance(photo, str | os.PathLike) else open_photo(photo, channels)


def _report_no_photos(person: str, paths: Sequence[Path], progress: Progress) -> EnrollReport:
    refused = []
    for path in paths:
        refused.append(EnrolledPhoto(str(path), person, False, EnrollReason.NO_PHOTOS, "no photos there", None))
        progress.report(refused[-1])
    return EnrollReport(person, tuple(refused))
