"""Bad input: one-sentence messages, exit codes, and no loss of existing data."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from tests.demo_photos import BIDEN
from tests.encoded_pictures import png_chunk, png_header

from .conftest import Run, copy_embedded_pack, limit_file_size, sample_counts, sentence


@pytest.mark.parametrize("command", [["identify", "a.jpg"], ["people", "list"], ["people", "forget", "Ada"]])
def test_a_missing_gallery_is_reported(run: Run, gallery: Path, command: list[str]) -> None:
    result = run(*command, code=2)
    assert str(gallery) in sentence(result)
    assert "facebank enroll" in result.err
    assert not gallery.exists()


@pytest.mark.parametrize("command", ["enroll", "identify"])
def test_an_empty_folder_is_refused(run: Run, two_people: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    assert sentence(run(command, "empty", code=2)) == "empty: no photos there"
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1}


def test_an_empty_folder_does_not_stop_the_others(run: Run, tmp_path: Path, portrait: Path) -> None:
    for name in ("Ada", "Nobody"):
        (tmp_path / name).mkdir()
    (tmp_path / "Ada" / "photo.jpg").write_bytes(portrait.read_bytes())
    nobody, ada = run("enroll", "Nobody", "Ada", "--json", code=1).records
    assert (nobody["person"], nobody["accepted"], nobody["reason"]) == ("Nobody", False, "no_photos")
    assert (ada["person"], ada["accepted"]) == ("Ada", True)


@pytest.mark.parametrize("name", ["../Ada", "Ada\n", "A\x1b[31mda", "a\u202eb", " ", "x" * 201, "Ada\\Grace"])
def test_an_invalid_name_is_refused(run: Run, gallery: Path, portrait: Path, name: str) -> None:
    assert all(character.isprintable() for character in sentence(run("enroll", "--name", name, portrait, code=2)))
    assert not gallery.exists()


@pytest.fixture
def bad_photos(tmp_path: Path, speech: Path) -> list[str]:
    """A text file, a truncated JPEG, a PNG header of 200 megapixels, an empty file, and a missing one."""
    (tmp_path / "text.jpg").write_text("Dear diary")
    (tmp_path / "truncated.jpg").write_bytes(speech.read_bytes()[:9000])
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 60_001))
    (tmp_path / "huge.png").write_bytes(png_header(20_000, 10_000) + pixels + png_chunk(b"IEND"))
    (tmp_path / "empty.jpg").touch()
    return ["text.jpg", "truncated.jpg", "huge.png", "empty.jpg", "absent.jpg"]


def test_unreadable_photos_are_reported_and_the_rest_is_identified(
    run: Run, two_people: Path, bad_photos: list[str], speech: Path
) -> None:
    result = run("identify", *bad_photos, speech, "--json", code=1)
    *bad, good = result.records
    assert [record["image"] for record in bad] == bad_photos
    for name, record, line in zip(bad_photos, bad, result.err.splitlines(), strict=True):
        assert line == f"facebank: {record['error']}"
        assert name in line
    assert good["faces"][0]["person"] == "Barack Obama"


def test_unreadable_photos_are_not_enrolled(run: Run, bad_photos: list[str]) -> None:
    result = run("enroll", "Ada", *bad_photos, "--json", code=1)
    assert [record["reason"] for record in result.records] == ["unreadable"] * len(bad_photos)


def test_a_file_that_is_not_a_gallery_is_refused(run: Run, gallery: Path, portrait: Path) -> None:
    gallery.write_text("Dear diary, today I was no SQLite file. " * 100)
    before = gallery.read_bytes()
    for command in (["enroll", "Ada", portrait], ["identify", portrait], ["people", "list"], ["people", "re-embed"]):
        assert str(gallery) in sentence(run(*command, code=2))
    assert gallery.read_bytes() == before


def test_a_database_of_another_program_is_not_changed(run: Run, gallery: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(gallery)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    sentence(run("enroll", "Ada", portrait, code=2))
    with closing(sqlite3.connect(gallery)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_gallery_of_a_newer_facebank_is_refused(run: Run, two_people: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(two_people)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'dreams', 'later')")
        connection.commit()
    for command in (["identify", portrait], ["people", "forget", "Barack Obama"]):
        assert "newer" in sentence(run(*command, code=2))


def test_a_folder_is_refused_as_a_gallery(run: Run, gallery: Path, portrait: Path) -> None:
    gallery.mkdir()
    sentence(run("enroll", "Ada", portrait, code=2))
    sentence(run("identify", portrait, code=2))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the embedded pack."""
    copy_embedded_pack(tmp_path / "pack")
    return tmp_path / "pack"


@pytest.mark.parametrize("is_missing", [True, False])
@pytest.mark.parametrize("network", ["yunet", "sface"])
def test_a_missing_or_altered_model_is_named(
    run: Run, pack: Path, tmp_path: Path, portrait: Path, speech: Path, network: str, is_missing: bool
) -> None:
    (model,) = pack.glob(f"*{network}*.onnx")
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.unlink()
    if not is_missing:
        model.write_bytes(data)
    result = run("--pack", pack, "verify", portrait, speech, code=2, FACEBANK_CACHE=str(tmp_path / "cache"))
    assert model.name in sentence(result)


def test_a_missing_pack_is_named(run: Run, portrait: Path) -> None:
    result = run("--pack", "no-such-pack", "enroll", "Ada", portrait, code=2)
    assert "no-such-pack" in sentence(result)
    assert "opencv" in result.err


def test_a_damaged_prepared_model_is_recreated(run: Run, tmp_path: Path, portrait: Path, speech: Path) -> None:
    cache = tmp_path / "cache"
    run("verify", portrait, speech, FACEBANK_CACHE=str(cache))
    prepared = sorted(cache.rglob("*.onnx"))
    assert len(prepared) == 2
    for model in prepared:
        model.write_bytes(model.read_bytes()[:-1000])
    run("verify", portrait, speech, FACEBANK_CACHE=str(cache))


def test_a_full_disk_keeps_the_enrolled_people(run: Run, two_people: Path, speech: Path, stranger: Path) -> None:
    result = run("enroll", "Joe", stranger, speech, code=2, child_setup=lambda: limit_file_size(8192))
    assert str(two_people) in sentence(result)
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1}
    run("enroll", "Joe", stranger)
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1, "Joe": 1}


def test_a_full_disk_leaves_no_partial_pictures_and_exports(
    run: Run, two_people: Path, speech: Path, tmp_path: Path
) -> None:
    # SQLite needs 32 KiB for its shared memory.
    message = sentence(
        run("identify", speech, "--annotate", "named", code=2, child_setup=lambda: limit_file_size(40_000))
    )
    assert "named/" in message
    assert list((tmp_path / "named").iterdir()) == []
    sentence(run("people", "export", "backup", code=2, child_setup=lambda: limit_file_size(1024)))
    assert not (tmp_path / "backup").exists()
    cache = str(tmp_path / "cache")
    # The networks are prepared in memory.
    result = run("identify", speech, child_setup=lambda: limit_file_size(40_000), FACEBANK_CACHE=cache)
    assert (result.out, result.err) == (run("identify", speech, FACEBANK_CACHE=cache).out, "")


def test_an_unwritable_folder_is_reported(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in sentence(run("identify", speech, "--annotate", "file/named", code=2))
    sentence(run("--gallery", "file/new.facebank", "enroll", "Ada", speech, code=2))


@pytest.fixture
def many_photos(tmp_path: Path, portrait: Path) -> Path:
    """A person's folder with more photos than one batch."""
    folder = tmp_path / "Barack"
    folder.mkdir()
    with Image.open(portrait) as photo:
        for number in range(70):
            ImageEnhance.Brightness(photo).enhance(0.6 + number / 100).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def enrollment(
    program: list[str], environment: dict[str, str], gallery: Path, many_photos: Path
) -> Iterator[subprocess.Popen[str]]:
    """A running enrollment; its small pipe delays it until its output is read."""
    with subprocess.Popen(
        [*program, "enroll", str(many_photos), "--json"],
        env={**environment, "FACEBANK_GALLERY": str(gallery)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=4096,  # about 15 of the 70 lines
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_an_interruption_keeps_enrolled_photos(run: Run, enrollment: subprocess.Popen[str]) -> None:
    assert enrollment.stdout is not None
    assert enrollment.stderr is not None
    lines = [enrollment.stdout.readline()]
    enrollment.send_signal(signal.SIGINT)
    lines += enrollment.stdout.readlines()
    *_, message = enrollment.stderr.read().splitlines()  # a slow enrollment has reported its progress before
    assert enrollment.wait() == 130
    match = re.fullmatch(r"facebank: interrupted: (\d+) of 70 photos are enrolled", message)
    assert match, message
    assert 1 <= len(lines) <= int(match[1]) <= len(lines) + 1 < 70
    assert int(match[1]) <= sample_counts(run)["Barack"] <= int(match[1]) + 1
    run("enroll", "Somebody", BIDEN)


def test_an_interruption_before_the_first_photo_is_reported(run: Run, tmp_path: Path, portrait: Path) -> None:
    # A compiled module that is interrupted while it is imported raises ImportError.
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        "try:\n    raise KeyboardInterrupt\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('initialization failed') from error\n"
    )
    assert sentence(run("enroll", "Ada", portrait, code=130, PYTHONPATH=str(tmp_path))) == (
        "interrupted: nothing was enrolled yet"
    )
    assert sentence(run("verify", portrait, portrait, code=130, PYTHONPATH=str(tmp_path))) == "interrupted"


def test_a_killed_enrollment_leaves_an_intact_gallery(run: Run, enrollment: subprocess.Popen[str]) -> None:
    assert enrollment.stdout is not None
    enrollment.stdout.readline()
    time.sleep(0.02)
    os.kill(enrollment.pid, signal.SIGKILL)
    enrollment.wait()
    assert 1 <= sample_counts(run)["Barack"] <= 70
