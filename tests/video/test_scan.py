"""Scans of folders for videos: each is analyzed once, and identified again after changes of the gallery."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.album.album import Album
from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import UNSETTLED
from facebank.album.scan.videos import ScannedTrack, ScannedVideo
from facebank.album.videos import VideoOverview, collect_visits
from facebank.storage.folders import NamedFolders
from facebank.storage.progress import Progress
from facebank.types import Decision, Face, Identity, Quality, Reason
from facebank.video.identify import VideoPlan, identify_video
from facebank.video.scan import KEPT_FACES, RATE, VideoScanPlan, plan_video_scan, scan_videos
from tests.recorder import Recorder
from tests.video_files import clip_path, cut_to_three_shots

MIRANDA, OBAMA = "Lin-Manuel Miranda", "Barack Obama"


@pytest.fixture(scope="module")
def bank(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    path = tmp_path_factory.mktemp("scan") / "one.facebank"
    with FaceBank.open(path, device="cpu", threads=1) as bank:
        bank.enroll(MIRANDA, shared / "data" / "photos" / "probe" / "lin-manuel-miranda.png")
    return FaceBank.open(path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def scanned_folder(bank: FaceBank, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clip, and its scan beside it."""
    folder = tmp_path_factory.mktemp("scanned") / "videos"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(cut_to_three_shots(clip_path(shared).read_bytes()))
    with bank.album(folder.with_suffix(".scan")) as album:
        report = scan_videos(bank, album, folder)
    assert (report.analyzed, report.known_by_content, report.gone, report.unreadable) == (1, 0, 0, {})
    return folder


@pytest.fixture
def video_folder(scanned_folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder, whose clip is known by its content."""
    shutil.copytree(scanned_folder, tmp_path / "videos")
    shutil.copy(scanned_folder.with_suffix(".scan"), tmp_path / "videos.scan")
    return tmp_path / "videos"


def test_a_scan_and_identify_video_agree(bank: FaceBank, scanned_folder: Path) -> None:
    whole = identify_video(bank.engine, bank.identification, scanned_folder / "clip.mp4", VideoPlan(rate=RATE))
    with bank.album(scanned_folder.with_suffix(".scan")) as album:
        overview = VideoOverview(bank, album, [scanned_folder])
        assert overview.refresh()
        (video,) = overview.videos_of(bank.person(MIRANDA).id)
        (stored,) = album.scan_file.videos.each()
    known = [appearance for appearance in whole.appearances if appearance.identity.person is not None]
    assert [(visit.start, visit.end) for visit in video.visits] == [
        (appearance.start, appearance.end) for appearance in known
    ]
    probabilities = [appearance.identity.probability for appearance in known]
    assert [visit.probability for visit in video.visits] == pytest.approx(probabilities, abs=0.001)
    assert [track.begun for track in stored.tracks] == [appearance.start for appearance in whole.appearances]
    assert {len(track.faces) for track in stored.tracks} <= set(range(1, KEPT_FACES + 1))
    assert stored.seconds == whole.position


def test_new_people_are_found_without_another_scan(video_folder: Path, shared: Path, tmp_path: Path) -> None:
    photos = shared / "data" / "photos"
    with (
        FaceBank.open(tmp_path / "own.facebank", device="cpu", threads=1) as bank,
        bank.album(video_folder.with_suffix(".scan")) as album,
    ):
        bank.enroll(OBAMA, next((photos / "enrol" / "obama").iterdir()))
        scan_videos(bank, album, video_folder)
        overview = VideoOverview(bank, album, [video_folder])
        assert overview.refresh()
        assert (len(overview), overview.videos_of(bank.person(OBAMA).id)) == (1, [])
        (video_folder / "clip.mp4").rename(video_folder / "renamed")
        bank.enroll(MIRANDA, photos / "probe" / "lin-manuel-miranda.png")
        assert not overview.is_current
        assert overview.refresh()
        miranda_id = bank.person(MIRANDA).id
        (video,) = overview.videos_of(miranda_id)
        assert overview.videos_of(miranda_id, bank.person(OBAMA).id) == []
        assert [int(visit.start) for visit in video.visits_of(miranda_id)] == [0, 2]
        assert overview.video(video.content_hash) is video
        track_number = video.best_of(miranda_id).track_number
        assert overview.has_track(track_number, {miranda_id})
        assert not overview.has_track(track_number, {0})
        assert album.scan_file.videos.picture(track_number) is not None
        bank.forget(MIRANDA)
        assert overview.refresh()
        assert overview.videos_of(miranda_id) == []
        assert album.scan_file.videos.picture(track_number) is None
        assert scan_videos(bank, album, video_folder).gone == 0  # an empty folder is probably a missing disk
        (video_folder / "photo.jpg").touch()
        assert scan_videos(bank, album, video_folder).gone == 1
        assert overview.refresh()
        assert len(overview) == 0


def test_the_command_forgets_a_persons_pictures(video_folder: Path, shared: Path, tmp_path: Path) -> None:
    gallery, photos = tmp_path / "own.facebank", shared / "data" / "photos"
    shutil.move(video_folder.with_suffix(".scan"), gallery.with_suffix(".scan"))
    with FaceBank.open(gallery, device="cpu", threads=1) as own, own.album() as album:
        own.enroll(MIRANDA, photos / "probe" / "lin-manuel-miranda.png")
        own.enroll(OBAMA, next((photos / "enrol" / "obama").iterdir()))
        scan_videos(own, album, video_folder)
        overview = VideoOverview(own, album, [video_folder])
        assert overview.refresh()
        miranda_id = own.person(MIRANDA).id
        (video,) = overview.videos_of(miranda_id)
        track_numbers = {visit.track_number for visit in video.visits_of(miranda_id)}
        pictures = [album.scan_file.videos.picture(number) for number in track_numbers]
        all_numbers = {track.number for video in album.scan_file.videos.each() for track in video.tracks}
    forgotten = subprocess.run(
        [sys.executable, "-m", "facebank_cli", "--gallery", gallery, "people", "forget", MIRANDA, "--yes"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is forgotten" in forgotten.stdout
    scan_data = b"".join(path.read_bytes() for path in gallery.parent.glob("own.scan*"))
    assert pictures
    for picture in pictures:
        assert picture is not None
        middle = len(picture) // 2
        assert picture[middle : middle + 64] not in scan_data
    with FaceBank.open(gallery, device="cpu", threads=1) as own, own.album() as album:
        assert all(album.scan_file.videos.picture(number) is None for number in track_numbers)
        assert any(album.scan_file.videos.picture(number) is not None for number in all_numbers - track_numbers)


class CancelingProgress(Progress):
    """Cancels after a number of frames of a video."""

    def __init__(self, frames: int) -> None:
        self.remaining = frames
        self.passed = 0.0

    def advance(self, amount: float = 1) -> None:
        self.passed += amount
        self.remaining -= amount > 0
        if self.remaining < 0:
            raise InterruptedError


def test_a_canceled_scan_continues(bank: FaceBank, video_folder: Path) -> None:
    clip = video_folder / "clip.mp4"
    clip.write_bytes(clip.read_bytes() + b"\0\0\0\x08free")
    (video_folder / "later.mp4").write_bytes(b"no video")
    with bank.album(video_folder.with_suffix(".scan")) as album:
        progress = CancelingProgress(1)
        with pytest.raises(InterruptedError):
            scan_videos(bank, album, video_folder, progress=progress)
        assert 0 < progress.passed < clip.stat().st_size
        assert album.scan_file.videos.known(str(video_folder)) == {}
        plan = plan_video_scan(album.scan_file, [video_folder])
    assert [Path(path).name for path, _ in plan.todo] == ["clip.mp4", "later.mp4"]


def test_unreadable_videos_are_retried_with_another_decoder_only(
    bank: FaceBank, video_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (video_folder / "torn.mp4").write_bytes((video_folder / "clip.mp4").read_bytes()[:3000])
    recorder = Recorder()
    with bank.album(video_folder.with_suffix(".scan")) as album:
        report = scan_videos(bank, album, video_folder, progress=recorder)
        assert (report.analyzed, report.known_by_content) == (0, 1)
        assert list(report.unreadable) == [str(video_folder / "torn.mp4")]
        assert "no readable frame" in report.unreadable[str(video_folder / "torn.mp4")]
        plan = recorder.results[0]
        assert isinstance(plan, VideoScanPlan)
        assert len(plan.todo) == len(recorder.results) - 1 == 2
        ((_, total),) = recorder.steps
        assert total == sum(path.stat().st_size for path in video_folder.iterdir())
        assert recorder.done == [pytest.approx(total)]
        assert scan_videos(bank, album, video_folder).unreadable == report.unreadable
        assert plan_video_scan(album.scan_file, [video_folder]).todo == ()
        monkeypatch.setattr("facebank.video.scan.video_decoder_versions", lambda: "cv2=99")
        assert [Path(path).name for path, _ in plan_video_scan(album.scan_file, [video_folder]).todo] == ["torn.mp4"]


class SwappingProgress(Progress):
    """Changes or replaces a file during its analysis."""

    def __init__(self, path: Path, target: Path | None = None) -> None:
        self.path, self.target = path, target

    def begin(self, step: str, total: float | None) -> None:
        if self.target is None:
            self.path.touch()
        else:
            self.path.unlink()
            self.path.symlink_to(self.target)


def test_a_file_changed_during_a_scan_is_scanned_again(bank: FaceBank, video_folder: Path) -> None:
    with bank.album(video_folder.with_suffix(".scan")) as album:
        report = scan_videos(bank, album, video_folder, progress=SwappingProgress(video_folder / "clip.mp4"))
        assert "changed while it was read" in report.unreadable[str(video_folder / "clip.mp4")]
        assert album.scan_file.videos.known(str(video_folder))[str(video_folder / "clip.mp4")].state == UNSETTLED
        assert scan_videos(bank, album, video_folder).known_by_content == 1  # the clip at its original path


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_file_replaced_by_a_link_is_not_followed(bank: FaceBank, video_folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    shutil.copy2(video_folder / "clip.mp4", outside)
    with bank.album(video_folder.with_suffix(".scan")) as album:
        progress = SwappingProgress(video_folder / "clip.mp4", outside)
        report = scan_videos(bank, album, video_folder, within=NamedFolders([video_folder]), progress=progress)
        assert (report.analyzed, report.known_by_content) == (0, 0)
        assert "leads out of the named folders" in report.unreadable[str(video_folder / "clip.mp4")]
        assert list(album.scan_file.videos.each([str(video_folder)])) == []


def test_forgetting_a_folder_forgets_its_videos(bank: FaceBank, video_folder: Path) -> None:
    with bank.album(video_folder.with_suffix(".scan")) as album:
        scan_videos(bank, album, video_folder)
        assert album.forget(video_folder) == 1
        assert album.scan_file.videos.known(str(video_folder)) == {}


def test_an_album_of_videos_only_can_be_scanned(bank: FaceBank, video_folder: Path) -> None:
    with Album(bank, video_folder.with_suffix(".scan")) as album:
        assert album.scan(video_folder, needs_photos=False).skipped.videos == 1


def make_identity(person: str | None, probability: float = 0.9) -> Identity:
    decision = Decision.UNKNOWN if person is None else Decision.KNOWN
    reason = Reason.BELOW_THRESHOLD if person is None else Reason.MATCH
    return Identity(decision, reason, person, 0.5, probability, ())


def make_track(number: int, begun: float, ended: float, quality: float = 0.5) -> ScannedTrack:
    assessment = Quality(quality, 64.0, 0.25, 0.75, None, 0.125, None, ())
    face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9, assessment, np.ones(1, np.float32))
    return ScannedTrack(0, begun, ended, ended, (face,), number=number)


def test_nearby_tracks_form_one_visit() -> None:
    tracks = (
        make_track(1, 0.0, 3.0),
        make_track(2, 4.5, 6.0, quality=0.9),
        make_track(3, 5.0, 5.5),
        make_track(4, 9.0, 10.0),
        make_track(5, 9.0, 11.0),
        make_track(6, 12.0, 13.0),
    )
    identities = [make_identity(name) for name in ("Ada", "Ada", "Ada", "Bea", None, "Cleo")]
    video = ScannedVideo("/a.mp4", FileStamp(1, 1), "a" * 64, 13.0, tracks)
    visits = collect_visits(video, identities, {"Ada": 1, "Bea": 2})
    assert [(visit.person_id, visit.start, visit.end, visit.track_number) for visit in visits] == [
        (1, 0.0, 6.0, 2),
        (2, 9.0, 10.0, 4),
    ]
