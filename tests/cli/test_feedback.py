"""``facebank confirm``, ``deny`` and ``strangers``: corrections of decisions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFilter

from tests.demo_photos import BLUE_ROOM, SPEECH

from .conftest import Run, Validate

pytestmark = pytest.mark.usefixtures("two_people")


def samples(run: Run, name: str) -> list[dict[str, Any]]:
    """Return a person's samples."""
    return run("people", "show", name, "--json").records


@pytest.fixture
def poor_photo(tmp_path: Path) -> Path:
    """A photo of Barack Obama that is too blurred for a sample."""
    with Image.open(SPEECH) as photo:
        small = photo.convert("RGB").resize((photo.width // 9, photo.height // 9))
        small.filter(ImageFilter.GaussianBlur(2)).resize((photo.width // 3, photo.height // 3)).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def test_a_confirmed_face_is_a_sample(run: Run, speech: Path, validate: Validate) -> None:
    records = run("confirm", speech, "barack obama", "--json").records
    validate("confirm", records)
    _, sample = samples(run, "Barack Obama")
    assert records == [
        {
            "image": str(speech),
            "face": 1,
            "box": sample["box"],
            "person": "Barack Obama",
            "accepted": True,
            "reason": "enrolled",
            "detail": "the face is a sample of Barack Obama now",
            "sample_id": sample["sample_id"],
        }
    ]
    assert (sample["image"], sample["has_thumbnail"]) == (str(speech), True)
    again = run("confirm", speech, "Barack Obama", "--json").records
    validate("confirm", again)
    assert (again[0]["reason"], again[0]["sample_id"]) == ("already_enrolled", sample["sample_id"])
    assert "was a sample of Barack Obama before" in run("confirm", speech, "Barack Obama").out


def test_a_poor_face_does_not_become_a_sample(run: Run, poor_photo: Path, validate: Validate) -> None:
    run("deny", poor_photo, "Barack Obama")
    records = run("confirm", poor_photo, "Barack Obama", "--json", code=1).records
    validate("confirm", records)
    assert (records[0]["accepted"], records[0]["reason"], records[0]["sample_id"]) == (False, "face_too_poor", None)
    assert len(samples(run, "Barack Obama")) == 1
    output = run("confirm", poor_photo, "Barack Obama", code=1).out
    assert "its quality is too low" in output
    assert "no longer denied" not in output  # the first call withdrew the denial
    assert run("deny", poor_photo, "Barack Obama", "--json").records[0]["reason"] == "denied"


def test_confirming_withdraws_a_denial(run: Run, speech: Path) -> None:
    run("deny", speech, "Barack Obama")
    run("confirm", speech, "Barack Obama")
    sample = samples(run, "Barack Obama")[1]
    run("people", "remove-sample", str(sample["sample_id"]))
    assert run("deny", speech, "Barack Obama", "--json").records[0]["reason"] == "denied"


def test_a_sample_of_somebody_else_is_refused(run: Run, portrait: Path) -> None:
    (sample,) = samples(run, "Barack Obama")
    result = run("confirm", portrait, "Eileen Collins", code=2)
    assert f"'facebank people remove-sample {sample['sample_id']}'" in result.err
    assert len(samples(run, "Eileen Collins")) == 1


def test_a_denial_is_recorded_once(run: Run, stranger: Path, validate: Validate) -> None:
    records = run("deny", stranger, "eileen collins", "--json").records
    validate("deny", records)
    box = records[0].pop("box")
    assert records == [
        {
            "image": str(stranger),
            "face": 1,
            "person": "Eileen Collins",
            "accepted": True,
            "reason": "denied",
            "detail": "Eileen Collins is no longer offered for this face",
            "stranger_id": None,
            "files_with_name": 0,
        }
    ]
    again = run("deny", stranger, "Eileen Collins", "--json").records
    validate("deny", again)
    assert (again[0]["reason"], again[0]["box"]) == ("already_denied", box)
    assert "Barack Obama is no longer offered" in run("deny", stranger, "Barack Obama").out


def test_a_persons_own_sample_cannot_be_denied(run: Run, portrait: Path, tmp_path: Path) -> None:
    (sample,) = samples(run, "Barack Obama")
    command = f"'facebank people remove-sample {sample['sample_id']}'"
    result = run("deny", portrait, "Barack Obama", code=2)
    assert command in result.err
    assert len(result.err.splitlines()) == 1
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(portrait.read_bytes() + b"\0")  # another file with the same picture
    assert command in run("deny", copy, "Barack Obama", code=2).err
    run("deny", portrait, "Eileen Collins")


def test_a_stranger_is_remembered_listed_and_forgotten(run: Run, stranger: Path, validate: Validate) -> None:
    records = run("deny", stranger, "--nobody", "--json").records
    validate("deny", records)
    assert (records[0]["person"], records[0]["reason"], records[0]["stranger_id"]) == (None, "remembered", 1)
    assert run("deny", stranger, "--nobody", "--json").records[0]["reason"] == "already_remembered"
    listed = run("strangers", "list", "--json").records
    validate("strangers-list", listed)
    assert [(record["stranger_id"], record["image"], record["box"]) for record in listed] == [
        (1, str(stranger), records[0]["box"])
    ]
    assert str(stranger) in run("strangers", "list").out
    forgotten = run("strangers", "forget", "1", "--json").records
    validate("strangers-forget", forgotten)
    assert forgotten == [{"stranger_id": 1, "busy_readers": False, "full_disk": False}]
    assert run("strangers", "list", "--json").records == []
    assert "strangers list" in run("strangers", "forget", "1", code=2).err


def test_a_confirmed_stranger_is_forgotten_as_a_stranger(run: Run, stranger: Path, portrait: Path) -> None:
    run("deny", stranger, "--nobody")
    assert "--force" in run("confirm", stranger, "Eileen Collins", code=1).out
    run("confirm", stranger, "Eileen Collins", "--force")
    assert run("strangers", "list", "--json").records == []
    assert "remove-sample" in run("deny", portrait, "--nobody", code=2).err


def test_a_poor_face_is_not_remembered(run: Run, poor_photo: Path, validate: Validate) -> None:
    records = run("deny", poor_photo, "--nobody", "--json", code=1).records
    validate("deny", records)
    assert (records[0]["accepted"], records[0]["reason"], records[0]["stranger_id"]) == (False, "face_too_poor", None)


def test_re_embed_includes_strangers(run: Run, stranger: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost.jpg"
    shutil.copy(BLUE_ROOM, lost)
    run("deny", stranger, "--nobody")
    run("deny", lost, "--nobody")
    lost.unlink()
    result = run("people", "re-embed", "--json", code=1)
    assert (result.records[0]["changed"], result.records[0]["embedded"], result.records[0]["lost"]) == (True, 2, [])
    assert result.err == f"facebank: a stranger whose face was not found again is forgotten: {lost}\n"
    assert [record["image"] for record in run("strangers", "list", "--json").records] == [str(stranger)]


def test_faces_are_numbered_as_in_identify(run: Run, pair: Path) -> None:
    (identified,) = run("identify", pair, "--json").records
    for face_number, face in enumerate(identified["faces"], 1):
        (record,) = run("confirm", pair, face["person"], "--face", str(face_number), "--json").records
        assert (record["face"], record["box"], record["reason"]) == (face_number, face["box"], "enrolled")


@pytest.mark.parametrize("command", [["confirm", "Barack Obama"], ["deny", "Barack Obama"], ["deny", "--nobody"]])
def test_several_faces_require_a_face_number(run: Run, pair: Path, command: list[str]) -> None:
    result = run(command[0], pair, *command[1:], code=2)
    assert "shows 2 faces, choose one with --face: 1 (x " in result.err
    assert len(result.err.splitlines()) == 1
    for face_number in ("3", "0", "-1"):
        assert f"no face {face_number}" in run(command[0], pair, *command[1:], "--face", face_number, code=2).err


@pytest.mark.parametrize("command", [["confirm", "Barack Obama"], ["deny", "Barack Obama"], ["deny", "--nobody"]])
def test_unusable_photos_are_refused(run: Run, tmp_path: Path, command: list[str]) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    (tmp_path / "text.jpg").write_text("Dear diary")
    for path in ("black.png", "text.jpg", "absent.jpg", "."):
        result = run(command[0], path, *command[1:], "--json", code=2)
        assert result.out == ""
        assert len(result.err.splitlines()) == 1


def test_deny_takes_either_a_name_or_nobody(run: Run, speech: Path) -> None:
    for arguments in ([], ["Barack Obama", "--nobody"]):
        assert "either a NAME or --nobody" in run("deny", speech, *arguments, code=2).err
    for command in ("confirm", "deny"):
        result = run(command, speech, "No\x1bbody", code=2)
        assert result.err.isascii()
        assert "\x1b" not in result.err
        assert "Nobody called 'Somebody'" in run(command, speech, "Somebody", code=2).err
    assert {record["person"] for record in run("people", "list", "--json").records} == {
        "Barack Obama",
        "Eileen Collins",
    }
