"""``facebank watch``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    from facebank.video.watch import Attendance, News, Visitor, Watch

    Show: TypeAlias = Callable[[Watch], None]

EXAMPLES = """\b
Examples:
  facebank watch
  facebank watch rtsp://camera.local/door
  facebank watch 1 --json

\b
Exit codes: 0 watched until Ctrl-C, the end of a file or --seconds; 1 the file is cut off or damaged, and what comes
before was watched; 2 wrong usage, no gallery, or nothing that can be opened."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", epilog=EXAMPLES)(watch)


def watch(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="CAMERA|URL", show_default=False)] = "0",
    fps: Annotated[float, typer.Option(metavar="RATE", help="How many frames a second are looked at, at most.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop after so long.")] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object whenever something happens.")] = False,
) -> int:
    """Say who comes and goes before a camera, until Ctrl-C.

    CAMERA is a number, 0 for the first one, a device such as /dev/video0, or a file, which is watched as it plays; URL
    is a stream, by rtsp, http and others. A stream that drops is opened again. Where the machine is too slow, frames
    are passed over: what is told is always about now.
    """
    from facebank.media.live import LiveVideo, live_source
    from facebank.video.watch import watch as watch_live

    if not 0 < fps <= 1000 or (seconds is not None and seconds <= 0):
        raise UsageError("--fps and --seconds have to be above 0")
    where = live_source(source)
    with settings_of(ctx).open_bank() as bank:
        bank.preload()
        settings = settings_for_once(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        tell_how(bank.identification(settings))
        live = LiveVideo(where, lambda change, wait: _tell_change(where, change, wait, as_json=as_json))
        with live, _shown(live, as_json=as_json) as show:
            told = _json_news(where) if as_json else _line_news
            now = partial(bank.identification, settings)
            attendance = watch_live(bank.engine, now, live, told, show, rate=fps, seconds=seconds)
            lasted = live.now
    if as_json:
        write_json(_summary_record(where, attendance, lasted, live.passed_over))
    else:
        write_line(_summary(attendance, lasted, live.passed_over))
    cut = live.cut_off
    return 0 if cut is None else tell_cut_off(where.shown, cut.position, cut.info.seconds)


def _tell_change(where: LiveSource, change: Change, wait: float, *, as_json: bool) -> None:
    lost = change.value == "lost"
    if as_json:
        write_json(_record(change.value, where, time=None, seconds=round(wait, 3)))
    say(f"{where.shown} is gone; trying again in {wait:g} s" if lost else f"{where.shown} is there again")


def _line_news(news: News, visitor: Visitor) -> None:
    decision = visitor.identity
    probability = "" if decision.probability is None else f" {never_certain(decision.probability)}"
    known = f"known{probability}" if decision.person is not None else f"{decision.decision}, {decision.reason}"
    lasted = f", {clock(visitor.seconds)}" if news.value == "left" else ""
    write_line(f"{_wall_clock()}  {news.value:<7}  {visitor.label}  ({known}{lasted})")


def _json_news(where: LiveSource) -> Callable[[News, Visitor], None]:
    def write(news: News, visitor: Visitor) -> None:
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


def _summary_record(where: LiveSource, seen: Attendance, lasted: float, passed_over: int) -> dict[str, object]:
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
    )


def _summary(seen: Attendance, lasted: float, passed_over: int) -> str:
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
