"""``facebank video``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import UsageError
from facebank.schemas.records import candidate_record, rounded
from facebank.storage.text import never_certain, printable

from .failures import SOME_FAILED
from .identify import tell_how
from .options import AllowTwice, LeastProbability, settings_for_once
from .output import say, write_json, write_line, write_table
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.bank import FaceBank
    from facebank.video.identify import Appearance, VideoReport

EXAMPLES = """\b
Examples:
  facebank video holidays.mp4
  facebank video holidays.mp4 --annotate named.mp4 --thumbnails faces/
  facebank video holidays.mp4 --start 1:30 --end 2:00 --json

Exit codes: 0 the whole video was read; 1 it is cut off or damaged, and what was read before is told; 2 wrong usage, no
gallery, or no video that can be read."""

_COLUMNS = ("person", "from", "to", "seconds", "decision", "reason", "likeliest", "similarity", "probability")
_STYLES = {"known": "bold green", "uncertain": "yellow", "unknown": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("video", epilog=EXAMPLES)(video)


def video(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The video.")],
    fps: Annotated[float, typer.Option(metavar="RATE", help="Frames analyzed per second of the video.")] = 5.0,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start there: seconds or h:m:s, as 90, 1:30 or 1:02:03.5.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Stop there.")] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write a copy with boxes and names, without sound; a new file."),
    ] = None,
    thumbnails: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the best face of each track there.")
    ] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each track.")] = False,
) -> int:
    """Identify the people in a video, and when they are seen.

    Faces are followed from frame to frame; each track is one decision from all its frames, as careful as that about a
    single photo. People who are not enrolled have numbers: the same number, as far as can be told, in every shot.
    """
    from facebank.video.annotation import annotate_video, write_pictures
    from facebank.video.identify import VideoPlan, identify_video

    since, until = _seconds(start) or 0.0, _seconds(end)
    plan = VideoPlan(rate=fps, start=since, end=until, thumbnails=thumbnails is not None)
    _check_outputs(file, annotate, thumbnails)
    with settings_of(ctx).open_bank(threads=1, works_long=True) as bank:
        bank.preload()
        settings = settings_for_once(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        tell_how(bank.identification(settings))
        with ProgressBar(writes_lines=as_json) as bar:
            report = identify_video(bank.engine, lambda: bank.identification(settings), file, plan, bar)
        _note_written(bank, annotate, thumbnails)
    pictures = {} if thumbnails is None else write_pictures(report.appearances, thumbnails)
    if as_json:
        for each in report.appearances:
            write_json(_record(str(file), each, pictures.get(each.track.number)))
    else:
        write_table(_COLUMNS, map(_row, report.appearances), _STYLES)
        write_line(_summary(report, since))
    if annotate is not None:
        with ProgressBar(writes_lines=as_json) as bar:
            annotate_video(file, report.appearances, annotate, plan, bar)
    if not report.ends_early:
        return 0
    return tell_cut_off(str(file), report.position, report.info.seconds)


def _note_written(bank: FaceBank, annotate: Path | None, thumbnails: Path | None) -> None:
    from facebank.gallery import PlaceKind

    for kind, path in ((PlaceKind.VIDEO, annotate), (PlaceKind.FACES, thumbnails)):
        if path is not None:
            bank.note_written(kind, path)


def tell_cut_off(name: str, position: float, seconds: float) -> int:
    """Say that a video ends before it says so, and return the exit code for that."""
    say(
        f"{name} ends at {clock(position)} and says that it lasts {clock(seconds)}: it is cut off or damaged there; "
        "what comes before it was read"
    )
    return SOME_FAILED


def clock(seconds: float) -> str:
    """Write a time as people read it, ``1:02:03.4``."""
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _check_outputs(file: Path, annotate: Path | None, thumbnails: Path | None) -> None:
    from facebank.media.video_writing import check_target
    from facebank.video.annotation import check_folder

    if annotate is not None:
        check_target(annotate, file)
    if thumbnails is not None:
        check_folder(thumbnails)
        if annotate is not None and thumbnails.absolute() == annotate.absolute():
            raise UsageError(f"{printable(str(annotate))} cannot be the video and the folder: choose another name")


def _seconds(text: str | None) -> float | None:
    """Read a time as people write it.

    Raises
    ------
    UsageError
        It is none.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < 1e6 for part in parts) or any(part >= 60 for part in parts[1:]):
        raise UsageError(f"{text!r} is no time: write it as 90, 1:30 or 1:02:03.5")
    return sum(part * 60.0**place for place, part in enumerate(reversed(parts)))


def _row(each: Appearance) -> tuple[str, ...]:
    decision = each.identity
    likeliest = decision.candidates[0].person if decision.person is None and decision.candidates else ""
    return (
        each.label,
        clock(each.start),
        clock(each.end),
        f"{each.seconds:.1f}",
        decision.decision.value,
        decision.reason.value,
        likeliest,
        "" if decision.similarity is None else f"{decision.similarity:.3f}",
        "" if decision.probability is None else never_certain(decision.probability),
    )


def _summary(report: VideoReport, start: float) -> str:
    people = {each.label for each in report.appearances if each.identity.person is not None}
    others = {each.label for each in report.appearances} - people
    parts = [
        f"{len(people)} known, {len(others)} others",
        f"{_count(len(report.shots), 'shot')}, {_count(report.frames, 'frame')} looked at",
    ]
    if report.glimpses:
        parts.append(f"{_count(report.glimpses, 'glimpse')} left out")
    return f"{clock(max(0.0, report.position - start))} of video: " + "; ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _record(video: str, each: Appearance, picture: Path | None) -> dict[str, object]:
    decision, best = each.identity, each.track.best
    return {
        "video": video,
        "track": each.track.number,
        "shot": each.track.shot + 1,
        "label": each.label,
        "person": decision.person,
        "decision": decision.decision.value,
        "reason": decision.reason.value,
        "start": round(each.start, 3),
        "end": round(each.end, 3),
        "frames": len(each.track.sightings),
        "similarity": decision.similarity,
        "probability": decision.probability,
        "stranger_probability": decision.stranger_probability,
        "candidates": [candidate_record(candidate) for candidate in decision.candidates],
        "best": {
            "time": round(best.time, 3),
            "box": rounded(best.face.box.tolist()),
            "quality": round(best.face.quality, 4),
        },
        "thumbnail": None if picture is None else str(picture),
        "sightings": list(_sightings(each)),
    }


def _sightings(each: Appearance) -> Iterator[dict[str, object]]:
    for sighting in each.track.sightings:
        yield {"time": round(sighting.time, 3), "box": rounded(sighting.face.box.tolist())}
