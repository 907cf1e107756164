"""``facebank watch``: reports who comes and goes in front of a camera."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.errors import UsageError
from facebank.storage.text import (
    format_probability,
    format_video_time,
    label_with_probability,
    pluralize,
    printable,
)

from .global_options import global_options
from .identify import report_classifier
from .options import AllowTwice, LeastProbability, settings_for_run
from .output import say, write_json, write_line
from .video import report_cut_off

if TYPE_CHECKING:
    from rich.console import RenderableType

    from facebank.media.live import LiveSource, LiveVideo, StreamChange
    from facebank.video.publishing import Publishing
    from facebank.video.watch import Visitor, VisitorChange, Watch, WatchSummary

    Draw: TypeAlias = Callable[[Watch], None]

EXAMPLES = """\b
Examples:
  facebank watch
  facebank watch rtsp://camera.local/door
  facebank watch 1 --json
  facebank watch 0 --mqtt mqtts://facebank@broker.local --camera-name door
  facebank watch 0 --webhook @webhook.txt

Exit codes: 0 watched until Ctrl-C, the end of a file or --seconds; 1 the file is cut off or damaged, and was watched up
to there; 2 wrong usage, no gallery, or a source that cannot be opened."""

_MESSAGES = "Messages to other programs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", epilog=EXAMPLES)(watch)


def watch(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="CAMERA|URL", help="Number or device of a camera, a file, or the address of a stream."),
    ] = "0",
    fps: Annotated[float, typer.Option(metavar="RATE", help="Maximum number of frames analyzed per second.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop after this time.")] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Publish who is present to this MQTT broker: mqtt[s]://USER@HOST:PORT/PREFIX.",
            rich_help_panel=_MESSAGES,
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post who comes and leaves to this https:// or http:// URL.",
            rich_help_panel=_MESSAGES,
        ),
    ] = None,
    camera_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the camera in messages. Default: the source.", rich_help_panel=_MESSAGES
        ),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails", help="Also send thumbnails of the faces of people who come.", rich_help_panel=_MESSAGES
        ),
    ] = False,
    announce: Annotated[
        bool,
        typer.Option(
            "--announce",
            help="With --mqtt: create a sensor for every enrolled person at the start, not when first seen.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    discovery_prefix: Annotated[
        str,
        typer.Option(
            metavar="TOPIC", help="With --mqtt: discovery prefix of Home Assistant.", rich_help_panel=_MESSAGES
        ),
    ] = "homeassistant",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each event.")] = False,
) -> int:
    """Watch a camera and report who comes and goes.

    CAMERA is a number (0 is the first camera), a device such as /dev/video0, or a video file, which is watched at its
    own speed; URL is a stream by rtsp, http or another protocol. A stream that drops is opened again. Frames are
    skipped if the machine is too slow, so that reports are never late. Ctrl-C ends the watch.

    Nothing leaves this machine unless --mqtt or --webhook is given. Then names of known people do, but nothing about
    unknown or uncertain people, and faces only with --thumbnails. Other users can read the arguments of a command, so
    @FILE instead of an address reads it from the first line of a file, and FACEBANK_MQTT_PASSWORD can be the password
    for the broker. See docs/home-assistant.md.
    """
    from facebank.media.live import LiveVideo, live_source
    from facebank.video.publishing import Publishing, plan_publishing
    from facebank.video.watch import watch as watch_live

    if not 0 < fps <= 1000 or (seconds is not None and seconds <= 0):
        raise UsageError("--fps and --seconds must be above 0")
    if mqtt is None and webhook is None and (thumbnails or camera_name is not None):
        raise UsageError("--thumbnails and --camera-name need --mqtt or --webhook")
    if mqtt is None and (announce or discovery_prefix != "homeassistant"):
        raise UsageError("--announce and --discovery-prefix need --mqtt")
    resolved = live_source(source)
    plan = plan_publishing(
        mqtt,
        webhook,
        resolved.label,
        camera=camera_name,
        password=os.environ.get("FACEBANK_MQTT_PASSWORD"),
        thumbnails=thumbnails,
        announce_all=announce,
        discovery=discovery_prefix,
    )
    with global_options(ctx).open_bank(long_running=True) as bank:
        bank.preload()
        settings = settings_for_run(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        report_classifier(bank.identification(settings))
        publishing = Publishing(plan, lambda: bank.gallery, say)

        def on_stream_change(change: StreamChange, wait: float) -> None:
            _report_stream_change(resolved, change, wait, as_json=as_json)
            publishing.publish_stream_change(change)

        live = LiveVideo(resolved, on_stream_change)
        with live, publishing, _visitor_table(live, as_json=as_json) as draw:
            on_visitor_change = publishing.wrap(_json_writer(resolved) if as_json else _write_visitor_line)
            identification = partial(bank.identification, settings)

            def on_frame(watching: Watch) -> None:
                draw(watching)
                publishing.refresh()

            summary = watch_live(
                bank.engine, identification, live, on_visitor_change, on_frame, rate=fps, seconds=seconds
            )
            watched_seconds = live.now
    if as_json:
        write_json(_summary_record(resolved, summary, watched_seconds, live.skipped_frames, publishing))
    else:
        write_line(_summary_line(summary, watched_seconds, live.skipped_frames))
        _report_undelivered(publishing)
    video = live.truncated_video
    return 0 if video is None else report_cut_off(resolved.label, video.position, video.info.seconds)


def _report_stream_change(source: LiveSource, change: StreamChange, wait: float, *, as_json: bool) -> None:
    if as_json:
        write_json(_record(change.value, source, time=None, seconds=round(wait, 3)))
    is_lost = change.value == "lost"
    say(f"{source.label} is lost; trying again in {wait:g} s" if is_lost else f"{source.label} is back")


def _write_visitor_line(change: VisitorChange, visitor: Visitor) -> None:
    identity = visitor.identity
    if identity.person is not None:
        description = label_with_probability("known", identity.probability)
    else:
        description = f"{identity.decision}, {identity.reason}"
    duration = f", {format_video_time(visitor.seconds)}" if change.value == "left" else ""
    write_line(f"{_time_of_day()}  {change.value:<7}  {visitor.label}  ({description}{duration})")


def _json_writer(source: LiveSource) -> Callable[[VisitorChange, Visitor], None]:
    """Return a function that writes a JSON record of a visitor's change."""

    def write(change: VisitorChange, visitor: Visitor) -> None:
        identity = visitor.identity
        write_json(
            _record(
                change.value,
                source,
                time=round(visitor.track.last.time, 3),
                seconds=round(visitor.seconds, 3),
                track=visitor.track.number,
                label=visitor.label,
                person=identity.person,
                decision=identity.decision.value,
                reason=identity.reason.value,
                similarity=identity.similarity,
                probability=identity.probability,
            )
        )

    return write


def _record(
    event: str, source: LiveSource, *, time: float | None, seconds: float, **fields: object
) -> dict[str, object]:
    timestamp = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return {"event": event, "at": timestamp, "source": source.label, "time": time, "seconds": seconds, **fields}


def _summary_record(
    source: LiveSource, summary: WatchSummary, seconds: float, skipped_frames: int, publishing: Publishing
) -> dict[str, object]:
    people = [{"person": name, "seconds": round(seen, 3)} for name, seen in sorted(summary.people.items())]
    return _record(
        "ended",
        source,
        time=round(seconds, 3),
        seconds=round(seconds, 3),
        people=people,
        others=summary.strangers,
        frames=summary.frames,
        passed_over=skipped_frames,
        mqtt=None if publishing.mqtt is None else asdict(publishing.mqtt),
        webhook=None if publishing.webhook is None else asdict(publishing.webhook),
    )


def _report_undelivered(publishing: Publishing) -> None:
    for name, deliveries in (("the MQTT broker", publishing.mqtt), ("the webhook", publishing.webhook)):
        if deliveries is not None and (deliveries.failures or deliveries.dropped):
            lost = f"{pluralize(deliveries.failures, 'failure')}, {pluralize(deliveries.dropped, 'event')} dropped"
            say(f"{name}: {pluralize(deliveries.delivered, 'message')} delivered, {lost}")


def _summary_line(summary: WatchSummary, seconds: float, skipped_frames: int) -> str:
    people = ", ".join(f"{name} {format_video_time(seen)}" for name, seen in sorted(summary.people.items()))
    others = f", {summary.strangers:,} others" if summary.strangers else ""
    frames = pluralize(summary.frames, "frame")
    return (
        f"{format_video_time(seconds)} watched: {people or 'nobody known'}{others}; {frames} analyzed, "
        f"{skipped_frames:,} skipped"
    )


@contextmanager
def _visitor_table(live: LiveVideo, *, as_json: bool) -> Iterator[Draw]:
    """Yield a function that draws a table of present people; a no-op with JSON or without a terminal."""
    if as_json or not sys.stdout.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live

    # on standard output, so that Rich writes event lines above the table
    with Live(console=Console(file=sys.stdout), refresh_per_second=8, transient=True) as display:
        yield lambda watching: display.update(_table(live, watching))


def _table(live: LiveVideo, watching: Watch) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    styles = {"known": "bold green", "uncertain": "yellow", "unknown": "dim"}
    title = (
        f"{live.source.label}  {format_video_time(live.now)}  {pluralize(watching.summary.frames, 'frame')} analyzed"
    )
    table = Table("person", "decision", "seconds", "probability", box=SIMPLE_HEAD, pad_edge=False)
    for visitor in watching.visitors:
        identity = visitor.identity
        table.add_row(
            Text(printable(visitor.label)),
            Text(identity.decision.value, styles[identity.decision.value]),
            f"{visitor.seconds:.1f}",
            format_probability(identity.probability),
        )
    return Group(Text(title), table)


def _time_of_day() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
