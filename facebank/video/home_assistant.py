"""Presence of people in Home Assistant over MQTT discovery: one device per camera, one sensor per person.

Topics, where PREFIX is the broker's, and CAMERA and PERSON are encoded by `topic_word`::

    PREFIX/CAMERA/availability         online or offline (the last will), retained
    PREFIX/CAMERA/person/PERSON        state ON or OFF, retained
    PREFIX/CAMERA/last_seen            the last person seen, retained
    PREFIX/CAMERA/event                one message for each arrival or departure
    homeassistant/device/.../config    the description of the device, retained (device discovery)
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from threading import RLock
from typing import TYPE_CHECKING

from facebank import __version__
from facebank.media.live import Timeouts
from facebank.storage.text import printable
from facebank.video.mqtt import MqttConnection
from facebank.video.presence import PresenceChange

if TYPE_CHECKING:
    from facebank.video.mqtt import Broker
    from facebank.video.presence import PresenceEvent

DISCOVERY_PREFIX = "homeassistant"
"""Home Assistant's default prefix for discovery."""

_PLAIN_WORD = re.compile(r"[a-z0-9]{1,40}")
_MAX_WORD, _MAX_NAME = 40, 100
_NOBODY: dict[str, object] = {"person": None, "at": None, "similarity": None, "probability": None}


def topic_word(name: str) -> str:
    """Return a name as one topic level: letters, digits and hyphens, at most 53, unique for each name.

    Names of lowercase letters and digits are unchanged; others become their readable part and a hash.

    Examples
    --------
    >>> topic_word("door")
    'door'
    >>> topic_word("Zoë +/#")
    'zoe-08e6ef67fb4c'
    """
    if _PLAIN_WORD.fullmatch(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_WORD].strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable or 'name'}-{digest}"


class HomePublisher:
    """Publishes the presence of people in front of a camera.

    A person has a sensor from the first recognition on, even if that was in an earlier run. Retained messages about
    people who are no longer enrolled are removed.

    Parameters
    ----------
    broker
        The broker, from `facebank.video.mqtt.parse_broker`.
    camera
        The camera's name.
    enrolled
        The names of the people of the gallery.
    on_status
        Called with a message when the broker becomes unavailable or available again.
    announce_all
        Whether all enrolled people get a sensor at the start.
    discovery
        Home Assistant's prefix for discovery.
    timeouts
        Timeouts and pauses; None for the defaults.
    """

    def __init__(
        self,
        broker: Broker,
        camera: str,
        enrolled: Iterable[str],
        on_status: Callable[[str], None],
        *,
        announce_all: bool = False,
        discovery: str = DISCOVERY_PREFIX,
        timeouts: Timeouts | None = None,
    ) -> None:
        word = topic_word(camera)
        self._lock = RLock()
        self._camera = camera
        self._base = f"{broker.prefix}/{word}"
        # derived from everything that distinguishes clients, because two with one ID disconnect each other
        self._device = f"facebank-{hashlib.sha256(self._base.encode()).hexdigest()[:14]}"
        self._discovery = f"{discovery}/device/{self._device}/config"
        self._announces_all = announce_all
        self._enrolled: dict[str, str] = {}
        self._sensors: dict[str, str] = {}  # names by topic word, of the published sensors
        self._last_seen: dict[str, object] = dict(_NOBODY)
        self._connection = MqttConnection(
            broker,
            self._device,
            f"{self._base}/availability",
            inherited=(f"{self._base}/person/+", f"{self._base}/last_seen"),
            on_inherited=self._adopt,
            on_status=on_status,
            **({} if timeouts is None else {"timeouts": timeouts}),
        )
        self.log = self._connection.log
        self.enroll(enrolled)

    def start(self) -> None:
        """Start connecting in the background."""
        self._connection.start()

    def close(self) -> None:
        """Deliver the last states, for a few seconds at most, and disconnect."""
        self._connection.close()

    def publish_availability(self, is_available: bool) -> None:
        """Publish whether the camera is available."""
        self._connection.publish_availability(is_available)

    def publish(self, event: PresenceEvent) -> None:
        """Publish an arrival or departure; returns immediately."""
        word = topic_word(event.person)
        state = {**event.record(), "state": "ON" if event.change is PresenceChange.CAME else "OFF"}
        del state["event"], state["thumbnail"], state["seconds"]
        with self._lock:
            if event.change is PresenceChange.LEFT and word not in self._enrolled:
                return  # forgotten in the meantime
            self._enrolled[word] = event.person
            self._connection.retain(f"{self._base}/person/{word}", _json(state))
            if word not in self._sensors:
                self._sensors[word] = event.person
                self._describe()
            if event.change is PresenceChange.CAME:
                self._publish_last_seen({key: state[key] for key in _NOBODY})
        self._connection.send(f"{self._base}/event", _json(event.record()))

    def enroll(self, names: Iterable[str]) -> None:
        """Update the enrolled names, and remove messages about people who are no longer enrolled from the broker."""
        with self._lock:
            self._enrolled = {topic_word(name): name for name in names}
            if self._announces_all:
                for word in self._enrolled:
                    self._add(word)
            self._remove([word for word in self._sensors if word not in self._enrolled])
            self._describe()

    def _add(self, word: str) -> None:
        if word not in self._sensors:
            self._sensors[word] = self._enrolled[word]
            state = {**_NOBODY, "person": self._enrolled[word], "camera": self._camera, "state": "OFF"}
            self._connection.retain(f"{self._base}/person/{word}", _json(state))

    def _remove(self, words: list[str]) -> None:
        for word in words:
            self._sensors.pop(word, None)
            self._connection.retain(f"{self._base}/person/{word}", b"")
        if words:
            self._describe(words)
        if self._last_seen["person"] not in (None, *self._enrolled.values()):
            self._publish_last_seen(_NOBODY)

    def _adopt(self, messages: dict[str, bytes]) -> None:
        """Adopt retained messages of an earlier run, and remove those about people who are not enrolled."""
        with self._lock:
            people = f"{self._base}/person/"
            words = [topic.removeprefix(people) for topic in messages if topic.startswith(people)]
            for word in words:
                if word in self._enrolled:
                    self._add(word)
            self._remove([word for word in words if word not in self._enrolled])
            if self._last_seen["person"] is None and f"{self._base}/last_seen" in messages:
                self._publish_last_seen(self._parse_last_seen(messages[f"{self._base}/last_seen"]))
            self._describe()

    def _parse_last_seen(self, payload: bytes) -> dict[str, object]:
        """Return the last person seen in an earlier run; an empty record for an invalid payload."""
        try:
            record = json.loads(payload)
            person, at = record["person"], record["at"]
            scores = {key: record[key] for key in ("similarity", "probability")}
        except (ValueError, KeyError, TypeError, RecursionError):
            return dict(_NOBODY)
        is_time = isinstance(at, str) and re.fullmatch(r"[0-9T:.+-]{19,40}", at) is not None
        are_scores = all(score is None or (isinstance(score, float) and abs(score) <= 1) for score in scores.values())
        if not (isinstance(person, str) and person in self._enrolled.values() and is_time and are_scores):
            return dict(_NOBODY)
        return {"person": person, "at": at, **scores}

    def _publish_last_seen(self, record: dict[str, object]) -> None:
        self._last_seen = dict(record)
        self._connection.retain(f"{self._base}/last_seen", _json({**record, "camera": self._camera}))

    def _describe(self, gone: Iterable[str] = ()) -> None:
        """Publish the device with its sensors; removed ones are listed once more without settings."""
        device = {
            "device": {
                "identifiers": [self._device],
                "name": _shorten(self._camera),
                "manufacturer": "facebank",
                "model": "facebank watch",
                "sw_version": __version__,
            },
            "origin": {"name": "facebank", "sw_version": __version__},
            "availability_topic": f"{self._base}/availability",
            "qos": 1,
        }
        last_seen = f"{self._base}/last_seen"
        sensors: dict[str, dict[str, str]] = {
            "last_seen": {
                "platform": "sensor",
                "unique_id": f"{self._device}-last-seen",
                "name": "Last seen person",
                "icon": "mdi:account-eye",
                "state_topic": last_seen,
                "value_template": "{{ value_json.person[:255] if value_json.person else None }}",
                "json_attributes_topic": last_seen,
            }
        }
        for word, name in sorted(self._sensors.items()):
            state = f"{self._base}/person/{word}"
            sensors[f"person-{word}"] = {
                "platform": "binary_sensor",
                "unique_id": f"{self._device}-{word}",
                "name": _shorten(name),
                "device_class": "occupancy",
                "state_topic": state,
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": state,
            }
        removed = {f"person-{word}": {"platform": "binary_sensor"} for word in gone}
        interim = _json({**device, "components": {**sensors, **removed}}) if removed else None
        self._connection.retain(self._discovery, _json({**device, "components": sensors}), interim)


def _shorten(text: str) -> str:
    """Return text as the name of an entity or device: one line of limited length."""
    name = printable(text)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def _json(record: dict[str, object]) -> bytes:
    return json.dumps(record, allow_nan=False).encode("ascii")
