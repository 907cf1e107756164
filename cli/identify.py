"""``facebank identify``: identifies the people in photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import PhotoError, UsageError
from facebank.schemas.records import photo_record
from facebank.storage.paths import named_paths
from facebank.storage.text import format_probability, format_similarity, pluralize

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .options import DECISIONS, AllowTwice, LeastProbability, ScanPath, settings_for_run
from .output import report_skipped, say, short_path, write_csv, write_json, write_skipped, write_table
from .paths import parse_scan_path
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.album.album import Album
    from facebank.operations.identify import Identification
    from facebank.types import Face, Photo

EXAMPLES = """\b
Examples:
  facebank identify party.jpg
  facebank identify holidays/ --annotate named/
  facebank identify holidays/ --json
  facebank identify --scan

Exit codes: 0 every photo was read, with or without known faces; 1 some could not be read; 2 wrong usage, no gallery, or
no photos."""

_DECISIONS = ("known", "uncertain", "unknown")
_MAX_PEOPLE_LISTED = 10
_COLUMNS = ("photo", "face", "person", "decision", "reason", "similarity", "probability")
_STYLES = {"known": "bold green", "uncertain": "yellow", "unknown": "dim", "unreadable": "bold red"}
_CSV_COLUMNS = ("image", "face", "x1", "y1", "x2", "y2", *_COLUMNS[2:], "error")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("identify", epilog=EXAMPLES)(identify)


def identify(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO_OR_DIR...",
            show_default=False,
            parser=parse_scan_path,
            help="Photos, and folders of photos; with --scan, only these of the scan.",
        ),
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Identify the faces that 'facebank scan' found, instead of reading photos.")
    ] = False,
    scan_file: ScanPath = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for copies of the photos with boxes and names.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Classifier: prototype, knn, svm, svm-rbf, logistic or auto.",
            rich_help_panel=DECISIONS,
        ),
    ] = None,
    fpir: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Target fraction of strangers who are given a name (FPIR), 0.001 to 0.2.",
            rich_help_panel=DECISIONS,
        ),
    ] = None,
    stranger_share: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Expected fraction of strangers' faces.",
            rich_help_panel=DECISIONS,
        ),
    ] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV, one line for each face.")] = False,
) -> int:
    """Identify the people in photos.

    A face is named only above the calibrated threshold; otherwise it is unknown or uncertain, with a reason.
    """
    _check_options(paths or [], scan=scan, scan_file=scan_file, annotate=annotate)
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other: use one of them")
    with ExitStack() as stack:
        bank = stack.enter_context(global_options(ctx).open_bank())
        if not scan:
            bank.preload()
        settings = settings_for_run(
            bank,
            classifier=classifier,
            fpir=fpir,
            stranger_share=stranger_share,
            least_probability=least_probability,
            allow_twice=allow_twice or None,
        )
        if scan:
            album = stack.enter_context(_open_album(bank, scan_file))
            photos, total = album.identify(paths or [], settings), album.count(paths or [])
        else:
            photo_paths = _gather_photos(paths or [], annotate, as_json=as_json)
            photos, total = bank.identify(photo_paths, settings), len(photo_paths)
        report_classifier(bank.identification(settings))
        copies = None if annotate is None else _AnnotatedCopies(bank, annotate, paths or [])
        results = _IdentifiedPhotos(photos, total, copies, writes_lines=as_json or as_csv)
        if as_json:
            for photo in results:
                is_outside = copies is not None and photo.path in copies.outside[-1:]
                write_json({**photo_record(photo), **({"skipped": "outside"} if is_outside else {})})
        elif as_csv:
            write_csv(_CSV_COLUMNS, (row for photo in results for row in _csv_rows(photo)))
        else:
            write_table(_COLUMNS, (row for photo in results for row in _rows(photo)), _STYLES)
        if copies is not None:
            copies.report_count()
        results.summary.report(paths or [])
    return SOME_FAILED if results.failed else 0


def _check_options(paths: Sequence[Path], *, scan: bool, scan_file: Path | None, annotate: Path | None) -> None:
    if scan_file is not None and not scan:
        raise UsageError("--scan-file requires --scan")
    if scan and annotate is not None and not paths:
        raise UsageError("--annotate with --scan requires the folder of the photos: name it")
    if not scan or annotate is not None:
        named_paths(paths)  # refuses buckets


def _open_album(bank: FaceBank, scan_file: Path | None) -> Album:
    from facebank.album.album import Album

    return Album(bank, scan_file)


def report_classifier(identification: Identification) -> None:
    """Report the classifier that 'auto' chose, and whether it lacks a calibration, on standard error."""
    if identification.settings.classifier == "auto":
        say(f"classifier {identification.choice.classifier}: {identification.choice.reason}")
    if identification.recognizer is not None and not identification.calibrated:
        say(
            f"the pack is not calibrated for the classifier {identification.choice.classifier!r}: faces are named from "
            "the threshold in its pack.toml on, without probabilities; 'facebank packs calibrate' estimates both"
        )


def _gather_photos(paths: Sequence[Path], annotate: Path | None, *, as_json: bool) -> Sequence[Path]:
    from facebank.operations.annotate import exclude_annotated
    from facebank.operations.inputs import check_any_exists, gather_photos, no_photos_error

    if not paths:
        raise UsageError("name a photo or a folder, or use --scan")
    check_any_exists(paths)
    gathered = gather_photos(paths)
    report_skipped(gathered)
    if as_json:
        write_skipped(gathered, {"image": "", "width": None, "height": None, "turned": None, "error": "", "faces": []})
    photos = gathered.photos if annotate is None else exclude_annotated(gathered.photos, paths, annotate)
    if not photos:
        raise no_photos_error(paths)
    return photos


class _IdentifiedPhotos:
    """An iterator over identified photos that shows progress, reports errors and writes annotated copies."""

    def __init__(
        self, photos: Iterable[Photo], total: int, copies: _AnnotatedCopies | None, *, writes_lines: bool
    ) -> None:
        self._photos = photos
        self._total = total
        self._copies = copies
        self._writes_lines = writes_lines
        self.failed = False
        self.summary = _Summary()

    def __iter__(self) -> Iterator[Photo]:
        with ProgressBar(writes_lines=self._writes_lines) as bar:
            bar.begin("Identifying", self._total)
            for photo in self._photos:
                self.summary.count(photo)
                if photo.error is not None:
                    self.failed = True
                    say(photo.error)
                elif self._copies is not None and not self._copies.write(photo):
                    self.failed = True
                yield photo
                bar.advance()


class _Summary:
    """Counts of decisions and people in several photos."""

    def __init__(self) -> None:
        self._photos = self._unreadable = self._empty = 0
        self._decisions, self._people = Counter[str](), Counter[str]()

    def count(self, photo: Photo) -> None:
        """Count a photo, its decisions, and each known person in it once."""
        self._photos += 1
        self._unreadable += photo.error is not None
        self._empty += photo.error is None and not photo.faces
        self._decisions.update(str(face.decision) for face in photo.faces)
        self._people.update({face.person for face in photo.faces if face.person is not None})

    def report(self, paths: Sequence[Path]) -> None:
        """Write the counts to standard error if folders or a whole scan were identified, not only single photos."""
        if self._photos < 2 or (paths and not any(path.is_dir() for path in paths)):
            return
        most_common = self._people.most_common(_MAX_PEOPLE_LISTED)
        people = ", ".join(f"{name} in {count:,}" for name, count in most_common)
        if len(self._people) > len(most_common):
            people += f", {pluralize(len(self._people) - len(most_common), 'more person', 'more people')}"
        parts = [
            f"{pluralize(self._photos, 'photo')} with {pluralize(self._decisions.total(), 'face')}",
            *(f"{self._decisions[decision]:,} {decision}" for decision in _DECISIONS),
            *([f"{self._empty:,} without a face"] if self._empty else []),
            *([f"{self._unreadable:,} unreadable"] if self._unreadable else []),
        ]
        say(", ".join(parts) + (f"; {people}" if people else ""))


class _AnnotatedCopies:
    """Writes copies of photos with boxes and names, and reports where they are."""

    def __init__(self, bank: FaceBank, folder: Path, paths: Sequence[Path]) -> None:
        from facebank.gallery import PlaceKind
        from facebank.operations.annotate import Annotator

        self._folder = folder
        self._annotator = Annotator(folder, paths)
        bank.note_written(PlaceKind.ANNOTATED, folder)
        self._count = 0
        self.outside: list[str] = []

    def write(self, photo: Photo) -> bool:
        """Write the copy of a photo; False, with a message, if the photo no longer exists."""
        try:
            target = self._annotator.write(photo)
        except PhotoError as error:
            say(str(error))
            return False
        if target is None:
            self.outside.append(photo.path)
            return True
        self._count += 1
        if target.name != Path(photo.path).name:
            say(f"the copy of {photo.path} is {target}")
        return True

    def report_count(self) -> None:
        """Report the number of written copies, and the skipped photos, on standard error."""
        from facebank.storage.folders import skipped_files_message

        if self.outside:
            say(skipped_files_message([short_path(path) for path in self.outside], "picture", as_targets=True))
        say(f"{pluralize(self._count, 'picture')} written to {self._folder}")


def _rows(photo: Photo) -> Iterator[tuple[str, ...]]:
    if not photo.faces:
        yield short_path(photo.path), "", "", "no face" if photo.error is None else "unreadable", "", "", ""
    for face_number, face in enumerate(photo.faces, 1):
        yield short_path(photo.path), str(face_number), *_decision_columns(face)


def _csv_rows(photo: Photo) -> Iterator[tuple[str, ...]]:
    if not photo.faces:
        yield photo.path, *[""] * (len(_CSV_COLUMNS) - 2), photo.error or ""
    for face_number, face in enumerate(photo.faces, 1):
        box = (f"{edge:.2f}" for edge in face.box.tolist())
        yield photo.path, str(face_number), *box, *_decision_columns(face), ""


def _decision_columns(face: Face) -> tuple[str, ...]:
    figures = format_similarity(face.similarity), format_probability(face.probability)
    return face.person or "", str(face.decision), str(face.reason), *figures
