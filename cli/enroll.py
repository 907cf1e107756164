"""``facebank enroll``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from facebank.schemas.records import enrolled_record

from .failures import SOME_FAILED
from .output import say, tell_skipped, write_json, write_line, write_skipped
from .progress import ProgressBar
from .settings import settings_of

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
  facebank enroll --name Ada Ada/ wedding.jpg  # all of Ada, whatever is named
  facebank enroll --tree photos                # each folder in photos
  facebank enroll Ada party.jpg --pick largest # the largest of several faces

A second folder holds photos of the first person if it has a name as imgs, photos, DCIM or a date, or if its
faces are that person's: a sentence says so. Other folders side by side are people of their own.

Exit codes: 0 every photo was enrolled, 1 some were refused, 2 wrong usage or no photos at all, 130 interrupted."""

_SKIPPED = {
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
        str | None, typer.Option(metavar="NAME", help="The person in all of the photos, whatever folders are called.")
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
    thumbnails: Annotated[bool, typer.Option(help="Keep a small picture of each face in the gallery.")] = True,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll a face that is unlike the person's other faces, or similar to somebody else's."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
) -> int:
    """Enroll people from photos of them.

    Folders are people, each named as the folder. If the first argument is no existing folder, it is the name of one
    person, with or without a slash at its end, and the rest are photos or folders of them. A person's photos are
    looked at together before the first is enrolled: one that shows somebody else is refused.
    """
    from facebank.operations.inputs import gather_photos
    from facebank.operations.person_folders import plan_enrollment
    from facebank.recognition.facts import only_masked_message

    people = plan_enrollment(arguments, name=name, tree=tree)
    gathered = gather_photos([place for person in people for place in person.places])
    total = len(gathered.photos)
    for note in filter(None, (person.note for person in people)):
        say(note)
    tell_skipped(gathered)
    _write_skipped(people if as_json else ())
    terms = settings_of(ctx).first_use()
    with settings_of(ctx).open_bank() as bank, _Shown(bank, as_json=as_json) as shown:
        try:
            bank.preload()
            reports = bank.enroll_people(people, pick=pick, thumbnails=thumbnails, force=force, progress=shown)
        except KeyboardInterrupt as error:
            kept = f"{shown.enrolled} of {total} photos are enrolled" if shown.enrolled else "nothing was enrolled yet"
            raise KeyboardInterrupt(kept) from error
    for sentence in (*map(_same_face, reports), *shown.advices.values(), terms if shown.enrolled else None):
        if sentence is not None:
            say(sentence)
    if not as_json:
        _summarise(reports)
    for person in dict.fromkeys(report.person for report in reports if report.only_masked):
        say(only_masked_message(person))
    return SOME_FAILED if any(report.refused for report in reports) else 0


class _Shown(ProgressBar):
    """Shows each photo's result, and counts the enrolled."""

    def __init__(self, bank: FaceBank, *, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self._bank = bank
        self.enrolled = 0
        self.advices: dict[str, str | None] = {}

    def report(self, result: object) -> None:
        """Show an `EnrolledPhoto`."""
        from facebank.recognition.facts import advice_about

        photo = cast("EnrolledPhoto", result)
        self.enrolled += photo.accepted
        advice = advice_about(self._bank.gallery, photo.person) if photo.accepted else None
        if photo.accepted:
            self.advices[photo.person] = advice
        if self.writes_lines:
            write_json({**enrolled_record(photo), "advice": advice})
        else:
            _tell(photo)


def _write_skipped(people: Iterable[PersonPhotos]) -> None:
    from facebank.operations.inputs import gather_photos

    for person in people:
        write_skipped(gather_photos(person.places), {**_SKIPPED, "person": person.name}, says="detail")


def _tell(photo: EnrolledPhoto) -> None:
    """Say what is wrong or odd about a photo; why one cannot be read names it already."""
    if photo.reason.value == "unreadable":
        say(photo.detail)
    elif not photo.accepted:
        say(f"{photo.path}: {photo.detail}")
    elif photo.warning is not None:
        say(f"{photo.path}: {photo.warning}")


def _same_face(report: EnrollReport) -> str | None:
    """Say that photos were enrolled as another person's than the folder's name says."""
    if report.given_as is None:
        return None
    return (
        f"the faces given as {report.given_as} are {report.person}'s: the photos are enrolled as {report.person}'s; "
        "if they are two people, use --force"
    )


def _summarise(reports: Sequence[EnrollReport]) -> None:
    photos: dict[str, list[EnrolledPhoto]] = {}
    for report in reports:
        photos.setdefault(report.person, []).extend(report.photos)
    for person, theirs in photos.items():
        accepted, masked = (sum(getattr(photo, what) for photo in theirs) for what in ("accepted", "masked"))
        refused = f", {len(theirs) - accepted} refused" if accepted < len(theirs) else ""
        worn = f", {masked} in a mask" if masked else ""
        write_line(f"{person}: {accepted} of {len(theirs)} photos enrolled{worn}{refused}")
