"""``facebank watch``."""

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
from facebank.storage.text import never_certain

from .identify import tell_how
from .options import AllowTwice, LeastProbability, settings_for_once
from .output import counted, say, write_json, write_line
from .settings import settings_of
from .video import clock, tell_cut_off

if TYPE_CHECKING:
    from rich.console import RenderableType

    from facebank.media.live import Change, LiveSource, LiveVideo
    from facebank.video.publishing import Publishing
    from facebank.video.watch import Visitor, VisitorChange, Watch, WatchSummary

    Show: TypeAlias = Callable[[Watch], None]

EXAMPLES = """\b
Examples:
  facebank watch
  facebank watch rtsp://camera.local/door
  facebank watch 1 --json
  facebank watch 0 --mqtt mqtts://facebank@broker.local --camera-name door
  facebank watch 0 --webhook @webhook.txt

Exit codes: 0 watched until Ctrl-C, the end of a file or --seconds; 1 the file is cut off or damaged, and what comes
before was watched; 2 wrong usage, no gallery, or nothing that can be opened."""

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
    fps: Annotated[float, typer.Option(metavar="RATE", help="Frames analyzed per second, at most.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop after this time.")] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Publish who is there to this MQTT broker: mqtt[s]://USER@HOST:PORT/PREFIX.",
            rich_help_panel=_MESSAGES,
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post who comes and leaves to this address, https:// or http://.",
            rich_help_panel=_MESSAGES,
        ),
    ] = None,
    camera_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the camera in messages; else what is watched.", rich_help_panel=_MESSAGES
        ),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails", help="Send pictures of the faces of people who come, too.", rich_help_panel=_MESSAGES
        ),
    ] = False,
    announce: Annotated[
        bool,
        typer.Option(
            "--announce",
            help="With --mqtt: give everybody enrolled a sensor at the start, not when first seen.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    discovery_prefix: Annotated[
        str,
        typer.Option(
            metavar="TOPIC", help="With --mqtt: where Home Assistant looks for devices.", rich_help_panel=_MESSAGES
        ),
    ] = "homeassistant",
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each event.")] = False,
) -> int:
    """Watch a camera, and say who comes and goes, until Ctrl-C.

    CAMERA is a number, 0 for the first one, a device such as /dev/video0, or a file, which is watched as it plays; URL
    is a stream, by rtsp, http and others. A stream that drops is opened again. Where the machine is too slow, frames
    are passed over: what is told is always about now.

    Nothing leaves this machine unless --mqtt or --webhook is given. Then the names of people who are known do, never
    anything of people who are unknown or uncertain, and faces only with --thumbnails. Instead of an address, @FILE
    names a file whose first line it is, and FACEBANK_MQTT_PASSWORD may hold the broker's password: other users can read
    what is typed on a command line. docs/home-assistant.md is the guide.
    """
    from facebank.media.live import LiveVideo, live_source
    from facebank.video.publishing import Publishing, plan_publishing
    from facebank.video.watch import watch as watch_live

    if not 0 < fps <= 1000 or (seconds is not None and seconds <= 0):
        raise UsageError("--fps and --seconds have to be above 0")
    if mqtt is None and webhook is None and (thumbnails or camera_name is not None):
        raise UsageError("--thumbnails and --camera-name need --mqtt or --webhook")
    if mqtt is None and (announce or discovery_prefix != "homeassistant"):
        raise UsageError("--announce and --discovery-prefix need --mqtt")
    where = live_source(source)
    plan = plan_publishing(
        mqtt,
        webhook,
        where.shown,
        camera=camera_name,
        password=os.environ.get("FACEBANK_MQTT_PASSWORD"),
        thumbnails=thumbnails,
        announces_all=announce,
        discovery=discovery_prefix,
    )
    with settings_of(ctx).open_bank(works_long=True) as bank:
        bank.preload()
        settings = settings_for_once(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        tell_how(bank.identification(settings))
        publishing = Publishing(plan, lambda: bank.gallery, say)

        def change(change: Change, wait: float) -> None:
            _tell_change(where, change, wait, as_json=as_json)
            publishing.follow(change)

        live = LiveVideo(where, change)
        with live, publishing, _shown(live, as_json=as_json) as show:
            told = publishing.after(_json_news(where) if as_json else _line_news)
            now = partial(bank.identification, settings)

            def look(watching: Watch) -> None:
                show(watching)
                publishing.refresh()

            attendance = watch_live(bank.engine, now, live, told, look, rate=fps, seconds=seconds)
            lasted = live.now
    if as_json:
        write_json(_summary_record(where, attendance, lasted, live.passed_over, publishing))
    else:
        write_line(_summary(attendance, lasted, live.passed_over))
        _tell_undelivered(publishing)
    cut = live.cut_off
    return 0 if cut is None else tell_cut_off(where.shown, cut.position, cut.info.seconds)


def _tell_change(where: LiveSource, change: Change, wait: float, *, as_json: bool) -> None:
    lost = change.value == "lost"
    if as_json:
        write_json(_record(change.value, where, time=None, seconds=round(wait, 3)))
    say(f"{where.shown} is gone; trying again in {wait:g} s" if lost else f"{where.shown} is there again")


def _line_news(news: VisitorChange, visitor: Visitor) -> None:
    decision = visitor.identity
    probability = "" if decision.probability is None else f" {never_certain(decision.probability)}"
    known = f"known{probability}" if decision.person is not None else f"{decision.decision}, {decision.reason}"
    lasted = f", {clock(visitor.seconds)}" if news.value == "left" else ""
    write_line(f"{_wall_clock()}  {news.value:<7}  {visitor.label}  ({known}{lasted})")


def _json_news(where: LiveSource) -> Callable[[VisitorChange, Visitor], None]:
    def write(news: VisitorChange, visitor: Visitor) -> None:
        decision = visitor.identity
        write_json(
            _record(
                news.value,
                where,
                time=round(visitor.track.last.time, 3),
                seconds=round(visitor.seconds, 3),
                track=visitor.track.number,
                label=visitor.label,
                person=decision.person,
                decision=decision.decision.value,
                reason=decision.reason.value,
                similarity=decision.similarity,
                probability=decision.probability,
            )
        )

    return write


def _record(event: str, where: LiveSource, *, time: float | None, seconds: float, **more: object) -> dict[str, object]:
    at = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return {"event": event, "at": at, "source": where.shown, "time": time, "seconds": seconds, **more}


def _summary_record(
    where: LiveSource, seen: WatchSummary, lasted: float, passed_over: int, publishing: Publishing
) -> dict[str, object]:
    people = [{"person": name, "seconds": round(seconds, 3)} for name, seconds in sorted(seen.people.items())]
    return _record(
        "ended",
        where,
        time=round(lasted, 3),
        seconds=round(lasted, 3),
        people=people,
        others=seen.strangers,
        frames=seen.frames,
        passed_over=passed_over,
        mqtt=None if publishing.mqtt is None else asdict(publishing.mqtt),
        webhook=None if publishing.webhook is None else asdict(publishing.webhook),
    )


def _tell_undelivered(publishing: Publishing) -> None:
    for name, deliveries in (("the MQTT broker", publishing.mqtt), ("the webhook", publishing.webhook)):
        if deliveries is not None and (deliveries.failures or deliveries.dropped):
            lost = f"{counted(deliveries.failures, 'failure')}, {counted(deliveries.dropped, 'event')} given up"
            say(f"{name}: {counted(deliveries.delivered, 'message')} delivered, {lost}")


def _summary(seen: WatchSummary, lasted: float, passed_over: int) -> str:
    people = ", ".join(f"{name} {clock(seconds)}" for name, seconds in sorted(seen.people.items())) or "nobody known"
    others = f", {seen.strangers:,} others" if seen.strangers else ""
    looked_at = counted(seen.frames, "frame")
    return f"{clock(lasted)} watched: {people}{others}; {looked_at} looked at, {passed_over:,} passed over"


@contextmanager
def _shown(live: LiveVideo, *, as_json: bool) -> Iterator[Show]:
    """Draw who is there, on a terminal; elsewhere only what happens is told."""
    if as_json or not sys.stdout.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live

    # on standard output: news are written above the table
    with Live(console=Console(file=sys.stdout), refresh_per_second=8, transient=True) as drawn:
        yield lambda watching: drawn.update(_table(live, watching))


def _table(live: LiveVideo, watching: Watch) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from facebank.storage.text import printable

    styles = {"known": "bold green", "uncertain": "yellow", "unknown": "dim"}
    title = f"{live.source.shown}  {clock(live.now)}  {counted(watching.attendance.frames, 'frame')} looked at"
    table = Table("person", "decision", "seconds", "probability", box=SIMPLE_HEAD, pad_edge=False)
    for visitor in watching.visitors:
        decision = visitor.identity
        table.add_row(
            Text(printable(visitor.label)),
            Text(decision.decision.value, styles[decision.decision.value]),
            f"{visitor.seconds:.1f}",
            "" if decision.probability is None else never_certain(decision.probability),
        )
    return Group(Text(title), table)


def _wall_clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
