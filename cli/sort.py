"""``facebank sort``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facebank.errors import UsageError
from facebank.storage.text import printable

from .failures import SOME_FAILED
from .options import HigherProbability
from .output import counted, say, short_path, tell_skipped, write_json, write_line, write_skipped, write_table
from .progress import ProgressBar
from .scan import ScanPath
from .settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.album import Album
    from facebank.album.sort.journal import JournalContent
    from facebank.album.sort.plan import SortPlan

EXAMPLES = """\b
Examples:
  facebank sort photos/ sorted/ --dry-run
  facebank sort photos/ sorted/
  facebank sort sorted/ --undo

Exit codes: 0 sorted or undone; 1 some photos could not be; 2 wrong usage, or nothing to sort."""


_SHOWN = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sort", epilog=EXAMPLES)(sort)


def sort(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Folder with the photos.")],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            show_default=False,
            help="Folder for the people's folders; with --undo it may be the only one named.",
        ),
    ] = None,
    by: Annotated[Literal["person"], typer.Option(help="What the folders stand for.")] = "person",  # noqa: ARG001 - the only one
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photos; the default.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Make hard links, which take no space; on the same disk.")
    ] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Move the photos, each to the person with the largest face.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo everything that was sorted into OUT.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust-journal", help="With --undo: trust OUT's journal although this gallery did not sign it."),
    ] = False,
    least: HigherProbability = None,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
) -> int:
    """Copy, link or move photos into a folder for each person.

    The folder is scanned first, if it has changed. Nothing is overwritten: another photo of the same name gets a
    number. XMP sidecars go with their photos. A journal in OUT undoes everything; it is signed with a key that is kept
    in the gallery. Photos to which links lead out of DIR are passed over.
    """
    if copy + link + move > 1:
        raise UsageError("--copy, --link and --move exclude each other: use one of them")
    if undo and (copy or link or move):
        raise UsageError("--undo stands alone, but for --dry-run: it undoes everything that was sorted into the folder")
    from facebank.album.album import Album
    from facebank.album.sort.entries import SortMode

    shown = _Shown(as_json)
    mode = SortMode.MOVE if move else SortMode.LINK if link else SortMode.COPY
    with settings_of(ctx).open_bank(threads=1, works_long=True) as bank, Album(bank, scan_file) as album:
        if undo:
            _undo(album, folder, out, shown, dry_run=dry_run, trust=trust)
            return SOME_FAILED if shown.failed else 0
        if out is None:
            raise UsageError("name the folder OUT for the people's folders, too: 'facebank sort DIR OUT'")
        if not bank.gallery.people():
            raise UsageError("nobody is enrolled, so nothing can be sorted by person: begin with 'facebank enroll'")
        settings = bank.settings.demanding(least)
        if not dry_run:
            if trust:
                album.trust_sort_journal(out, folder)
            mended = album.mend_sorting(out)
            if mended is not None:
                say(f"the run before was killed: {printable(short_path(mended))} was finished, with its sidecars")
        shown.skipped(folder)
        unreadable = _scan(album, folder, shown)
        plan = album.plan_sorting(folder, out, mode, settings)
        if dry_run:
            shown.plan(plan)
        else:
            with shown:
                album.sort(plan, shown)
        shown.outside(plan)
    shown.tell("would be sorted" if dry_run else "sorted", there=plan.there, unsure=plan.unsure)
    return SOME_FAILED if shown.failed or unreadable else 0


def _undo(album: Album, folder: Path, out: Path | None, shown: _Shown, *, dry_run: bool, trust: bool) -> None:
    """Undo what was sorted into OUT, which may be the only folder that is named, or show what would be."""
    place = folder if out is None else out
    if trust and out is None:
        raise UsageError("--trust-journal needs the folder that was sorted as well: 'facebank sort DIR OUT --undo'")
    journal = album.sort_journal(place, folder if trust else None)
    if dry_run and journal.refused:
        shown.refused(journal)
        return
    with shown:
        album.undo_sorting(journal, shown, dry_run=dry_run)
    shown.tell("would be undone" if dry_run else "undone")


def _scan(album: Album, folder: Path, shown: _Shown) -> int:
    """Look at what is new in a folder; return how many photos cannot be read."""
    with shown:
        report = album.scan([folder], progress=shown)
    for why in report.unreadable.values():
        say(why)
    return len(report.unreadable)


class _Shown(ProgressBar):
    """What is shown of what is done."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self.failed = 0
        self._done = 0
        self._carried: tuple[str, ...] = ()

    def skipped(self, folder: Path) -> None:
        """Show which pictures of a folder are not read."""
        from facebank.operations.inputs import gather_photos

        gathered = gather_photos([folder])
        tell_skipped(gathered)
        if self.writes_lines:
            write_skipped(gathered, {"image": "", "target": None, "person": None, "sidecars": []})

    def plan(self, plan: SortPlan) -> None:
        """Show which photos would be sorted to where."""
        if self.writes_lines:
            for step in plan.steps:
                self._show(str(step.source), str(step.target), step.person, None)
            return
        self._done = len(plan.steps)
        if plan.steps:
            write_table(("photo", "to"), [(short_path(str(s.source)), short_path(str(s.target))) for s in plan.steps])

    def report(self, result: object) -> None:
        """Show a photo that was sorted or put back, or why it was not."""
        from facebank.album.sort.sorting import SortedPhoto
        from facebank.album.sort.undo import Undone

        if isinstance(result, SortedPhoto):
            step = result.step
            self._show(str(step.source), str(step.target), step.person, result.why)
        elif isinstance(result, Undone):
            self._show(result.entry.target, result.entry.source, None, result.why, result.sidecars)
            self._carried += result.sidecars

    def outside(self, plan: SortPlan) -> None:
        """Show what is passed over because of links."""
        from facebank.storage.folders import NamedFolders, passed_over

        for step in plan.outside:
            if self.writes_lines:
                write_json(_record(str(step.source), str(step.target), step.person, skipped="outside"))
        folder = NamedFolders([plan.folder])
        sources = {short_path(str(step.source)) for step in plan.outside if not folder.hold(step.source)}
        targets = {short_path(str(step.target)) for step in plan.outside if folder.hold(step.source)}
        if sources:
            say(passed_over(sorted(sources)))
        if targets:
            say(passed_over(sorted(targets), as_targets=True))

    def refused(self, journal: JournalContent) -> None:
        """Show what a journal says that is not trusted."""
        for what, why in journal.refused:
            self.failed += 1
            if self.writes_lines:
                write_json(_record(what, "", None, error=why))
            else:
                write_line(f"{what}: {why}")
        say(journal.doubt or f"{counted(self.failed, 'entry', 'entries')} cannot be true: nothing is undone")

    def tell(self, what: str, *, there: int = 0, unsure: int = 0) -> None:
        """Say how many there were."""
        if self._carried:
            these = ", ".join(printable(short_path(path)) for path in self._carried[:_SHOWN])
            more = f" and {len(self._carried) - _SHOWN:,} more" if len(self._carried) > _SHOWN else ""
            go = "would go" if what.startswith("would") else "went"
            many = counted(len(self._carried), "sidecar")
            say(f"{many} written or changed since {go} home with their photos: {these}{more}")
        if self.writes_lines:
            return
        parts = (
            f", {self.failed:,} not" if self.failed else "",
            f", {there:,} there already" if there else "",
            f", {counted(unsure, 'name')} too unsure to sort by (see --least-probability)" if unsure else "",
        )
        write_line(f"{counted(self._done, 'photo')} {what}{''.join(parts)}")

    def _show(
        self, source: str, target: str, person: str | None, why: str | None, sidecars: Sequence[str] = ()
    ) -> None:
        self.failed += why is not None
        self._done += why is None
        if self.writes_lines:
            write_json(_record(source, target, person, error=why, sidecars=sidecars))
        if why is not None:
            say(why)


def _record(
    source: str,
    target: str,
    person: str | None,
    *,
    error: str | None = None,
    skipped: str | None = None,
    sidecars: Sequence[str] = (),
) -> dict[str, object]:
    return {
        "image": source,
        "target": target,
        "person": person,
        "error": error,
        "skipped": skipped,
        "sidecars": list(sidecars),
    }
