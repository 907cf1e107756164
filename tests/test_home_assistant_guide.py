"""The commands and files of docs/home-assistant.md work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from facebank import schemas
from facebank.video.home_assistant import topic_word
from facebank.video.mqtt import parse_broker
from tests.guides import OPTIONS, PROJECT, find_blocks, parse_command, parse_unit
from tests.mqtt_broker import Mosquitto, Subscriber, find_program
from tests.test_documents import PYPROJECT

GUIDE = (PROJECT / "docs" / "home-assistant.md").read_text(encoding="utf-8")
SERVICE = parse_unit(GUIDE)["Service"]
LINES = [line for block in find_blocks(GUIDE, "") for line in block.splitlines()]
COMMAND_LINES = [line for line in LINES if line.startswith("facebank ")]


@pytest.mark.parametrize("line", [*COMMAND_LINES, re.sub(r"^\S*/", "", SERVICE["ExecStart"])])
def test_commands_in_the_guide_are_valid(line: str) -> None:
    parse_command(line)


def test_every_option_of_publishing_is_in_the_guide() -> None:
    for option in ("--mqtt", "--webhook", "--camera-name", "--thumbnails", "--announce", "--discovery-prefix"):
        assert option in OPTIONS["watch",]
        assert f"`{option}" in GUIDE


def test_the_installation_names_extras() -> None:
    (extras,) = re.findall(r"pip install '\.\[([a-z,]+)\]'", GUIDE)
    assert set(extras.split(",")) <= set(PYPROJECT["project"]["optional-dependencies"])


def test_the_broker_runs_with_the_configuration_of_the_guide(tmp_path: Path) -> None:
    (configuration,) = (block for block in find_blocks(GUIDE, "") if block.startswith("listener"))
    (line,) = (line.removeprefix("sudo ") for line in LINES if line.startswith("sudo mosquitto_passwd"))
    passwords = tmp_path / "passwords"
    name, *arguments = shlex.split(line.replace("/etc/mosquitto/passwords", str(passwords)))
    subprocess.run([find_program(name), *arguments], check=True, capture_output=True)
    text = configuration.replace("/etc/mosquitto/passwords", str(passwords))
    broker = Mosquitto(tmp_path, configuration=f"{text}\npersistence_location {tmp_path}/\nuser root\n")
    try:
        Subscriber(broker, user="facebank", password="PASSWORD").__exit__()
    finally:
        broker.kill()


def test_the_file_with_the_broker_url_is_read(tmp_path: Path) -> None:
    (write_line,) = (line for line in LINES if line.startswith("echo "))
    (create_line,) = (line for line in LINES if line.startswith("install "))
    path = tmp_path / "mqtt"
    for line in (create_line, write_line):
        subprocess.run(["sh", "-c", line.replace("/etc/facebank/mqtt", str(path))], check=True)
    assert path.stat().st_mode & 0o777 == 0o600
    broker = parse_broker(f"@{path}")
    assert (broker.host, broker.user, broker.password, broker.prefix) == (
        "broker.local",
        "facebank",
        "PASSWORD",
        "facebank",
    )


def test_the_unit_stops_with_sigint_and_has_no_secret() -> None:
    assert SERVICE["KillSignal"] == "SIGINT"
    assert "@${CREDENTIALS_DIRECTORY}/mqtt" in SERVICE["ExecStart"]
    assert SERVICE["LoadCredential"] == "mqtt:/etc/facebank/mqtt"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    (text,) = find_blocks(GUIDE, "ini")
    path = tmp_path / "facebank-door.service"
    path.write_text(text.replace("/opt/facebank/bin/facebank", sys.executable).replace("User=facebank", "User=root"))
    process = subprocess.run([program, "verify", str(path)], capture_output=True, encoding="utf-8", check=False)
    assert [line for line in process.stderr.splitlines() if "facebank-door" in line] == []


def test_the_event_follows_the_schema() -> None:
    (event,) = map(json.loads, find_blocks(GUIDE, "json"))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schemas.load("presence"), format_checker=checker).validate(event)
    assert topic_word("Ada Lovelace").startswith("ada-lovelace-")
    assert re.findall(r"ada-lovelace-(\w+)\.\.\.", GUIDE) == [topic_word("Ada Lovelace")[13:17]]
