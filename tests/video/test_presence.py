"""Presence of known people for arriving, changing and leaving tracks."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from facebank.media.video import Frame
from facebank.types import Decision, Face, Identity, Quality, Reason
from facebank.video.presence import PresenceEvent, PresenceTracker
from facebank.video.watch import Visitor, VisitorChange
from facebank.vision.tracking import Sighting, Track

START = datetime(2030, 1, 1, tzinfo=UTC)
FRAME = Frame(0.0, 0, np.zeros((100, 100, 3), dtype=np.uint8))
FACE = Face(
    np.asarray([10, 10, 60, 60], dtype=np.float32),
    np.zeros((5, 2), dtype=np.float32),
    0.9,
    Quality(1.0, 1.0, 1.0, 1.0),
    np.full(4, 0.5, dtype=np.float32),
)


def make_visitor(number: int, person: str | None, decision: Decision = Decision.KNOWN) -> Visitor:
    reason = Reason.MATCH if decision is Decision.KNOWN else Reason.BELOW_THRESHOLD
    identity = Identity(decision, reason, person, 0.5, 0.9, ())
    return Visitor(Track(number, 0, [Sighting(0.0, FACE)]), person or "stranger 1", identity, 3, FRAME)


class PresenceRecorder:
    """Passes visitor changes, a second apart, and records the events."""

    def __init__(self, *, thumbnails: bool = False) -> None:
        self.tracker = PresenceTracker("door", thumbnails=thumbnails)
        self.events: list[PresenceEvent] = []
        self.now = START

    def __call__(self, change: VisitorChange, visitor: Visitor) -> list[tuple[str, str]]:
        self.now += timedelta(seconds=1)
        events = self.tracker.update(change, visitor, self.now)
        self.events += events
        return [(event.change.value, event.person) for event in events]


def test_arrivals_and_departures_are_events() -> None:
    recorder = PresenceRecorder()
    assert recorder(VisitorChange.CAME, make_visitor(1, "Ada")) == [("came", "Ada")]
    assert recorder(VisitorChange.CAME, make_visitor(2, "Grace")) == [("came", "Grace")]
    assert recorder(VisitorChange.LEFT, make_visitor(1, "Ada")) == [("left", "Ada")]
    assert recorder.events[-1].seconds == 2
    assert (recorder.events[-1].similarity, recorder.events[-1].probability) == (0.5, 0.9)


@pytest.mark.parametrize("decision", [Decision.UNKNOWN, Decision.UNCERTAIN])
@pytest.mark.parametrize("person", [None, "Ada"])
def test_unknown_and_uncertain_faces_cause_no_events(decision: Decision, person: str | None) -> None:
    recorder = PresenceRecorder(thumbnails=True)
    for change in VisitorChange:
        assert recorder(change, make_visitor(1, person, decision)) == []


def test_a_changed_decision_is_a_departure() -> None:
    recorder = PresenceRecorder()
    recorder(VisitorChange.CAME, make_visitor(1, "Ada"))
    uncertain = make_visitor(1, None, Decision.UNCERTAIN)
    uncertain.identity = replace(uncertain.identity, similarity=0.1, probability=0.2)
    assert recorder(VisitorChange.CHANGED, uncertain) == [("left", "Ada")]
    assert recorder.events[-1].probability == 0.9
    assert recorder(VisitorChange.CHANGED, make_visitor(1, "Grace")) == [("came", "Grace")]
    assert recorder(VisitorChange.CHANGED, make_visitor(1, "Ada")) == [("left", "Grace"), ("came", "Ada")]


def test_a_person_with_two_tracks_leaves_with_the_last() -> None:
    recorder = PresenceRecorder()
    recorder(VisitorChange.CAME, make_visitor(1, "Ada"))
    assert recorder(VisitorChange.CAME, make_visitor(2, "Ada")) == []
    assert recorder(VisitorChange.LEFT, make_visitor(1, "Ada")) == []
    assert recorder(VisitorChange.LEFT, make_visitor(2, "Ada")) == [("left", "Ada")]


def test_thumbnails_are_included_on_request() -> None:
    for thumbnails in (False, True):
        recorder = PresenceRecorder(thumbnails=thumbnails)
        recorder(VisitorChange.CAME, make_visitor(1, "Ada"))
        recorder(VisitorChange.LEFT, make_visitor(1, "Ada"))
        came, left = recorder.events
        assert (came.thumbnail is not None) == thumbnails
        assert left.thumbnail is None
        if came.thumbnail is not None:
            with Image.open(io.BytesIO(came.thumbnail)) as picture:
                assert picture.format == "JPEG"
                assert max(picture.size) <= 128
