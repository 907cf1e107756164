"""Commands and files of docs/home-assistant.md work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import jsonschema
import pytest
import typer

from facebank import schemas
from facebank.video.home_assistant import topic_word
from facebank.video.mqtt import parse_broker
from tests.mqtt_broker import Broker, Subscriber, find_program
from tests.test_documents import COMMANDS, PYPROJECT, import_command_line, split_command

PROJECT = Path(__file__).resolve().parents[1]
GUIDE = (PROJECT / "docs" / "home-assistant.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
LINES = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]


def find_blocks(language: str) -> list[str]:
    return [block for found, block in BLOCKS if found == language]


def read_unit() -> ConfigParser:
    (text,) = find_blocks("ini")
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def list_command_lines() -> list[str]:
    command = read_unit()["Service"]["ExecStart"]
    return [line for line in LINES if line.startswith("facebank ")] + [re.sub(r"^\S*/", "", command)]


@pytest.mark.parametrize("line", list_command_lines())
def test_commands_in_the_guide_exist(line: str) -> None:
    words, _, after = split_command(line)
    assert set(after) <= COMMANDS[words]
    command = typer.main.get_command(import_command_line().build_app())
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    command.make_context(words[-1], shlex.split(line)[1 + len(words) :])  # also validates the values


def test_every_option_of_publishing_is_in_the_guide() -> None:
    for option in ("--mqtt", "--webhook", "--camera-name", "--thumbnails", "--announce", "--discovery-prefix"):
        assert option in COMMANDS["watch",]
        assert f"`{option}" in GUIDE


def test_the_installation_names_extras() -> None:
    (extras,) = re.findall(r"pip install '\.\[([a-z,]+)\]'", GUIDE)
    assert set(extras.split(",")) <= set(PYPROJECT["project"]["optional-dependencies"])


def test_the_broker_runs_with_the_configuration_of_the_guide(tmp_path: Path) -> None:
    (configuration,) = (block for block in find_blocks("") if block.startswith("listener"))
    (line,) = (line.removeprefix("sudo ") for line in LINES if line.startswith("sudo mosquitto_passwd"))
    passwords = tmp_path / "passwords"
    name, *arguments = shlex.split(line.replace("/etc/mosquitto/passwords", str(passwords)))
    subprocess.run([find_program(name), *arguments], check=True, capture_output=True)
    text = configuration.replace("/etc/mosquitto/passwords", str(passwords))
    broker = Broker(tmp_path, configuration=f"{text}\npersistence_location {tmp_path}/\nuser root\n")
    try:
        Subscriber(broker, user="facebank", password="PASSWORD").__exit__()
    finally:
        broker.kill()


def test_the_address_file_is_read(tmp_path: Path) -> None:
    (write,) = (line for line in LINES if line.startswith("echo "))
    (create,) = (line for line in LINES if line.startswith("install "))
    path = tmp_path / "mqtt"
    for line in (create, write):
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
    service = read_unit()["Service"]
    assert service["KillSignal"] == "SIGINT"
    assert "@${CREDENTIALS_DIRECTORY}/mqtt" in service["ExecStart"]
    assert service["LoadCredential"] == "mqtt:/etc/facebank/mqtt"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    (text,) = find_blocks("ini")
    path = tmp_path / "facebank-door.service"
    path.write_text(text.replace("/opt/facebank/bin/facebank", sys.executable).replace("User=facebank", "User=root"))
    process = subprocess.run([analyze, "verify", str(path)], capture_output=True, encoding="utf-8", check=False)
    assert [line for line in process.stderr.splitlines() if "facebank-door" in line] == []


def test_the_event_follows_the_schema() -> None:
    (event,) = map(json.loads, find_blocks("json"))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schemas.load("presence"), format_checker=checker).validate(event)
    assert topic_word("Ada Lovelace").startswith("ada-lovelace-")
    assert re.findall(r"ada-lovelace-(\w+)\.\.\.", GUIDE) == [topic_word("Ada Lovelace")[13:17]]
