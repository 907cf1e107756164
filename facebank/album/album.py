"""`Album`: many photos scanned once, then identified, grouped, sorted and tagged without being read again."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from facebank.album.own_album import close_album, default_scan_path, open_album, opened_album, own_album
from facebank.album.scan.scan_file import ScanFile
from facebank.errors import (
    GalleryError,
    GalleryNotFoundError,
    PackError,
    PhotoNotFoundError,
    ScanError,
    ScanNotFoundError,
    StorageError,
    UsageError,
)
from facebank.gallery import Gallery, PlaceKind, name_key
from facebank.storage.concurrency import SharedLock
from facebank.storage.files import is_folder
from facebank.storage.paths import absolute, file_path, is_list_like, named_paths
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    import pyarrow

    from facebank.album.finding import FoundPhoto, Period
    from facebank.album.groups.face_groups import Group, Grouped, NamedGroup
    from facebank.album.scan.merge_sources import MergeSource
    from facebank.album.scan.merging import MergeReport
    from facebank.album.scan.scanner import ScanElsewhere, ScanReport
    from facebank.album.sort.entries import SortMode
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan
    from facebank.album.sort.sorting import SortedPhoto
    from facebank.album.sort.undo import Undone
    from facebank.album.tags.reading import ImportedTag
    from facebank.album.tags.writing import RemovedTags, TaggedPhoto, TagOptions
    from facebank.album.tags.written_names import WrittenNames
    from facebank.media import Place, Shard
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.recognition.settings import DecisionSettings
    from facebank.storage.folders import NamedFolders
    from facebank.types import Photo


def _folder_of(place: Place) -> Path:
    """Return the folder that is sorted, absolute: a photo's, if a photo is named."""
    whole = Path(absolute(place))
    return whole.parent if whole.is_file() else whole


def _moved(moved: tuple[Place, Place] | None) -> tuple[str, str] | None:
    """Return the two names of a folder, absolute."""
    if moved is None:
        return None
    if not isinstance(moved, tuple) or len(moved) != 2:
        raise UsageError(f"moved is a folder's name in the scans and its name here, not {printable(repr(moved))}")
    return absolute(moved[0]), absolute(moved[1])


class GalleryAccess(Protocol):
    """A gallery opened when it is first needed, and its pack's engine; `facebank.FaceBank` is one."""

    @property
    def path(self) -> Path:
        """The gallery's file, which need not exist."""
        ...

    @property
    def engine(self) -> Engine:
        """The pack's networks and thresholds."""
        ...

    @property
    def gallery(self) -> Gallery:
        """The open gallery; raises `GalleryNotFoundError` if there is none."""
        ...

    @property
    def settings(self) -> DecisionSettings:
        """The gallery's own decision settings."""
        ...

    def open_gallery(self, *, create: bool = False) -> Gallery:
        """Return the open gallery; creates it if missing and `create` is set."""
        ...

    def identification(self, settings: DecisionSettings | None = None) -> Identification:
        """Return the recognizer for the gallery as it is now; None for its own settings."""
        ...

    def note_written(self, kind: PlaceKind, path: Path) -> None:
        """Record in the gallery where a copy of something of its people was written."""
        ...


class _Moves(Progress):
    """Passes progress on, and collects the moves of its results."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.found: list[tuple[str, str]] = []

    def begin(self, step: str, total: float | None) -> None:
        self._progress.begin(step, total)

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(amount)

    def report(self, result: object) -> None:
        moved = cast("SortedPhoto | Undone", result).moved
        if moved is not None:
            self.found.append(moved)
        self._progress.report(result)


@dataclass(frozen=True, slots=True)
class AlbumContent:
    """How much there is in an album."""

    path: Path  # of the scan file, or of the Parquet shards
    files: int  # that can be read
    photos: int  # different ones
    faces: int
    parquet_shards: int | None  # how many; None for a scan file
    missing: dict[str, tuple[Shard, ...]]  # shards of folders that are not there, by folder


class Album:
    """Many photos, scanned once. Use ``with`` to close its scan file; the bank stays open.

    Several threads may use one album, as they may use one `FaceBank`; one of them can scan at a time.

    Where `settings` are a parameter, None means the gallery's own; `places` are files and folders, none for all photos.

    Parameters
    ----------
    bank
        The gallery and its engine, such as a `FaceBank`; opened with ``threads=1`` for scanning, as photos are
        processed in parallel.
    path
        The scan file, or a folder of Parquet shards, which is only read; None for the gallery's own, or for the one
        that was opened with ``facebank album open``.

    Examples
    --------
    >>> with bank.album() as album:
    ...     report = album.scan(["party.jpg", "eileen.jpg"])
    ...     for found in album.find("Joe"):
    ...         print(os.path.basename(found.path))
    party.jpg
    """

    def __init__(self, bank: GalleryAccess, path: Place | None = None) -> None:
        self.path = own_album(bank.path) if path is None else file_path(path, "the path of the scan")
        self._bank = bank
        self._scan_file: ScanFile | None = None
        self._opening = SharedLock()
        self.naming = SharedLock()
        """Held while a group is named once; reentrant."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scan_file is not None:
            self._scan_file.close()

    @property
    def scan_file(self) -> ScanFile:
        """The results of the scan.

        Raises
        ------
        ScanError
            There is no scan file, or it is none.
        PackMismatchError
            Another pack made it.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(".")
        >>> album.scan_file.count().photos
        5
        """
        with self._opening:
            if self._scan_file is None:
                self._scan_file = self._opened()
            return self._scan_file

    def _opened(self) -> ScanFile:
        identity = self._bank.engine.identity
        if not self.is_parquet:
            return ScanFile.open(self.path, identity)
        from facebank.album.scan.parquet_scan import ParquetScan

        return ParquetScan(self.path, identity)

    def make_own(self) -> None:
        """Remember this scan as the gallery's album, as ``facebank album open`` does.

        Raises
        ------
        ScanError
            There is no scan, or it is none.
        PackMismatchError
            Another pack made it.
        StorageError
            Nothing can be written beside the gallery.

        Examples
        --------
        >>> album = bank.album("1.scan")
        >>> report = album.scan("party.jpg")
        >>> album.make_own()
        >>> bank.album().count()
        1
        """
        scan_file = self.scan_file
        if self.path == default_scan_path(self._bank.path):
            close_album(self._bank.path)
        else:
            open_album(self._bank.path, self.path)
            self.path = own_album(self._bank.path)
        self.note_written(PlaceKind.SCAN, self.path)
        self._keep_people(scan_file)

    def content(self) -> AlbumContent:
        """Return how much there is in the album, and which of its shards are missing.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.content().faces, album.content().missing
        (2, {})
        """
        from facebank.album.scan.merging import missing_shards
        from facebank.album.scan.parquet_source import shards_in

        counts, rows = self.scan_file.count(), self.scan_file.shards()
        shards = (len(shards_in(self.path)) if is_folder(self.path) else 1) if self.is_parquet else None
        missing = missing_shards(rows, [rows])
        return AlbumContent(self.path, counts.files, counts.photos, counts.faces, shards, missing)

    @property
    def is_parquet(self) -> bool:
        """Whether the scan lies in Parquet shards, which are only read.

        Examples
        --------
        >>> bank.album("family.scan").is_parquet
        False
        """
        from facebank.album.scan.parquet_shards import is_parquet

        return is_folder(self.path) or is_parquet(self.path)

    def require_writable(self) -> None:
        """Raise `UsageError` if the scan lies in Parquet shards, which are only read.

        Examples
        --------
        >>> bank.album("family.scan").require_writable()
        >>> bank.album(".").require_writable()
        Traceback (most recent call last):
        facebank.errors.UsageError: . holds Parquet shards, which are only read: ...
        """
        if self.is_parquet:
            from facebank.album.scan.parquet_scan import read_only_error

            raise read_only_error(self.path, is_opened=self.path == opened_album(self._bank.path))

    def scan(
        self,
        places: Place | Iterable[Place],
        *,
        workers: int | None = None,
        within: NamedFolders | None = None,
        shard: tuple[int, int] | None = None,
        needs_photos: bool = True,
        elsewhere: ScanElsewhere | None = None,
        progress: Progress = SILENT,
    ) -> ScanReport:
        """Analyze what is new or changed in files and folders, and forget what is gone from them.

        Parameters
        ----------
        places
            Files and folders.
        workers
            How many photos are processed in parallel; None for one per core.
        within
            Links that lead out of these folders are passed over, also those made meanwhile; None to follow all.
        shard
            Number, from 1, and count of the shards into which the photos are divided among machines; photos of the
            others are left alone, see `facebank.media.Shard`. None for all photos.
        needs_photos
            Whether folders must have photos; else videos are enough, which `facebank.video.scan` looks through.
        elsewhere
            Scans the files instead of this process, and reports them, as `facebank.cluster.ray_scan` does.
        progress
            Receives the `ScanPlan`, then each `ScannedFile` once its result is kept.

        Raises
        ------
        PhotoNotFoundError
            There is no photo, and there was none.
        ScanBusyError
            Another process is scanning into the same file.
        StorageError
            The scan file cannot be written.
        UsageError
            Something is no path, or there is no such number of workers or shard.

        Examples
        --------
        >>> report = bank.album().scan(["party.jpg", "eileen.jpg", "broken.jpg"])
        >>> report.looked_at, len(report.unreadable)
        (2, 1)
        >>> sum(bank.album(f"{number}.scan").scan(".", shard=(number, 3)).looked_at for number in (1, 2, 3))
        5
        """
        from facebank.album.scan.scanner import only_scan, plan_scan, scan
        from facebank.media import Shard

        if not (workers is None or (type(workers) is int and workers > 0)):
            raise UsageError(f"workers are a number from 1, or None for one per core, not {printable(repr(workers))}")
        chosen = None if shard is None else Shard.of(shard)
        self.require_writable()
        engine = self._bank.engine
        with only_scan(self.path):
            is_new = not self.path.exists()
            if is_new and elsewhere is None:
                engine.preload()  # while the folders are gone through
            try:
                with ScanFile.open(self.path, engine.identity, create=True) as scan_file:
                    plan = plan_scan(scan_file, named_paths(places), within, chosen, needs_photos=needs_photos)
                    progress.report(plan)
                    if plan.todo and elsewhere is None:
                        engine.preload()
                    report = scan(
                        engine,
                        scan_file,
                        plan,
                        workers=workers,
                        within=within,
                        elsewhere=elsewhere,
                        progress=progress,
                    )
                    if report.looked_at or report.gone or not self._people_are_kept():
                        self._keep_people(scan_file)
                    self.note_written(PlaceKind.SCAN, self.path)
                    return report
            except PhotoNotFoundError:
                if is_new:
                    self.path.unlink(missing_ok=True)  # it knows nothing
                raise

    def merge(
        self,
        paths: Place | Iterable[Place],
        *,
        moved: tuple[Place, Place] | None = None,
        progress: Progress = SILENT,
    ) -> MergeReport:
        """Take over what other scans found, such as those of the shards of a folder: see `scan` and its `shard`.

        All is taken over or nothing, and the other scans stay as they are. Of a file, that scan counts which went
        through its folder last; a file that it has no more is forgotten. Known photos keep their faces' groups.

        Parameters
        ----------
        paths
            The scan files, Parquet shards and folders of Parquet shards, made with the same pack.
        moved
            A folder as those scans name it, and as it is named where this scan is used; None if the names are the
            same.
        progress
            Advanced with each file of the scans.

        Raises
        ------
        PackMismatchError
            Another pack made one of them.
        ScanError
            One of them is missing, damaged, no scan at all or of a newer facebank, or another process is scanning or
            merging into this one.
        StorageError
            This scan cannot be written.
        UsageError
            Something is no path, a scan or a shard is given twice, or the shards are of different folders.

        Examples
        --------
        >>> for number in (1, 2):
        ...     report = bank.album(f"{number}.scan").scan(".", shard=(number, 2))
        >>> album = bank.album()
        >>> album.merge(["1.scan", "2.scan"]).new, album.count()
        (6, 5)
        """
        from facebank.album.scan.parquet_source import shards_in
        from facebank.album.scan.scanner import only_scan

        named, names = named_paths(paths, "the path of a scan"), _moved(moved)
        self.require_writable()
        identity = self._bank.engine.identity
        with only_scan(self.path), ExitStack() as opened:
            sources = [file for path in named for file in (shards_in(path) if is_folder(path) else [path])]
            self._require_others(sources)
            scans = [self._source(path, opened) for path in sources]
            is_new = not self.path.exists()
            try:
                with ScanFile.open(self.path, identity, create=True) as scan_file:
                    report = scan_file.merge(scans, moved=names, progress=progress)
                    if report.new or report.changed or report.gone or not self._people_are_kept():
                        self._keep_people(scan_file)
            except BaseException:
                if is_new:
                    self.path.unlink(missing_ok=True)  # it knows nothing
                raise
            self.note_written(PlaceKind.SCAN, self.path)
            return report

    def _source(self, path: Path, opened: ExitStack) -> ScanFile | MergeSource:
        """Return a scan that is merged: a scan file, which `opened` closes, or a Parquet shard."""
        from facebank.album.scan.parquet_shards import is_parquet
        from facebank.album.scan.parquet_source import ParquetSource

        identity = self._bank.engine.identity
        if is_parquet(path):
            return ParquetSource(path, identity)
        return opened.enter_context(ScanFile.open(path, identity, read_only=True))

    def _require_others(self, scans: Sequence[Path]) -> None:
        """Raise `UsageError` unless scans are named, each once, and none is this one."""
        if not scans:
            raise UsageError("name the scans that are to be merged")
        seen = dict[str, Path]()
        for scan in scans:
            file = os.path.realpath(scan)
            if file == os.path.realpath(self.path):
                raise UsageError(
                    f"{printable(str(scan))} is the scan that the others are merged into: name the others only"
                )
            if file in seen:
                raise UsageError(f"{printable(str(seen[file]))} and {printable(str(scan))} are the same scan")
            seen[file] = scan

    def note_written(self, kind: PlaceKind, path: Path) -> None:
        """Record where a copy of something of the gallery's people was written: see `FaceBank.note_written`.

        Examples
        --------
        >>> from pathlib import Path
        >>> from facebank.gallery import PlaceKind
        >>> bank.album().note_written(PlaceKind.ANNOTATED, Path("drawn"))
        """
        self._bank.note_written(kind, path)

    def _people_are_kept(self) -> bool:
        """Return whether the people of the gallery's scan can be read: their file may be lost or damaged."""
        from facebank.recognition.cohort import read_album_people

        identity = self._bank.engine.identity
        return read_album_people(self._bank.path, identity.digest, identity.dimension) is not None

    def _keep_people(self, scan_file: ScanFile) -> None:
        """Keep what the people of the gallery's own scan look like, for decisions in this album."""
        from facebank.album.groups.face_groups import album_people
        from facebank.recognition.cohort import write_album_people

        if self.path != own_album(self._bank.path):
            return
        with suppress(GalleryError):  # one who may only read the gallery forgets nobody in it
            self._bank.gallery.note_place()
        engine = self._bank.engine
        with suppress(StorageError):  # a cache that cannot be written costs accuracy and nothing else
            people = album_people(scan_file.people_table(), engine.thresholds)
            write_album_people(self._bank.path, engine.identity.digest, people)

    def forget(self, places: Place | Iterable[Place]) -> int:
        """Forget the photos and videos of some folders, there or not; return how many files that were.

        Raises
        ------
        PhotoNotFoundError
            One of the places was not scanned.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "eileen.jpg"])
        >>> album.forget("eileen.jpg"), album.count()
        (1, 1)
        """
        paths, videos, named = set[str](), set[str](), named_paths(places)
        for place in named:
            found = self.scan_file.files(absolute(place))
            found_videos = self.scan_file.videos.known(absolute(place))
            if not found and not found_videos:
                self.count([place])  # says that it was not scanned
            paths.update(found)
            videos.update(found_videos)
        self.scan_file.forget(paths)
        for place in named:
            self.scan_file.forget_looked_through(absolute(place))
        self.scan_file.videos.forget(videos)
        self._keep_people(self.scan_file)
        return len(paths) + len(videos)

    def count(self, places: Place | Iterable[Place] = ()) -> int:
        """Return how many readable photos some folders, or all, have.

        Raises
        ------
        PhotoNotFoundError
            One of the places was not scanned.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "eileen.jpg"])
        >>> album.count(), album.count("party.jpg")
        (2, 1)
        """
        places = named_paths(places)
        if not places:
            return self.scan_file.count().files
        counts = [self.scan_file.count_in(absolute(place)) for place in places]
        missing = next((place for place, count in zip(places, counts, strict=True) if not count), None)
        if missing is not None:
            raise PhotoNotFoundError(
                f"the scan {printable(str(self.path))} has no photo of {printable(str(missing))}: scan it first, with "
                "'facebank scan'"
            )
        return sum(counts)

    def identify(
        self, places: Place | Iterable[Place] = (), settings: DecisionSettings | None = None
    ) -> Iterator[Photo]:
        """Yield the scanned photos in the order of their paths, identified without being read again.

        A face that is a person's sample is that person, whoever else it is like: `facebank.album.confirmed`.

        Raises
        ------
        GalleryError
            There is no gallery, or it cannot be used with the pack.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "eileen.jpg"])
        >>> for photo in album.identify():
        ...     print(os.path.basename(photo.path), [face.person for face in photo.faces])
        eileen.jpg [None]
        party.jpg ['Barack', 'Joe']
        """
        from facebank.album.confirmed import identified_in_album

        gallery = self._bank.gallery
        for photo in self.scan_file.photos([absolute(place) for place in named_paths(places)]):
            yield identified_in_album(photo, gallery, lambda: self._bank.identification(settings))

    def find(
        self,
        names: str | Sequence[str],
        period: Period | None = None,
        settings: DecisionSettings | None = None,
        *,
        any_of: bool = False,
        places: Place | Iterable[Place] = (),
    ) -> list[FoundPhoto]:
        """Return the photos that show all of some people, or any of them, oldest first.

        Parameters
        ----------
        names
            Of enrolled people.
        period
            When the photos were taken; None for any time.
        any_of
            Whether one of the people is enough.
        places
            Which scanned files and folders are looked through.

        Raises
        ------
        PersonNotFoundError
            Nobody of one of the names is enrolled.
        UsageError
            Something is no list of names, no period or no settings.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "joe.jpg"])
        >>> [os.path.basename(found.path) for found in album.find(["Barack", "Joe"])]
        ['party.jpg']
        """
        from facebank.album.finding import Period, photos_of

        if not isinstance(names, str) and not is_list_like(names):
            raise UsageError(f"names are text or a list of text, not {printable(repr(names))}")
        if not (period is None or isinstance(period, Period)):
            raise UsageError(f"period is a Period, such as Period.of('2019', None), not {printable(repr(period))}")
        named = [names] if isinstance(names, str) else names
        wanted = frozenset(self._bank.gallery.person(name).name for name in named)
        return photos_of(self.identify(places, settings), wanted, Period() if period is None else period, any_of=any_of)

    def to_arrow(
        self,
        places: Place | Iterable[Place] = (),
        settings: DecisionSettings | None = None,
        *,
        identify: bool = True,
    ) -> pyarrow.Table:
        """Return the faces of the scanned photos as a ``pyarrow.Table``, a row each, with their embeddings.

        pandas (``.to_pandas()``), Polars and DuckDB take it as it is. `facebank.album.arrow_tables` explains the
        columns and their units: path, content_hash, width, height, taken_at, camera_dated, face_number, box, landmarks,
        detection_score, quality, decision, reason, person, probability, similarity, group and embedding. A photo with
        several files has the path of the first. It comes in chunks of some thousand faces, each written once.

        Parameters
        ----------
        identify
            Whether it is decided whose the faces are; else, and without a gallery, those columns are null.

        Raises
        ------
        MissingDependencyError
            The extra `cluster` is not installed.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "eileen.jpg"])
        >>> table = album.to_arrow()
        >>> table.column("person").to_pylist(), table.column("face_number").to_pylist()
        ([None, 'Barack', 'Joe'], [1, 1, 2])
        """
        from facebank.album.arrow_tables import faces_table

        scan_file = self.scan_file
        groups = {face: number for number, faces in scan_file.groups().items() for face in faces}
        photos = scan_file.each_photo([absolute(place) for place in named_paths(places)])
        asked = self._each_identified(photos, settings) if identify else photos
        return faces_table(asked, groups, self._bank.engine.identity.dimension)

    def _each_identified(
        self, photos: Iterable[tuple[list[int], Photo]], settings: DecisionSettings | None = None
    ) -> Iterator[tuple[list[int], Photo]]:
        """Yield photos identified; as they are without a gallery."""
        from facebank.album.confirmed import identified_in_album

        try:
            gallery = self._bank.gallery
        except GalleryNotFoundError:
            yield from photos
            return
        for ids, photo in photos:
            yield ids, identified_in_album(photo, gallery, lambda: self._bank.identification(settings))

    def plan_sorting(
        self, folder: Place, out: Place, mode: SortMode, settings: DecisionSettings | None = None
    ) -> SortPlan:
        """Plan which scanned photos of a folder go into which person's folder in `out`: see `facebank.album.sort.plan`.

        Raises
        ------
        UsageError
            The people's folders would lie inside the folder.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> plan = album.plan_sorting(".", "../sorted", SortMode.COPY)
        >>> [(os.path.basename(step.source), step.person) for step in plan.steps]
        [('party.jpg', 'Barack'), ('party.jpg', 'Joe')]
        """
        from facebank.album.sort.journal import journal_key, read_journal
        from facebank.album.sort.plan import plan_sorting

        self.require_writable()
        inside = ((kind(out), kind(folder)) for kind in (absolute, os.path.realpath))  # as named, and where links lead
        if any(Path(one).is_relative_to(other) for one, other in inside):
            raise UsageError(
                f"{printable(str(out))} lies in {printable(str(folder))}, whose photos are sorted: name a folder "
                "outside of it"
            )
        people = [name for _, name in sorted(self._bank.gallery.names().items())]
        target = Path(absolute(out))
        journal = read_journal(target, journal_key(self._bank.gallery))
        journal.require_trust()
        photos = self.identify([folder], settings)
        return plan_sorting(photos, people, _folder_of(folder), target, mode, before=journal.entries)

    def sort(self, plan: SortPlan, progress: Progress = SILENT) -> None:
        """Run a plan: see `facebank.album.sort.sorting`. The scan follows photos that are moved.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> sorted(os.listdir("../sorted"))[-2:]
        ['Barack', 'Joe']
        """
        from facebank.album.sort.journal import ensure_journal_key
        from facebank.album.sort.sorting import sort_photos

        self.require_writable()
        moves = _Moves(progress)
        key = ensure_journal_key(self._bank.gallery)
        if plan.steps:
            self.note_written(PlaceKind.SORTED, plan.out)
        try:
            sort_photos(plan, key, moves)
        finally:
            self.scan_file.move(moves.found)

    def mend_sorting(self, out: Place) -> str | None:
        """Finish the last photo of a killed sort; return its path in its person's folder, None if there was none.

        Raises
        ------
        StorageError
            The journal may be somebody else's.

        Examples
        --------
        >>> print(bank.album().mend_sorting("../sorted"))
        None
        """
        from facebank.album.sort.entries import SortMode
        from facebank.album.sort.journal import journal_key, read_journal
        from facebank.album.sort.sorting import mend_sorting

        journal = read_journal(Path(absolute(out)), key := journal_key(self._bank.gallery))
        journal.require_trust()
        mended = None if key is None else mend_sorting(journal, key)
        if mended is None:
            return None
        if mended.mode is SortMode.MOVE:
            self._note_moved([(mended.source, mended.target)])
        return mended.target

    def trust_sort_journal(self, out: Place, folder: Place) -> None:
        """Sign the journal of `out` because its user vouches for it; everything in it must come from `folder`.

        Raises
        ------
        StorageError
            The journal cannot be true, or cannot be written.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> album.trust_sort_journal("../sorted", ".")
        """
        from facebank.album.sort.journal import adopt_journal, ensure_journal_key, journal_key, read_journal

        target, source = Path(absolute(out)), _folder_of(folder)
        if read_journal(target, journal_key(self._bank.gallery)).doubt is not None:
            adopt_journal(read_journal(target, None, source), source, ensure_journal_key(self._bank.gallery))

    def sort_journal(self, out: Place, trusting: Place | None = None) -> JournalContent:
        """Return what was sorted into a folder: see `facebank.album.sort.journal.read_journal`.

        Parameters
        ----------
        out
            The folder of the people's folders.
        trusting
            The folder that was sorted, if the user vouches for a journal that the gallery did not sign.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> len(album.sort_journal("../sorted").entries)
        2
        """
        from facebank.album.sort.journal import journal_key, read_journal

        try:
            with Gallery.open(self._bank.path, read_only=True) as gallery:
                key = journal_key(gallery)
        except GalleryError:  # the journal is reported as not trusted
            key = None
        target = Path(absolute(out))
        journal = read_journal(target, key)
        if journal.doubt is None or trusting is None:
            return journal
        return read_journal(target, None, _folder_of(trusting))

    def undo_sorting(self, journal: JournalContent, progress: Progress = SILENT, *, dry_run: bool = False) -> None:
        """Undo what was sorted into a folder: see `facebank.album.sort.undo`. The scan, if any, follows.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> album.undo_sorting(album.sort_journal("../sorted"))
        >>> os.path.exists("../sorted/Joe")
        False
        """
        from facebank.album.sort.undo import undo_sorting

        moves = _Moves(progress)
        try:
            undo_sorting(journal, moves, dry_run=dry_run)
        finally:
            if not dry_run:
                self._note_moved(moves.found)

    def _note_moved(self, moved: Sequence[tuple[str, str]]) -> None:
        if moved and not self.is_parquet:
            with suppress(ScanError, GalleryError, PackError):  # the next scan finds it out by itself
                self.scan_file.move(moved)

    def cluster(self, *, least: int = 2, known: Collection[int] | None = None, progress: Progress = SILENT) -> Grouped:
        """Group the faces that the gallery does not know by person, and remember the groups.

        Parameters
        ----------
        least
            How many faces make a group.
        known
            Numbers of the faces whose person the gallery knows, if that was decided already; None to decide.
        progress
            Advanced with the fraction that is done.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> [group.photos for group in album.cluster(least=1).groups]
        [1]
        """
        from facebank.album.groups.face_groups import group_faces

        left_out = self._known_faces() if known is None else known
        return group_faces(self.scan_file, self._bank.engine.thresholds, left_out, least=least, progress=progress)

    def groups(self) -> list[Group]:
        """Return the remembered groups, largest first.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> grouped = album.cluster(least=1)
        >>> [(group.number, group.photos) for group in album.groups()]
        [(1, 1)]
        """
        from facebank.album.groups.face_groups import groups_of

        return groups_of(self.scan_file)

    def tell_apart(self, one: str, other: str) -> None:
        """Remember that two faces are not one person.

        Parameters
        ----------
        one, other
            As the contact sheet names them: ``3.2`` is the second face of group 3, ``3`` its first.

        Raises
        ------
        UsageError
            There is no such face, or both are the same.

        Examples
        --------
        >>> album = bank.album()
        >>> bank.forget("Barack").samples
        2
        >>> report = album.scan(["barack1.jpg", "barack2.jpg"])
        >>> grouped = album.cluster()
        >>> album.tell_apart("1", "1.2")
        >>> len(album.cluster().groups)
        0
        """
        from facebank.album.groups.face_groups import parse_face

        groups = self.scan_file.groups()
        first, second = (parse_face(name, groups) for name in (one, other))
        if first == second:
            raise UsageError(f"{printable(one)} and {printable(other)} are the same face")
        self.scan_file.tell_apart([(first, second)])

    def name_group(
        self,
        number: int,
        person: str,
        *,
        force: bool = False,
        once: bool = False,
        key: str | None = None,
        without: Collection[int] = (),
        progress: Progress = SILENT,
    ) -> NamedGroup:
        """Enroll the best and most varied faces of a group: see `facebank.album.groups.face_groups.name_group`.

        With `once` it raises `GroupNamedError` if the group's faces are somebody's samples already; of several threads
        that name a group of one album, one succeeds. With `key`, the group's `Group.key`, it raises
        `GroupNotFoundError` if faces were grouped again meanwhile and another group has the number. Faces of `without`,
        by their numbers in the scan, are left out.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> grouped = album.cluster(least=1)
        >>> len(album.name_group(1, "Eileen").enrolled), bank.person("Eileen").sample_count
        (1, 1)
        """
        from facebank.album.groups.face_groups import name_group, require_unnamed

        scan_file = self.scan_file
        self._bank.engine.preload()
        with self.naming if once else nullcontext():
            try:
                gallery = self._bank.gallery
            except GalleryNotFoundError:
                gallery = None
            if once and gallery is not None:
                require_unnamed(scan_file, gallery, number)
            return name_group(
                scan_file,
                self._bank.engine,
                number,
                person,
                gallery=gallery,
                make_gallery=partial(self._bank.open_gallery, create=True),
                force=force,
                key=key,
                without=without,
                progress=progress,
            )

    def write_tags(
        self, places: Place | Iterable[Place], options: TagOptions, settings: DecisionSettings | None = None
    ) -> Iterator[TaggedPhoto]:
        """Write who is in scanned photos as regions that photo programs read: see `facebank.album.tags.writing`.

        A name is written for one face of a photo only, whatever the settings allow, unless several are the person's
        samples; and nothing where a link leads out of the places. A photo that is written itself stays known to the
        scan, and so do denials of its faces.

        Yields
        ------
        TaggedPhoto
            What became of each photo, when it is done.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> for tagged in album.write_tags(["party.jpg"], TagOptions()):
        ...     print([face.person for face in tagged.faces], [os.path.basename(file) for file in tagged.files])
        ['Barack', 'Joe'] ['party.jpg.xmp']
        """
        from facebank.album.sort.undo import SortNotes
        from facebank.album.tags.writing import tag_photo
        from facebank.album.tags.written_names import WrittenNames
        from facebank.storage.concurrency import uninterrupted
        from facebank.storage.folders import NamedFolders

        self.require_writable()
        chosen = self._bank.settings if settings is None else settings
        one_face_each = chosen.changed({"allow_twice": False})  # other programs count a person's photos by regions
        named = named_paths(places)
        options = replace(options, folders=NamedFolders(named))
        noted = set[Path]()
        tags = WrittenNames(self.scan_file, self._bank.gallery)
        with SortNotes(self._bank.gallery) as notes:
            for photo in self.identify(named, one_face_each):
                with uninterrupted():  # or a photo that was written would be unknown
                    notes.look(Path(photo.path), photo.content_hash)
                    if not options.dry_run and any(face.person for face in photo.faces):
                        self._note_tagged(Path(photo.path), named, noted)
                    tagged = tag_photo(photo, options, tags)
                    if not options.dry_run:
                        standing = None if tagged.error is not None else tagged.standing
                        tags.keep(photo, tagged.content_hash, standing)
                        notes.note(tagged.files)
                yield tagged

    def _note_tagged(self, photo: Path, places: Sequence[Path], noted: set[Path]) -> None:
        named = (Path(absolute(place)) for place in places)
        place = next((place for place in named if photo.is_relative_to(place)), photo.parent)
        if place not in noted:
            noted.add(place)
            self.note_written(PlaceKind.TAGS, place)

    def photos_with_tags(self, name: str, places: Place | Iterable[Place] = ()) -> list[Path]:
        """Return the photos into or beside which facebank may have written a name.

        Parameters
        ----------
        name
            Of somebody who is or was enrolled.
        places
            Files and folders; none for the photos that were written for this person or for anybody forgotten, as far as
            the scan knows.

        Raises
        ------
        PhotoNotFoundError
            There is no photo in one of the places.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> tagged = list(album.write_tags(["party.jpg"], TagOptions()))
        >>> [path.name for path in album.photos_with_tags("Joe")]
        ['party.jpg']
        """
        if places:
            from facebank.operations.inputs import gather_photos, require_places

            named = named_paths(places)
            require_places(named)
            return [Path(absolute(photo)) for photo in gather_photos(named).photos]
        names = self._bank.gallery.names()
        others = {number for number, other in names.items() if name_key(other) != name_key(name)}
        found = {tag.photo for tag in self.scan_file.tags() if tag.person not in others}
        return sorted(map(Path, found))

    def remove_tags(
        self, name: str, photos: Sequence[Path], places: Place | Iterable[Place] = (), *, dry_run: bool = False
    ) -> Iterator[RemovedTags]:
        """Remove a name from photos and sidecars into which facebank wrote it: see `facebank.album.tags.writing`.

        Parameters
        ----------
        name
            Case does not matter.
        photos
            As `photos_with_tags` returns them.
        places
            The files and folders that the user named: what links lead out of them is left alone.
        dry_run
            Whether nothing is written, and only reported what would be.

        Yields
        ------
        RemovedTags
            What became of each photo, when it is done.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> tagged = list(album.write_tags(["party.jpg"], TagOptions()))
        >>> [removed.names for removed in album.remove_tags("Joe", album.photos_with_tags("Joe"))]
        [1]
        """
        from facebank.album.tags.writing import remove_name
        from facebank.storage.concurrency import uninterrupted
        from facebank.storage.folders import NamedFolders

        self.require_writable()
        folders, tags = NamedFolders(named_paths(places)), self._written_names()
        for photo in photos:
            with uninterrupted():
                removed = remove_name(photo, name, folders, dry_run=dry_run)
                if tags is not None and not dry_run:
                    before = None if removed.before is None else removed.before.content_hash
                    standing = None if removed.error is not None else removed.standing
                    tags.keep_removed(removed.path, before, removed.content_hash, standing)
            yield removed

    def _written_names(self) -> WrittenNames | None:
        """Return the names that facebank wrote; None without a scan or a gallery."""
        from facebank.album.tags.written_names import WrittenNames

        try:
            return WrittenNames(self.scan_file, self._bank.gallery)
        except (ScanNotFoundError, GalleryNotFoundError):
            return None

    def import_tags(
        self,
        places: Place | Iterable[Place],
        *,
        most: int | None = None,
        own: bool = False,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> Iterator[ImportedTag]:
        """Enroll people from the regions of scanned photos: see `facebank.album.tags.reading`.

        Parameters
        ----------
        places
            Files and folders.
        most
            How many faces of a person are enrolled; None for `facebank.album.groups.face_groups.MOST_SAMPLES`.
        own
            Whether names count that facebank wrote and nobody changed since.
        force
            Whether faces are taken that are unlike the person's others, or nearer to somebody else.
        progress
            Advanced with each photo whose regions were read, then with each face that has a name.

        Yields
        ------
        ImportedTag
            What became of each region; those that give no face first.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> tagged = list(album.write_tags(["party.jpg"], TagOptions()))
        >>> forgotten = bank.forget("Joe")
        >>> [(tag.person, tag.accepted) for tag in album.import_tags(["party.jpg"], own=True)]
        [('Barack', True), ('Joe', True)]
        """
        from facebank.album.groups.face_groups import MOST_SAMPLES
        from facebank.album.tags.reading import TagOffer, enroll_tags, read_tags

        named = named_paths(places)
        photos = self.scan_file.photos([absolute(place) for place in named])
        offers = list[TagOffer]()
        progress.begin("Reading tags", self.count(named))
        for read in read_tags(photos, own=own, progress=progress):
            if isinstance(read, TagOffer):
                offers.append(read)
            else:
                yield read
        if offers:
            progress.begin("Enrolling", len(offers))
            gallery = self._bank.open_gallery(create=True)
            wanted = MOST_SAMPLES if most is None else most
            for tag in enroll_tags(gallery, self._bank.engine, offers, most=wanted, force=force):
                progress.advance()
                yield tag

    def _known_faces(self) -> set[int]:
        """Return the numbers of the faces whose person the gallery knows; none without a gallery."""
        try:
            _ = self._bank.gallery
        except GalleryNotFoundError:
            return set()
        known = set[int]()
        for ids, photo in self._each_identified(self.scan_file.each_photo()):
            known.update(number for number, face in zip(ids, photo.faces, strict=True) if face.person is not None)
        return known
