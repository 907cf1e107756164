"""``facebank sort``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facebank.errors import UsageError

from .failures import SOME_FAILED
from .output import Advance, progress, say, write_json, write_line
from .scan import ScanPath
from .settings import settings_of

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.album.sort_journal import Entry
    from facebank.album.sorting import Step

EXAMPLES = """\b
Examples:
  facebank sort photos/ sorted/ --dry-run
  facebank sort photos/ sorted/
  facebank sort photos/ sorted/ --undo

\b
Exit codes: 0 sorted or undone; 1 some photos could not be; 2 wrong usage, or nothing to sort."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sort", epilog=EXAMPLES)(sort)


def sort(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False)],
    by: Annotated[Literal["person"], typer.Option(help="What the folders are.")] = "person",  # noqa: ARG001 - the only one
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photos; what is done if nothing is said.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link them: takes no space, on the same disk.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move them, each to the person with the largest face.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo all that was sorted into OUT.")] = False,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a photo.")] = False,
) -> int:
    """Put the photos of known people into a folder for each person.

    The folder is scanned first, if it has changed. Nothing is overwritten: another photo of the same name gets a
    number. A journal in OUT undoes everything.
    """
    if copy + link + move > 1:
        raise UsageError("--copy, --link and --move exclude each other: use one of them")
    if undo and (copy or link or move or dry_run):
        raise UsageError("--undo stands alone: it undoes everything that was sorted into the folder")
    shown = _Shown(as_json)
    if undo:
        return _undo(out, shown)
    way = "move" if move else "link" if link else "copy"
    unreadable = _sort(settings_of(ctx).open_bank(threads=1), folder, out, way, scan_file, shown, dry_run=dry_run)
    shown.tell("would be sorted" if dry_run else "sorted")
    return SOME_FAILED if shown.failed or unreadable else 0


def _sort(
    bank: FaceBank, folder: Path, out: Path, way: str, scan_file: Path | None, shown: _Shown, *, dry_run: bool
) -> int:
    from facebank.album.album import Album
    from facebank.album.sorting import Way, sort_photos

    with bank, Album(bank, scan_file) as album:
        with ExitStack() as bar:
            report = album.scan(
                [folder], on_plan=lambda plan: shown.begin(bar, "Scanning", len(plan.todo)), on_file=shown.advance
            )
        for why in report.unreadable.values():
            say(why)
        steps = list(album.plan_sorting(folder, out, Way(way)))
    with ExitStack() as bar:
        shown.begin(bar, "Sorting", len(steps))
        if dry_run:
            for step in steps:
                shown.step(step, None)
        else:
            sort_photos(steps, out, Way(way), shown.step)
    return len(report.unreadable)


def _undo(out: Path, shown: _Shown) -> int:
    from facebank.album.sorting import undo_sorting

    undo_sorting(out, shown.entry)
    shown.tell("undone")
    return SOME_FAILED if shown.failed else 0


class _Shown:
    """What is shown of what is done."""

    def __init__(self, as_json: bool) -> None:
        self.failed = 0
        self._done = 0
        self._as_json = as_json
        self._advance: Advance | None = None

    def begin(self, bar: ExitStack, what: str, total: int) -> None:
        """Begin a bar."""
        self._advance = bar.enter_context(progress(what, total, writes_lines=self._as_json))

    def advance(self, _: object = None) -> None:
        """Go on by one."""
        if self._advance is not None:
            self._advance()

    def step(self, step: Step, why: str | None) -> None:
        """Show a photo that was sorted, or why it was not."""
        self._show(str(step.source), str(step.target), step.person, why)

    def entry(self, entry: Entry, why: str | None) -> None:
        """Show a photo that was put back, or why it was not."""
        self._show(entry.target, entry.source, None, why)

    def tell(self, what: str) -> None:
        """Say how many there were."""
        if not self._as_json:
            photos = "photo" if self._done == 1 else "photos"
            write_line(f"{self._done:,} {photos} {what}" + (f", {self.failed:,} not" if self.failed else ""))

    def _show(self, source: str, target: str, person: str | None, why: str | None) -> None:
        self.failed += why is not None
        self._done += why is None
        if self._as_json:
            write_json({"image": source, "target": target, "person": person, "error": why})
        if why is not None:
            say(why)
        self.advance()
