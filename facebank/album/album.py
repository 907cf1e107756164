"""`Album`: many photos scanned once, then identified, grouped, sorted and tagged without being read again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

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
from facebank.storage.paths import absolute, named_path, named_paths
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from facebank.album.finding import FoundPhoto, Period
    from facebank.album.groups.face_groups import Group, Grouped, NamedGroup
    from facebank.album.scan.scanner import ScanReport
    from facebank.album.sort.entries import SortMode
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan
    from facebank.album.sort.sorting import SortedPhoto
    from facebank.album.sort.undo import Undone
    from facebank.album.tags.reading import ImportedTag
    from facebank.album.tags.writing import RemovedTags, TaggedPhoto, TagOptions
    from facebank.album.tags.written_names import WrittenNames
    from facebank.media import Place
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Photo


def default_scan_path(gallery: Path) -> Path:
    """Return where a gallery's own scan is kept: beside it, ``family.scan`` for ``family.facebank``."""
    return gallery.with_suffix(".scan")


def _folder_of(place: Place) -> Path:
    """Return the folder that is sorted, absolute: a photo's, if a photo is named."""
    whole = Path(absolute(place))
    return whole.parent if whole.is_file() else whole


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
        The scan file; None for the gallery's own.

    Examples
    --------
    >>> with bank.album() as album:
    ...     report = album.scan(["party.jpg", "eileen.jpg"])
    ...     for found in album.find("Joe"):
    ...         print(os.path.basename(found.path))
    party.jpg
    """

    def __init__(self, bank: GalleryAccess, path: Place | None = None) -> None:
        self.path = default_scan_path(bank.path) if path is None else named_path(path, "the path of the scan")
        self._bank = bank
        self._scan_file: ScanFile | None = None
        self._opening = SharedLock()

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
        """
        with self._opening:
            if self._scan_file is None:
                self._scan_file = ScanFile.open(self.path, self._bank.engine.identity)
            return self._scan_file

    def scan(
        self,
        places: Place | Iterable[Place],
        *,
        workers: int | None = None,
        progress: Progress = SILENT,
    ) -> ScanReport:
        """Analyze what is new or changed in files and folders, and forget what is gone from them.

        Parameters
        ----------
        places
            Files and folders.
        workers
            How many photos are processed in parallel; None for one per core.
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

        Examples
        --------
        >>> report = bank.album().scan(["party.jpg", "eileen.jpg", "broken.jpg"])
        >>> report.looked_at, len(report.unreadable)
        (2, 1)
        """
        from facebank.album.scan.scanner import only_scan, plan_scan, scan

        engine = self._bank.engine
        with only_scan(self.path):
            is_new = not self.path.exists()
            if is_new:
                engine.preload()  # while the folders are gone through
            try:
                with ScanFile.open(self.path, engine.identity, create=True) as scan_file:
                    plan = plan_scan(scan_file, named_paths(places))
                    progress.report(plan)
                    if plan.todo:
                        engine.preload()
                    report = scan(engine, scan_file, plan, workers=workers, progress=progress)
                    if report.looked_at or report.gone or not self._people_are_kept():
                        self._keep_people(scan_file)
                    self.note_written(PlaceKind.SCAN, self.path)
                    return report
            except PhotoNotFoundError:
                if is_new:
                    self.path.unlink(missing_ok=True)  # it knows nothing
                raise

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

        if self.path != default_scan_path(self._bank.path):
            return
        with suppress(GalleryError):  # one who may only read the gallery forgets nobody in it
            self._bank.gallery.note_place()
        engine = self._bank.engine
        with suppress(StorageError):  # a cache that cannot be written costs accuracy and nothing else
            people = album_people(scan_file.face_table(), engine.thresholds)
            write_album_people(self._bank.path, engine.identity.digest, people)

    def forget(self, places: Place | Iterable[Place]) -> int:
        """Forget the photos of some folders, whether they still exist or not; return how many files that were.

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
        paths = set[str]()
        for place in named_paths(places):
            found = self.scan_file.files(absolute(place))
            if not found:
                self.count([place])  # says that it was not scanned
            paths.update(found)
        self.scan_file.forget(paths)
        self._keep_people(self.scan_file)
        return len(paths)

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
        from facebank.operations.identify import identified_photo

        gallery = self._bank.gallery
        for photo in self.scan_file.photos([absolute(place) for place in named_paths(places)]):
            yield identified_photo(photo, gallery, self._bank.identification(settings))

    def find(
        self,
        names: str | Sequence[str],
        period: Period | None = None,
        settings: DecisionSettings | None = None,
        *,
        any_of: bool = False,
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

        Raises
        ------
        PersonNotFoundError
            Nobody of one of the names is enrolled.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["party.jpg", "joe.jpg"])
        >>> [os.path.basename(found.path) for found in album.find(["Barack", "Joe"])]
        ['party.jpg']
        """
        from facebank.album.finding import Period, photos_of

        named = [names] if isinstance(names, str) else names
        wanted = frozenset(self._bank.gallery.person(name).name for name in named)
        return photos_of(
            self.identify(settings=settings), wanted, Period() if period is None else period, any_of=any_of
        )

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
        if moved:
            with suppress(ScanError, GalleryError, PackError):  # the next scan finds it out by itself
                self.scan_file.move(moved)

    def cluster(self, *, least: int = 2, progress: Progress = SILENT) -> Grouped:
        """Group the faces that the gallery does not know by person, and remember the groups.

        Parameters
        ----------
        least
            How many faces make a group.
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

        return group_faces(
            self.scan_file, self._bank.engine.thresholds, self._known_faces(), least=least, progress=progress
        )

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
        self.scan_file.tell_apart(first, second)

    def name_group(self, number: int, person: str, *, force: bool = False, progress: Progress = SILENT) -> NamedGroup:
        """Enroll the best and most varied faces of a group: see `facebank.album.groups.face_groups.name_group`.

        Examples
        --------
        >>> album = bank.album()
        >>> report = album.scan(["eileen.jpg", "joe.jpg"])
        >>> grouped = album.cluster(least=1)
        >>> len(album.name_group(1, "Eileen").enrolled), bank.person("Eileen").sample_count
        (1, 1)
        """
        from facebank.album.groups.face_groups import name_group

        scan_file = self.scan_file
        self._bank.engine.preload()
        try:
            gallery = self._bank.gallery
        except GalleryNotFoundError:
            gallery = None
        return name_group(
            scan_file,
            self._bank.engine,
            number,
            person,
            gallery=gallery,
            make_gallery=partial(self._bank.open_gallery, create=True),
            force=force,
            progress=progress,
        )

    def write_tags(
        self, places: Place | Iterable[Place], options: TagOptions, settings: DecisionSettings | None = None
    ) -> Iterator[TaggedPhoto]:
        """Write who is in scanned photos as regions that photo programs read: see `facebank.album.tags.writing`.

        A name is written for one face of a photo only, whatever the settings allow, and nothing where a link leads out
        of the places. A photo that is written itself stays known to the scan, and so do denials of its faces.

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
        from facebank.operations.identify import identified_photo

        try:
            gallery = self._bank.gallery
        except GalleryNotFoundError:
            return set()
        identification, known = self._bank.identification(), set[int]()
        for ids, photo in self.scan_file.each_photo():
            found = identified_photo(photo, gallery, identification).faces
            known.update(number for number, face in zip(ids, found, strict=True) if face.person is not None)
        return known
