"""``facebank watch`` with an MQTT broker and a webhook."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facebank import FaceBank
from facebank.media.video_writing import VideoFile
from facebank.video.publishing import Publishing, plan_publishing
from facebank.video.watch import Visitor, VisitorChange
from tests.http_camera import HttpCamera
from tests.mqtt_broker import PASSWORD, USER, Mosquitto, Subscriber
from tests.video_files import CLIP_RATE, last_shot
from tests.webhook_server import WebhookServer, run_webhook_server

from .conftest import Run, Validate

TOPIC_WORD = "barack-obama-d8f758500c5d"


@pytest.fixture(scope="module")
def video(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 17 seconds with Barack Obama and strangers: the clip's last shot, forward and backward."""
    shot = [frame[..., ::-1] for frame in last_shot(shared)]
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    height, width = shot[0].shape[:2]
    with VideoFile(path, width, height, CLIP_RATE) as file:
        for number, frame in enumerate((shot + shot[::-1]) * 4):
            file.write(number / CLIP_RATE, frame)
    return path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    running_broker = Mosquitto(tmp_path, with_password=True)
    yield running_broker
    running_broker.kill()


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    """A web server whose first answer is an error."""
    with run_webhook_server() as server:
        server.statuses = [500]
        yield server


def webhook_url(server: WebhookServer) -> str:
    return f"http://127.0.0.1:{server.port}/api/webhook/topsecret"


StartWatch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def watch(program: list[str], environment: dict[str, str], two_people: Path, broker: Mosquitto) -> Iterator[StartWatch]:
    """A function that starts ``facebank watch`` with the broker."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        address = f"mqtt://{USER}@127.0.0.1:{broker.port}/our%20home"
        command = [*program, "watch", *map(str, arguments), "--mqtt", address, "--camera-name", "door", "--json"]
        variables = {**environment, "FACEBANK_GALLERY": str(two_people), "FACEBANK_MQTT_PASSWORD": PASSWORD}
        started.append(
            subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_presence_survives_a_killed_broker(
    watch: StartWatch, broker: Mosquitto, video: Path, server: WebhookServer, validate: Validate
) -> None:
    process = watch(video, "--webhook", webhook_url(server), "--thumbnails")
    person_topic = f"our home/door/person/{TOPIC_WORD}"
    with Subscriber(broker, USER, PASSWORD) as subscriber:
        subscriber.wait(lambda: subscriber.topics("door/event") and person_topic in subscriber.state)
        (event,) = (message.json for message in subscriber.messages if message.topic.endswith("/event"))
        assert json.loads(subscriber.state[person_topic])["state"] == "ON"
    broker.kill()
    broker.start()
    with Subscriber(broker, USER, PASSWORD) as subscriber:
        subscriber.wait(lambda: subscriber.state.get("our home/door/availability") == b"online")
        assert json.loads(subscriber.state[person_topic])["state"] == "ON"
        assert json.loads(subscriber.state["our home/door/last_seen"])["person"] == "Barack Obama"
        (device,) = subscriber.topics("homeassistant/device/")
        assert f"person-{TOPIC_WORD}" in json.loads(subscriber.state[device])["components"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        subscriber.wait(lambda: subscriber.state.get("our home/door/availability") == b"offline")
        assert json.loads(subscriber.state[person_topic])["state"] == "OFF"
        payloads = b"".join(message.payload for message in subscriber.messages)
    records = [json.loads(line) for line in out.splitlines()]
    validate("watch", records)
    bodies = server.bodies
    validate("presence", [event, *bodies])
    assert process.returncode == 0
    summary = records[-1]
    assert summary["others"] > 0, "no strangers were seen"
    assert b"stranger" not in payloads
    assert b"Eileen" not in payloads
    assert summary["mqtt"]["failures"] >= 1
    assert (summary["webhook"]["failures"], summary["webhook"]["dropped"]) == (1, 0)
    assert [body["event"] for body in bodies[1:]] == ["came", "left"]
    assert bodies[0] == bodies[1] == event
    assert {body["person"] for body in bodies} == {"Barack Obama"}
    assert 0 < event["probability"] <= 1
    assert base64.b64decode(event["thumbnail"]).startswith(b"\xff\xd8")
    lines = err.splitlines()
    assert sum("is available again" in line for line in lines) == 2
    assert sum("the MQTT broker" in line and "watching continues" in line for line in lines) >= 1
    for secret in (PASSWORD, USER + "@", "topsecret", "Traceback"):
        assert secret not in err


def read_until(process: subprocess.Popen[str], decisions: set[str]) -> list[str]:
    """Read JSON lines until all given decisions and the reason ``improbable`` have occurred."""
    lines: list[str] = []
    assert process.stdout is not None
    seen = set[str]()
    while not decisions | {"improbable"} <= seen:
        lines.append(process.stdout.readline())
        assert lines[-1], "the watch ended early"
        record = json.loads(lines[-1])
        seen |= {record["decision"], record["reason"]}
    return lines


def test_unknown_and_uncertain_people_are_in_no_message(
    watch: StartWatch, broker: Mosquitto, video: Path, server: WebhookServer
) -> None:
    with Subscriber(broker, USER, PASSWORD) as subscriber:
        process = watch(video, "--webhook", webhook_url(server), "--thumbnails", "--least-probability", "0.9999")
        lines = read_until(process, {"unknown", "uncertain"})
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        subscriber.wait(lambda: subscriber.state.get("our home/door/availability") == b"offline")
        assert "known" not in {json.loads(line).get("decision") for line in (*lines, *out.splitlines())}
        assert any(json.loads(line).get("reason") == "improbable" for line in lines)
        assert server.posts == []
        assert {message.topic.split("/")[-1] for message in subscriber.messages} == {"availability", "config"}
        for message in subscriber.messages:
            for word in (b"Barack", b"Obama", b"Eileen", b"stranger", b"uncertain", b"person-"):
                assert word not in message.payload
        (config, *other_configs) = (
            message.json for message in subscriber.messages if message.topic.endswith("/config")
        )
        assert other_configs == []
        assert set(config["components"]) == {"last_seen"}
    assert err == ""


def test_a_watch_that_is_killed_is_offline(watch: StartWatch, broker: Mosquitto, video: Path) -> None:
    with Subscriber(broker, USER, PASSWORD) as subscriber:
        process = watch(video)
        subscriber.wait(lambda: subscriber.state.get("our home/door/availability") == b"online")
        process.kill()
        subscriber.wait(lambda: subscriber.state.get("our home/door/availability") == b"offline")


def test_a_camera_that_drops_is_offline(watch: StartWatch, broker: Mosquitto, shared: Path) -> None:
    camera = HttpCamera(last_shot(shared), frames_per_connection=45)
    try:
        with Subscriber(broker, USER, PASSWORD) as subscriber:
            process = watch(camera.url)

            def changes() -> list[bytes]:
                return [
                    message.payload for message in subscriber.messages if message.topic == "our home/door/availability"
                ]

            subscriber.wait(lambda: changes()[:3] == [b"online", b"offline", b"online"])
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
    finally:
        camera.close()
    assert {"lost", "resumed"} <= {json.loads(line)["event"] for line in out.splitlines()}


def test_a_watch_from_python_publishes_presence(two_people: Path, video: Path, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        with Subscriber(broker) as subscriber, FaceBank.open(two_people) as bank:
            names: list[str | None] = []

            def on_change(_: VisitorChange, visitor: Visitor) -> None:
                names.append(visitor.identity.person)
                if names.count("Barack Obama") == 1 and names[-1] is None:
                    names.append("Barack Obama")
                    raise KeyboardInterrupt  # like Ctrl-C

            bank.watch(str(video), on_change, mqtt=f"mqtt://127.0.0.1:{broker.port}", camera="door")
            subscriber.wait(lambda: subscriber.state.get("facebank/door/availability") == b"offline")
            (state,) = (json.loads(subscriber.state[topic]) for topic in subscriber.topics("/person/"))
            assert (state["person"], state["state"]) == ("Barack Obama", "OFF")
    finally:
        broker.kill()


def test_a_forgotten_person_is_removed_from_the_broker(two_people: Path, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    address = f"mqtt://127.0.0.1:{broker.port}"
    try:
        with Subscriber(broker) as subscriber, FaceBank.open(two_people) as bank:
            plan = plan_publishing(address, None, "door", announce_all=True)
            with Publishing(plan, lambda: bank.gallery, print) as publishing:
                subscriber.wait(lambda: len(subscriber.topics("/person/")) == 2)
                bank.forget("Eileen Collins")
                publishing._refresh_at = 0.0
                publishing.refresh()
                subscriber.wait(lambda: subscriber.topics("/person/") == [f"facebank/door/person/{TOPIC_WORD}"])
        with Subscriber(broker) as subscriber:
            subscriber.wait(lambda: subscriber.topics("/device/"))
            assert not any(b"Eileen" in message.payload for message in subscriber.messages)
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mqtt", "http://u:topsecret@host"], "must begin with mqtt://"),
        (["--mqtt", "mqtt://u:top#secret@host"], "%23 for #"),
        (["--mqtt", "@absent.txt"], "cannot be read from absent.txt"),
        (["--webhook", "ftp://host/topsecret"], "must begin with https://"),
        (["--webhook", ""], "is empty"),
        (["--thumbnails"], "need --mqtt or --webhook"),
        (["--announce", "--webhook", "http://host"], "need --mqtt"),
        (["--mqtt", "mqtt://host", "--discovery-prefix", "a/#"], "without + and #"),
        (["--mqtt", "mqtt://host", "--camera-name", ""], "a camera's name"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(run: Run, arguments: list[str], message: str) -> None:
    err = run("watch", "0", *arguments, code=2).err
    assert message in err
    assert len(err.splitlines()) == 1
    assert "secret" not in err


def test_help_states_that_nothing_leaves_by_default(run: Run) -> None:
    words = " ".join(run("watch", "--help", COLUMNS="80").out.replace("│", " ").split())
    assert "Nothing leaves this machine unless --mqtt or --webhook is given." in words
