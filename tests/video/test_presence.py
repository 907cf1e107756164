"""Presence: who is there of those who are known, whatever tracks come, change and go."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from facebank.media.video import Frame
from facebank.types import Decision, Face, Identity, Quality, Reason
from facebank.video.presence import PresenceEvent, PresentPeople
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


def visitor(number: int, person: str | None, decision: Decision = Decision.KNOWN) -> Visitor:
    reason = Reason.MATCH if decision is Decision.KNOWN else Reason.BELOW_THRESHOLD
    identity = Identity(decision, reason, person, 0.5, 0.9, ())
    return Visitor(Track(number, 0, [Sighting(0.0, FACE)]), person or "stranger 1", identity, 3, FRAME)


class Told:
    """Follows news, a second apart, and keeps what is told."""

    def __init__(self, *, thumbnails: bool = False) -> None:
        self.people = PresentPeople("door", thumbnails=thumbnails)
        self.events: list[PresenceEvent] = []
        self.now = START

    def __call__(self, news: VisitorChange, who: Visitor) -> list[tuple[str, str]]:
        self.now += timedelta(seconds=1)
        events = self.people.follow(news, who, self.now)
        self.events += events
        return [(event.change.value, event.person) for event in events]


def test_people_come_and_leave() -> None:
    told = Told()
    assert told(VisitorChange.CAME, visitor(1, "Ada")) == [("came", "Ada")]
    assert told(VisitorChange.CAME, visitor(2, "Grace")) == [("came", "Grace")]
    assert told(VisitorChange.LEFT, visitor(1, "Ada")) == [("left", "Ada")]
    assert told.events[-1].seconds == 2
    assert (told.events[-1].similarity, told.events[-1].probability) == (0.5, 0.9)


@pytest.mark.parametrize("decision", [Decision.UNKNOWN, Decision.UNCERTAIN])
@pytest.mark.parametrize("person", [None, "Ada"])
def test_who_is_not_known_is_not_told(decision: Decision, person: str | None) -> None:
    told = Told(thumbnails=True)
    for news in VisitorChange:
        assert told(news, visitor(1, person, decision)) == []


def test_who_is_known_no_more_has_left_and_is_told_with_the_numbers_of_before() -> None:
    told = Told()
    told(VisitorChange.CAME, visitor(1, "Ada"))
    doubtful = visitor(1, None, Decision.UNCERTAIN)
    doubtful.identity = replace(doubtful.identity, similarity=0.1, probability=0.2)
    assert told(VisitorChange.CHANGED, doubtful) == [("left", "Ada")]
    assert told.events[-1].probability == 0.9
    assert told(VisitorChange.CHANGED, visitor(1, "Grace")) == [("came", "Grace")]
    assert told(VisitorChange.CHANGED, visitor(1, "Ada")) == [("left", "Grace"), ("came", "Ada")]


def test_a_person_of_two_faces_is_there_until_the_last_one_goes() -> None:
    told = Told()
    told(VisitorChange.CAME, visitor(1, "Ada"))
    assert told(VisitorChange.CAME, visitor(2, "Ada")) == []
    assert told(VisitorChange.LEFT, visitor(1, "Ada")) == []
    assert told(VisitorChange.LEFT, visitor(2, "Ada")) == [("left", "Ada")]


def test_faces_are_in_events_only_if_asked_for() -> None:
    for wanted in (False, True):
        told = Told(thumbnails=wanted)
        told(VisitorChange.CAME, visitor(1, "Ada"))
        told(VisitorChange.LEFT, visitor(1, "Ada"))
        came, left = told.events
        assert (came.thumbnail is not None) == wanted
        assert left.thumbnail is None
        if came.thumbnail is not None:
            with Image.open(io.BytesIO(came.thumbnail)) as picture:
                assert picture.format == "JPEG"
                assert max(picture.size) <= 128
