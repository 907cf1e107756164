"""Messages for clients, which contain no server paths or command options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import facebank
from facebank.service.client_text import ClientText, without_advice
from facebank.service.page.wording import sentence

_LIBRARY = Path(facebank.__file__).parent
_UNSENT_MODULES = {"evaluation", "doctor", "demo", "service", "video", "sort", "tags", "pages.py", "person_folders.py"}
"""Modules whose messages are never sent to clients."""
_COMMAND = re.compile(r"(?<![\w-])--[a-z]|[`']facebank [a-z]")


@pytest.fixture
def text(tmp_path: Path) -> ClientText:
    return ClientText([tmp_path / "my album"], [tmp_path / "my private" / "family.facebank"])


def list_command_messages() -> Iterator[str]:
    """Yield all texts of the library that mention options or commands, with X for their values."""
    for path in sorted(_LIBRARY.rglob("*.py")):
        if _UNSENT_MODULES.isdisjoint(path.relative_to(_LIBRARY).parts):
            yield from _texts(ast.parse(path.read_text(encoding="utf-8")))


def _texts(tree: ast.AST) -> Iterator[str]:
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | docstrings:
            text = node.value
        if " " in text and "\n" not in text and _COMMAND.search(text):
            command = text.replace("`X`", "`facebank X`")
            yield command if text[:1] == "X" else f"It went wrong: {command}"


def test_messages_never_mention_commands(text: ClientText) -> None:
    messages = list(list_command_messages())
    assert len(messages) > 40
    for message in messages:
        for shown in (
            text.api_message(message),
            sentence(text.strip_paths(message)),
            without_advice(text.strip_paths(message)),
        ):
            assert not _COMMAND.search(shown), (message, shown)
            assert shown.strip()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("it is unlike Ada: use --force if it is Ada anyway", "it is unlike Ada: use `force` if it is Ada anyway"),
        ("a.jpg shows 2 faces, choose one with --face: 1, 2", "a.jpg shows 2 faces, choose one with `face`: 1, 2"),
        ("Nobody called 'A' is enrolled: `facebank people list` shows who is.",
         "Nobody called 'A' is enrolled: `GET /api/v1/people` shows who is."),
        ("there is no group 7: 'facebank cluster' lists the groups",
         "there is no group 7: `GET /api/v1/album/groups` lists the groups"),
        ("the gallery was made with the pack X: name its folder with --pack, or run `facebank packs add X`",
         "the gallery was made with the pack X"),
    ],
)  # fmt: skip
def test_api_messages_mention_parameters_and_routes(text: ClientText, message: str, expected: str) -> None:
    assert text.api_message(message) == expected


def test_server_paths_are_not_disclosed(text: ClientText, tmp_path: Path) -> None:
    private = tmp_path / "my private"
    for message in (
        f"{private}/family.facebank is not a gallery",
        f"the keys in {private}/family.facebank.keys cannot be read",
        f"{private}/old copies/family.facebank.scan: no space left",
        f"there is no pack in {Path.home()}/.local/share/x/packs",
        "the calibration in '/opt/some/where/calibration.json' cannot be used",
        f"[Errno 13] Permission denied: '{_LIBRARY}/packs/embedded/pack.toml'",
    ):
        shown = text.strip_paths(message)
        assert "/" not in shown.replace("old copies/", ""), shown
        assert message.rpartition("/")[2] in shown
    shown = f"{tmp_path}/my album/2012/a b.jpg has changed: scan it again; see /api/v1/album/scan"
    assert text.strip_paths(shown) == shown


_REFUSED_NAMES = (  # name, its form in the message, and the refused character
    ("a/b", "a/b", "'/'"),
    ("/a/b", "/a/b", "'/'"),
    ("/etc/a: use --force sample", "/etc/a: use --force sample", "'/'"),
    ("<b>Bob</b>", "<b>Bob</b>", "'/'"),
    ("C:\\temp\\x", "C:\\temp\\x", "\\"),
    ("a\u202eb", "a\\u202eb", "U+202E"),
)


def test_refused_name_is_returned_with_the_reason(client: httpx.Client) -> None:
    for name, shown, character in _REFUSED_NAMES:
        start = f"A person cannot be called '{shown}': the character "
        for response in (
            client.patch("/api/v1/people/Barack", json={"name": name}),
            client.post("/people/1/rename", json={"name": name}),
            client.post("/api/v1/recognition/subjects", json={"subject": name}, headers={"x-api-key": "some"}),
        ):
            assert response.is_client_error
            message = response.json().get("detail") or response.json()["message"]
            assert message.startswith(start), message
            assert character in message.removeprefix(start)
            assert message.endswith("is not allowed in a name.")


@pytest.mark.parametrize("content", [b"x" * 5_000, b"", b"SQLite format 3\0" + bytes(5_000)])
def test_replaced_gallery_is_an_error_without_its_path(client: httpx.Client, gallery: Path, content: bytes) -> None:
    gallery.with_name("replacement").write_bytes(content)
    gallery.with_name("replacement").rename(gallery)
    gallery.with_name(f"{gallery.name}.keys").write_text("no keys")
    routes = ("/api/v1/health", "/api/v1/people", "/", "/settings", "/api/v1/recognition/subjects", "/api/v1/settings")
    for route in routes:
        response = client.get(route, headers={"x-api-key": "some"})
        assert response.status_code in {500, 503, 507}, response.text
        assert str(gallery.parent) not in response.text
