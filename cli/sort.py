"""``facebank sort``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facebank.errors import UsageError

from .decision_options import HigherProbability
from .failures import SOME_FAILED
from .output import Advance, counted, progress, say, short_path, write_json, write_line, write_table
from .scan import ScanPath
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.album.album import Album
    from facebank.album.sort_journal import Entry
    from facebank.album.sort_plan import SortPlan, Step

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
    least: HigherProbability = None,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a photo.")] = False,
) -> int:
    """Put the photos of known people into a folder for each person.

    The folder is scanned first, if it has changed. Nothing is overwritten: another photo of the same name gets a
    number. XMP sidecars go with their photos. A journal in OUT undoes everything.
    """
    if copy + link + move > 1:
        raise UsageError("--copy, --link and --move exclude each other: use one of them")
    if undo and (copy or link or move or dry_run):
        raise UsageError("--undo stands alone: it undoes everything that was sorted into the folder")
    from facebank.album.album import Album
    from facebank.album.sort_plan import Way

    shown = _Shown(as_json)
    way = Way.MOVE if move else Way.LINK if link else Way.COPY
    with settings_of(ctx).open_bank(threads=1) as bank, Album(bank, scan_file) as album:
        if undo:
            album.undo_sorting(out, shown.entry)
            shown.tell("undone")
            return SOME_FAILED if shown.failed else 0
        if not bank.gallery.people():
            raise UsageError("nobody is enrolled, so nothing can be sorted by person: begin with 'facebank enroll'")
        settings = bank.settings.demanding(least)
        unreadable = _scan(album, folder, shown)
        plan = album.plan_sorting(folder, out, way, settings)
        if dry_run:
            shown.plan(plan)
        else:
            with ExitStack() as bar:
                shown.begin(bar, "Sorting", len(plan.steps))
                album.sort(plan, out, way, shown.step)
    shown.tell("would be sorted" if dry_run else "sorted", there=plan.there, unsure=plan.unsure)
    return SOME_FAILED if shown.failed or unreadable else 0


def _scan(album: Album, folder: Path, shown: _Shown) -> int:
    """Look at what is new in a folder; return how many photos cannot be read."""
    with ExitStack() as bar:
        report = album.scan(
            [folder], on_plan=lambda plan: shown.begin(bar, "Scanning", len(plan.todo)), on_file=shown.advance
        )
    for why in report.unreadable.values():
        say(why)
    return len(report.unreadable)


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

    def plan(self, plan: SortPlan) -> None:
        """Show which photos would be sorted to where."""
        if self._as_json:
            for step in plan.steps:
                self.step(step, None)
            return
        self._done = len(plan.steps)
        if plan.steps:
            write_table(("photo", "to"), [(short_path(str(s.source)), short_path(str(s.target))) for s in plan.steps])

    def step(self, step: Step, why: str | None) -> None:
        """Show a photo that was sorted, or why it was not."""
        self._show(str(step.source), str(step.target), step.person, why)

    def entry(self, entry: Entry, why: str | None) -> None:
        """Show a photo that was put back, or why it was not."""
        self._show(entry.target, entry.source, None, why)

    def tell(self, what: str, *, there: int = 0, unsure: int = 0) -> None:
        """Say how many there were."""
        if self._as_json:
            return
        parts = (
            f", {self.failed:,} not" if self.failed else "",
            f", {there:,} there already" if there else "",
            f", {counted(unsure, 'name')} too unsure to sort by (see --least-probability)" if unsure else "",
        )
        write_line(f"{counted(self._done, 'photo')} {what}{''.join(parts)}")

    def _show(self, source: str, target: str, person: str | None, why: str | None) -> None:
        self.failed += why is not None
        self._done += why is None
        if self._as_json:
            write_json({"image": source, "target": target, "person": person, "error": why})
        if why is not None:
            say(why)
        self.advance()
