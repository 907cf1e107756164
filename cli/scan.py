"""``facebank scan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .failures import SOME_FAILED
from .output import DEGREES, counted, say, tell_annotated, tell_skipped, write_json, write_line, write_skipped
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scanner import ScanPlan, ScanReport

EXAMPLES = """\b
Examples:
  facebank scan photos/
  facebank identify --scan

\b
Exit codes: 0 every photo was read; 1 some could not be read; 2 wrong usage, or nothing where the photos should be; 130
interrupted: the next scan goes on where this one was."""

ScanPath: TypeAlias = Annotated[
    Path | None, typer.Option("--scan-file", metavar="FILE", help="File of the scan; else one beside the gallery.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scan", epilog=EXAMPLES)(scan)


def scan(
    ctx: typer.Context,
    places: Annotated[list[Path], typer.Argument(metavar="DIR...", show_default=False)],
    scan_file: ScanPath = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget the photos of these folders instead, be they there or not.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a file that is looked at.")] = False,
) -> int:
    """Look at all photos of folders once, and remember the faces.

    What was looked at is not looked at again, even if it was moved, renamed or copied; what is gone is forgotten. Who
    is in the photos is asked afterwards, as often as you like: see 'facebank identify --scan'.
    """
    from facebank.album.album import Album
    from facebank.operations.inputs import gather_photos

    done = _Done(as_json)
    with settings_of(ctx).open_bank(threads=1) as bank, Album(bank, scan_file) as album, done:
        if forget:
            say(f"{counted(album.forget(places), 'file')} forgotten")
            return 0
        gathered = gather_photos(places, knows_annotated=False)  # the scan looks at the new ones only
        tell_skipped(gathered)
        if as_json:
            write_skipped(gathered, {"image": "", "status": "skipped", "faces": None, "turned": None})
        try:
            report = album.scan(places, progress=done)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"{counted(done.files, 'file')} done this time; the next scan goes on") from error
        done.show_unreadable(report)
        if not as_json:
            counts = album.scan_file.count()
            write_line(_summary(report))
            faces, photos = counted(counts.faces, "face"), counted(counts.photos, "photo")
            write_line(f"{album.path}: {faces} in {photos} ({counted(counts.files, 'file')})")
    return SOME_FAILED if report.unreadable else 0


class _Done(ProgressBar):
    """What is shown while it scans."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self.files = 0
        self._failed = set[str]()

    def report(self, result: object) -> None:
        """Show a plan or a file."""
        from facebank.album.scan.scan_file import ScannedFile
        from facebank.album.scan.scanner import ScanPlan

        if isinstance(result, ScanPlan):
            self._show_plan(result)
        elif isinstance(result, ScannedFile):
            self._show_file(result)

    def _show_plan(self, plan: ScanPlan) -> None:
        for place in plan.emptied:
            say(
                f"there are no photos in {place}, and there were some: what was found in them is kept, in case a disk "
                "is missing; with --forget it is forgotten"
            )
        tell_annotated(plan.skipped.annotated)

    def _show_file(self, file: ScannedFile) -> None:
        self.files += 1
        if file.error is not None:
            self._failed.add(file.path)
        if self.writes_lines:
            write_json(_record(file))

    def show_unreadable(self, report: ScanReport) -> None:
        """Say why files cannot be read, those too that could not be before and are as they were."""
        self.close()
        for path, why in report.unreadable.items():
            say(why)
            if self.writes_lines and path not in self._failed:
                write_json(_unreadable_record(path, why))


def _record(file: ScannedFile) -> dict[str, object]:
    if file.error is not None:
        return _unreadable_record(file.path, file.error)
    status = "known" if file.found is None else "scanned"
    faces = None if file.found is None else len(file.found.faces)
    turned = None if file.found is None else DEGREES * file.found.quarter_turns
    return {"image": file.path, "status": status, "faces": faces, "turned": turned, "error": None}


def _unreadable_record(path: str, why: str) -> dict[str, object]:
    return {"image": path, "status": "unreadable", "faces": None, "turned": None, "error": why}


def _summary(report: ScanReport) -> str:
    parts = (
        (report.looked_at, "looked at"),
        (report.known_by_content, "moved, renamed or copied"),
        (report.unchanged, "unchanged"),
        (report.gone, "gone"),
        (len(report.unreadable), "unreadable"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in parts if count)
