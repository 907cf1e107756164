"""``facebank identify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import PhotoError, UsageError
from facebank.schemas.records import photo_record
from facebank.storage.text import never_certain

from .failures import SOME_FAILED
from .options import FOR_ONCE, AllowTwice, LeastProbability, settings_for_once
from .output import counted, say, short_path, tell_skipped, write_csv, write_json, write_skipped, write_table
from .progress import ProgressBar
from .scan import ScanPath
from .settings import settings_of

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

Exit codes: 0 every photo was read, whoever is in it; 1 some could not be read; 2 wrong usage, no gallery, or nothing
where the photos should be."""

_OUTCOMES = ("known", "uncertain", "unknown")
_SUMMED_UP = 10  # people
_COLUMNS = ("photo", "face", "person", "decision", "reason", "similarity", "probability")
_STYLES = {"known": "bold green", "uncertain": "yellow", "unknown": "dim", "unreadable": "bold red"}
_CSV_COLUMNS = ("image", "face", "x1", "y1", "x2", "y2", *_COLUMNS[2:], "error")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("identify", epilog=EXAMPLES)(identify)


def identify(
    ctx: typer.Context,
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO_OR_DIR...",
            show_default=False,
            help="Photos, and folders of photos; with --scan, which of them.",
        ),
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Identify the faces that 'facebank scan' found, instead of reading photos.")
    ] = False,
    scan_file: ScanPath = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write copies of the photos there, with boxes and names.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="prototype, knn, svm, svm-rbf, logistic or auto.", rich_help_panel=FOR_ONCE),
    ] = None,
    fpir: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Largest fraction of strangers that may be given a name (FPIR), 0.001 to 0.2.",
            rich_help_panel=FOR_ONCE,
        ),
    ] = None,
    stranger_share: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of faces that are expected to be strangers'.",
            rich_help_panel=FOR_ONCE,
        ),
    ] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV, one line for each face.")] = False,
) -> int:
    """Identify the people in photos.

    A face is named only above the calibrated threshold; the others are unknown or uncertain, with the reason.
    """
    if scan_file is not None and not scan:
        raise UsageError("--scan-file goes with --scan")
    if scan and annotate is not None and not places:
        raise UsageError("--annotate with --scan needs to be told whose photos: name the folder")
    if as_json and as_csv:
        raise UsageError("--json and --csv are two ways to write the same: use one of the two")
    with ExitStack() as opened:
        bank = opened.enter_context(settings_of(ctx).open_bank())
        if not scan:
            bank.preload()
        settings = settings_for_once(
            bank,
            classifier=classifier,
            fpir=fpir,
            stranger_share=stranger_share,
            least_probability=least_probability,
            allow_twice=allow_twice or None,
        )
        if scan:
            album = opened.enter_context(_album(bank, scan_file))
            found, total = album.identify(places or [], settings), album.count(places or [])
        else:
            photos = _photos_of(places or [], annotate, as_json=as_json)
            found, total = bank.identify(photos, settings), len(photos)
        tell_how(bank.identification(settings))
        pictures = None if annotate is None else _Pictures(bank, annotate, places or [])
        results = _Results(found, total, pictures, writes_lines=as_json or as_csv)
        if as_json:
            for photo in results:
                is_outside = pictures is not None and photo.path in pictures.outside[-1:]
                write_json({**photo_record(photo), **({"skipped": "outside"} if is_outside else {})})
        elif as_csv:
            write_csv(_CSV_COLUMNS, (row for photo in results for row in _csv_rows(photo)))
        else:
            write_table(_COLUMNS, (row for photo in results for row in _rows(photo)), _STYLES)
        if pictures is not None:
            pictures.tell_count()
        results.tally.tell(places or [])
    return SOME_FAILED if results.failed else 0


def _album(bank: FaceBank, scan_file: Path | None) -> Album:
    from facebank.album.album import Album

    return Album(bank, scan_file)


def tell_how(identification: Identification) -> None:
    """Say which classifier decides, and whether probabilities are to be had."""
    if identification.settings.classifier == "auto":
        say(f"classifier {identification.choice.classifier}: {identification.choice.why}")
    if identification.recognizer is not None and not identification.calibrated:
        say(
            f"uncalibrated: the threshold of the pack is used as it is for {identification.choice.classifier!r}, and "
            "there are no probabilities; 'facebank packs calibrate' finds both out"
        )


def _photos_of(places: Sequence[Path], annotate: Path | None, *, as_json: bool) -> Sequence[Path]:
    from facebank.operations.annotate import originals
    from facebank.operations.inputs import gather_photos, nothing_there, require_places

    if not places:
        raise UsageError("name a photo or a folder, or ask a scan with --scan")
    require_places(places)
    gathered = gather_photos(places)
    tell_skipped(gathered)
    if as_json:
        write_skipped(gathered, {"image": "", "width": None, "height": None, "turned": None, "error": "", "faces": []})
    photos = gathered.photos if annotate is None else originals(gathered.photos, places, annotate)
    if not photos:
        raise nothing_there(places)
    return photos


class _Results:
    """Identified photos as they come, with progress, complaints and annotated pictures on the way."""

    def __init__(self, photos: Iterable[Photo], total: int, pictures: _Pictures | None, *, writes_lines: bool) -> None:
        self._photos = photos
        self._total = total
        self._pictures = pictures
        self._writes_lines = writes_lines
        self.failed = False
        self.tally = _Tally()

    def __iter__(self) -> Iterator[Photo]:
        with ProgressBar(writes_lines=self._writes_lines) as bar:
            bar.begin("Identifying", self._total)
            for photo in self._photos:
                self.tally.count(photo)
                if photo.error is not None:
                    self.failed = True
                    say(photo.error)
                elif self._pictures is not None and not self._pictures.write(photo):
                    self.failed = True
                yield photo
                bar.advance()


class _Tally:
    """Counts what was found in several photos."""

    def __init__(self) -> None:
        self._photos = self._unreadable = self._empty = 0
        self._decisions, self._people = Counter[str](), Counter[str]()

    def count(self, photo: Photo) -> None:
        """Count one photo, its faces, and each person who is known in it once."""
        self._photos += 1
        self._unreadable += photo.error is not None
        self._empty += photo.error is None and not photo.faces
        self._decisions.update(str(face.decision) for face in photo.faces)
        self._people.update({face.person for face in photo.faces if face.person is not None})

    def tell(self, places: Sequence[Path]) -> None:
        """Say it on standard error, for several photos of folders, or of a whole scan, for which no place is named."""
        if self._photos < 2 or (places and not any(place.is_dir() for place in places)):
            return
        shown = self._people.most_common(_SUMMED_UP)
        known = ", ".join(f"{name} in {count:,}" for name, count in shown)
        if len(self._people) > len(shown):
            known += f", {counted(len(self._people) - len(shown), 'more person', 'more people')}"
        parts = [
            f"{counted(self._photos, 'photo')} with {counted(self._decisions.total(), 'face')}",
            *(f"{self._decisions[outcome]:,} {outcome}" for outcome in _OUTCOMES),
            *([f"{self._empty:,} without a face"] if self._empty else []),
            *([f"{self._unreadable:,} unreadable"] if self._unreadable else []),
        ]
        say(", ".join(parts) + (f"; {known}" if known else ""))


class _Pictures:
    """Annotated pictures, with what is to be said about them."""

    def __init__(self, bank: FaceBank, folder: Path, places: Sequence[Path]) -> None:
        from facebank.gallery import PlaceKind
        from facebank.operations.annotate import Annotator

        self._folder = folder
        self._annotator = Annotator(folder, places)
        bank.note_written(PlaceKind.ANNOTATED, folder)
        self._count = 0
        self.outside: list[str] = []

    def write(self, photo: Photo) -> bool:
        """Write one; False, and a complaint, where the photo is no longer there."""
        try:
            picture = self._annotator.write(photo)
        except PhotoError as error:
            say(str(error))
            return False
        if picture is None:
            self.outside.append(photo.path)
            return True
        self._count += 1
        if picture.name != Path(photo.path).name:
            say(f"{photo.path} is drawn in {picture}")
        return True

    def tell_count(self) -> None:
        """Say how many were written, and where."""
        from facebank.storage.folders import passed_over

        if self.outside:
            say(passed_over([short_path(path) for path in self.outside], "picture", as_targets=True))
        say(f"{counted(self._count, 'picture')} written to {self._folder}")


def _rows(photo: Photo) -> Iterator[tuple[str, ...]]:
    if not photo.faces:
        yield short_path(photo.path), "", "", "no face" if photo.error is None else "unreadable", "", "", ""
    for number, identified in enumerate(photo.faces, 1):
        yield short_path(photo.path), str(number), *_decision_columns(identified)


def _csv_rows(photo: Photo) -> Iterator[tuple[str, ...]]:
    if not photo.faces:
        yield photo.path, *[""] * (len(_CSV_COLUMNS) - 2), photo.error or ""
    for number, identified in enumerate(photo.faces, 1):
        box = (f"{edge:.2f}" for edge in identified.box.tolist())
        yield photo.path, str(number), *box, *_decision_columns(identified), ""


def _decision_columns(face: Face) -> tuple[str, ...]:
    similarity = "" if face.similarity is None else f"{face.similarity:.3f}"
    probability = "" if face.probability is None else never_certain(face.probability)
    return face.person or "", str(face.decision), str(face.reason), similarity, probability
