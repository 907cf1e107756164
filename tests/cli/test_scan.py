"""``facebank scan`` and ``identify --scan``: photos are analyzed once and identified later."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from facebank.album.scan.scanner import lock_scan
from tests.demo_photos import COLLINS, DEMO_PHOTOS, SPEECH
from tests.waiting import wait_until

from .conftest import Run, Validate, limit_file_size


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of photographs of two enrolled people and a stranger."""
    folder = tmp_path / "album"
    shutil.copytree(DEMO_PHOTOS, folder)
    (folder / "CREDITS.txt").unlink()
    return folder


def people_by_photo(records: Sequence[dict[str, object]]) -> dict[str, list[object]]:
    people: dict[str, list[object]] = {}
    for record in records:
        faces = record["faces"]
        assert isinstance(faces, list)
        people[Path(str(record["image"])).name] = [face["person"] for face in faces]
    return people


def test_a_scan_gives_the_same_results_as_its_photos(
    run: Run, two_people: Path, album: Path, validate: Validate
) -> None:
    result = run("scan", album, "--json")
    validate("scan", result.records)
    assert [record["status"] for record in result.records] == ["scanned"] * 5
    from_scan, from_photos = run("identify", "--scan", "--json").records, run("identify", album, "--json").records
    validate("identify", from_scan)
    assert people_by_photo(from_scan) == people_by_photo(from_photos)
    assert people_by_photo(from_scan)["barack_obama_speech.jpg"] == ["Barack Obama"]
    assert two_people.with_suffix(".scan").exists()


def test_people_enrolled_later_are_found_in_deleted_photos(
    run: Run, two_people: Path, album: Path, stranger: Path
) -> None:
    assert "5 analyzed" in run("scan", album).out
    shutil.rmtree(album)
    assert people_by_photo(run("identify", "--scan", "--json").records)["joe_biden_blue_room.jpg"] == [None]
    run("enroll", "--name", "Joe Biden", stranger)
    assert people_by_photo(run("identify", "--scan", "--json").records)["joe_biden_blue_room.jpg"] == ["Joe Biden"]


def test_a_second_scan_reports_changes(run: Run, album: Path) -> None:
    run("scan", album)
    (album / "eileen_collins.jpg").rename(album / "commander.jpg")
    (album / "barack_obama_speech.jpg").unlink()
    (album / "torn.jpg").write_bytes((album / "joe_biden_blue_room.jpg").read_bytes()[:3000])
    result = run("scan", album, code=1)
    assert result.out.splitlines()[0] == "1 moved, renamed or copied, 3 unchanged, 1 gone, 1 unreadable"
    assert "torn.jpg" in result.err
    assert "4 faces in 4 photos (4 files)" in result.out


def test_results_of_a_deleted_folder_are_kept_until_forgotten(run: Run, two_people: Path, album: Path) -> None:
    (album / "clip.mp4").write_bytes(b"a video")
    assert "1 video skipped" in run("scan", album).err
    shutil.rmtree(album)
    assert "the scan has 5 photos in it" in run("scan", album, code=2).err
    assert len(run("identify", "--scan", "--json").records) == 5
    assert "5 files forgotten" in run("scan", album, "--forget").err
    assert run("identify", "--scan", "--json").records == []


def test_part_of_a_scan_can_be_identified(run: Run, two_people: Path, album: Path) -> None:
    (album / "inside").mkdir()
    (album / "eileen_collins.jpg").rename(album / "inside" / "collins.jpg")
    run("scan", album)
    assert len(run("identify", "--scan", album / "inside", "--json").records) == 1
    assert "scan it first" in run("identify", "--scan", album / "nowhere", code=2).err


def test_a_scan_file_can_be_named(run: Run, two_people: Path, album: Path, tmp_path: Path) -> None:
    scan_path = tmp_path / "own.scan"
    run("scan", album, "--scan-file", scan_path)
    assert not two_people.with_suffix(".scan").exists()
    assert "no scan" in run("identify", "--scan", code=2).err
    assert len(run("identify", "--scan", "--scan-file", scan_path, "--json").records) == 5


def test_a_killed_scan_continues(
    run: Run, program: list[str], environment: dict[str, str], gallery: Path, album: Path
) -> None:
    with Image.open(album / "eileen_collins.jpg") as picture:
        for number in range(150):
            picture.paste((number % 16 * 16, number // 16 * 16, 128), (0, 0, 16, 16))
            picture.save(album / f"{number}.jpg", quality=95)
    scan_path = gallery.with_suffix(".scan")
    process = subprocess.Popen(
        [*program, "--gallery", str(gallery), "scan", str(album)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: has_committed(scan_path), 120)
    finally:
        process.kill()
        process.wait()
    first = run("scan", album).out.splitlines()[0]
    analyzed, unchanged = (int(part.split()[0]) for part in first.split(", "))
    assert analyzed + unchanged == 155
    assert unchanged >= 16
    assert analyzed > 0
    assert not gallery.with_name("test.scan.lock").exists()


def has_committed(path: Path) -> bool:
    journal = path.with_name(path.name + "-wal")
    return journal.exists() and journal.stat().st_size > 100_000


def test_a_second_scan_at_the_same_time_is_refused(run: Run, gallery: Path, album: Path) -> None:
    with lock_scan(gallery.with_suffix(".scan")):
        assert "another scan" in run("scan", album, code=2).err
    assert "5 analyzed" in run("scan", album).out


def test_invalid_paths_and_options_are_reported(run: Run, two_people: Path, album: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in run("scan", tmp_path / "nowhere", code=2).err
    (tmp_path / "empty").mkdir()
    assert "no photos" in run("scan", tmp_path / "empty", code=2).err
    assert "name a photo or a folder" in run("identify", code=2).err
    assert "--scan-file requires --scan" in run("identify", album, "--scan-file", "x.scan", code=2).err
    (tmp_path / "text.scan").write_text("no scan at all" * 100)
    assert "is not a scan" in run("scan", album, "--scan-file", "text.scan", code=2).err


def test_a_full_disk_loses_nothing(run: Run, two_people: Path, album: Path) -> None:
    assert "the disk is full" in run("scan", album, code=2, child_setup=lambda: limit_file_size(20_000)).err
    run("scan", album)
    assert len(run("identify", "--scan", "--json").records) == len(list(album.iterdir()))


def test_undecodable_file_names_and_circular_links_are_scanned(run: Run, two_people: Path, tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    byte_path = os.fsencode(album) + b"/\xff\xfe.jpg"
    shutil.copy(os.fsencode(SPEECH), byte_path)
    (album / "loop").symlink_to(album)
    run("scan", album)
    assert "1 unchanged" in run("scan", album).out
    (record,) = run("identify", "--scan", "--json").records
    assert os.fsencode(str(record["image"])) == byte_path
    assert record["faces"]


def test_unreadable_photos_are_reported_each_time(run: Run, album: Path, validate: Validate) -> None:
    (album / "torn.jpg").write_bytes((album / "joe_biden_blue_room.jpg").read_bytes()[:3000])
    first = run("scan", album, "--json", code=1)
    second = run("scan", album, "--json", code=1)
    validate("scan", second.records)
    assert len(first.records) == 6
    assert [(Path(str(record["image"])).name, record["status"]) for record in second.records] == [
        ("torn.jpg", "unreadable")
    ]


def test_a_file_that_is_not_a_photo_is_reported_once(run: Run, album: Path) -> None:
    (album / "notes.txt").write_text("no photo")
    assert "notes.txt" in run("scan", album / "notes.txt", code=1).err
    assert run("scan", album).err == ""


def test_a_folder_without_photos_creates_no_scan(run: Run, gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no photos there" in run("scan", tmp_path / "empty", code=2).err
    assert "no such file or folder" in run("scan", tmp_path / "nowhere", code=2).err
    assert not list(tmp_path.glob("*.scan*"))
    assert not gallery.exists()


def test_a_video_in_nested_folders_is_counted_once(run: Run, album: Path) -> None:
    (album / "inner").mkdir()
    (album / "inner" / "clip.mp4").write_bytes(b"a video")
    assert "1 video skipped" in run("scan", album, album / "inner").err


def test_a_folder_without_its_removed_unreadable_photos_is_forgotten(run: Run, album: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "torn.jpg").write_bytes(b"torn")
    run("scan", album, tmp_path / "other", code=1)
    (tmp_path / "other" / "torn.jpg").unlink()
    assert run("scan", album, tmp_path / "other").out.startswith("5 unchanged\n")
    run("scan", album)
    (album / "inner").mkdir()
    shutil.move(album / "eileen_collins.jpg", album / "inner")
    run("scan", album)
    assert "6 files forgotten" in run("scan", "--forget", album, album / "inner", tmp_path / "other", code=None).err


@pytest.mark.usefixtures("two_people")
def test_people_in_the_scan_count_as_other_people_until_somebody_is_forgotten(
    run: Run, album: Path, stranger: Path
) -> None:
    def count_others() -> object:
        return run("settings", "show", "--json").records[0]["other_people"]

    assert count_others() == 1
    for number in range(3):  # three photos of the stranger with different bytes
        (album / f"again{number}.jpg").write_bytes(stranger.read_bytes() + bytes(number))
    run("scan", album)
    assert count_others() == 2
    assert "your album: 2 other people, 1 of them only in the scan" in run("settings").out
    assert "your album: 2 other people" in run("doctor", code=None).out
    speech = "barack_obama_speech.jpg"
    by_photo, by_folder = (people_by_photo(run("identify", path, "--json").records) for path in (album / speech, album))
    assert by_photo[speech] == by_folder[speech] == ["Barack Obama"]
    run("people", "forget", "Eileen Collins")
    assert count_others() == 0


@pytest.mark.usefixtures("two_people")
def test_a_damaged_cohort_file_is_recreated_by_the_next_scan(run: Run, album: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    run("scan", album, FACEBANK_CACHE=cache)
    (cohort,) = Path(cache, "cohorts").iterdir()
    content = cohort.read_bytes()
    cohort.write_bytes(content[:-1])
    identified = run("identify", album, "--json", FACEBANK_CACHE=cache)
    assert identified.err.count(f"{cohort} is damaged: until 'facebank scan' recreates it") == 1
    assert f"{cohort} is damaged" in run("doctor", FACEBANK_CACHE=cache, code=None).out
    again = run("scan", album, FACEBANK_CACHE=cache)
    assert "unchanged" in again.out
    assert "damaged" not in again.err
    assert cohort.read_bytes() == content
    assert "damaged" not in run("identify", album, "--json", FACEBANK_CACHE=cache).err
    cohort.unlink()
    cohort.symlink_to(album / "eileen_collins.jpg")
    run("scan", album, FACEBANK_CACHE=cache)
    assert not cohort.is_symlink()
    assert cohort.read_bytes() == content


def test_photos_are_read_again_when_their_decoder_is_installed(
    run: Run, two_people: Path, shared: Path, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "pillow_heif.py").write_text("raise ImportError('not installed')")
    (tmp_path / "phone").mkdir()
    for path in (shared / "data" / "odd" / "phone.heic", COLLINS):
        shutil.copy(path, tmp_path / "phone")
    (tmp_path / "phone" / "torn.heic").write_bytes((tmp_path / "phone" / "phone.heic").read_bytes()[:5000])
    for summary in ("1 analyzed", "1 unchanged, 2 unreadable"):  # the second scan finds no change
        without = run("scan", "phone", code=1, PYTHONPATH=str(tmp_path / "hidden"))
        assert summary in without.out
        assert "pip install 'facebank[heif]'" in without.err
    again = run("scan", "phone", code=1)
    assert "1 analyzed" in again.out
    assert "phone.heic" not in again.err
    assert "torn.heic" in again.err


def test_a_hostile_scan_is_refused_without_running_its_sql(run: Run, two_people: Path, album: Path) -> None:
    run("scan", album)
    scan_path = two_people.with_suffix(".scan")
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    with closing(sqlite3.connect(scan_path)) as connection:
        connection.executescript(f"ALTER TABLE faces RENAME TO was; CREATE VIEW faces AS {endless} SELECT x FROM n")
    content = scan_path.read_bytes()
    for command in (("identify", "--scan"), ("scan", album)):
        refused = run(*command, code=2).err
        assert "is damaged (its tables are not those of a scan): remove it and scan again" in refused
    assert scan_path.read_bytes() == content
