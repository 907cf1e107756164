"""``facebank sort``: copies, links or moves photos into a folder for each person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facebank.errors import UsageError
from facebank.storage.text import pluralize, printable

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .options import HigherProbability, ScanPath
from .output import join_first, report_skipped, say, short_path, write_json, write_line, write_skipped, write_table
from .progress import ProgressBar

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

Exit codes: 0 sorted or undone; 1 some photos could not be sorted or put back; 2 wrong usage, or nothing to sort."""

_MAX_SIDECARS_LISTED = 3


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
            help="Target folder; with --undo, it can be the only argument.",
        ),
    ] = None,
    by: Annotated[Literal["person"], typer.Option(help="What each folder stands for.")] = "person",  # noqa: ARG001 - the only one
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photos; the default.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Make hard links, which take no space; on the same disk only.")
    ] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Move the photos, each to the person with the largest face.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo all sorting into OUT.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust-journal", help="With --undo: trust OUT's journal although this gallery did not sign it."),
    ] = False,
    least_probability: HigherProbability = None,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
) -> int:
    """Copy, link or move photos into a folder for each person.

    DIR is scanned first if it has changed. No file is overwritten: another photo of the same name gets a number. XMP
    sidecars stay with their photos. A journal in OUT, signed with a key in the gallery, makes --undo possible. Photos
    behind symbolic links that lead out of DIR are skipped.
    """
    if copy + link + move > 1:
        raise UsageError("--copy, --link and --move exclude each other: use one of them")
    if undo and (copy or link or move):
        raise UsageError("--undo excludes --copy, --link and --move: it undoes all sorting into the folder")
    from facebank.album.album import Album
    from facebank.album.sort.entries import SortMode

    progress = _SortProgress(as_json)
    mode = SortMode.MOVE if move else SortMode.LINK if link else SortMode.COPY
    with global_options(ctx).open_bank(threads=1, long_running=True) as bank, Album(bank, scan_file) as album:
        if undo:
            _undo(album, folder, out, progress, dry_run=dry_run, trust=trust)
            return SOME_FAILED if progress.failed else 0
        if out is None:
            raise UsageError("the target folder is missing: 'facebank sort DIR OUT'")
        if not bank.gallery.people():
            raise UsageError("nobody is enrolled, so nothing can be sorted by person: start with 'facebank enroll'")
        settings = bank.settings.with_least_probability(least_probability)
        if not dry_run:
            if trust:
                album.trust_sort_journal(out, folder)
            completed = album.mend_sorting(out)
            if completed is not None:
                name = printable(short_path(completed))
                say(f"an earlier run was interrupted: {name} and its sidecars are sorted completely now")
        progress.report_skipped(folder)
        unreadable = _scan(album, folder, progress)
        plan = album.plan_sorting(folder, out, mode, settings)
        if dry_run:
            progress.print_plan(plan)
        else:
            with progress:
                album.sort(plan, progress)
        progress.report_outside(plan)
    progress.print_summary("would be sorted" if dry_run else "sorted", existing=plan.existing, unsure=plan.improbable)
    return SOME_FAILED if progress.failed or unreadable else 0


def _undo(album: Album, folder: Path, out: Path | None, progress: _SortProgress, *, dry_run: bool, trust: bool) -> None:
    """Undo all sorting into `out`, or into `folder` if it is None; a dry run only lists it."""
    if trust and out is None:
        raise UsageError("--trust-journal needs the folder that was sorted, too: 'facebank sort DIR OUT --undo'")
    journal = album.sort_journal(folder if out is None else out, folder if trust else None)
    if dry_run and journal.refused:
        progress.print_refused(journal)
        return
    with progress:
        album.undo_sorting(journal, progress, dry_run=dry_run)
    progress.print_summary("would be undone" if dry_run else "undone")


def _scan(album: Album, folder: Path, progress: _SortProgress) -> int:
    """Scan a folder and return the number of photos that cannot be read."""
    with progress:
        report = album.scan([folder], progress=progress)
    for reason in report.unreadable.values():
        say(reason)
    return len(report.unreadable)


class _SortProgress(ProgressBar):
    """Progress of sorting and undoing, which prints results and counts them."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self.failed = 0
        self._done = 0
        self._returned_sidecars: tuple[str, ...] = ()

    def report_skipped(self, folder: Path) -> None:
        """Report the files of a folder that are skipped."""
        from facebank.operations.inputs import gather_photos

        gathered = gather_photos([folder])
        report_skipped(gathered)
        if self.writes_lines:
            write_skipped(gathered, {"image": "", "target": None, "person": None, "sidecars": []})

    def print_plan(self, plan: SortPlan) -> None:
        """List the photos to be sorted, with their targets."""
        if self.writes_lines:
            for step in plan.steps:
                self._count(str(step.source), str(step.target), step.person, None)
            return
        self._done = len(plan.steps)
        if plan.steps:
            rows = [(short_path(str(step.source)), short_path(str(step.target))) for step in plan.steps]
            write_table(("photo", "to"), rows)

    def report(self, result: object) -> None:
        """Report the result for a photo that was to be sorted or put back."""
        from facebank.album.sort.run import SortedPhoto
        from facebank.album.sort.undo import UndoResult

        if isinstance(result, SortedPhoto):
            step = result.step
            self._count(str(step.source), str(step.target), step.person, result.reason)
        elif isinstance(result, UndoResult):
            self._count(result.entry.target, result.entry.source, None, result.reason, result.sidecars)
            self._returned_sidecars += result.sidecars

    def report_outside(self, plan: SortPlan) -> None:
        """Report the photos that are skipped because symbolic links lead out of the folders."""
        from facebank.storage.folders import NamedFolders, skipped_files_message

        for step in plan.outside:
            if self.writes_lines:
                write_json(_record(str(step.source), str(step.target), step.person, skipped="outside"))
        folder = NamedFolders([plan.folder])
        sources = {short_path(str(step.source)) for step in plan.outside if not folder.contains(step.source)}
        targets = {short_path(str(step.target)) for step in plan.outside if folder.contains(step.source)}
        if sources:
            say(skipped_files_message(sorted(sources)))
        if targets:
            say(skipped_files_message(sorted(targets), as_targets=True))

    def print_refused(self, journal: JournalContent) -> None:
        """List the entries of a journal that are not trusted."""
        for entry, reason in journal.refused:
            self.failed += 1
            if self.writes_lines:
                write_json(_record(entry, "", None, error=reason))
            else:
                write_line(f"{entry}: {reason}")
        say(
            journal.untrusted_reason
            or f"{pluralize(self.failed, 'invalid entry', 'invalid entries')}: nothing is undone"
        )

    def print_summary(self, outcome: str, *, existing: int = 0, unsure: int = 0) -> None:
        """Print the number of photos with an outcome, such as "sorted", and the numbers of the others."""
        if self._returned_sidecars:
            sidecars = [printable(short_path(path)) for path in self._returned_sidecars]
            verb = "would go" if outcome.startswith("would") else "went"
            say(
                f"{pluralize(len(sidecars), 'sidecar')} written or changed after the sort {verb} back with their "
                f"photos: {join_first(sidecars, _MAX_SIDECARS_LISTED)}"
            )
        if self.writes_lines:
            return
        parts = (
            f", {self.failed:,} failed" if self.failed else "",
            f", {existing:,} there already" if existing else "",
            f", {pluralize(unsure, 'name')} too uncertain to sort by (see --least-probability)" if unsure else "",
        )
        write_line(f"{pluralize(self._done, 'photo')} {outcome}{''.join(parts)}")

    def _count(
        self, source: str, target: str, person: str | None, reason: str | None, sidecars: Sequence[str] = ()
    ) -> None:
        """Count a photo, write its JSON record, and report the reason for a failure."""
        self.failed += reason is not None
        self._done += reason is None
        if self.writes_lines:
            write_json(_record(source, target, person, error=reason, sidecars=sidecars))
        if reason is not None:
            say(reason)


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
