"""A mosquitto MQTT broker on a free local port, and a subscriber."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import Any, NamedTuple

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import free_port

USER, PASSWORD = "home", "hunter2 #+/@:"


def find_program(name: str) -> str:
    """Return the path of a program of Debian's package mosquitto; skips the test if it is missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"needs {name}: apt-get install mosquitto")
    return path


class Mosquitto:
    """Mosquitto without persistence: retained messages are lost when it is killed."""

    def __init__(
        self,
        folder: Path,
        *,
        with_password: bool = False,
        certificate: Path | None = None,
        configuration: str | None = None,
    ) -> None:
        self._program = find_program("mosquitto")
        self._folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        if configuration is None:
            configuration = self._configuration(with_password, certificate)
        text = re.sub(r"^listener \d+$", f"listener {self.port} 127.0.0.1", configuration, flags=re.MULTILINE)
        (folder / "mosquitto.conf").write_text(text)
        self.start()

    def _configuration(self, with_password: bool, certificate: Path | None) -> str:
        lines = ["listener 1883", "persistence false", "user root", "max_keepalive 65535"]
        if with_password:
            passwords = self._folder / "passwords"
            command = [find_program("mosquitto_passwd"), "-b", "-c", str(passwords), USER, PASSWORD]
            subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        if certificate is not None:
            lines += [f"certfile {certificate}", f"keyfile {certificate}"]
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        with (self._folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        pytest.fail((self._folder / "mosquitto.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Message(NamedTuple):
    """A received message."""

    topic: str
    payload: bytes
    retained: bool

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Subscriber:
    """Receives all messages of a broker until the end of its ``with`` block."""

    def __init__(self, broker: Mosquitto, user: str | None = None, password: str | None = None) -> None:
        self.messages: list[Message] = []
        self._changed = Condition()
        self._is_subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = self._confirm
        self._client.on_message = self._store
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        with self._changed:
            assert self._changed.wait_for(lambda: self._is_subscribed, 20)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _confirm(self, *_: Any) -> None:
        with self._changed:
            self._is_subscribed = True
            self._changed.notify_all()

    def _store(self, _: Client, __: object, message: MQTTMessage) -> None:
        with self._changed:
            self.messages.append(Message(message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a retained message."""
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(20)

    @property
    def state(self) -> dict[str, bytes]:
        """Latest non-empty payload by topic."""
        with self._changed:
            latest = {message.topic: message.payload for message in self.messages}
        return {topic: payload for topic, payload in latest.items() if payload}

    def topics(self, part: str) -> list[str]:
        return [topic for topic in self.state if part in topic]

    def wait(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait until a condition is true."""
        with self._changed:
            is_met = self._changed.wait_for(condition, seconds)
        assert is_met, self.messages
