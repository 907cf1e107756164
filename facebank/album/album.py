"""`Album`: photos that are scanned once, then identified, searched, grouped, sorted and tagged from the scan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.scan_paths import album_scan_path, close_album, default_scan_path, open_album, opened_scan_path
from facebank.errors import (
    GalleryError,
    GalleryNotFoundError,
    PackError,
    ScanError,
    ScanNotFoundError,
    UsageError,
)
from facebank.gallery import PlaceKind
from facebank.storage.concurrency import ForkSafeLock
from facebank.storage.paths import absolute, file_path, is_list_like, named_paths, named_places, place_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    import pyarrow

    from facebank.album.finding import FoundPhoto, Period
    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.groups.face_groups import Group, GroupingReport
    from facebank.album.groups.naming import NamedGroup
    from facebank.album.scan.merging import MergeReport
    from facebank.album.scan.scan_file import ScanFile
    from facebank.album.scan.scanner import ScanBackend, ScanReport
    from facebank.album.sort.entries import SortMode
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan
    from facebank.album.tags.importing import ImportedTag
    from facebank.album.tags.removing import RemovedTags
    from facebank.album.tags.writing import TaggedPhoto, TagOptions
    from facebank.media import StrPath
    from facebank.media.shards import Shard
    from facebank.recognition.settings import DecisionSettings
    from facebank.storage.folders import NamedFolders
    from facebank.types import Photo


@dataclass(frozen=True, slots=True)
class AlbumContent:
    """The numbers of files, photos and faces of an album, and its missing shards."""

    path: Path  # of the scan file, or of the Parquet shards
    files: int  # readable files
    photos: int  # distinct by content
    faces: int
    parquet_shards: int | None  # None for a scan file
    missing: dict[str, tuple[Shard, ...]]  # missing shards of scanned folders, by folder


class Album:
    """Photos that are scanned once, and the results of the scan. Use ``with`` to close the scan file.

    The bank stays open. Several threads may share an album, but only one of them can scan at a time. Methods that need
    the scan raise the errors of `scan_file`, and methods that need the gallery raise `GalleryError`.

    Throughout, `settings` default to the gallery's own, and `places` are scanned files and folders; where they are
    optional, the default is all photos.

    Parameters
    ----------
    bank
        The gallery and its engine, such as a `FaceBank`. Open it with ``threads=1`` for scanning, because photos are
        processed in parallel.
    path
        The scan file, or a folder of Parquet shards, which is read-only. None for the gallery's own scan file, or for
        the scan that was opened with ``facebank album open``.

    Examples
    --------
    >>> with bank.album() as album:
    ...     report = album.scan(["party.jpg", "eileen.jpg"])
    ...     for found in album.find("Joe"):
    ...         print(os.path.basename(found.path))
    party.jpg
    """

    def __init__(self, bank: GalleryAccess, path: StrPath | None = None) -> None:
        self.path = album_scan_path(bank.path) if path is None else file_path(path, "the path of the scan")
        self._bank = bank
        self._scan_file: ScanFile | None = None
        self._opening = ForkSafeLock()
        self.naming = ForkSafeLock()
        """Lock held while a group is named once; reentrant."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scan_file is not None:
            self._scan_file.close()

    @property
    def scan_file(self) -> ScanFile:
        """The results of the scan, opened on first use.

        Raises
        ------
        ScanError
            The file is missing or is not a scan.
        PackMismatchError
            The scan was made with another pack.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(".")
        >>> album.scan_file.count().photos
        5
        """
        from facebank.album.scan.opening import open_scan

        with self._opening:
            if self._scan_file is None:
                self._scan_file = open_scan(self.path, self._bank.engine.identity)
            return self._scan_file

    def make_own(self) -> None:
        """Record this scan as the gallery's album, as ``facebank album open`` does.

        Raises
        ------
        ScanError
            The file is missing or is not a scan.
        PackMismatchError
            The scan was made with another pack.
        StorageError
            The folder of the gallery is not writable.

        Examples
        --------
        >>> album = bank.album("1.scan")
        >>> report = album.scan("party.jpg")
        >>> album.make_own()
        >>> bank.album().count()
        1
        """
        from facebank.album.people_cache import cache_people

        scan_file = self.scan_file
        if self.path == default_scan_path(self._bank.path):
            close_album(self._bank.path)
        else:
            open_album(self._bank.path, self.path)
            self.path = album_scan_path(self._bank.path)
        self.note_written(PlaceKind.SCAN, self.path)
        cache_people(self._bank, self.path, scan_file)

    def content(self) -> AlbumContent:
        """Return the numbers of files, photos and faces of the album, and its missing shards.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.content().faces, album.content().missing
        (2, {})
        """
        from facebank.album.scan.merging import missing_shards
        from facebank.album.scan.opening import shard_count

        counts, rows = self.scan_file.count(), self.scan_file.shards()
        missing = missing_shards(rows, [rows])
        return AlbumContent(self.path, counts.files, counts.photos, counts.faces, shard_count(self.path), missing)

    @property
    def is_parquet(self) -> bool:
        """Whether the scan consists of Parquet shards, which are read-only.

        Examples
        --------
        >>> bank.album("family.scan").is_parquet
        False
        """
        from facebank.album.scan.opening import is_parquet_scan

        return is_parquet_scan(self.path)

    def require_writable(self) -> None:
        """Raise `UsageError` if the scan consists of Parquet shards, which are read-only.

        Examples
        --------
        >>> bank.album("family.scan").require_writable()
        >>> bank.album(".").require_writable()
        Traceback (most recent call last):
        facebank.errors.UsageError: . holds Parquet shards, which are only read: ...
        """
        if self.is_parquet:
            from facebank.album.scan.parquet_scan import read_only_error

            raise read_only_error(self.path, is_opened=self.path == opened_scan_path(self._bank.path))

    def scan(
        self,
        places: StrPath | Iterable[StrPath],
        *,
        workers: int | None = None,
        within: NamedFolders | None = None,
        shard: tuple[int, int] | None = None,
        needs_photos: bool = True,
        backend: ScanBackend | None = None,
        progress: Progress = SILENT,
    ) -> ScanReport:
        """Analyze new and changed photos of files and folders, and remove those that no longer exist from the scan.

        Parameters
        ----------
        places
            Files and folders, and with the extra `buckets` addresses as text: ``s3://BUCKET/FOLDER`` and ``gs://...``.
        workers
            Number of photos processed in parallel; None for one per core.
        within
            Links that lead out of these folders are skipped, even if they were created during the scan; None to follow
            all links.
        shard
            Number, from 1, and count of the shards into which the photos are divided among machines. Photos of other
            shards are not scanned, see `facebank.media.Shard`. None for all photos.
        needs_photos
            Whether the places must have photos; if not, videos are enough, which `facebank.video.scan` analyzes.
        backend
            Scans the files instead of this process and yields the results, as `facebank.cluster.ray_scan` does.
        progress
            Receives the `ScanPlan`, then each `ScannedFile` once its result is stored.

        Raises
        ------
        MissingDependencyError
            The extra `buckets` is not installed, and a bucket is named.
        PhotoNotFoundError
            The places have no photo, neither on disk nor in the scan.
        ScanBusyError
            Another process is scanning into the same file.
        ServiceError
            A bucket is missing, denied or unreachable; the photos scanned until then are kept.
        StorageError
            The scan file cannot be written.
        UsageError
            A place is not a path, or `workers` or `shard` is out of range.

        Examples
        --------
        >>> report = bank.album().scan(["party.jpg", "eileen.jpg", "broken.jpg"])
        >>> report.analyzed, len(report.unreadable)
        (2, 1)
        >>> sum(bank.album(f"{number}.scan").scan(".", shard=(number, 3)).analyzed for number in (1, 2, 3))
        5
        """
        from facebank.album.scan.updates import scan_places
        from facebank.media.shards import Shard

        if not (workers is None or (type(workers) is int and workers > 0)):
            raise UsageError(f"workers must be 1 or more, or None for one per core, not {printable(repr(workers))}")
        parsed_shard = None if shard is None else Shard.of(shard)
        self.require_writable()
        return scan_places(
            self._bank,
            self.path,
            named_places(places),
            workers=workers,
            within=within,
            shard=parsed_shard,
            needs_photos=needs_photos,
            backend=backend,
            progress=progress,
        )

    def merge(
        self,
        paths: StrPath | Iterable[StrPath],
        *,
        moved: tuple[StrPath, StrPath] | None = None,
        progress: Progress = SILENT,
    ) -> MergeReport:
        """Merge other scans into this one, such as those of the shards of a folder: see `shard` of `scan`.

        The merge is atomic, and the other scans are not changed. The entry of a file is taken from the last scan of its
        folder, and removed if that scan no longer has it. Known photos keep the groups of their faces.

        Parameters
        ----------
        paths
            Scan files, Parquet shards and folders of Parquet shards, made with the same pack.
        moved
            The path of a folder in those scans and its path where this scan is used; None if the paths are the same.
        progress
            Advanced with each file of the scans.

        Raises
        ------
        PackMismatchError
            A scan was made with another pack.
        ScanError
            A scan is missing, damaged, not a scan, or written by a newer facebank; or another process is scanning or
            merging into this one.
        StorageError
            This scan cannot be written.
        UsageError
            An argument is not a path, a scan or shard is given twice, or the shards belong to different folders.

        Examples
        --------
        >>> for number in (1, 2):
        ...     report = bank.album(f"{number}.scan").scan(".", shard=(number, 2))
        >>> album = bank.album()
        >>> album.merge(["1.scan", "2.scan"]).new, album.count()
        (6, 5)
        """
        from facebank.album.scan.updates import merge_scans

        named, moved_paths = named_paths(paths, "the path of a scan"), _moved_paths(moved)
        self.require_writable()
        return merge_scans(self._bank, self.path, named, moved=moved_paths, progress=progress)

    def note_written(self, kind: PlaceKind, path: Path) -> None:
        """Record where a copy of the gallery's people was written: see `FaceBank.note_written`.

        Examples
        --------
        >>> from pathlib import Path
        >>> from facebank.gallery import PlaceKind
        >>> bank.album().note_written(PlaceKind.ANNOTATED, Path("drawn"))
        """
        self._bank.note_written(kind, path)

    def forget(self, places: StrPath | Iterable[StrPath]) -> int:
        """Remove the photos and videos of files and folders, which need not exist, and return the number of files.

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
        from facebank.album.scan.updates import forget_places

        named = named_places(places)
        return forget_places(self._bank, self.path, self.scan_file, named)

    def count(self, places: StrPath | Iterable[StrPath] = ()) -> int:
        """Return the number of readable photo files in `places`.

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
        from facebank.album.scan.updates import count_photos

        named = named_places(places)
        return count_photos(self.path, self.scan_file, named)

    def identify(
        self, places: StrPath | Iterable[StrPath] = (), settings: DecisionSettings | None = None
    ) -> Iterator[Photo]:
        """Yield the identified photos of the scan in the order of their paths; the files are not read again.

        A face that is a person's sample always has that identity, however similar it is to other people: see
        `facebank.album.confirmed`.

        Raises
        ------
        GalleryError
            The gallery is missing, or cannot be used with the pack.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "eileen.jpg"])
        >>> for photo in album.identify():
        ...     print(os.path.basename(photo.path), [face.person for face in photo.faces])
        eileen.jpg [None]
        party.jpg ['Barack', 'Joe']
        """
        from facebank.album.confirmed import identify_in_album

        gallery = self._bank.gallery
        for photo in self.scan_file.photos([place_path(place) for place in named_places(places)]):
            yield identify_in_album(photo, gallery, lambda: self._bank.identification(settings))

    def find(
        self,
        names: str | Sequence[str],
        period: Period | None = None,
        settings: DecisionSettings | None = None,
        *,
        any_of: bool = False,
        places: StrPath | Iterable[StrPath] = (),
    ) -> list[FoundPhoto]:
        """Return the photos that show all of the named people, or any of them, oldest first.

        Parameters
        ----------
        names
            Names of enrolled people.
        period
            When the photos were taken; None for any time.
        any_of
            Whether one of the people is enough.
        places
            The scanned files and folders to search.

        Raises
        ------
        PersonNotFoundError
            A name is not enrolled.
        UsageError
            An argument has the wrong type.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "joe.jpg"])
        >>> [os.path.basename(found.path) for found in album.find(["Barack", "Joe"])]
        ['party.jpg']
        """
        from facebank.album.finding import Period, photos_of

        if not isinstance(names, str) and not is_list_like(names):
            raise UsageError(f"names must be text or a list of text, not {printable(repr(names))}")
        if not (period is None or isinstance(period, Period)):
            raise UsageError(f"period is a Period, such as Period.of('2019', None), not {printable(repr(period))}")
        named = [names] if isinstance(names, str) else names
        wanted = frozenset(self._bank.gallery.person(name).name for name in named)
        return photos_of(self.identify(places, settings), wanted, Period() if period is None else period, any_of=any_of)

    def to_arrow(
        self,
        places: StrPath | Iterable[StrPath] = (),
        settings: DecisionSettings | None = None,
        *,
        identify: bool = True,
    ) -> pyarrow.Table:
        """Return the faces of the scanned photos as a ``pyarrow.Table``, one row per face, with their embeddings.

        pandas (``.to_pandas()``), Polars and DuckDB read the table directly. Its columns are path, content_hash, width,
        height, taken_at, camera_dated, face_number, box, landmarks, detection_score, quality, decision, reason, person,
        probability, similarity, group and embedding; `facebank.album.arrow_tables` lists their types and units. A photo
        with several files has the path of the first. The table has chunks of a few thousand faces.

        Parameters
        ----------
        identify
            Whether to identify the faces. If not, or without a gallery, the columns from decision to similarity are
            null.

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
        from facebank.album.confirmed import identify_if_gallery

        scan_file = self.scan_file
        groups = {face_id: number for number, face_ids in scan_file.groups().items() for face_id in face_ids}
        photos = scan_file.each_photo([place_path(place) for place in named_places(places)])
        rows = identify_if_gallery(self._bank, photos, settings) if identify else photos
        return faces_table(rows, groups, self._bank.engine.identity.dimension)

    def plan_sorting(
        self, folder: StrPath, out: StrPath, mode: SortMode, settings: DecisionSettings | None = None
    ) -> SortPlan:
        """Return the plan that sorts a folder's scanned photos into people's folders: see `facebank.album.sort.plan`.

        Parameters
        ----------
        folder
            The folder to sort, or one photo.
        out
            The folder in which each person gets a folder.
        mode
            Whether photos are copied, linked or moved.

        Raises
        ------
        UsageError
            `out` lies inside the folder.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> plan = album.plan_sorting(".", "../sorted", SortMode.COPY)
        >>> [(os.path.basename(step.source), step.person) for step in plan.steps]
        [('party.jpg', 'Barack'), ('party.jpg', 'Joe')]
        """
        from facebank.album.sort.album_sort import plan_album_sort

        self.require_writable()
        return plan_album_sort(self._bank, self.identify([folder], settings), folder, out, mode)

    def sort(self, plan: SortPlan, progress: Progress = SILENT) -> None:
        """Run a plan: see `facebank.album.sort.run`. Moved photos keep their entries in the scan.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> sorted(os.listdir("../sorted"))[-2:]
        ['Barack', 'Joe']
        """
        from facebank.album.sort.album_sort import run_album_sort

        self.require_writable()
        run_album_sort(self._bank, plan, progress, self.scan_file.move)

    def mend_sorting(self, out: StrPath) -> str | None:
        """Finish the last photo of a killed sort, and return its path in its person's folder; None if there was none.

        Raises
        ------
        StorageError
            The journal is not trusted: somebody else may have written it.

        Examples
        --------
        >>> print(bank.album().mend_sorting("../sorted"))
        None
        """
        from facebank.album.sort.album_sort import mend_album_sort
        from facebank.album.sort.entries import SortMode

        mended = mend_album_sort(self._bank, out)
        if mended is None:
            return None
        if mended.mode is SortMode.MOVE:
            self._note_moved([(mended.source, mended.target)])
        return mended.target

    def trust_sort_journal(self, out: StrPath, folder: StrPath) -> None:
        """Sign the journal of `out`, for which the user vouches; all of its entries must come from `folder`.

        Raises
        ------
        StorageError
            An entry is invalid, or the journal cannot be written.

        Examples
        --------
        >>> from facebank.album.sort.entries import SortMode
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> album.sort(album.plan_sorting(".", "../sorted", SortMode.COPY))
        >>> album.trust_sort_journal("../sorted", ".")
        """
        from facebank.album.sort.album_sort import sign_journal

        sign_journal(self._bank, out, folder)

    def sort_journal(self, out: StrPath, trusted_folder: StrPath | None = None) -> JournalContent:
        """Return the journal of what was sorted into a folder: see `facebank.album.sort.journal.read_journal`.

        Parameters
        ----------
        out
            The folder that holds the people's folders.
        trusted_folder
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
        from facebank.album.sort.album_sort import read_album_journal

        return read_album_journal(self._bank, out, trusted_folder)

    def undo_sorting(self, journal: JournalContent, progress: Progress = SILENT, *, dry_run: bool = False) -> None:
        """Undo what was sorted into a folder: see `facebank.album.sort.undo`. The scan, if any, is updated.

        Parameters
        ----------
        journal
            As `sort_journal` returns it.
        progress
            Receives a `facebank.album.sort.undo.UndoResult` for each photo.
        dry_run
            Whether files stay unchanged, and the results are only reported.

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
        from facebank.album.sort.album_sort import undo_album_sort

        undo_album_sort(journal, progress, self._note_moved, dry_run=dry_run)

    def _note_moved(self, moved: Sequence[tuple[str, str]]) -> None:
        if moved and not self.is_parquet:
            with suppress(ScanError, GalleryError, PackError):  # the next scan finds the photos by their content
                self.scan_file.move(moved)

    def cluster(
        self, *, min_faces: int = 2, known_ids: Collection[int] | None = None, progress: Progress = SILENT
    ) -> GroupingReport:
        """Group the faces of unknown people by person, and store the groups in the scan.

        Parameters
        ----------
        min_faces
            Minimum number of faces in a group.
        known_ids
            Ids in the scan of the faces whose person is known; None to identify them first.
        progress
            Advanced with the completed fraction.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> [group.photos for group in album.cluster(min_faces=1).groups]
        [1]
        """
        from facebank.album.confirmed import known_faces
        from facebank.album.groups.face_groups import group_faces

        excluded = known_faces(self._bank, self.scan_file) if known_ids is None else known_ids
        return group_faces(
            self.scan_file, self._bank.engine.thresholds, excluded, min_faces=min_faces, progress=progress
        )

    def groups(self) -> list[Group]:
        """Return the stored groups, largest first.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> grouped = album.cluster(min_faces=1)
        >>> [(group.number, group.photos) for group in album.groups()]
        [(1, 1)]
        """
        from facebank.album.groups.face_groups import groups_of

        return groups_of(self.scan_file)

    def tell_apart(self, first: str, second: str) -> None:
        """Record that two faces are not the same person; the next grouping keeps them apart.

        Parameters
        ----------
        first, second
            Labels of faces on the contact sheet: ``3.2`` is the second face of group 3, ``3`` its first.

        Raises
        ------
        UsageError
            A face does not exist, or both are the same.

        Examples
        --------
        >>> album = bank.album()
        >>> bank.forget("Barack").sample_count
        2
        >>> report = album.scan(["barack1.jpg", "barack2.jpg"])
        >>> grouped = album.cluster()
        >>> album.tell_apart("1", "1.2")
        >>> len(album.cluster().groups)
        0
        """
        from facebank.album.groups.face_groups import parse_face

        groups = self.scan_file.groups()
        first_id, second_id = (parse_face(label, groups) for label in (first, second))
        if first_id == second_id:
            raise UsageError(f"{printable(first)} and {printable(second)} are the same face: name two")
        self.scan_file.tell_apart([(first_id, second_id)])

    def name_group(
        self,
        group_number: int,
        name: str,
        *,
        force: bool = False,
        only_unnamed: bool = False,
        key: str | None = None,
        excluded_ids: Collection[int] = (),
        progress: Progress = SILENT,
    ) -> NamedGroup:
        """Enroll the best and most varied faces of a group: see `facebank.album.groups.naming.name_group`.

        Parameters
        ----------
        group_number, name
            The group's number, and the name; an enrolled person of this name gets more samples.
        force
            Whether to enroll faces that are unlike the person's samples, or more similar to somebody else.
        only_unnamed
            Whether to refuse a group some of whose faces are samples already. If several threads name a group of one
            album, one of them succeeds.
        key
            The expected `Group.key`, which detects that faces were grouped again; None to accept the number unchecked.
        excluded_ids
            Ids in the scan of faces to leave out.
        progress
            Advanced with each photo that was read.

        Raises
        ------
        GroupNamedError
            `only_unnamed` is set, and a face of the group is somebody's sample.
        GroupNotFoundError
            The number is not a group's, or the group has another key.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> grouped = album.cluster(min_faces=1)
        >>> len(album.name_group(1, "Eileen").enrolled), bank.person("Eileen").sample_count
        (1, 1)
        """
        from facebank.album.groups.naming import name_group, require_unnamed

        scan_file = self.scan_file
        self._bank.engine.preload()
        with self.naming if only_unnamed else nullcontext():
            try:
                gallery = self._bank.gallery
            except GalleryNotFoundError:
                gallery = None
            if only_unnamed and gallery is not None:
                require_unnamed(scan_file, gallery, group_number)
            return name_group(
                scan_file,
                self._bank.engine,
                group_number,
                name,
                gallery=gallery,
                make_gallery=partial(self._bank.open_gallery, create=True),
                force=force,
                key=key,
                excluded_ids=excluded_ids,
                progress=progress,
            )

    def write_tags(
        self, places: StrPath | Iterable[StrPath], options: TagOptions, settings: DecisionSettings | None = None
    ) -> Iterator[TaggedPhoto]:
        """Write the names of identified people as regions that photo programs read: see `facebank.album.tags.writing`.

        A name is written for only one face of a photo, whatever the settings allow, unless several faces are samples of
        the person. No file is written through a link that leads out of the places. If the photo itself is written, the
        scan is updated, and denials of its faces are kept.

        Yields
        ------
        TaggedPhoto
            The result of each photo, once it is done.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> for tagged in album.write_tags(["party.jpg"], TagOptions()):
        ...     print([face.person for face in tagged.faces], [os.path.basename(path) for path in tagged.files])
        ['Barack', 'Joe'] ['party.jpg.xmp']
        """
        from facebank.album.tags.album_tags import write_album_tags

        self.require_writable()
        settings = self._bank.settings if settings is None else settings
        # other programs count a person's photos by regions
        once_per_photo = settings.changed({"allow_twice": False})
        named = named_paths(places)
        yield from write_album_tags(self._bank, self.scan_file, self.identify(named, once_per_photo), named, options)

    def photos_with_tags(self, name: str, places: StrPath | Iterable[StrPath] = ()) -> list[Path]:
        """Return the paths of the photos into or beside which facebank may have written a name.

        Parameters
        ----------
        name
            Name of a person who is or was enrolled.
        places
            Files and folders, of which all photos are returned. If empty, the photos for which the scan records the
            name of this person or of a forgotten one.

        Raises
        ------
        PhotoNotFoundError
            One of the places has no photo.

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
            from facebank.operations.inputs import check_any_exists, gather_photos

            named = named_paths(places)
            check_any_exists(named)
            return [Path(absolute(path)) for path in gather_photos(named).photos]
        from facebank.album.tags.album_tags import recorded_photos

        return recorded_photos(self._bank, self.scan_file, name)

    def remove_tags(
        self, name: str, paths: Sequence[Path], places: StrPath | Iterable[StrPath] = (), *, dry_run: bool = False
    ) -> Iterator[RemovedTags]:
        """Remove a name from photos and sidecars into which facebank wrote it: see `facebank.album.tags.removing`.

        Parameters
        ----------
        name
            The name, in any case.
        paths
            The photos' files, as `photos_with_tags` returns them.
        places
            The files and folders that the user named. No file is changed through a link that leads out of them.
        dry_run
            Whether files stay unchanged, and the results are only reported.

        Yields
        ------
        RemovedTags
            The result of each photo, once it is done.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> tagged = list(album.write_tags(["party.jpg"], TagOptions()))
        >>> [removed.names for removed in album.remove_tags("Joe", album.photos_with_tags("Joe"))]
        [1]
        """
        from facebank.album.tags.album_tags import remove_album_tags
        from facebank.album.tags.written_names import WrittenNames

        self.require_writable()
        named = named_paths(places)
        tags: WrittenNames | None = None
        with suppress(ScanNotFoundError, GalleryNotFoundError):  # then nothing is recorded
            tags = WrittenNames(self.scan_file, self._bank.gallery)
        yield from remove_album_tags(tags, name, paths, named, dry_run=dry_run)

    def import_tags(
        self,
        places: StrPath | Iterable[StrPath],
        *,
        max_samples: int | None = None,
        include_own: bool = False,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> Iterator[ImportedTag]:
        """Enroll people from the regions of scanned photos: see `facebank.album.tags.importing`.

        Parameters
        ----------
        places
            Files and folders.
        max_samples
            Maximum number of faces to enroll for a person; None for `facebank.album.groups.naming.MAX_SAMPLES`.
        include_own
            Whether to use names that facebank wrote and nobody has changed since.
        force
            Whether to enroll faces that are unlike the person's others, or more similar to somebody else.
        progress
            Advanced with each photo whose regions were read, then with each face that has a name.

        Yields
        ------
        ImportedTag
            The result of each region; those without a usable face come first.

        Examples
        --------
        >>> from facebank.album.tags.writing import TagOptions
        >>> album = bank.album()
        >>> report = album.scan("party.jpg")
        >>> tagged = list(album.write_tags(["party.jpg"], TagOptions()))
        >>> forgotten = bank.forget("Joe")
        >>> [(tag.person, tag.accepted) for tag in album.import_tags(["party.jpg"], include_own=True)]
        [('Barack', True), ('Joe', True)]
        """
        from facebank.album.tags.album_tags import import_album_tags

        named = named_paths(places)
        photos = self.scan_file.photos([absolute(place) for place in named])
        yield from import_album_tags(
            self._bank,
            photos,
            self.count(named),
            max_samples=max_samples,
            include_own=include_own,
            force=force,
            progress=progress,
        )


def _moved_paths(moved: tuple[StrPath, StrPath] | None) -> tuple[str, str] | None:
    """Return the two absolute paths of a folder."""
    if moved is None:
        return None
    if not isinstance(moved, tuple) or len(moved) != 2:
        raise UsageError(f"moved must be a folder's path in the scans and its path here, not {printable(repr(moved))}")
    return absolute(moved[0]), absolute(moved[1])
