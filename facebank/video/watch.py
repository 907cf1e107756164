"""Live identification of people in front of a camera: tracks are identified again with each frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import clustering_thresholds
from facebank.media import encode_thumbnail
from facebank.operations.identify import identify_tracks
from facebank.types import Decision, DecodedPhoto
from facebank.vision.tracking import Tracker, group_tracks

if TYPE_CHECKING:
    from facebank.media.live import LiveVideo
    from facebank.media.video import Frame
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.types import FloatArray, Identity
    from facebank.vision.tracking import Track

_ABSENCE = 3.0  # seconds without a sighting until a visitor counts as gone, longer than a look aside
_MIN_SIGHTINGS, _MIN_SECONDS = 3, 0.5
_MAX_SIGHTINGS = 100
_MAX_STRANGERS = 200


class VisitorChange(StrEnum):
    """What happened to a visitor: arrival, another name, or departure."""

    CAME = "came"
    CHANGED = "changed"
    LEFT = "left"


@dataclass(slots=True, eq=False)
class Visitor:
    """A person who is or was in front of the camera.

    Attributes
    ----------
    track
        The tracked face, with its last sightings and its best one.
    label
        The person's name, else ``stranger`` or ``uncertain`` with a number.
    identity
        The identity, from the sightings so far.
    sightings
        Number of frames with this face.
    frame
        The last frame with this face.
    """

    track: Track
    label: str
    identity: Identity
    sightings: int
    frame: Frame

    @property
    def seconds(self) -> float:
        """Time from the first sighting to the last, in seconds."""
        return self.track.last.time - self.track.begun

    def thumbnail(self) -> bytes:
        """Return the face of the last sighting as a small JPEG."""
        photo = DecodedPhoto("", self.frame.pixels, "", True, None)
        return encode_thumbnail(photo, self.track.last.face.box)


@dataclass(slots=True)
class WatchSummary:
    """Totals of a watch: seconds by person, visitors without a name, and frames."""

    people: dict[str, float] = field(default_factory=dict)  # seconds by person
    strangers: int = 0  # number of visitors without a name, unknown or uncertain
    frames: int = 0  # number of analyzed frames


class Watch:
    """Analyzes frames and reports arriving and leaving visitors.

    Parameters
    ----------
    engine
        The engine that detects and embeds faces.
    identification
        Returns the current identification, such as `facebank.FaceBank.identification`; the gallery may change.
    """

    def __init__(self, engine: Engine, identification: Callable[[], Identification]) -> None:
        self._engine = engine
        self._identification = identification
        self._tracker = Tracker(engine.thresholds.verify, _ABSENCE)
        self._visitors: dict[int, Visitor] = {}
        self._labels = _LabelPool(clustering_thresholds(engine.thresholds).linked)
        self._counts: dict[int, int] = {}
        self.summary = WatchSummary()

    @property
    def visitors(self) -> tuple[Visitor, ...]:
        """The visitors who are present, in the order of arrival."""
        return tuple(self._visitors.values())

    def analyze(self, frame: Frame) -> Iterator[tuple[VisitorChange, Visitor]]:
        """Analyze the next frame, and yield the changes."""
        (analyzed,) = self._engine.analyzer.analyze([DecodedPhoto("", frame.pixels, "", True, None)])
        self.summary.frames += 1
        yield from self._departures(self._tracker.follow(frame.time, frame.shot, analyzed.faces))
        current = [track for track in self._tracker.live if track.last.time == frame.time]
        for track in current:
            self._counts[track.number] = self._counts.get(track.number, 0) + 1
        identities = self._identify() if any(map(self._is_identifiable, current)) else {}
        for track in current:
            if track.number in identities:
                yield from self._update_visitor(track, identities[track.number], frame)
            track.trim(_MAX_SIGHTINGS)

    def pass_time(self, now: float) -> Iterator[tuple[VisitorChange, Visitor]]:
        """Advance the time without a frame, and yield the departures of visitors not seen for three seconds."""
        if all(now - track.last.time > _ABSENCE for track in self._tracker.live):
            yield from self.end()

    def end(self) -> Iterator[tuple[VisitorChange, Visitor]]:
        """Yield all visitors as left."""
        yield from self._departures(self._tracker.finish())

    def _is_identifiable(self, track: Track) -> bool:
        has_sightings = self._counts[track.number] >= _MIN_SIGHTINGS
        return has_sightings and track.last.time - track.begun >= _MIN_SECONDS

    def _identify(self) -> dict[int, Identity]:
        """Return the identities of the live tracks with enough sightings, by track number."""
        tracks = [track for track in self._tracker.live if self._is_identifiable(track)]
        identities = identify_tracks([track.faces for track in tracks], self._identification, group_tracks(tracks))
        return {track.number: identity for track, identity in zip(tracks, identities, strict=True)}

    def _update_visitor(
        self, track: Track, identity: Identity, frame: Frame
    ) -> Iterator[tuple[VisitorChange, Visitor]]:
        count = self._counts[track.number]
        visitor = self._visitors.get(track.number)
        if visitor is None:
            visitor = Visitor(track, self._label(track, identity), identity, count, frame)
            self._visitors[track.number] = visitor
            yield VisitorChange.CAME, visitor
            return
        is_changed = identity.person != visitor.identity.person
        visitor.identity, visitor.sightings, visitor.frame = identity, count, frame
        if is_changed:
            visitor.label = self._label(track, identity)
            yield VisitorChange.CHANGED, visitor

    def _departures(self, ended: list[Track]) -> Iterator[tuple[VisitorChange, Visitor]]:
        for track in ended:
            self._counts.pop(track.number, None)
            visitor = self._visitors.pop(track.number, None)
            if visitor is None:
                continue
            person, people = visitor.identity.person, self.summary.people
            if person is None:
                self.summary.strangers += 1
            else:
                people[person] = people.get(person, 0.0) + visitor.seconds
            yield VisitorChange.LEFT, visitor

    def _label(self, track: Track, identity: Identity) -> str:
        if identity.person is not None:
            return identity.person
        taken = {visitor.label for visitor in self._visitors.values()}
        word = "stranger" if identity.decision is Decision.UNKNOWN else "uncertain"
        is_good = track.best.face.quality >= (1 + self._engine.thresholds.minimum_quality) / 2
        return self._labels.label(word, track.mean if is_good else None, taken)


class _LabelPool:
    """Numbered labels for people without a name; a returning person with faces of good quality gets the same one."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._last: dict[str, int] = {}
        self._embeddings: dict[str, FloatArray] = {}

    def label(self, word: str, embedding: FloatArray | None, taken: set[str]) -> str:
        """Return the label of the absent person whose mean embedding is most similar, else a new one."""
        if embedding is not None:
            labels = [label for label in self._embeddings if label.startswith(word) and label not in taken]
            similarities = [float(self._embeddings[label] @ embedding) for label in labels]
            if similarities and max(similarities) >= self._threshold:
                return labels[int(np.argmax(similarities))]
        self._last[word] = self._last.get(word, 0) + 1
        label = f"{word} {self._last[word]}"
        if embedding is not None:
            self._embeddings[label] = embedding
            if len(self._embeddings) > _MAX_STRANGERS:
                del self._embeddings[next(iter(self._embeddings))]
        return label


def watch(
    engine: Engine,
    identification: Callable[[], Identification],
    live: LiveVideo,
    on_change: Callable[[VisitorChange, Visitor], None],
    on_frame: Callable[[Watch], None] | None = None,
    *,
    rate: float = 5.0,
    seconds: float | None = None,
) -> WatchSummary:
    """Report arriving and leaving visitors until the source ends, the time limit is reached, or Ctrl-C is pressed.

    Parameters
    ----------
    engine, identification
        See `Watch`.
    live
        The open source of frames.
    on_change
        Called with each change, including the departures at the end.
    on_frame
        Called after each analyzed frame, and about every half second without one.
    rate
        Maximum number of analyzed frames per second.
    seconds
        Time limit in seconds; None for no limit.

    Returns
    -------
    WatchSummary
        The summary, also after Ctrl-C.
    """
    watching = Watch(engine, identification)
    due = 0.0
    try:
        while not live.has_ended and (seconds is None or live.now < seconds):
            live.pause(due - live.now)
            frame = live.newest()
            if frame is not None:
                due = max(due + 1 / rate, frame.time)
            for change, visitor in watching.pass_time(live.now) if frame is None else watching.analyze(frame):
                on_change(change, visitor)
            if on_frame is not None:
                on_frame(watching)
    except KeyboardInterrupt:
        pass  # the usual end of a watch
    for change, visitor in watching.end():
        on_change(change, visitor)
    return watching.summary
