"""``facebank tags``: names in the metadata of photos, exchanged with other photo programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.schemas.records import round_coordinates
from facebank.storage.text import pluralize

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .help_layout import CommandApp
from .options import AsJson, Force, HigherProbability, ScanPath, example
from .output import report_skipped, say, short_path, write_json, write_line, write_skipped, write_table
from .progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facebank.album.tags.importing import ImportedTag
    from facebank.album.tags.listing import ListedPhoto
    from facebank.album.tags.removing import RemovedTags
    from facebank.album.tags.writing import TaggedPhoto

Folders: TypeAlias = Annotated[
    list[Path], typer.Argument(metavar="DIR...", show_default=False, help="Folders of photos.")
]

_REASONS = {"written_by_facebank": "left out because facebank wrote them (see --own)"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    tags = CommandApp(
        help="Show, write, remove and import names in photo files (XMP).\n\n"
        "XMP is metadata in or beside a photo; digiKam, Lightroom and immich exchange face regions in it.",
        no_args_is_help=True,
        epilog=example("tags show photos/"),
    )
    commands = (
        ("show", show, "show party.jpg", "0 read; 1 some could not be; 2 no photo there"),
        ("write", write, "write photos/ --dry-run", "0 written; 1 some could not be; 2 wrong usage, or no scan"),
        ("remove", remove, "remove Ada photos/", "0 done; 1 some files could not be changed; 2 wrong usage"),
        ("import", import_tags, "import photos/", "0 enrolled; 1 some faces or photos were refused; 2 wrong usage"),
    )
    for name, command, arguments, codes in commands:
        tags.command(name, epilog=f"{example(f'tags {arguments}')}\n\nExit codes: {codes}.")(command)
    app.add_typer(tags, name="tags")


def show(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PHOTO_OR_DIR...", show_default=False, help="Photos, and folders of photos.")
    ],
    as_json: AsJson = False,
) -> int:
    """List the face regions in photos and their sidecars.

    A sidecar is a file of metadata beside the photo: photo.jpg.xmp or photo.xmp.
    """
    from facebank.album.tags.listing import list_tags
    from facebank.operations.inputs import check_any_exists, gather_photos, no_photos_error

    check_any_exists(paths)
    photos = gather_photos(paths).photos
    if not photos:
        raise no_photos_error(paths)
    _report_skipped(paths, {"width": None, "height": None, "regions": []} if as_json else None)
    failed, rows = 0, list[tuple[str, ...]]()
    with ProgressBar(writes_lines=as_json) as bar:
        bar.begin("Reading", len(photos))
        for photo in map(list_tags, photos):
            failed += photo.error is not None
            if as_json:
                write_json(_photo_record(photo))
            if photo.error is not None:
                say(photo.error)
            rows += _region_rows(photo)
            bar.advance()
    if not as_json:
        write_table(("photo", "name", "kind", "box", "file"), rows)
    return SOME_FAILED if failed else 0


def write(
    ctx: typer.Context,
    paths: Folders,
    embed: Annotated[
        bool, typer.Option("--embed", help="Write into the photos (JPEG, PNG, WebP) instead of sidecars.")
    ] = False,
    unnamed: Annotated[
        bool, typer.Option("--unnamed", help="Write regions of unknown faces too, without a name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    least_probability: HigherProbability = None,
    scan_file: ScanPath = None,
    as_json: AsJson = False,
) -> int:
    """Write the names of known people into sidecars or photos.

    Run 'facebank scan' first. Metadata of other programs and names given by others are kept: a name that differs from
    facebank's is reported and not changed. A name that facebank wrote is removed if it was denied or the person
    forgotten since. Pictures are never re-encoded, and every new file is verified before it replaces the old one.
    """
    from facebank.album.album import Album
    from facebank.album.tags.writing import TagOptions

    options = TagOptions(into_photos=embed, unnamed=unnamed, dry_run=dry_run)
    results = _WriteResults(as_json)
    with global_options(ctx).open_bank() as bank, Album(bank, scan_file) as album:
        settings = bank.settings.with_least_probability(least_probability)
        total = album.count(paths)
        _report_skipped(paths, {"files": [], "faces": []} if as_json else None)
        with ProgressBar(writes_lines=as_json) as bar:
            bar.begin("Writing", total)
            for photo in album.write_tags(paths, options, settings):
                results.add(photo)
                bar.advance()
    if not as_json:
        write_line(results.summary("would be written" if dry_run else "written"))
    _report_outside(results.outside)
    return SOME_FAILED if results.failed else 0


def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The name to remove.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO_OR_DIR...",
            show_default=False,
            help="Photos, and folders of photos. Default: all files recorded in the scan.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    scan_file: ScanPath = None,
    as_json: AsJson = False,
) -> int:
    """Remove a name from files that facebank wrote it into.

    The person no longer needs to be enrolled. By default, the files are those that the scan records as written for this
    person, or for people who are forgotten. Metadata that another program wrote or somebody changed is kept.
    """
    from facebank.album.album import Album

    removed_names = kept_names = failed = 0
    changed_paths, outside = list[str](), list[str]()
    with global_options(ctx).open_bank() as bank, Album(bank, scan_file) as album:
        photos = album.photos_with_tags(name, paths or [])
        with ProgressBar(writes_lines=as_json) as bar:
            bar.begin("Reading", len(photos))
            for removed in album.remove_tags(name, photos, paths or [], dry_run=dry_run):
                bar.advance()
                failed += removed.error is not None
                removed_names += removed.names
                kept_names += removed.kept
                changed_paths += removed.files
                outside += removed.outside
                if as_json and (removed.names or removed.kept or removed.outside or removed.error is not None):
                    write_json(_removed_record(removed))
                if removed.error is not None:
                    say(removed.error)
    if not (as_json or removed_names or kept_names or failed or outside):
        write_line(f"no file {'' if paths else 'that the scan records '}has the name {name}")
    elif not as_json:
        outcome = "would be removed" if dry_run else "removed"
        kept = f", {kept_names:,} kept that facebank did not write" if kept_names else ""
        failures = f", {pluralize(failed, 'photo')} failed" if failed else ""
        counts = f"{pluralize(removed_names, 'name')} {outcome} from {pluralize(len(changed_paths), 'file')}"
        write_line(f"{counts}{kept}{failures}")
    _report_outside(outside)
    return SOME_FAILED if failed else 0


def import_tags(
    ctx: typer.Context,
    paths: Folders,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="Maximum number of faces to enroll for each person.")
    ] = 10,
    own: Annotated[bool, typer.Option("--own", help="Also import names that facebank wrote.")] = False,
    force: Force = False,
    scan_file: ScanPath = None,
    as_json: AsJson = False,
) -> int:
    """Enroll people from photos that another program tagged.

    The folders are scanned first if they have changed. The name of a region goes to the face that is detected in it;
    the most varied good faces of each person are enrolled.
    """
    from facebank.album.album import Album

    results = _ImportResults(as_json)
    with global_options(ctx).open_bank(threads=1, long_running=True) as bank, Album(bank, scan_file) as album:
        blank = {"person": None, "accepted": False, "reason": "skipped", "sample_id": None}
        _report_skipped(paths, blank if as_json else None, message_key="detail")
        with ProgressBar(writes_lines=as_json) as bar:
            report = album.scan(paths, progress=bar)
        for reason in report.unreadable.values():
            say(reason)
        with ProgressBar(writes_lines=as_json) as bar:
            for tag in album.import_tags(paths, max_samples=most, include_own=own, force=force, progress=bar):
                results.add(tag)
    if not as_json:
        write_line(results.summary())
    return SOME_FAILED if results.refused or report.unreadable else 0


def _report_skipped(paths: Sequence[Path], blank: Mapping[str, object] | None, message_key: str = "error") -> None:
    """Report the pictures of the folders that are not read, also as JSON if a blank record is given."""
    from facebank.operations.inputs import gather_photos

    gathered = gather_photos(paths)
    report_skipped(gathered)
    if blank is not None:
        write_skipped(gathered, blank, message_key)


def _report_outside(paths: Sequence[str]) -> None:
    """Report the files that were skipped because symbolic links lead out of the folders; no-op for none."""
    from facebank.storage.folders import skipped_files_message

    if paths:
        say(skipped_files_message([short_path(path) for path in dict.fromkeys(paths)], "file"))


class _WriteResults:
    """Prints and counts the results of writing names."""

    def __init__(self, as_json: bool) -> None:
        self.failed = 0
        self.outside: list[str] = []
        self._as_json = as_json
        self._photos = self._sidecars = 0  # files that were written
        self._regions = self._conflicts = self._unsure = self._removed = self._kept_inside = 0

    def add(self, photo: TaggedPhoto) -> None:
        """Count the result of a photo, and report conflicts and errors."""
        from facebank.album.tags.sidecars import SUFFIX

        changed = [face for face in photo.faces if face.action in {"added", "named", "renamed"}]
        conflicts = [face for face in photo.faces if face.action == "conflict"]
        self._unsure += sum(face.action == "unsure" for face in photo.faces)
        self._removed += len(photo.removed)
        self._kept_inside += len(photo.not_removed)
        sidecars = sum(path.lower().endswith(SUFFIX) for path in photo.files)
        self._sidecars += sidecars
        self._photos += len(photo.files) - sidecars
        self._regions += len(changed)
        self._conflicts += len(conflicts)
        self.failed += photo.error is not None
        self.outside += photo.outside
        if self._as_json:
            write_json(_written_record(photo))
        if photo.error is not None:
            say(photo.error)
        for face in conflicts:
            state = f"is named {face.named_as} there" if face.named_as else "had its name removed there"
            if face.named_as == face.person:
                state = "has no name there, because another face has it,"
            say(f"{photo.path}: face {face.face_number} {state} and is known as {face.person}: not changed")

    def summary(self, outcome: str) -> str:
        """Return the counts as a line, with an outcome such as "written"."""
        removed = f", {pluralize(self._removed, 'wrong name')} removed" if self._removed else ""
        inside = (
            f", {pluralize(self._kept_inside, 'wrong name')} kept inside photos (see --embed)"
            if self._kept_inside
            else ""
        )
        conflicts = f", {self._conflicts:,} kept with another name" if self._conflicts else ""
        unsure = f", {pluralize(self._unsure, 'name')} too uncertain (see --least-probability)" if self._unsure else ""
        failed = f", {pluralize(self.failed, 'photo')} failed" if self.failed else ""
        counts = ((self._photos, "photo"), (self._sidecars, "sidecar"))
        files = " and ".join(pluralize(count, noun) for count, noun in counts if count)
        written = f"{pluralize(self._regions, 'region')} {outcome} into {files or '0 files'}"
        return f"{written}{removed}{inside}{conflicts}{unsure}{failed}"


class _ImportResults:
    """Prints and counts the results of importing names."""

    def __init__(self, as_json: bool) -> None:
        self.refused = 0
        self._as_json = as_json
        self._counts = dict[str, int]()
        self._people = set[str]()

    def add(self, tag: ImportedTag) -> None:
        """Count the result of a region, and report the reason for a refusal."""
        left_out = tag.reason in {"enough_others", "no_name", "no_face_there", "written_by_facebank"}
        self._counts[tag.reason.value] = self._counts.get(tag.reason.value, 0) + 1
        self.refused += not (tag.accepted or left_out)
        if tag.accepted and tag.person is not None:
            self._people.add(tag.person)
        if self._as_json:
            write_json(_imported_record(tag))
        if not tag.accepted and tag.reason not in {"enough_others", "written_by_facebank"}:
            subject = tag.path if tag.person is None else f"{tag.path}: {tag.person}"
            say(tag.detail if tag.reason == "unreadable" else f"{subject}: {tag.detail}")

    def summary(self) -> str:
        """Return the counts as a line."""
        enrolled, before = self._counts.pop("enrolled", 0), self._counts.pop("already_enrolled", 0)
        people = pluralize(len(self._people), "person", "people")
        others = [
            f"{count:,} {_REASONS.get(reason, reason.replace('_', ' '))}"
            for reason, count in sorted(self._counts.items())
        ]
        earlier = [f"{before:,} enrolled before"] if before else []
        return ", ".join([f"{pluralize(enrolled, 'face')} of {people} enrolled", *earlier, *others])


def _photo_record(photo: ListedPhoto) -> dict[str, object]:
    regions = [
        {
            "name": region.name,
            "kind": region.kind,
            "box": None if region.box is None else round_coordinates(region.box),
            "vocabulary": region.vocabulary.value,
            "file": region.path,
            "written_by_facebank": region.written_by_facebank,
            "problem": region.problem,
        }
        for region in photo.regions
    ]
    record = {"image": photo.path, "width": photo.width, "height": photo.height, "error": photo.error}
    return {**record, "regions": regions}


def _region_rows(photo: ListedPhoto) -> Sequence[tuple[str, ...]]:
    return [
        (
            photo.path,
            region.name,
            region.kind,
            region.problem or " ".join(f"{edge:.0f}" for edge in region.box or ()),
            region.path,
        )
        for region in photo.regions
    ]


def _written_record(photo: TaggedPhoto) -> dict[str, object]:
    faces = [
        {
            "face": face.face_number,
            "person": face.person or None,
            "action": face.action.value,
            "named_as": face.named_as,
        }
        for face in photo.faces
    ]
    record: dict[str, object] = {"image": photo.path, "files": list(photo.files), "error": photo.error, "faces": faces}
    record = {**record, "removed": list(photo.removed), "left": list(photo.not_removed)}
    return {**record, "skipped": "outside"} if photo.outside else record


def _removed_record(removed: RemovedTags) -> dict[str, object]:
    record: dict[str, object] = {
        "image": removed.path,
        "files": list(removed.files),
        "names": removed.names,
        "left": removed.kept,
        "error": removed.error,
    }
    return {**record, "skipped": "outside"} if removed.outside else record


def _imported_record(tag: ImportedTag) -> dict[str, object]:
    return {
        "image": tag.path,
        "person": tag.person,
        "accepted": tag.accepted,
        "reason": tag.reason.value,
        "detail": tag.detail,
        "sample_id": tag.sample_id,
    }
