"""Bad input: one-sentence messages, exit codes, and no loss of existing data."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import DEMO_PHOTOS, PROJECT, Ran, Run


def sentence(ran: Ran) -> str:
    """Return the one sentence on standard error."""
    (line,) = ran.err.splitlines()
    assert line.startswith("facebank: ")
    return line


def people(run: Run) -> dict[str, int]:
    """Return the number of samples by person."""
    return {record["person"]: record["samples"] for record in run("people", "list", "--json").records}


@pytest.mark.parametrize("command", [["identify", "a.jpg"], ["people", "list"], ["people", "forget", "Ada"]])
def test_no_gallery_yet(run: Run, gallery: Path, command: list[str]) -> None:
    ran = run(*command, code=2)
    assert str(gallery) in sentence(ran)
    assert "facebank enroll" in ran.err
    assert not gallery.exists()


@pytest.mark.parametrize("command", ["enroll", "identify"])
def test_an_empty_folder(run: Run, two_people: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    assert sentence(run(command, "empty", code=2)) == "facebank: empty: no photos there"
    assert people(run) == {"Barack Obama": 1, "Eileen Collins": 1}


def test_one_empty_folder_among_others(run: Run, tmp_path: Path, portrait: Path) -> None:
    for name in ("Ada", "Nobody"):
        (tmp_path / name).mkdir()
    (tmp_path / "Ada" / "photo.jpg").write_bytes(portrait.read_bytes())
    nobody, ada = run("enroll", "Nobody", "Ada", "--json", code=1).records
    assert (nobody["person"], nobody["accepted"], nobody["reason"]) == ("Nobody", False, "no_photos")
    assert (ada["person"], ada["accepted"]) == ("Ada", True)


@pytest.mark.parametrize("name", ["../Ada", "Ada\n", "A\x1b[31mda", "a\u202eb", " ", "x" * 201, "Ada\\Grace"])
def test_an_invalid_name(run: Run, gallery: Path, portrait: Path, name: str) -> None:
    assert all(character.isprintable() for character in sentence(run("enroll", "--name", name, portrait, code=2)))
    assert not gallery.exists()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def bad_photos(tmp_path: Path, speech: Path) -> list[str]:
    """A text file, a truncated JPEG, a PNG header of 200 megapixels, an empty file, and a missing one."""
    (tmp_path / "text.jpg").write_text("Dear diary")
    (tmp_path / "cut.jpg").write_bytes(speech.read_bytes()[:9000])
    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 60_001)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(huge)
    (tmp_path / "empty.jpg").touch()
    return ["text.jpg", "cut.jpg", "huge.png", "empty.jpg", "absent.jpg"]


def test_unreadable_photos_are_reported_and_the_rest_is_identified(
    run: Run, two_people: Path, bad_photos: list[str], speech: Path
) -> None:
    ran = run("identify", *bad_photos, speech, "--json", code=1)
    *bad, good = ran.records
    assert [record["image"] for record in bad] == bad_photos
    for name, record, line in zip(bad_photos, bad, ran.err.splitlines(), strict=True):
        assert line == f"facebank: {record['error']}"
        assert name in line
    assert good["faces"][0]["person"] == "Barack Obama"


def test_only_photos_that_cannot_be_read(run: Run, bad_photos: list[str]) -> None:
    ran = run("enroll", "Ada", *bad_photos, "--json", code=1)
    assert [record["reason"] for record in ran.records] == ["unreadable"] * len(bad_photos)


def test_a_file_that_is_not_a_gallery(run: Run, gallery: Path, portrait: Path) -> None:
    gallery.write_text("Dear diary, today I was no SQLite file. " * 100)
    before = gallery.read_bytes()
    for command in (["enroll", "Ada", portrait], ["identify", portrait], ["people", "list"], ["people", "re-embed"]):
        assert str(gallery) in sentence(run(*command, code=2))
    assert gallery.read_bytes() == before


def test_a_gallery_of_another_program(run: Run, gallery: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(gallery)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
        other.commit()
    sentence(run("enroll", "Ada", portrait, code=2))
    with closing(sqlite3.connect(gallery)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_gallery_from_a_newer_facebank(run: Run, two_people: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(two_people)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'dreams', 'later')")
        connection.commit()
    for command in (["identify", portrait], ["people", "forget", "Barack Obama"]):
        assert "newer" in sentence(run(*command, code=2))


def test_a_gallery_that_is_a_folder(run: Run, gallery: Path, portrait: Path) -> None:
    gallery.mkdir()
    sentence(run("enroll", "Ada", portrait, code=2))
    sentence(run("identify", portrait, code=2))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the embedded pack."""
    folder = tmp_path / "pack"
    folder.mkdir()
    for file in (PROJECT / "facebank" / "packs" / "embedded").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("which", ["yunet", "sface"])
def test_a_missing_or_altered_model(
    run: Run, pack: Path, tmp_path: Path, portrait: Path, speech: Path, which: str, missing: bool
) -> None:
    (model,) = pack.glob(f"*{which}*.onnx")
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.unlink()
    if not missing:
        model.write_bytes(data)
    ran = run("--pack", pack, "verify", portrait, speech, code=2, FACEBANK_CACHE=str(tmp_path / "cache"))
    assert model.name in sentence(ran)


def test_a_missing_pack(run: Run, portrait: Path) -> None:
    ran = run("--pack", "no-such-pack", "enroll", "Ada", portrait, code=2)
    assert "no-such-pack" in sentence(ran)
    assert "opencv" in ran.err


def test_a_damaged_prepared_model_is_recreated(run: Run, tmp_path: Path, portrait: Path, speech: Path) -> None:
    cache = tmp_path / "cache"
    run("verify", portrait, speech, FACEBANK_CACHE=str(cache))
    prepared = sorted(cache.rglob("*.onnx"))
    assert len(prepared) == 2
    for model in prepared:
        model.write_bytes(model.read_bytes()[:-1000])
    run("verify", portrait, speech, FACEBANK_CACHE=str(cache))


def limited_to(size: int) -> None:
    """Limit the size of files that this process may write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_at_enrollment(run: Run, two_people: Path, speech: Path, stranger: Path) -> None:
    ran = run("enroll", "Joe", stranger, speech, code=2, before=lambda: limited_to(8192))
    assert str(two_people) in sentence(ran)
    assert people(run) == {"Barack Obama": 1, "Eileen Collins": 1}
    run("enroll", "Joe", stranger)
    assert people(run) == {"Barack Obama": 1, "Eileen Collins": 1, "Joe": 1}


def test_a_full_disk_for_pictures_exports_and_prepared_models(
    run: Run, two_people: Path, speech: Path, tmp_path: Path
) -> None:
    # SQLite's shared memory alone takes 32 KiB
    lines = sentence(run("identify", speech, "--annotate", "named", code=2, before=lambda: limited_to(40_000)))
    assert "named/" in lines
    assert list((tmp_path / "named").iterdir()) == []
    sentence(run("people", "export", "backup", code=2, before=lambda: limited_to(1024)))
    assert not (tmp_path / "backup").exists()
    cache = str(tmp_path / "cache")
    ran = run(
        "identify", speech, before=lambda: limited_to(40_000), FACEBANK_CACHE=cache
    )  # networks are prepared in memory
    assert (ran.out, ran.err) == (run("identify", speech, FACEBANK_CACHE=cache).out, "")


def test_a_folder_that_cannot_be_written(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in sentence(run("identify", speech, "--annotate", "file/named", code=2))
    sentence(run("--gallery", "file/new.facebank", "enroll", "Ada", speech, code=2))


@pytest.fixture
def many_photos(tmp_path: Path, portrait: Path) -> Path:
    """A person's folder with more photos than one batch."""
    from PIL import Image, ImageEnhance

    folder = tmp_path / "Barack"
    folder.mkdir()
    with Image.open(portrait) as photo:
        for number in range(70):
            ImageEnhance.Brightness(photo).enhance(0.6 + number / 100).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def running(
    program: list[str], environment: dict[str, str], gallery: Path, many_photos: Path
) -> Iterator[subprocess.Popen[str]]:
    """A running enrollment."""
    with subprocess.Popen(
        [*program, "enroll", str(many_photos), "--json"],
        env={**environment, "FACEBANK_GALLERY": str(gallery)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_an_interruption_keeps_what_was_enrolled(run: Run, running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    assert running.stderr is not None
    lines = [running.stdout.readline()]
    running.send_signal(signal.SIGINT)
    lines += running.stdout.readlines()
    complaint = running.stderr.read()
    assert running.wait() == 130
    match = re.fullmatch(r"facebank: interrupted: (\d+) of 70 photos are enrolled\n", complaint)
    assert match
    assert 1 <= len(lines) <= int(match[1]) <= len(lines) + 1 < 70
    assert int(match[1]) <= people(run)["Barack"] <= int(match[1]) + 1
    run("enroll", "Somebody", DEMO_PHOTOS / "joe_biden_blue_room.jpg")


def test_an_interruption_before_the_first_photo_is_reported(run: Run, tmp_path: Path, portrait: Path) -> None:
    # an import of a compiled module turns Ctrl-C into an ImportError
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        "try:\n    raise KeyboardInterrupt\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('initialization failed') from error\n"
    )
    assert sentence(run("enroll", "Ada", portrait, code=130, PYTHONPATH=str(tmp_path))) == (
        "facebank: interrupted: nothing was enrolled yet"
    )
    assert sentence(run("verify", portrait, portrait, code=130, PYTHONPATH=str(tmp_path))) == "facebank: interrupted"


def test_a_killed_enrollment_leaves_an_intact_gallery(run: Run, running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert 1 <= people(run)["Barack"] <= 70
