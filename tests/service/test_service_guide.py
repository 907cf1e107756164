"""The commands of docs/service.md work with a real service, and the guide has every route."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from facebank import FaceBank
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from tests.test_documents import COMMANDS, split_command

from .conftest import Serve, run_service

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = (PROJECT / "docs" / "service.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
ROUTES = json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8"))["paths"]
_STREAMED = ("/api/v1/album/scan/events", "/api/v1/metrics")  # not in JSON
ADDRESS = "http://127.0.0.1:8470"


def blocks(kind: str) -> list[str]:
    """Return the code blocks of a language."""
    return [text for language, text in BLOCKS if language == kind]


def routes() -> set[tuple[str, str]]:
    """Return all routes of the OpenAPI schema."""
    return {(method.upper(), path) for path, methods in ROUTES.items() for method in methods}


def route_of(line: str) -> tuple[str, str]:
    """Return the route of a curl command."""
    words = shlex.split(line)
    path = urlsplit(next(word for word in words if word.startswith(ADDRESS))).path
    sends = {"-F", "--json", "--data-binary"} & set(words)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if sends else "GET"
    pattern = next(
        route
        for route in sorted(ROUTES, key=len)
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route)), path)
    )
    return method, pattern


def test_every_route_is_in_the_table_and_has_a_curl_example() -> None:
    rows = re.findall(r"^\| (GET|POST|PATCH|DELETE) \| `([^`]+)` \|", GUIDE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == routes()
    assert {route_of(line) for text in blocks("bash") for line in text.splitlines()} == routes()


def test_roles_in_the_table_match_the_routes(serve: Serve, gallery: Path) -> None:
    client, keys = serve(ServiceOptions(hosts=("photos.home",))), KeyFile.of_gallery(gallery)
    keys_by_role = {role.name.lower(): {"x-api-key": keys.add(role.name, role)} for role in Role}
    weaker = {"read": {}, "teach": keys_by_role["read"], "admin": keys_by_role["teach"]}
    rows = re.findall(r"^\| (GET|POST|PATCH|DELETE) \| `([^`]+)` \| (\w+) \|", GUIDE, re.MULTILINE)
    for method, path, role in rows:
        request = client.build_request(method, path.replace("{name}", "Nobody").replace("{number}", "9"))
        if role == "none":
            assert client.send(request).status_code == 200, path
            continue
        for name, headers in ((role, keys_by_role[role]), ("weaker", weaker[role])):
            request.headers.pop("x-api-key", None)
            request.headers.update(headers)
            code = (
                client.send(request).json().get("code") if path not in _STREAMED else client.send(request).status_code
            )
            assert (code in {"RoleTooLow", "KeyNeeded", 401}) is (name == "weaker"), (method, path, code)


def guide_commands() -> list[str]:
    """Return the facebank commands of the guide."""
    commands = [line for text in blocks("") for line in text.splitlines() if line.startswith("facebank ")]
    return [*commands, re.sub(r"^\S*/", "", parse_unit()["Service"]["ExecStart"])]


def parse_unit() -> ConfigParser:
    """Return the parsed systemd unit of the guide."""
    (text,) = blocks("ini")
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("line", guide_commands())
def test_commands_of_the_guide_exist(line: str) -> None:
    words, _, options = split_command(line)
    assert set(options) <= COMMANDS[words]


def test_proxy_accepts_the_largest_request() -> None:
    (text,) = blocks("nginx")
    assert f"client_max_body_size {Limits().body >> 20}m;" in text
    assert f"proxy_pass {ADDRESS};" in text
    assert text.count("{") == text.count("}")


def test_limits_match_the_service() -> None:
    limits = Limits()
    rows = dict(re.findall(r"^\| ([^|`]+) \| ([^|`]+) \|$", GUIDE[GUIDE.index("## Limits") :], re.MULTILINE))
    assert rows["request size"] == f"{limits.body >> 20} MiB, {limits.photos} photos"
    assert rows["size of all requests together"] == f"{limits.bodies >> 20} MiB; 503 beyond"
    times = limits.head_seconds, limits.upload_seconds, limits.unread_seconds
    assert rows["receiving the head, receiving the body, sending the answer"] == "{:g}, {:g} and {:g} s".format(*times)
    assert rows["processing a request"] == f"{limits.seconds:g} s"
    assert rows["open connections"] == f"{limits.connections:,}"
    assert rows["requests in progress or queued"].startswith(f"{limits.waiting} ")
    assert rows["wrong keys for each address"].startswith(f"{limits.wrong_keys_a_minute} a minute;")
    assert rows["requests for each key, or each address without a key"] == f"{limits.requests_a_minute:,} a minute"


def test_guide_runs_as_written(example_bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example_bank.close()
    if not shutil.which("node") and "FACEBANK_CI" not in os.environ:
        pytest.skip("node, for the JavaScript of the guide, is not installed: apt-get install nodejs")
    album = tmp_path / "Pictures"
    (album / "2012").mkdir(parents=True)
    shutil.copy("party.jpg", album / "2012")
    shutil.copy("eileen.jpg", album / "2012")
    (album / "eileen again.jpg").write_bytes(Path("eileen.jpg").read_bytes() + b" ")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    environment = {**os.environ, "HOME": str(home), "CURL_HOME": str(home)}
    names: dict[str, Any] = {}
    printed = ""
    options = ServiceOptions(albums=(album,), embeddings=True)
    with FaceBank.open("family.facebank") as bank, run_service(bank, options) as address:
        for kind, written in BLOCKS:
            text = written.replace(ADDRESS, address)
            if kind == "bash":
                for line in text.splitlines():
                    completed = subprocess.run(
                        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60
                    )
                    assert completed.returncode == 0, (line, completed.stdout, completed.stderr)
            elif kind == "python":
                exec(compile(text, "docs/service.md", "exec"), names)
                printed = capsys.readouterr().out
            elif kind == "javascript":
                completed = subprocess.run(
                    ["node", "--input-type=module", "-e", text], capture_output=True, text=True, check=False, timeout=60
                )
                assert completed.returncode == 0, completed.stderr
                printed = completed.stdout
            elif kind == "text":
                assert printed == written
        assert [person.name for person in bank.people()] == ["Barack", "Eileen", "Joe Biden"]
