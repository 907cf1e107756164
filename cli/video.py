"""``facebank video``: identifies the people in a video, with times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import UsageError
from facebank.schemas.records import candidate_record, round_coordinates
from facebank.storage.text import (
    format_probability,
    format_similarity,
    format_video_time,
    pluralize,
    printable,
)

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .identify import report_classifier
from .options import AllowTwice, LeastProbability, settings_for_run
from .output import say, write_json, write_line, write_table
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.bank import FaceBank
    from facebank.video.identify import Appearance, VideoReport

EXAMPLES = """\b
Examples:
  facebank video holidays.mp4
  facebank video holidays.mp4 --annotate named.mp4 --thumbnails faces/
  facebank video holidays.mp4 --start 1:30 --end 2:00 --json

Exit codes: 0 the whole video was read; 1 it is cut off or damaged, and was read up to there; 2 wrong usage, no gallery,
or no video that can be read."""

_COLUMNS = ("person", "from", "to", "seconds", "decision", "reason", "likeliest", "similarity", "probability")
_STYLES = {"known": "bold green", "uncertain": "yellow", "unknown": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("video", epilog=EXAMPLES)(video)


def video(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The video.")],
    fps: Annotated[float, typer.Option(metavar="RATE", help="Frames analyzed per second of the video.")] = 5.0,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start time in seconds or h:m:s, such as 90, 1:30 or 1:02:03.5.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End time.")] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write a copy with boxes and names, without sound; a new file."),
    ] = None,
    thumbnails: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for a picture of the best face of each track.")
    ] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each track.")] = False,
) -> int:
    """Identify the people in a video, with times.

    Faces are tracked from frame to frame. Each track has one decision from all its frames, under the same limits as a
    single photo. People who are not enrolled are numbered, and keep their number in later shots where possible.
    """
    from facebank.video.annotation import annotate_video, write_pictures
    from facebank.video.identify import VideoPlan, identify_video

    first_second, last_second = _parse_time(start) or 0.0, _parse_time(end)
    plan = VideoPlan(rate=fps, start=first_second, end=last_second, thumbnails=thumbnails is not None)
    _check_outputs(path, annotate, thumbnails)
    with global_options(ctx).open_bank(threads=1, long_running=True) as bank:
        bank.preload()
        settings = settings_for_run(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        report_classifier(bank.identification(settings))
        with ProgressBar(writes_lines=as_json) as bar:
            report = identify_video(bank.engine, lambda: bank.identification(settings), path, plan, bar)
        _note_written(bank, annotate, thumbnails)
    thumbnail_paths = {} if thumbnails is None else write_pictures(report.appearances, thumbnails)
    if as_json:
        for appearance in report.appearances:
            write_json(_record(str(path), appearance, thumbnail_paths.get(appearance.track.number)))
    else:
        write_table(_COLUMNS, map(_row, report.appearances), _STYLES)
        write_line(_summary(report, first_second))
    if annotate is not None:
        with ProgressBar(writes_lines=as_json) as bar:
            annotate_video(path, report.appearances, annotate, plan, bar)
    if not report.ends_early:
        return 0
    return report_cut_off(str(path), report.position, report.info.seconds)


def _note_written(bank: FaceBank, annotate: Path | None, thumbnails: Path | None) -> None:
    from facebank.gallery import PlaceKind

    for kind, path in ((PlaceKind.VIDEO, annotate), (PlaceKind.FACES, thumbnails)):
        if path is not None:
            bank.note_written(kind, path)


def report_cut_off(label: str, position: float, seconds: float) -> int:
    """Report that a video could be read only up to a position, and return the exit code.

    Parameters
    ----------
    label
        Path or other name of the video.
    position
        Time of the last readable frame, in seconds.
    seconds
        Length according to the file's index, in seconds.
    """
    say(
        f"{label} ends at {format_video_time(position)} instead of {format_video_time(seconds)}: it is cut off or "
        "damaged, and the rest was not read; use another copy for the rest"
    )
    return SOME_FAILED


def _check_outputs(path: Path, annotate: Path | None, thumbnails: Path | None) -> None:
    from facebank.media.video_writing import check_target
    from facebank.video.annotation import check_folder

    if annotate is not None:
        check_target(annotate, path)
    if thumbnails is not None:
        check_folder(thumbnails)
        if annotate is not None and thumbnails.absolute() == annotate.absolute():
            raise UsageError(f"{printable(str(annotate))} cannot be the video and the folder: choose another name")


def _parse_time(text: str | None) -> float | None:
    """Return a time such as ``1:02:03.5`` in seconds; raises UsageError if it is malformed."""
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < 1e6 for part in parts) or any(part >= 60 for part in parts[1:]):
        raise UsageError(f"{text!r} is not a time: write it as 90, 1:30 or 1:02:03.5")
    return sum(part * 60.0**power for power, part in enumerate(reversed(parts)))


def _row(appearance: Appearance) -> tuple[str, ...]:
    identity = appearance.identity
    likeliest = identity.candidates[0].person if identity.person is None and identity.candidates else ""
    return (
        appearance.label,
        format_video_time(appearance.start),
        format_video_time(appearance.end),
        f"{appearance.seconds:.1f}",
        identity.decision.value,
        identity.reason.value,
        likeliest,
        format_similarity(identity.similarity),
        format_probability(identity.probability),
    )


def _summary(report: VideoReport, start: float) -> str:
    people = {appearance.label for appearance in report.appearances if appearance.identity.person is not None}
    others = {appearance.label for appearance in report.appearances} - people
    parts = [
        f"{len(people)} known, {len(others)} others",
        f"{pluralize(len(report.shots), 'shot')}, {pluralize(report.frames, 'frame')} analyzed",
    ]
    if report.short_tracks:
        parts.append(f"{pluralize(report.short_tracks, 'short track')} left out")
    return f"{format_video_time(max(0.0, report.position - start))} of video: " + "; ".join(parts)


def _record(path: str, appearance: Appearance, thumbnail_path: Path | None) -> dict[str, object]:
    identity, best = appearance.identity, appearance.track.best
    return {
        "video": path,
        "track": appearance.track.number,
        "shot": appearance.track.shot + 1,
        "label": appearance.label,
        "person": identity.person,
        "decision": identity.decision.value,
        "reason": identity.reason.value,
        "start": round(appearance.start, 3),
        "end": round(appearance.end, 3),
        "frames": len(appearance.track.sightings),
        "similarity": identity.similarity,
        "probability": identity.probability,
        "stranger_probability": identity.stranger_probability,
        "candidates": [candidate_record(candidate) for candidate in identity.candidates],
        "best": {
            "time": round(best.time, 3),
            "box": round_coordinates(best.face.box.tolist()),
            "quality": round(best.face.quality, 4),
        },
        "thumbnail": None if thumbnail_path is None else str(thumbnail_path),
        "sightings": list(_sightings(appearance)),
    }


def _sightings(appearance: Appearance) -> Iterator[dict[str, object]]:
    for sighting in appearance.track.sightings:
        yield {"time": round(sighting.time, 3), "box": round_coordinates(sighting.face.box.tolist())}
