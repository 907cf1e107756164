"""``facebank serve``: requests, keys, addresses and shutdown."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.waiting import wait_until

from .conftest import Run, Validate


@contextmanager
def run_service(
    program: list[str], environment: dict[str, str], gallery: Path, *options: str | Path
) -> Iterator[tuple[str, subprocess.Popen[str], list[str]]]:
    """Run the service; yield its address, its process and the lines of output before its start."""
    command = [*program, "--gallery", str(gallery), "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=gallery.parent) as process:
        assert process.stderr is not None
        try:
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                match = re.search(r"serving (http://\S+) ", line)
                if match is not None:
                    yield match.group(1), process, lines
                    return
            pytest.fail("".join(lines))
        finally:
            process.kill()


def test_a_stopped_service_finishes_running_requests(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path
) -> None:
    with run_service(program, environment, two_people) as (address, process, _):
        assert httpx.get(f"{address}/api/v1/health", trust_env=False).json()["status"] == "ok"
        responses: list[httpx.Response] = []
        photos = [("photos", (f"{number}.jpg", speech.read_bytes())) for number in range(12)]

        def identify() -> None:
            responses.append(httpx.post(f"{address}/api/v1/identify", files=photos, timeout=120, trust_env=False))

        request = threading.Thread(target=identify)
        request.start()
        metrics_url = f"{address}/api/v1/metrics"
        wait_until(lambda: "under_way 1.0" in httpx.get(metrics_url, trust_env=False).text, 60)
        process.send_signal(signal.SIGTERM)
        request.join()
        assert [photo["faces"][0]["person"] for photo in responses[0].json()["photos"]] == ["Barack Obama"] * 12
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_an_address_in_use_is_reported(run: Run, two_people: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = run("serve", "--port", str(port), code=2)
    assert f"127.0.0.1 port {port} cannot be used" in result.err
    assert "--port" in result.err
    assert "192.0.2.1 port 0 cannot be used" in run("serve", "--host", "192.0.2.1", "--port", "0", code=2).err


def test_the_page_opens_in_the_browser(
    program: list[str], environment: dict[str, str], two_people: Path, browser: Path
) -> None:
    with run_service(program, {**environment, "BROWSER": str(browser)}, two_people, "--open") as (address, _, _):
        opened = browser.with_name("opened")
        wait_until(opened.exists, 30)
        assert opened.read_text().split() == [address]


def test_the_first_key_is_shown_once(program: list[str], environment: dict[str, str], two_people: Path) -> None:
    with run_service(program, environment, two_people, "--allow-host", "photos.home") as (address, _, lines):
        (key,) = re.findall(r"shown only once: (facebank_\S+)", "".join(lines))
        with httpx.Client(base_url=address, headers={"Host": "photos.home"}, trust_env=False) as client:
            assert client.get("/api/v1/metrics").status_code == 401
            assert client.get("/api/v1/metrics", headers={"x-api-key": key}).status_code == 200
    with run_service(program, environment, two_people, "--allow-host", "photos.home") as (_, _, lines):
        assert "facebank_" not in "".join(lines)


def test_the_key_is_in_a_file(program: list[str], environment: dict[str, str], two_people: Path, run: Run) -> None:
    token_path = two_people.with_name("token.txt")
    for _ in range(2):  # created by the first run, read by the second
        with run_service(program, environment, two_people, "--token-file", token_path) as (address, _, lines):
            assert token_path.stat().st_mode & 0o777 == 0o600
            key = token_path.read_text().strip()
            assert key not in "".join(lines)
            assert httpx.get(f"{address}/api/v1/metrics", trust_env=False).status_code == 401
            bearer = {"Authorization": f"Bearer {key}"}
            assert httpx.get(f"{address}/api/v1/metrics", headers=bearer, trust_env=False).status_code == 200
    for content in (b"short", b"two words of twenty characters", b"x" * 2000, b"\xff" * 30, b""):
        token_path.write_bytes(content)
        assert "token.txt" in run("serve", "--token-file", token_path, code=2).err


def test_keys_are_added_listed_and_revoked(run: Run, two_people: Path, validate: Validate) -> None:
    added = run("serve", "keys", "add", "doorbell", "--role", "read", "--json")
    validate("serve-keys-add", added.records)
    assert run("serve", "keys", "add", "Ada's phone", "--role", "teach").out.startswith("facebank_")
    listed = run("serve", "keys", "list", "--json")
    validate("serve-keys-list", listed.records)
    assert [(key["name"], key["role"]) for key in listed.records] == [("doorbell", "read"), ("Ada's phone", "teach")]
    assert str(added.records[0]["key"]) not in listed.out
    validate("serve-keys-revoke", run("serve", "keys", "revoke", "doorbell", "--json").records)
    assert "no key 'doorbell'" in run("serve", "keys", "revoke", "doorbell", code=2).err
    assert "use one of read, teach, admin" in run("serve", "keys", "add", "x", "--role", "king", code=2).err


def test_invalid_options_are_reported(run: Run, tmp_path: Path) -> None:
    assert "nowhere is not a folder" in run("serve", "--album", "nowhere", code=2).err
    (tmp_path / "file").write_text("x")
    assert "file is not a folder" in run("serve", "--album", tmp_path / "file", code=2).err
    assert "--port" in run("serve", "--port", "70000", code=2).err
