"""Presence in Home Assistant with a real broker: topics, discovery, earlier runs, and lost connections."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import MissingDependencyError, UsageError
from facebank.media.live import Timeouts
from facebank.video.home_assistant import HomePublisher, topic_word
from facebank.video.mqtt import parse_broker, topic_prefix
from facebank.video.presence import PresenceChange, PresenceEvent
from tests.mqtt_broker import PASSWORD, USER, Mosquitto, Subscriber
from tests.waiting import wait_until

SHORT_TIMEOUTS = Timeouts(first_pause=0.05, longest_pause=0.2, timeout=5)
ODD_NAMES = [
    "Ada",
    "a/b",
    "a+b",
    "#",
    "+",
    "$SYS",
    "李 雷",
    "x" * 3000,
    "line\nbreak\x00\x1b[0m",
    "{{ states('x') }}",
    "..",
]


def make_event(person: str, change: PresenceChange = PresenceChange.CAME) -> PresenceEvent:
    return PresenceEvent(change, person, "door", datetime.now(UTC), 0.5, 0.9)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    running_broker = Mosquitto(tmp_path)
    yield running_broker
    running_broker.kill()


def make_publisher(
    broker: Mosquitto, names: list[str], notices: list[str] | None = None, *, announce_all: bool = False
) -> HomePublisher:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/home")
    notices = [] if notices is None else notices
    return HomePublisher(address, "door", names, notices.append, timeouts=SHORT_TIMEOUTS, announce_all=announce_all)


def test_states_events_and_the_device_are_published(broker: Mosquitto) -> None:
    publisher = make_publisher(broker, ["Ada Lovelace", "Grace"])
    with Subscriber(broker) as subscriber:
        publisher.start()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        person_topic = f"home/door/person/{topic_word('Ada Lovelace')}"
        publisher.publish(make_event("Ada Lovelace"))
        subscriber.wait(lambda: subscriber.topics("door/event"))
        publisher.publish(make_event("Ada Lovelace", PresenceChange.LEFT))
        publisher.close()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"offline")
        states = [message.json["state"] for message in subscriber.messages if message.topic == person_topic]
        assert states == ["ON", "OFF"]
        events = [message.json["event"] for message in subscriber.messages if message.topic == "home/door/event"]
        assert events == ["came", "left"]
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Ada Lovelace"
        assert not any(b"Grace" in message.payload for message in subscriber.messages)
    with Subscriber(broker) as new_subscriber:
        new_subscriber.wait(lambda: len(new_subscriber.messages) == 4)
        assert all(message.retained for message in new_subscriber.messages)
        assert new_subscriber.topics("event") == []
        (device_topic,) = new_subscriber.topics("homeassistant/device/")
        check_discovery(device_topic, json.loads(new_subscriber.state[device_topic]), set(new_subscriber.state))
    assert (publisher.log.deliveries.failures, publisher.log.deliveries.dropped) == (0, 0)


def check_discovery(topic: str, payload: dict[str, object], topics: set[str]) -> None:
    """Check a message against the rules of Home Assistant's device discovery."""
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    device, origin, components = payload["device"], payload["origin"], payload["components"]
    assert isinstance(device, dict)
    assert isinstance(origin, dict)
    assert isinstance(components, dict)
    assert device["identifiers"] == [topic.split("/")[2]]
    assert origin["name"] == "facebank"
    assert payload["availability_topic"] in topics
    assert len({component["unique_id"] for component in components.values()}) == len(components)
    platforms = {component["platform"] for component in components.values()}
    assert platforms == {"sensor", "binary_sensor"}
    for component in components.values():
        assert component["state_topic"] in topics
        assert component["value_template"].startswith("{{ value_json.")
        assert "\n" not in component["name"]
        assert 0 < len(component["name"]) <= 100


def test_the_whole_state_is_sent_to_a_restarted_broker(broker: Mosquitto) -> None:
    notices: list[str] = []
    publisher = make_publisher(broker, ["Ada", "Grace"], notices)
    publisher.start()
    wait_until(lambda: not notices and publisher.log.deliveries.delivered >= 2)
    publisher.publish(make_event("Ada"))
    broker.kill()
    wait_until(lambda: notices)
    publisher.publish(make_event("Grace"))
    publisher.publish(make_event("Ada", PresenceChange.LEFT))
    assert publisher.log.deliveries.dropped >= 2
    broker.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        people = {json.loads(subscriber.state[topic])["person"]: topic for topic in subscriber.topics("/person/")}
        states = {name: json.loads(subscriber.state[topic])["state"] for name, topic in people.items()}
        assert states == {"Ada": "OFF", "Grace": "ON"}
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Grace"
        assert not subscriber.topics("door/event")  # past events are not sent again
    publisher.close()
    lost_notice, *retry_notices, return_notice = notices
    assert len(retry_notices) <= 1  # connections may be refused while the broker is away
    assert lost_notice == f"the MQTT broker at mqtt://127.0.0.1:{broker.port}: {lost_notice.split(': ')[1]}"
    assert "watching continues" in lost_notice
    assert return_notice == f"the MQTT broker at mqtt://127.0.0.1:{broker.port} is available again"


def test_an_unreachable_broker_does_not_block(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.kill()
    notices: list[str] = []
    publisher = make_publisher(broker, [], notices)
    publisher.start()
    start_time = time.monotonic()
    for _ in range(500):
        publisher.publish(make_event("Ada"))
    assert time.monotonic() - start_time < 10  # seconds; a pause after each would take longer
    wait_until(lambda: publisher.log.deliveries.failures > 3)
    start_time = time.monotonic()
    publisher.close()
    assert time.monotonic() - start_time < 20
    assert len(notices) == 1
    assert "cannot be reached" in notices[0]
    assert publisher.log.deliveries.dropped == 500


def test_two_clients_with_the_same_camera_name_are_reported_once(broker: Mosquitto) -> None:
    notices: list[str] = []
    publishers = [make_publisher(broker, [], notices) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: sum(publisher.log.deliveries.failures for publisher in publishers) > 12)
    for publisher in publishers:
        publisher.close()
    assert sum("is another facebank watch running with this camera name?" in notice for notice in notices) == 2
    assert len(notices) <= 8


def test_a_silent_server_is_disconnected(tmp_path: Path) -> None:
    notices: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = parse_broker(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        publisher = HomePublisher(address, "door", [], notices.append, timeouts=Timeouts(0.05, 0.2, timeout=0.5))
        publisher.start()
        wait_until(lambda: notices)
        publisher.close()
    assert "it does not answer in time" in notices[0]


ACCEPTED = b"\x20\x02\x00\x00"
SUBSCRIBED = ACCEPTED + b"\x90\x04\x00\x01\x01\x01"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x00",
        b"\x20\x02\x00\xff",
        ACCEPTED + bytes(range(256)),
        SUBSCRIBED + b"\x31\x06\x00\x02\xff\xfeax",  # the topic is not UTF-8
        SUBSCRIBED + b"\x31\x04\xff\xffab",  # the topic is longer than the message
        SUBSCRIBED + b"\x31\xff\xff\xff\xff\xff",
    ],
)
def test_a_server_with_invalid_packets_is_disconnected(response: bytes) -> None:
    notices: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def accept_connections() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(response)

        thread = threading.Thread(target=accept_connections)
        thread.start()
        publisher = HomePublisher(
            parse_broker(f"mqtt://127.0.0.1:{server.getsockname()[1]}"),
            "door",
            ["Ada"],
            notices.append,
            timeouts=SHORT_TIMEOUTS,
        )
        publisher.start()
        wait_until(lambda: publisher.log.deliveries.failures >= 3)
        publisher.close()
        thread.join()
    assert 1 <= len(notices) <= 2
    assert publisher.log.deliveries.delivered == 0


def test_sensors_of_an_earlier_run_are_kept_or_removed(broker: Mosquitto) -> None:
    earlier = make_publisher(broker, ["Ada", "Grace"])
    earlier.start()
    for person in ("Ada", "Grace"):
        earlier.publish(make_event(person))
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 2)
        subscriber.publish("home/door/person/of another", b"garbage")
        earlier._connection._closing.set()  # as if killed: it publishes no departures
        wait_until(lambda: subscriber.state.get("home/door/availability") == b"offline")
        publisher = make_publisher(broker, ["Ada", "Mary"])
        before = len(subscriber.messages)
        publisher.start()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        publisher.close()
        assert subscriber.topics("/person/") == [f"home/door/person/{topic_word('Ada')}"]
        (state,) = (json.loads(subscriber.state[topic]) for topic in subscriber.topics("/person/"))
        assert (state["person"], state["state"]) == ("Ada", "OFF")
        sensor = f"person-{topic_word('Grace')}"
        components = [
            message.json["components"] for message in subscriber.messages[before:] if "/device/" in message.topic
        ]
        # Home Assistant removes entities without settings.
        assert components[-2][sensor] == {"platform": "binary_sensor"}
        assert sensor not in components[-1]
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] is None
    with Subscriber(broker) as new_subscriber:
        new_subscriber.wait(lambda: new_subscriber.state.get("home/door/availability") == b"offline")
        assert not any(b"Grace" in message.payload for message in new_subscriber.messages)


def test_last_seen_is_kept_from_an_earlier_run(broker: Mosquitto) -> None:
    earlier = make_publisher(broker, ["Ada"])
    earlier.start()
    earlier.publish(make_event("Ada"))
    earlier.close()
    publisher = make_publisher(broker, ["Ada"])
    publisher.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Ada"
    publisher.close()


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\xff", b"[]", b"[" * 100_000, b"null", b'{"person": "Mallory", "at": "2030-01-01T00:00:00"}'),
        b'{"person": ["Ada"], "at": "2030-01-01T00:00:00", "similarity": null, "probability": null}',
        b'{"person": "Ada", "at": "<script>", "similarity": null, "probability": null}',
        b'{"person": "Ada", "at": "2030-01-01T00:00:00", "similarity": NaN, "probability": null}',
    ],
)
def test_an_invalid_last_seen_message_is_ignored(tmp_path: Path, payload: bytes) -> None:
    address = parse_broker("mqtt://127.0.0.1")
    publisher = HomePublisher(address, "door", ["Ada"], print)
    publisher._adopt({"facebank/door/last_seen": payload})
    last_seen = json.loads(publisher._connection._retained["facebank/door/last_seen"])
    assert (last_seen["person"], last_seen["at"]) == (None, None)


def test_people_forgotten_during_a_watch_are_removed(broker: Mosquitto) -> None:
    publisher = make_publisher(broker, ["Ada", "Grace"], announce_all=True)
    publisher.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 2)
        publisher.publish(make_event("Ada"))
        publisher.enroll(["Grace"])
        publisher.publish(make_event("Ada", PresenceChange.LEFT))
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 1)
        publisher.close()
    with Subscriber(broker) as new_subscriber:
        new_subscriber.wait(lambda: new_subscriber.state.get("home/door/availability") == b"offline")
        assert not any(b"Ada" in message.payload for message in new_subscriber.messages)


def test_odd_names_are_safe_in_topics_and_messages(broker: Mosquitto) -> None:
    publisher = make_publisher(broker, ODD_NAMES, announce_all=True)
    publisher.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        for topic in subscriber.topics("/person/"):
            assert re.fullmatch(r"home/door/person/[a-z0-9-]{1,53}", topic)
        assert {json.loads(subscriber.state[topic])["person"] for topic in subscriber.topics("/person/")} == set(
            ODD_NAMES
        )
        (device_topic,) = subscriber.topics("/device/")
        names = {component["name"] for component in json.loads(subscriber.state[device_topic])["components"].values()}
        assert len(names) == len(ODD_NAMES) + 1
        assert all(name.isprintable() and len(name) <= 100 for name in names)
    publisher.close()


@given(st.lists(st.text(st.characters()), min_size=2, max_size=5, unique=True))
def test_topic_words_are_safe_and_unique(names: list[str]) -> None:
    words = [topic_word(name) for name in names]
    assert len(set(words)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,52}", word) for word in words)


def test_a_wrong_password_is_reported(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, with_password=True)
    try:
        notices: list[str] = []
        refused = HomePublisher(
            parse_broker(f"mqtt://{USER}:wrong@127.0.0.1:{broker.port}"),
            "door",
            [],
            notices.append,
            timeouts=SHORT_TIMEOUTS,
        )
        refused.start()
        wait_until(lambda: refused.log.deliveries.failures > 2)
        refused.close()
        assert len(notices) == 1
        assert "refuses the connection" in notices[0]
        accepted = HomePublisher(
            parse_broker(f"mqtt://{USER}@127.0.0.1:{broker.port}", PASSWORD),
            "door",
            [],
            notices.append,
            timeouts=SHORT_TIMEOUTS,
        )
        accepted.start()
        with Subscriber(broker, USER, PASSWORD) as subscriber:
            subscriber.wait(lambda: subscriber.state.get("facebank/door/availability") == b"online")
        accepted.close()
        assert len(notices) == 1
    finally:
        broker.kill()


def test_certificates_are_verified(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Mosquitto(tmp_path, certificate=certificate)
    address = parse_broker(f"mqtts://127.0.0.1:{broker.port}")
    try:
        notices: list[str] = []
        refused = HomePublisher(address, "door", [], notices.append, timeouts=SHORT_TIMEOUTS)
        refused.start()
        wait_until(lambda: notices)
        refused.close()
        assert "its certificate is not trusted" in notices[0]
        assert refused.log.deliveries.delivered == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = HomePublisher(address, "door", [], notices.append, timeouts=SHORT_TIMEOUTS)
        trusted.start()
        wait_until(lambda: trusted.log.deliveries.delivered >= 2)
        trusted.close()
        assert len(notices) == 1
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("address", "shown", "prefix"),
    [
        ("mqtt://broker", "mqtt://broker", "facebank"),
        ("mqtts://u:p%40@broker:99/a/b/", "mqtts://broker:99", "a/b"),
        ("mqtt://[::1]", "mqtt://[::1]", "facebank"),
    ],
)
def test_addresses_are_parsed_and_shown_without_passwords(address: str, shown: str, prefix: str) -> None:
    broker = parse_broker(address, "q")
    assert (broker.label, broker.prefix) == (shown, prefix)
    assert "p%40" not in repr(broker)
    assert "p@" not in repr(broker)


@pytest.mark.parametrize(
    "address",
    [
        *("", "broker", "http://secret@broker", "mqtt://", "mqtt://:secret@broker", "mqtt://u:se#cret@broker"),
        *("mqtt://u:se/cret@broker", "mqtt://u:se?cret@broker", "mqtt://broker:99999", "mqtt://broker:0", "mqtt://a b"),
        *("mqtt://broker/a+b", "mqtt://broker/%23", "mqtt://broker/$SYS", "mqtt://broker/a//b", "mqtt://broker/%00"),
        *(f"mqtt://broker/{'x' * 300}", "mqtt://broker\n", "mqtt://broker\udcff", "@/nonexistent/secret.txt"),
        f"mqtt://{'x' * 5000}",
    ],
)
def test_invalid_addresses_are_rejected_and_not_shown(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_broker(address)
    assert "cret" not in str(caught.value).replace("/nonexistent/secret.txt", "")
    assert len(str(caught.value)) < 250


def test_addresses_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("mqtt://ada:secret@broker\nnothing\n")
    broker = parse_broker(f"@{tmp_path / 'address'}")
    assert (broker.host, broker.user, broker.password) == ("broker", "ada", "secret")


@pytest.mark.parametrize("text", ["", "a/", "/a", "a+b", "#", "$a", "a\x00"])
def test_invalid_prefixes_are_rejected(text: str) -> None:
    with pytest.raises(UsageError):
        topic_prefix(text, "the prefix")


def test_the_error_of_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.enums", None)
    with pytest.raises(MissingDependencyError, match=r"facebank\[mqtt\]"):
        parse_broker("mqtt://broker")


def test_the_thread_ends_when_a_publisher_is_closed(broker: Mosquitto) -> None:
    publisher = make_publisher(broker, [])
    publisher.start()
    publisher.close()
    assert "mqtt" not in {thread.name for thread in threading.enumerate()}
