"""An MQTT connection that reconnects when lost, and republishes all retained state.

The newest payload of each retained topic is kept in a table, which changes while the broker is unavailable; every new
connection publishes all of it: messages do not queue up, and a broker that lost its state receives it again. Messages
that are not retained describe a moment, and are discarded while the broker is unavailable.
"""

from __future__ import annotations

import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from facebank.errors import MissingDependencyError, UsageError
from facebank.media.live import Timeouts
from facebank.storage.text import printable
from facebank.video.delivery import DeliveryLog, read_address

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

ONLINE, OFFLINE = b"online", b"offline"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MAX_PREFIX = 200  # bytes
_FORM = "write it as mqtt://USER:PASSWORD@HOST:PORT, in user and password %40 for @, %2F for /, %3F for ?, %23 for #"
_POLL_INTERVAL = 0.1  # seconds between checks for messages to send
_KEEPALIVE = 20  # seconds; a silently lost broker is detected in less than twice this
_SUBSCRIPTION_DELAY = 0.3  # seconds within which a broker sends the subscribed retained messages
_MIN_STEADY = 10.0  # seconds; a shorter connection does not count as recovery
_CLOSE_TIMEOUT = 3.0  # seconds to deliver the last states
_MAX_IN_FLIGHT = 20
_MAX_EVENTS = 100
_MAX_INHERITED = 1000
_TIMEOUTS = Timeouts(first_pause=1.0, longest_pause=30.0, timeout=10.0)


@dataclass(frozen=True, slots=True)
class Broker:
    """An MQTT broker."""

    host: str
    port: int
    is_encrypted: bool
    user: str | None = field(repr=False)  # None to connect without one
    password: str | None = field(repr=False)  # None without a user, or for a user without one
    prefix: str  # first part of all topics
    label: str  # name in messages, without secrets


def parse_broker(text: str, password: str | None = None) -> Broker:
    """Return the broker for an address ``mqtt://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX]``, or ``@FILE`` to read it.

    Raises `UsageError` (an invalid address; messages contain only its scheme) or `MissingDependencyError` (the extra
    `mqtt` is not installed).

    Parameters
    ----------
    text
        The address, or ``@`` and the path of a file with the address in its first line. ``mqtts`` is encrypted.
    password
        The password if the address has a user without one.
    """
    address = read_address(text, "the MQTT broker")
    try:
        parts = urlsplit(address)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise UsageError(f"the broker's address is invalid: {_FORM}") from error
    if parts.scheme not in _PORTS:
        raise UsageError(
            f"a broker's address must begin with mqtt:// or mqtts://, not {printable(parts.scheme) or 'a word'}"
        )
    if not host or port == 0:
        raise UsageError(f"the broker's address needs a host: {_FORM}")
    if parts.query or parts.fragment or "@" in parts.path or address.endswith(("?", "#")):
        raise UsageError(f"the broker's address has an @, ? or # after its host: {_FORM}")
    _check_installed()
    user = None if parts.username is None else unquote(parts.username)
    if parts.password is not None:
        password = unquote(parts.password)
        if not user:
            raise UsageError("the broker's address has a password but no user: write it as mqtt://USER:PASSWORD@HOST")
    if not user:
        password = None
    if any(len(part.encode()) > 65535 for part in (user or "", password or "")):
        raise UsageError("the broker's user or password is longer than MQTT allows, 65,535 bytes: use a shorter one")
    path = unquote(parts.path.strip("/"))
    prefix = topic_prefix(path, "the topics' prefix after the broker's host") if path else "facebank"
    label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Broker(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user or None, password, prefix, label)


def topic_prefix(text: str, label: str) -> str:
    """Return a valid topic prefix; raises `UsageError` for other text. `label` is its name in messages."""
    if not text or not text.isprintable() or re.search(r"[+#]|^[$/]|//|/$", text) or len(text.encode()) > _MAX_PREFIX:
        raise UsageError(
            f"{label} must be words separated by /, without + and #, not beginning with $, at most "
            f"{_MAX_PREFIX} bytes long"
        )
    return text


def _check_installed() -> None:
    try:
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: F401 - exists from version 2 on
    except ImportError as error:
        raise MissingDependencyError(
            "the library for MQTT, paho-mqtt 2, is not installed: python -m pip install 'facebank[mqtt]'"
        ) from error


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _Socket
    return context


class _Socket(ssl.SSLSocket):
    """A TLS socket that closes when its handshake fails, which the MQTT library does not do."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


@dataclass(slots=True)
class _Session:
    """The state of one connection, set by its callbacks."""

    began: float = field(default_factory=time.monotonic)
    is_accepted: bool = False
    refusal: str | None = None  # reason that the broker gave for refusing the connection; None if it did not
    subscribed_at: float | None = None  # seconds of the monotonic clock; None until the broker has confirmed
    is_ready: bool = False
    messages: dict[str, bytes] = field(default_factory=dict)
    in_flight: int = 0


class MqttConnection:
    """Publishes to a broker in a background thread; only `close` waits for the broker.

    Parameters
    ----------
    broker
        The broker, from `parse_broker`.
    client_id
        Client ID, constant for a camera, so that the broker closes a stale connection.
    availability
        Topic for ``online`` and ``offline``; the latter is also the last will.
    inherited
        Topics, with wildcards, whose retained messages belong to this client, including earlier runs.
    on_inherited
        Called with these messages after each connection, before publishing.
    on_status
        Called with a message when the broker becomes unavailable or available again.
    timeouts
        Timeouts, and pauses before reconnecting.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        availability: str,
        *,
        inherited: tuple[str, ...],
        on_inherited: Callable[[dict[str, bytes]], None],
        on_status: Callable[[str], None],
        timeouts: Timeouts = _TIMEOUTS,
    ) -> None:
        self.log = DeliveryLog(f"the MQTT broker at {broker.label}", on_status)
        self._broker = broker
        self._client_id = client_id
        self._availability = availability
        self._inherited = inherited
        self._on_inherited = on_inherited
        self._timeouts = timeouts
        self._lock = Lock()
        self._retained: dict[str, bytes] = {}
        self._due: dict[str, tuple[bytes, ...]] = {}
        self._events: deque[tuple[str, bytes]] = deque()
        self._is_ready = False
        self._is_available = True
        self._was_lost = self._is_flapping = False  # whether connections keep getting lost
        self._closing = Event()
        self._close_by = 0.0
        self._context = _tls_context() if broker.is_encrypted else None
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Start connecting in the background."""
        self._thread.start()

    def retain(self, topic: str, payload: bytes, before: bytes | None = None) -> None:
        """Publish a retained message, now or on the next connection; an empty one removes the topic.

        Parameters
        ----------
        topic, payload
            The new state; no-op if unchanged.
        before
            A payload to publish once, directly before.
        """
        with self._lock:
            if self._retained.get(topic) == payload and before is None:
                return
            if payload:
                self._retained[topic] = payload
            else:
                self._retained.pop(topic, None)
            self._due[topic] = (payload,) if before is None else (before, payload)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish a message that is not retained; discarded without a connection."""
        with self._lock:
            if self._is_ready and len(self._events) < _MAX_EVENTS:
                self._events.append((topic, payload))
                return
        self.log.drop()

    def publish_availability(self, is_available: bool) -> None:
        """Publish whether this client counts as online; it may be connected but offline."""
        with self._lock:
            self._is_available = is_available
            if self._is_ready:
                self._due[self._availability] = (ONLINE if is_available else OFFLINE,)

    def close(self) -> None:
        """Deliver the last states, for a few seconds at most, publish ``offline``, and disconnect."""
        self._close_by = time.monotonic() + _CLOSE_TIMEOUT
        self._closing.set()
        self._thread.join(_CLOSE_TIMEOUT + 1)

    def _run(self) -> None:
        pause = self._timeouts.first_pause
        while True:
            session = _Session()
            reason = self._connect_session(session)
            with self._lock:
                self._is_ready = False
                lost = len(self._events)
                self._events.clear()
            self.log.drop(lost)
            if reason is None:
                return
            self.log.fail(self._end_reason(session, reason))
            if time.monotonic() - session.began > self._timeouts.longest_pause:
                pause = self._timeouts.first_pause
            if self._closing.wait(pause):
                return
            pause = min(2 * pause, self._timeouts.longest_pause)

    def _end_reason(self, session: _Session, reason: str) -> str:
        """Record the end of a connection, and return the reason to report, which differs if it recurs."""
        if not session.is_accepted:
            return reason
        is_short = time.monotonic() - session.began < _MIN_STEADY
        self._is_flapping = is_short and (self._is_flapping or self._was_lost)
        self._was_lost = True
        if self._is_flapping:
            return "the connection keeps getting lost; is another facebank watch running with this camera name?"
        return reason

    def _connect_session(self, session: _Session) -> str | None:
        """Connect and serve the connection, and return the reason for its end, None if closed."""
        client = self._make_client(session)
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=_KEEPALIVE)
            return self._run_session(client, session)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted ({error.verify_message})"
        except ssl.SSLError:
            return "it does not support TLS on this port"
        except TimeoutError:
            return "it does not answer in time"
        except (OSError, ValueError) as error:
            strerror = getattr(error, "strerror", None)
            return f"it cannot be reached{f' ({strerror})' if isinstance(strerror, str) else ''}"

    def _make_client(self, session: _Session) -> Client:
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=MQTTv311, reconnect_on_failure=False)
        client.connect_timeout = self._timeouts.timeout
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._context is not None:
            client.tls_set_context(self._context)
        client.will_set(self._availability, OFFLINE, qos=1, retain=True)

        def on_connect(client: Client, _: object, __: ConnectFlags, reason: ReasonCode, ___: Properties | None) -> None:
            if reason.is_failure:
                session.refusal = f"it refuses the connection ({printable(str(reason))})"
            else:
                session.is_accepted = True
                client.subscribe([(topic, 1) for topic in self._inherited])

        def on_subscribe(*_: Any) -> None:
            session.subscribed_at = time.monotonic()

        def on_message(_: Client, __: object, message: MQTTMessage) -> None:
            if message.retain and not session.is_ready and len(session.messages) < _MAX_INHERITED:
                session.messages[message.topic] = bytes(message.payload)

        def on_publish(*_: Any) -> None:
            session.in_flight -= 1
            self.log.succeed(recovers=not self._is_flapping)

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message, client.on_publish = on_message, on_publish
        return client

    def _run_session(self, client: Client, session: _Session) -> str | None:
        answer_by = time.monotonic() + self._timeouts.timeout
        while True:
            code = client.loop(_POLL_INTERVAL)
            if session.refusal is not None:
                return session.refusal
            if code:
                return "the connection was lost"
            now = time.monotonic()
            if session.subscribed_at is not None and now - session.subscribed_at > _SUBSCRIPTION_DELAY:
                self._advance_session(client, session, now)
                if self._closing.is_set() and (self._is_delivered(session) or now > self._close_by):
                    self._disconnect(client, session)
                    return None
            elif now > answer_by:
                return "it does not answer in time"
            elif self._closing.is_set() and now > self._close_by:
                return None

    def _advance_session(self, client: Client, session: _Session, now: float) -> None:
        if not session.is_ready:
            self._start_publishing(client, session)
        if self._was_lost and now - session.began > _MIN_STEADY:
            self._was_lost = self._is_flapping = False
            self.log.succeed(0)
        self._publish(client, session)

    def _start_publishing(self, client: Client, session: _Session) -> None:
        """Mark all retained messages for publishing, the availability last."""
        client.unsubscribe(list(self._inherited))
        self._on_inherited(session.messages)
        with self._lock:
            self._due = {**{topic: (payload,) for topic, payload in self._retained.items()}, **self._due}
            self._due[self._availability] = (ONLINE if self._is_available else OFFLINE,)
            self._is_ready = session.is_ready = True

    def _publish(self, client: Client, session: _Session) -> None:
        with self._lock:
            while self._due and session.in_flight < _MAX_IN_FLIGHT:
                topic = next(iter(self._due))
                for payload in self._due.pop(topic):
                    session.in_flight += 1
                    client.publish(topic, payload, qos=1, retain=True)
            while self._events and session.in_flight < _MAX_IN_FLIGHT:
                session.in_flight += 1
                client.publish(*self._events.popleft(), qos=1)

    def _is_delivered(self, session: _Session) -> bool:
        with self._lock:
            return not self._due and not self._events and not session.in_flight

    def _disconnect(self, client: Client, session: _Session) -> None:
        session.in_flight += 1
        client.publish(self._availability, OFFLINE, qos=1, retain=True)
        while session.in_flight and time.monotonic() < self._close_by + 0.5:
            if client.loop(_POLL_INTERVAL):
                return
        client.disconnect()
        client.loop(0)
