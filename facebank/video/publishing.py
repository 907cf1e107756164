"""Publishing of presence events to an MQTT broker, a webhook or both, if configured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.media.live import StreamChange
from facebank.storage.text import printable
from facebank.video.delivery import Deliveries
from facebank.video.home_assistant import DISCOVERY_PREFIX, HomePublisher
from facebank.video.mqtt import Broker, parse_broker, topic_prefix
from facebank.video.presence import PresenceTracker
from facebank.video.webhook import Webhook, WebhookPublisher, parse_webhook

if TYPE_CHECKING:
    from typing import Self

    from facebank.gallery import Gallery
    from facebank.video.watch import Visitor, VisitorChange

_REFRESH_INTERVAL = 5.0  # seconds between checks of the enrolled people
_MAX_CAMERA = 200  # characters


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """The configuration of publishing.

    Attributes
    ----------
    mqtt, webhook
        The receivers, or None.
    camera
        The camera's name in topics and messages.
    thumbnails
        Whether arrivals include a thumbnail of the face.
    announce_all
        Whether all enrolled people get a sensor at the start, instead of on first recognition.
    discovery
        Home Assistant's prefix for discovery.
    """

    mqtt: Broker | None
    webhook: Webhook | None
    camera: str
    thumbnails: bool = False
    announce_all: bool = False
    discovery: str = DISCOVERY_PREFIX


def plan_publishing(
    mqtt: str | None,
    webhook_address: str | None,
    label: str,
    *,
    camera: str | None = None,
    password: str | None = None,
    thumbnails: bool = False,
    announce_all: bool = False,
    discovery: str = DISCOVERY_PREFIX,
) -> PublishPlan:
    """Return the configuration of publishing for addresses as typed.

    Raises `UsageError` (an invalid address or camera name; messages never contain secrets of an address) or
    `MissingDependencyError` (a broker is given and the extra `mqtt` is not installed).

    Parameters
    ----------
    mqtt, webhook_address
        Addresses for `parse_broker` and `parse_webhook`, or None.
    label
        Name of the source in messages; the default name of the camera.
    camera, thumbnails, announce_all, discovery
        See `PublishPlan`.
    password
        Password of the broker if the address has a user without one.
    """
    if camera is None:
        camera = label[:_MAX_CAMERA]
    if not isinstance(camera, str) or not camera.strip() or len(camera) > _MAX_CAMERA:
        raise UsageError(f"a camera's name must have 1 to {_MAX_CAMERA} characters, not {printable(repr(camera))}")
    broker = None if mqtt is None else parse_broker(mqtt, password)
    webhook = None if webhook_address is None else parse_webhook(webhook_address)
    topics = topic_prefix(discovery, "the discovery prefix")
    return PublishPlan(broker, webhook, camera, thumbnails, announce_all, topics)


class Publishing:
    """Publishes the events of a watch. Use ``with`` to open and close it. Calls never wait for another machine.

    Parameters
    ----------
    plan
        The configuration.
    gallery
        Returns the open gallery; people forgotten during the watch are removed from the broker.
    on_status
        Called with a message, in other threads, when delivery fails and when it recovers.
    """

    def __init__(self, plan: PublishPlan, gallery: Callable[[], Gallery], on_status: Callable[[str], None]) -> None:
        self._presence = PresenceTracker(plan.camera, thumbnails=plan.thumbnails)
        self._gallery = gallery
        self._revision = -1
        self._refresh_at = 0.0
        self._home = self._webhook = None
        if plan.mqtt is not None:
            self._home = HomePublisher(
                plan.mqtt,
                plan.camera,
                self._changed_names() or (),
                on_status,
                announce_all=plan.announce_all,
                discovery=plan.discovery,
            )
        if plan.webhook is not None:
            self._webhook = WebhookPublisher(plan.webhook, on_status)

    def __enter__(self) -> Self:
        for publisher in self._publishers:
            publisher.start()
        return self

    def __exit__(self, *_: object) -> None:
        closing = [Thread(target=publisher.close, daemon=True) for publisher in self._publishers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    @property
    def mqtt(self) -> Deliveries | None:
        """Counts of messages to the broker, or None."""
        return None if self._home is None else self._home.log.deliveries

    @property
    def webhook(self) -> Deliveries | None:
        """Counts of events for the webhook, or None."""
        return None if self._webhook is None else self._webhook.log.deliveries

    def wrap(self, on_change: Callable[[VisitorChange, Visitor], None]) -> Callable[[VisitorChange, Visitor], None]:
        """Return a callback for visitor changes that calls `on_change`, then publishes presence events."""

        def publish(change: VisitorChange, visitor: Visitor) -> None:
            on_change(change, visitor)
            for event in self._presence.update(change, visitor, datetime.now().astimezone()):
                for publisher in self._publishers:
                    publisher.publish(event)

        return publish

    def publish_stream_change(self, change: StreamChange) -> None:
        """Publish that the camera is lost, or available again."""
        if self._home is not None:
            self._home.publish_availability(change is StreamChange.RESUMED)

    def refresh(self) -> None:
        """Check, every few seconds, whether the enrolled people have changed."""
        if self._home is not None and time.monotonic() >= self._refresh_at:
            names = self._changed_names()
            if names is not None:
                self._home.enroll(names)

    @property
    def _publishers(self) -> tuple[HomePublisher | WebhookPublisher, ...]:
        return tuple(publisher for publisher in (self._home, self._webhook) if publisher is not None)

    def _changed_names(self) -> list[str] | None:
        """Return the names of all enrolled people; None if unchanged."""
        self._refresh_at = time.monotonic() + _REFRESH_INTERVAL
        gallery = self._gallery()
        revision = gallery.revision
        if revision == self._revision:
            return None
        self._revision = revision
        return list(gallery.names().values())
