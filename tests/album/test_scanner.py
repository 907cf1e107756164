"""Scanning folders: after the first scan, only new and changed photos are analyzed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from PIL import Image

from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import UNSETTLED, ScanFile, ScannedFile
from facebank.album.scan.scan_plan import FileTask, plan_scan, state_of
from facebank.album.scan.scanner import PhotoScanner, ScanReport, scan
from facebank.errors import PhotoNotFoundError
from facebank.media import find_photos, read_photo
from facebank.media.shards import Shard
from facebank.operations.engine import Engine
from facebank.storage.folders import NamedFolders
from facebank.types import SkippedCounts
from tests.encoded_pictures import insert_exif
from tests.recorder import Recorder
from tests.shard_numbers import shard_number_of


@pytest.fixture
def scan_file(engine: Engine, tmp_path: Path) -> Iterator[ScanFile]:
    with ScanFile.open(tmp_path / "album.scan", engine.identity, create=True) as opened:
        yield opened


def scan_paths(engine: Engine, scan_file: ScanFile, *paths: Path) -> tuple[ScanReport, list[ScannedFile]]:
    recorder = Recorder()
    report = scan(engine, scan_file, plan_scan(scan_file, paths), workers=2, progress=recorder)
    return report, cast("list[ScannedFile]", recorder.results)


def photo_names(scan_file: ScanFile) -> list[str]:
    return [Path(photo.path).name for photo in scan_file.photos()]


def test_every_photo_is_analyzed_once(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    report, results = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.unchanged, report.gone) == (3, 0, 0)
    assert {Path(file.path).name for file in results} == {"obama.jpg", "biden.jpg", "collins.jpg"}
    assert all(len(photo.faces) == 1 for photo in scan_file.photos())
    report, results = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.unchanged, results) == (0, 3, [])


def test_no_network_is_loaded_without_new_photos(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from facebank import FaceBank; from facebank.album.album import Album\n"
        "with FaceBank.open(sys.argv[1]) as bank, Album(bank) as album:\n"
        "    print(album.scan([Path(sys.argv[2])]).analyzed, 'onnxruntime' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "family.facebank"), str(folder)]
    printed = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert printed == ["3 True\n", "0 False\n"]


def test_skipped_files_are_counted(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    assert scan_paths(engine, scan_file, folder)[0].skipped == SkippedCounts()
    for name in ("a.cr2", "space/b.cr2", "c.psd", "clip.mp4"):
        (folder / name).touch()
    for _ in range(2):
        report, _ = scan_paths(engine, scan_file, folder, folder / "space")
        assert report.skipped == SkippedCounts({"raw": 2, "photoshop": 1}, videos=1)


def test_faces_equal_those_of_a_single_analysis(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    for scanned in scan_file.photos():
        (analyzed,) = engine.analyzer.analyze([read_photo(scanned.path)])
        assert scanned.content_hash == analyzed.photo.content_hash
        assert scanned.taken_at == analyzed.photo.taken_at
        assert scanned.faces[0].embedding @ analyzed.faces[0].embedding == pytest.approx(1, abs=1e-5)


def shards_of(folder: Path, count: int) -> dict[str, int]:
    """Return the shard number of each photo, by its name."""
    return {path.name: shard_number_of(str(path), count, str(folder)) for path in find_photos(folder)}


def test_only_the_photos_of_a_shard_are_analyzed(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    (folder / "torn.jpg").write_bytes((folder / "biden.jpg").read_bytes()[:2000])
    shards = shards_of(folder, 3)
    assert len(set(shards.values())) > 1
    for number in (1, 2, 3):
        plan = plan_scan(scan_file, [folder, folder / "space"], shard=Shard(number, 3))
        assert {Path(path).name for path, _ in plan.todo} == {name for name, shard in shards.items() if shard == number}
        assert (plan.gone, plan.emptied, plan.unchanged) == ((), (), 0)
        report = scan(engine, scan_file, plan)
        assert bool(report.unreadable) == (shards["torn.jpg"] == number)
    assert len(photo_names(scan_file)) == 3
    (folder / "obama.jpg").unlink()
    shutil.copy(folder / "biden.jpg", folder / "torn.jpg")
    for number in (1, 2, 3):
        plan = plan_scan(scan_file, [folder], shard=Shard(number, 3))
        assert bool(plan.gone) == (shards["obama.jpg"] == number)
        assert bool(plan.todo) == (shards["torn.jpg"] == number)


def test_a_shard_without_photos_is_not_an_error(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    empty = next(number for number in range(1, 100) if number not in shards_of(folder, 99).values())
    report = scan(engine, scan_file, plan_scan(scan_file, [folder], shard=Shard(empty, 99)))
    assert (report.analyzed, report.unchanged) == (0, 0)
    (folder.parent / "none").mkdir()
    with pytest.raises(PhotoNotFoundError, match="no photos there"):
        plan_scan(scan_file, [folder.parent / "none"], shard=Shard(1, 2))


def test_skipped_files_are_counted_by_their_shard(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    for number in range(9):
        (folder / f"{number}.cr2").touch()
        (folder / f"{number}.mp4").touch()
    skipped = [plan_scan(scan_file, [folder], shard=Shard(number, 4)).skipped for number in (1, 2, 3, 4)]
    assert sum(counts.videos for counts in skipped) == sum(counts.pictures["raw"] for counts in skipped) == 9
    assert max(counts.videos for counts in skipped) < 9


def test_moved_renamed_and_copied_photos_are_known(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    (folder / "obama.jpg").rename(folder / "space" / "president.jpg")
    shutil.copy(folder / "biden.jpg", folder / "copy of biden.jpg")
    report, results = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.known_by_content, report.gone) == (0, 2, 0)
    assert all(file.photo is None for file in results)
    assert photo_names(scan_file) == ["biden.jpg", "copy of biden.jpg", "collins.jpg", "president.jpg"]
    assert scan_file.count().photos == 3


def test_copies_in_one_scan_are_analyzed_once(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    for number in range(20):
        shutil.copy(folder / "biden.jpg", folder / f"copy {number}.jpg")
    report, _ = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.known_by_content) == (3, 20)
    assert scan_file.count().files == 23


def test_a_photo_with_other_metadata_is_not_analyzed_again(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    before = {Path(photo.path).name: photo for photo in scan_file.photos()}
    exif = Image.Exif()
    exif[0x0132] = "2019:08:07 10:11:12"
    (folder / "biden.jpg").write_bytes(insert_exif((folder / "biden.jpg").read_bytes(), exif))
    report, _ = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.known_by_content) == (0, 1)
    after = {Path(photo.path).name: photo for photo in scan_file.photos()}
    biden = after["biden.jpg"]
    assert biden.content_hash == sha256((folder / "biden.jpg").read_bytes()).hexdigest()
    assert biden.picture_hash == before["biden.jpg"].picture_hash
    assert str(biden.taken_at) == "2019-08-07 10:11:12"
    assert len(biden.faces) == len(before["biden.jpg"].faces) == 1


def test_a_changed_photo_is_analyzed_again(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    shutil.copy(folder / "space" / "collins.jpg", folder / "obama.jpg")
    Image.open(folder / "biden.jpg").save(folder / "biden.jpg", quality=80)
    report, _ = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.known_by_content, report.unchanged) == (1, 1, 1)
    assert scan_file.count().photos == 2


def test_missing_photos_are_forgotten(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    (folder / "obama.jpg").unlink()
    shutil.rmtree(folder / "space")
    report, _ = scan_paths(engine, scan_file, folder)
    assert report.gone == 2
    assert photo_names(scan_file) == ["biden.jpg"]
    assert scan_file.count().faces == 1


def test_photos_outside_the_scanned_folders_are_kept(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    shutil.rmtree(folder / "space")
    report, _ = scan_paths(engine, scan_file, folder / "biden.jpg")
    assert (report.unchanged, report.gone) == (1, 0)
    assert scan_file.count().files == 3


def test_photos_of_a_missing_disk_are_kept(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    scan_paths(engine, scan_file, folder)
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    with pytest.raises(PhotoNotFoundError, match=r"no such file or folder: .*the scan has 3 photos"):
        plan_scan(scan_file, [folder])
    folder.mkdir()
    plan = plan_scan(scan_file, [folder])
    assert plan.emptied == (str(folder),)
    scan(engine, scan_file, plan)
    assert scan_file.count().files == 3
    report, _ = scan_paths(engine, scan_file, elsewhere)
    assert (report.analyzed, report.known_by_content) == (0, 3)


def test_broken_files_are_listed_and_retried_after_a_change(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    data = (folder / "biden.jpg").read_bytes()
    (folder / "biden.jpg").write_bytes(data[:2000])
    (folder / "copy.jpg").write_bytes(data[:2000])
    report, _ = scan_paths(engine, scan_file, folder)
    assert {Path(path).name for path in report.unreadable} == {"biden.jpg", "copy.jpg"}
    assert all(path in message for path, message in report.unreadable.items())
    report, results = scan_paths(engine, scan_file, folder)
    assert (results, len(report.unreadable), report.unchanged) == ([], 2, 2)
    (folder / "biden.jpg").write_bytes(data)
    (folder / "copy.jpg").unlink()
    report, _ = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.unreadable) == (1, {})


def test_a_copy_reported_after_its_broken_photo_is_read(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, copy = folder / "broken.jpg", folder / "broken_copy.jpg"
    for path in (broken, copy):
        path.write_bytes((folder / "biden.jpg").read_bytes()[:2000])
    tasks = [(str(path), state_of(str(path))) for path in (broken, copy)]
    scanner = PhotoScanner(engine.analyzer, set(), 1)
    (first,) = PhotoScanner(engine.analyzer, set(), 1).scan(tasks[:1])
    # The second worker skipped the copy before the first worker reported that the photo is broken.
    late_result = replace(first, path=str(copy), state=tasks[1][1], error=None, readers=None)
    read_results, calls = scanner._results, iter(range(2))

    def yield_late(files: Iterable[FileTask]) -> Iterator[ScannedFile]:
        return read_results(files) if next(calls) else iter([first, late_result])

    monkeypatch.setattr(scanner, "_results", yield_late)
    errors = {file.path: file.error for file in scanner.scan(tasks)}
    assert set(errors) == {str(broken), str(copy)}
    assert all(error is not None and path in error for path, error in errors.items())


def test_an_interrupted_scan_can_be_continued(
    engine: Engine, scan_file: ScanFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facebank.album.scan.scanner._BATCH_SIZE", 1)

    class InterruptingRecorder(Recorder):
        def report(self, result: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(engine, scan_file, plan_scan(scan_file, [folder]), progress=InterruptingRecorder())
    assert scan_file.count().files == 1
    report, _ = scan_paths(engine, scan_file, folder)
    assert (report.analyzed, report.unchanged) == (2, 1)


def test_a_file_that_changes_while_it_is_read_is_analyzed_again(
    engine: Engine, scan_file: ScanFile, folder: Path
) -> None:
    path = str(folder / "biden.jpg")
    before = FileStamp(1, 1)
    assert before != state_of(path)
    (file,) = PhotoScanner(engine.analyzer, set(), 1).scan([(path, before)])
    assert file.error is not None
    assert "changed while it was read" in file.error
    assert file.state == UNSETTLED
    scan_file.keep([file])
    report, _ = scan_paths(engine, scan_file, folder / "biden.jpg")
    assert (report.analyzed, report.unreadable) == (1, {})


def test_a_scan_of_circular_links_terminates(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    (folder / "space" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "round.jpg").symlink_to(folder / "round.jpg")
    report, _ = scan_paths(engine, scan_file, folder)
    assert report.analyzed == 3
    assert [Path(path).name for path in report.unreadable] == ["round.jpg"]


def test_a_folder_inside_another_is_not_scanned_twice(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    report, _ = scan_paths(engine, scan_file, folder, folder / "space", folder / "obama.jpg")
    assert report.analyzed == 3


@pytest.mark.skipif(os.name == "nt", reason="Windows' names are Unicode")
def test_photos_with_paths_that_are_not_utf_8_are_scanned(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    byte_path = Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.jpg"))
    (folder / "obama.jpg").rename(byte_path)
    report, _ = scan_paths(engine, scan_file, folder)
    assert report.analyzed == 3
    assert str(byte_path) in {photo.path for photo in scan_file.photos()}


def test_only_a_few_tasks_are_in_memory(engine: Engine, folder: Path) -> None:
    yielded = 0

    def yield_tasks() -> Iterator[tuple[str, FileStamp]]:
        nonlocal yielded
        path = str(folder / "biden.jpg")
        for _ in range(200):
            yielded += 1
            yield path, state_of(path)

    results = PhotoScanner(engine.analyzer, set(), 2).scan(yield_tasks())
    assert next(results).photo is not None
    assert yielded <= 5 * 8
    assert sum(1 for _ in results) == 199


def test_a_photo_of_many_faces_is_analyzed_like_others(engine: Engine, scan_file: ScanFile, folder: Path) -> None:
    portrait = read_photo(folder / "space" / "collins.jpg").pixels
    small_face = cv2.resize(portrait, (160, 160 * portrait.shape[0] // portrait.shape[1]))[:180]
    crowd = np.tile(small_face, (6, 8, 1))
    cv2.imwrite(str(folder / "crowd.png"), crowd[..., ::-1])
    scan_paths(engine, scan_file, folder)
    face_counts = {Path(photo.path).name: len(photo.faces) for photo in scan_file.photos()}
    assert face_counts["crowd.png"] > 32
    assert len(face_counts) == 4


def test_a_folder_that_becomes_a_link_while_it_is_scanned_is_not_read(
    engine: Engine, scan_file: ScanFile, folder: Path, tmp_path: Path
) -> None:
    within = NamedFolders([folder], cached=False)
    plan = plan_scan(scan_file, [folder], within)
    assert len(plan.todo) == 3
    (folder / "space").rename(tmp_path / "outside")  # the same file, with unchanged size and time
    (folder / "space").symlink_to(tmp_path / "outside")
    report = scan(engine, scan_file, plan, within=within)
    assert report.analyzed == 2
    ((path, message),) = report.unreadable.items()
    assert path == str(folder / "space" / "collins.jpg")
    assert "leads out of the named folders" in message
    assert plan_scan(scan_file, [folder], within).unchanged == 2
