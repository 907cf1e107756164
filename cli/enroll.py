"""``facebank enroll``: enrolls people from photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from facebank.schemas.records import enrolled_record

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .options import Force, Thumbnails
from .output import report_skipped, say, write_json, write_line, write_skipped
from .progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebank.bank import FaceBank
    from facebank.operations.person_folders import PersonPhotos
    from facebank.types import EnrolledPhoto, EnrollReport

EXAMPLES = """\b
Examples:
  facebank enroll ada/ imgs                    # ada: photos in imgs and ada/
  facebank enroll photos/Ada photos/Grace      # two people, named as folders
  facebank enroll "Ada Lovelace" a.jpg more/   # a name; photos and folders
  facebank enroll --name Ada Ada/ wedding.jpg  # all photos are of Ada
  facebank enroll --tree photos                # each folder in photos
  facebank enroll Ada party.jpg --pick largest # the largest of several faces

A second folder counts as photos of the first person if its name is like imgs, photos, DCIM or a date, or if its
faces are that person's; a message reports it. Otherwise each folder is another person.

Exit codes: 0 every photo was enrolled, 1 some were refused, 2 wrong usage or no photos, 130 interrupted."""

_SKIPPED_RECORD = {
    "image": "",
    "person": "",
    "accepted": False,
    "reason": "skipped",
    "sample_id": None,
    "turned": None,
    "masked": False,
    "detail": "",
    "warning": None,
    "advice": None,
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("enroll", epilog=EXAMPLES)(enroll)


def enroll(
    ctx: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="PERSON_DIR... | NAME PHOTO_OR_DIR...",
            show_default=False,
            help="Folders named after their person; or a name, and photos or folders of that person.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The person in all of the photos, whatever the folder names.")
    ] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="The arguments are folders that hold a folder for each person.")
    ] = False,
    pick: Annotated[
        Literal["largest", "central"] | None,
        typer.Option(
            help="The face to take if a photo shows several. Default: the one that agrees with the other photos, "
            "else the clearly largest."
        ),
    ] = None,
    thumbnails: Thumbnails = True,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
) -> int:
    """Enroll people from photos of them.

    Each folder is a person with the name of the folder. If the first argument is not an existing folder, it is the name
    of a person (a slash at its end is ignored), and the other arguments are photos or folders of that person. All
    photos of a person are compared before any is enrolled; a photo that shows somebody else is refused.
    """
    from facebank.operations.inputs import gather_photos
    from facebank.operations.person_folders import plan_enrollment
    from facebank.recognition.facts import only_masked_message

    people = plan_enrollment(arguments, name=name, tree=tree)
    gathered = gather_photos([path for person in people for path in person.paths])
    total = len(gathered.photos)
    for note in filter(None, (person.note for person in people)):
        say(note)
    report_skipped(gathered)
    _write_skipped(people if as_json else ())
    terms = global_options(ctx).first_use_terms()
    with global_options(ctx).open_bank() as bank, _EnrollProgress(bank, as_json=as_json) as progress:
        try:
            bank.preload()
            reports = bank.enroll_people(people, pick=pick, thumbnails=thumbnails, force=force, progress=progress)
        except KeyboardInterrupt as error:
            outcome = f"{progress.enrolled} of {total} photos are enrolled"
            raise KeyboardInterrupt(outcome if progress.enrolled else "nothing was enrolled yet") from error
    for message in (
        *map(_reassignment_message, reports),
        *progress.advice.values(),
        terms if progress.enrolled else None,
    ):
        if message is not None:
            say(message)
    if not as_json:
        _print_summary(reports)
    for person in dict.fromkeys(report.person for report in reports if report.only_masked):
        say(only_masked_message(person))
    return SOME_FAILED if any(report.refused for report in reports) else 0


class _EnrollProgress(ProgressBar):
    """Progress that prints the result of each photo and counts the enrolled ones."""

    def __init__(self, bank: FaceBank, *, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self._bank = bank
        self.enrolled = 0
        self.advice: dict[str, str | None] = {}

    def report(self, result: object) -> None:
        """Print an `EnrolledPhoto`."""
        from facebank.recognition.facts import advice_about

        photo = cast("EnrolledPhoto", result)
        self.enrolled += photo.accepted
        advice = advice_about(self._bank.gallery, photo.person) if photo.accepted else None
        if photo.accepted:
            self.advice[photo.person] = advice
        if self.writes_lines:
            write_json({**enrolled_record(photo), "advice": advice})
        else:
            _print(photo)


def _write_skipped(people: Iterable[PersonPhotos]) -> None:
    from facebank.operations.inputs import gather_photos

    for person in people:
        record = {**_SKIPPED_RECORD, "person": person.name}
        write_skipped(gather_photos(person.paths), record, message_key="detail")


def _print(photo: EnrolledPhoto) -> None:
    """Report the reason for a refusal, or a warning; the detail of an unreadable photo names it already."""
    if photo.reason.value == "unreadable":
        say(photo.detail)
    elif not photo.accepted:
        say(f"{photo.path}: {photo.detail}")
    elif photo.warning is not None:
        say(f"{photo.path}: {photo.warning}")


def _reassignment_message(report: EnrollReport) -> str | None:
    """Return a message if photos were enrolled for a person other than the one named by their folder."""
    if report.given_as is None:
        return None
    return (
        f"the faces given as {report.given_as} are {report.person}'s: the photos are enrolled as {report.person}'s; "
        "if they are two people, use --force"
    )


def _print_summary(reports: Sequence[EnrollReport]) -> None:
    results_by_person: dict[str, list[EnrolledPhoto]] = {}
    for report in reports:
        results_by_person.setdefault(report.person, []).extend(report.photos)
    for person, results in results_by_person.items():
        accepted, masked = sum(photo.accepted for photo in results), sum(photo.masked for photo in results)
        refused = f", {len(results) - accepted} refused" if accepted < len(results) else ""
        in_mask = f", {masked} in a mask" if masked else ""
        write_line(f"{person}: {accepted} of {len(results)} photos enrolled{in_mask}{refused}")
