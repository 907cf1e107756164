"""The commands of docs/service.md work with a real service, and the guide has every route."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from facebank import FaceBank
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from tests.guides import BLOCK, OPTIONS, PROJECT, find_blocks, parse_unit, split_command

from .conftest import NETWORK, Serve, run_service

GUIDE = (PROJECT / "docs" / "service.md").read_text(encoding="utf-8")
PATHS = json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8"))["paths"]
ROUTES = {(method.upper(), path) for path, methods in PATHS.items() for method in methods}
WITHOUT_JSON = ("/api/v1/album/scan/events", "/api/v1/metrics")
SERVICE_URL = "http://127.0.0.1:8470"


def route_of(line: str) -> tuple[str, str]:
    """Return the method and path of a curl command, with the names of the path's parameters."""
    words = shlex.split(line)
    path = urlsplit(next(word for word in words if word.startswith(SERVICE_URL))).path
    has_body = not {"-F", "--json", "--data-binary"}.isdisjoint(words)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if has_body else "GET"
    template = next(
        template
        for template in sorted(PATHS, key=len)
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path)
    )
    return method, template


def test_every_route_is_in_the_table_and_has_a_curl_example() -> None:
    rows = re.findall(r"^\| (GET|POST|PATCH|DELETE) \| `([^`]+)` \|", GUIDE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == ROUTES
    assert {route_of(line) for text in find_blocks(GUIDE, "bash") for line in text.splitlines()} == ROUTES


def test_roles_in_the_table_match_the_routes(serve: Serve, gallery: Path) -> None:
    client, keys = serve(NETWORK), KeyFile.of_gallery(gallery)
    headers_by_role = {role.name.lower(): {"x-api-key": keys.add(role.name, role)} for role in Role}
    weaker_headers = {"read": {}, "teach": headers_by_role["read"], "admin": headers_by_role["teach"]}
    rows = re.findall(r"^\| (GET|POST|PATCH|DELETE) \| `([^`]+)` \| (\w+) \|", GUIDE, re.MULTILINE)
    for method, path, role in rows:
        request = client.build_request(method, path.replace("{name}", "Nobody").replace("{number}", "9"))
        if role == "none":
            assert client.send(request).status_code == 200, path
            continue
        for name, headers in ((role, headers_by_role[role]), ("weaker", weaker_headers[role])):
            request.headers.pop("x-api-key", None)
            request.headers.update(headers)
            response = client.send(request)
            code = response.status_code if path in WITHOUT_JSON else response.json().get("code")
            assert (code in {"RoleTooLow", "KeyNeeded", 401}) is (name == "weaker"), (method, path, code)


def list_command_lines() -> list[str]:
    """Return the facebank commands in the guide and in its systemd unit."""
    lines = [line for text in find_blocks(GUIDE, "") for line in text.splitlines() if line.startswith("facebank ")]
    return [*lines, re.sub(r"^\S*/", "", parse_unit(GUIDE)["Service"]["ExecStart"])]


@pytest.mark.parametrize("line", list_command_lines())
def test_commands_of_the_guide_exist(line: str) -> None:
    words, _, options = split_command(line)
    assert set(options) <= OPTIONS[words]


def test_proxy_accepts_the_largest_request() -> None:
    (text,) = find_blocks(GUIDE, "nginx")
    assert f"client_max_body_size {Limits().body >> 20}m;" in text
    assert f"proxy_pass {SERVICE_URL};" in text
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
    namespace: dict[str, Any] = {}
    output = ""
    options = ServiceOptions(albums=(album,), embeddings=True)
    with FaceBank.open("family.facebank") as bank, run_service(bank, options) as url:
        for language, text in BLOCK.findall(GUIDE):
            program = text.replace(SERVICE_URL, url)
            if language == "bash":
                for line in program.splitlines():
                    completed = subprocess.run(
                        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60
                    )
                    assert completed.returncode == 0, (line, completed.stdout, completed.stderr)
            elif language == "python":
                exec(compile(program, "docs/service.md", "exec"), namespace)
                output = capsys.readouterr().out
            elif language == "javascript":
                completed = subprocess.run(
                    ["node", "--input-type=module", "-e", program],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                assert completed.returncode == 0, completed.stderr
                output = completed.stdout
            elif language == "text":
                assert output == text
        assert [person.name for person in bank.people()] == ["Barack", "Eileen", "Joe Biden"]
