"""Presence events of enrolled people, derived only from decisions ``known``."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from facebank.types import Decision
from facebank.video.watch import VisitorChange

if TYPE_CHECKING:
    from facebank.video.watch import Visitor


class PresenceChange(StrEnum):
    """What happened to a person: arrival or departure."""

    CAME = "came"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class PresenceEvent:
    """The arrival or departure of a person at a camera.

    Attributes
    ----------
    change
        Whether the person came or left.
    person
        The person's name.
    camera
        The camera's name.
    at
        Time of the change, with a time zone.
    similarity
        Similarity of the decision at arrival.
    probability
        Probability of the decision at arrival; None without a calibration.
    seconds
        Time since the arrival in seconds; 0 for an arrival.
    thumbnail
        The face as a small JPEG; None unless requested, and for departures.
    """

    change: PresenceChange
    person: str
    camera: str
    at: datetime
    similarity: float | None
    probability: float | None
    seconds: float = 0.0
    thumbnail: bytes | None = None

    def record(self) -> dict[str, object]:
        """Return the event as a JSON object (schema ``presence``)."""
        return {
            "event": self.change.value,
            "person": self.person,
            "camera": self.camera,
            "at": self.at.isoformat(timespec="milliseconds"),
            "similarity": self.similarity,
            "probability": self.probability,
            "seconds": round(self.seconds, 3),
            "thumbnail": None if self.thumbnail is None else b64encode(self.thumbnail).decode("ascii"),
        }


class PresenceTracker:
    """Derives the arrival of a person's first face and the departure of the last from the changes of visitors.

    Faces with decision ``unknown`` or ``uncertain`` cause no events; a change to these counts as a departure.

    Parameters
    ----------
    camera
        Name of the camera.
    thumbnails
        Whether arrivals include a thumbnail of the face.
    """

    def __init__(self, camera: str, *, thumbnails: bool = False) -> None:
        self._camera = camera
        self._thumbnails = thumbnails
        self._people: dict[int, str] = {}  # by track number
        self._arrivals: dict[str, PresenceEvent] = {}

    def update(self, change: VisitorChange, visitor: Visitor, at: datetime) -> list[PresenceEvent]:
        """Return the presence events of one change of a visitor."""
        before = self._people.pop(visitor.track.number, None)
        after = None if change is VisitorChange.LEFT else _known_person(visitor)
        if after is not None:
            self._people[visitor.track.number] = after
        events = []
        present = set(self._people.values())
        if before is not None and before not in present:
            events.append(self._record_departure(before, at))
        if after is not None and after not in self._arrivals:
            events.append(self._record_arrival(after, visitor, at))
        return events

    def _record_arrival(self, person: str, visitor: Visitor, at: datetime) -> PresenceEvent:
        identity = visitor.identity
        self._arrivals[person] = PresenceEvent(
            PresenceChange.CAME,
            person,
            self._camera,
            at,
            identity.similarity,
            identity.probability,
            thumbnail=visitor.thumbnail() if self._thumbnails else None,
        )
        return self._arrivals[person]

    def _record_departure(self, person: str, at: datetime) -> PresenceEvent:
        arrival = self._arrivals.pop(person)
        seconds = max(0.0, (at - arrival.at).total_seconds())
        return PresenceEvent(
            PresenceChange.LEFT, person, self._camera, at, arrival.similarity, arrival.probability, seconds=seconds
        )


def _known_person(visitor: Visitor) -> str | None:
    identity = visitor.identity
    return identity.person if identity.decision is Decision.KNOWN else None
