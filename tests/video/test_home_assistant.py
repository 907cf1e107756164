"""Presence in Home Assistant with a real broker: topics, discovery, earlier runs, and lost connections."""

from __future__ import annotations

import json
import re
import socket
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
from tests.mqtt_broker import PASSWORD, USER, Broker, Subscriber

SOON = Timeouts(first=0.05, longest=0.2, patience=5)
ODD = ["Ada", "a/b", "a+b", "#", "+", "$SYS", "李 雷", "x" * 3000, "line\nbreak\x00\x1b[0m", "{{ states('x') }}", ".."]


def came(person: str, change: PresenceChange = PresenceChange.CAME) -> PresenceEvent:
    return PresenceEvent(change, person, "door", datetime.now(UTC), 0.5, 0.9)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.kill()


def publisher(
    broker: Broker, names: list[str], told: list[str] | None = None, *, announces_all: bool = False
) -> HomePublisher:
    address = parse_broker(f"mqtt://127.0.0.1:{broker.port}/home")
    sentences = [] if told is None else told
    return HomePublisher(address, "door", names, sentences.append, timeouts=SOON, announces_all=announces_all)


def wait_until(is_true: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_states_events_and_the_device_are_published(broker: Broker) -> None:
    home = publisher(broker, ["Ada Lovelace", "Grace"])
    with Subscriber(broker) as subscriber:
        home.start()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        person = f"home/door/person/{topic_word('Ada Lovelace')}"
        home.publish(came("Ada Lovelace"))
        subscriber.wait(lambda: subscriber.topics("door/event"))
        home.publish(came("Ada Lovelace", PresenceChange.LEFT))
        home.close()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"offline")
        states = [message.json["state"] for message in subscriber.messages if message.topic == person]
        assert states == ["ON", "OFF"]
        events = [message.json["event"] for message in subscriber.messages if message.topic == "home/door/event"]
        assert events == ["came", "left"]
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Ada Lovelace"
        assert not any(b"Grace" in message.payload for message in subscriber.messages)
    with Subscriber(broker) as late:
        late.wait(lambda: len(late.messages) == 4)
        assert all(message.retained for message in late.messages)
        assert late.topics("event") == []
        (found,) = late.topics("homeassistant/device/")
        check_discovery(found, json.loads(late.state[found]), set(late.state))
    assert (home.log.deliveries.failures, home.log.deliveries.dropped) == (0, 0)


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
    assert len({each["unique_id"] for each in components.values()}) == len(components)
    kinds = {each["platform"] for each in components.values()}
    assert kinds == {"sensor", "binary_sensor"}
    for each in components.values():
        assert each["state_topic"] in topics
        assert each["value_template"].startswith("{{ value_json.")
        assert "\n" not in each["name"]
        assert 0 < len(each["name"]) <= 100


def test_a_restarted_broker_gets_all_state_again(broker: Broker) -> None:
    told: list[str] = []
    home = publisher(broker, ["Ada", "Grace"], told)
    home.start()
    wait_until(lambda: not told and home.log.deliveries.delivered >= 2)
    home.publish(came("Ada"))
    broker.kill()
    wait_until(lambda: told)
    home.publish(came("Grace"))
    home.publish(came("Ada", PresenceChange.LEFT))
    assert home.log.deliveries.dropped >= 2
    broker.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        people = {json.loads(subscriber.state[topic])["person"]: topic for topic in subscriber.topics("/person/")}
        states = {name: json.loads(subscriber.state[topic])["state"] for name, topic in people.items()}
        assert states == {"Ada": "OFF", "Grace": "ON"}
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Grace"
        assert not subscriber.topics("door/event"), "past events are not sent again"
    home.close()
    away, back = told
    assert away == f"the MQTT broker at mqtt://127.0.0.1:{broker.port}: {away.split(': ')[1]}"
    assert "watching continues" in away
    assert back == f"the MQTT broker at mqtt://127.0.0.1:{broker.port} is available again"


def test_an_unreachable_broker_does_not_block(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.kill()
    told: list[str] = []
    home = publisher(broker, [], told)
    home.start()
    began = time.monotonic()
    for _ in range(500):
        home.publish(came("Ada"))
    assert time.monotonic() - began < 1
    wait_until(lambda: home.log.deliveries.failures > 3)
    began = time.monotonic()
    home.close()
    assert time.monotonic() - began < 2
    assert len(told) == 1
    assert "cannot be reached" in told[0]
    assert home.log.deliveries.dropped == 500


def test_two_clients_with_one_name_are_reported_once(broker: Broker) -> None:
    told: list[str] = []
    homes = [publisher(broker, [], told) for _ in range(2)]
    for home in homes:
        home.start()
    wait_until(lambda: sum(home.log.deliveries.failures for home in homes) > 12)
    for home in homes:
        home.close()
    assert sum("is another facebank watch running with this camera name?" in sentence for sentence in told) == 2
    assert len(told) <= 8


def test_a_silent_server_is_disconnected(tmp_path: Path) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = parse_broker(f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        home = HomePublisher(address, "door", [], told.append, timeouts=Timeouts(0.05, 0.2, patience=0.5))
        home.start()
        wait_until(lambda: told)
        home.close()
    assert "it does not answer in time" in told[0]


ACCEPTED = b"\x20\x02\x00\x00"
SUBSCRIBED = ACCEPTED + b"\x90\x04\x00\x01\x01\x01"


@pytest.mark.parametrize(
    "answer",
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
def test_a_server_with_invalid_packets_is_disconnected(answer: bytes) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        home = HomePublisher(
            parse_broker(f"mqtt://127.0.0.1:{server.getsockname()[1]}"), "door", ["Ada"], told.append, timeouts=SOON
        )
        home.start()
        wait_until(lambda: home.log.deliveries.failures >= 3)
        home.close()
        serving.join()
    assert 1 <= len(told) <= 2
    assert home.log.deliveries.delivered == 0


def test_sensors_of_an_earlier_run_are_kept_or_removed(broker: Broker) -> None:
    earlier = publisher(broker, ["Ada", "Grace"])
    earlier.start()
    for person in ("Ada", "Grace"):
        earlier.publish(came(person))
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 2)
        subscriber.publish("home/door/person/of another", b"garbage")
        earlier._connection._closing.set()  # ends as if killed: no departures, still online
        wait_until(lambda: subscriber.state.get("home/door/availability") == b"offline")
        home = publisher(broker, ["Ada", "Mary"])
        before = len(subscriber.messages)
        home.start()
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        home.close()
        assert subscriber.topics("/person/") == [f"home/door/person/{topic_word('Ada')}"]
        (state,) = (json.loads(subscriber.state[topic]) for topic in subscriber.topics("/person/"))
        assert (state["person"], state["state"]) == ("Ada", "OFF")
        grace = f"person-{topic_word('Grace')}"
        described = [each.json["components"] for each in subscriber.messages[before:] if "/device/" in each.topic]
        assert described[-2][grace] == {"platform": "binary_sensor"}, "Home Assistant removes entities without settings"
        assert grace not in described[-1]
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] is None
    with Subscriber(broker) as late:
        late.wait(lambda: late.state.get("home/door/availability") == b"offline")
        assert not any(b"Grace" in message.payload for message in late.messages)


def test_last_seen_is_kept_from_an_earlier_run(broker: Broker) -> None:
    earlier = publisher(broker, ["Ada"])
    earlier.start()
    earlier.publish(came("Ada"))
    earlier.close()
    home = publisher(broker, ["Ada"])
    home.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        assert json.loads(subscriber.state["home/door/last_seen"])["person"] == "Ada"
    home.close()


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
    home = HomePublisher(address, "door", ["Ada"], print)
    home._adopt({"facebank/door/last_seen": payload})
    told = json.loads(home._connection._retained["facebank/door/last_seen"])
    assert (told["person"], told["at"]) == (None, None)


def test_people_forgotten_during_a_watch_are_removed(broker: Broker) -> None:
    home = publisher(broker, ["Ada", "Grace"], announces_all=True)
    home.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 2)
        home.publish(came("Ada"))
        home.enroll(["Grace"])
        home.publish(came("Ada", PresenceChange.LEFT))
        subscriber.wait(lambda: len(subscriber.topics("/person/")) == 1)
        home.close()
    with Subscriber(broker) as late:
        late.wait(lambda: late.state.get("home/door/availability") == b"offline")
        assert not any(b"Ada" in message.payload for message in late.messages)


def test_odd_names_in_topics_and_messages(broker: Broker) -> None:
    home = publisher(broker, ODD, announces_all=True)
    home.start()
    with Subscriber(broker) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("home/door/availability") == b"online")
        for topic in subscriber.topics("/person/"):
            assert re.fullmatch(r"home/door/person/[a-z0-9-]{1,53}", topic)
        assert {json.loads(subscriber.state[topic])["person"] for topic in subscriber.topics("/person/")} == set(ODD)
        (found,) = subscriber.topics("/device/")
        names = {each["name"] for each in json.loads(subscriber.state[found])["components"].values()}
        assert len(names) == len(ODD) + 1
        assert all(name.isprintable() and len(name) <= 100 for name in names)
    home.close()


@given(st.lists(st.text(st.characters()), min_size=2, max_size=5, unique=True))
def test_topic_words_are_safe_and_unique(names: list[str]) -> None:
    words = [topic_word(name) for name in names]
    assert len(set(words)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,52}", word) for word in words)


def test_a_wrong_password_is_reported(tmp_path: Path) -> None:
    broker = Broker(tmp_path, with_password=True)
    try:
        told: list[str] = []
        wrong = HomePublisher(
            parse_broker(f"mqtt://{USER}:wrong@127.0.0.1:{broker.port}"), "door", [], told.append, timeouts=SOON
        )
        wrong.start()
        wait_until(lambda: wrong.log.deliveries.failures > 2)
        wrong.close()
        assert len(told) == 1
        assert "refuses the connection" in told[0]
        right = HomePublisher(
            parse_broker(f"mqtt://{USER}@127.0.0.1:{broker.port}", PASSWORD), "door", [], told.append, timeouts=SOON
        )
        right.start()
        with Subscriber(broker, USER, PASSWORD) as subscriber:
            subscriber.wait(lambda: subscriber.state.get("facebank/door/availability") == b"online")
        right.close()
        assert len(told) == 1
    finally:
        broker.kill()


def test_certificates_are_verified(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(tmp_path, certificate=certificate)
    address = parse_broker(f"mqtts://127.0.0.1:{broker.port}")
    try:
        told: list[str] = []
        refused = HomePublisher(address, "door", [], told.append, timeouts=SOON)
        refused.start()
        wait_until(lambda: told)
        refused.close()
        assert "its certificate is not trusted" in told[0]
        assert refused.log.deliveries.delivered == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = HomePublisher(address, "door", [], told.append, timeouts=SOON)
        trusted.start()
        wait_until(lambda: trusted.log.deliveries.delivered >= 2)
        trusted.close()
        assert len(told) == 1
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
def test_addresses(address: str, shown: str, prefix: str) -> None:
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
    with pytest.raises(UsageError) as error:
        parse_broker(address)
    assert "cret" not in str(error.value).replace("/nonexistent/secret.txt", "")
    assert len(str(error.value)) < 250


def test_addresses_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("mqtt://ada:secret@broker\nnothing\n")
    broker = parse_broker(f"@{tmp_path / 'address'}")
    assert (broker.host, broker.user, broker.password) == ("broker", "ada", "secret")


@pytest.mark.parametrize("text", ["", "a/", "/a", "a+b", "#", "$a", "a\x00"])
def test_invalid_prefixes_are_rejected(text: str) -> None:
    with pytest.raises(UsageError):
        topic_prefix(text, "the prefix")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.enums", None)
    with pytest.raises(MissingDependencyError, match=r"facebank\[mqtt\]"):
        parse_broker("mqtt://broker")


def test_threads_end(broker: Broker) -> None:
    home = publisher(broker, [])
    home.start()
    home.close()
    assert "mqtt" not in {thread.name for thread in threading.enumerate()}
