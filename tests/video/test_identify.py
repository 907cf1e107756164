"""Identification in a real clip, compared with a manual annotation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.errors import GalleryNotFoundError
from facebank.media import read_photo
from facebank.media.video import Video
from facebank.types import Decision, Reason
from facebank.video.annotation import annotate_video, write_pictures
from facebank.video.identify import VideoPlan, VideoReport, identify_video
from tests.video_files import CLIP_FRAMES, CLIP_RATE, CUTS, clip_path, move_index_first

MIRANDA, LACAMOIRE, OBAMA = "Lin-Manuel Miranda", "Alex Lacamoire", "Barack Obama"
STEP = 0.2


@dataclass(frozen=True, slots=True)
class ShotAnnotation:
    """Manual annotation of the people in a shot; positions are x and y in pixels at its start."""

    first_frame: int
    last_frame: int  # inclusive
    named: dict[str, tuple[int, int]]  # positions of the people who must be named
    may_be_named: frozenset[str] = frozenset()  # people who are enrolled, but too small or turned to require a name
    others: tuple[tuple[int, int], ...] = ()  # positions of faces that must be found, with or without a name


SHOTS = (
    ShotAnnotation(0, CUTS[0] - 1, {MIRANDA: (545, 75)}, frozenset({LACAMOIRE}), ((67, 200),)),
    ShotAnnotation(CUTS[0], CUTS[1] - 1, {}, frozenset({LACAMOIRE}), ((430, 230),)),
    ShotAnnotation(CUTS[1], CUTS[2] - 1, {MIRANDA: (184, 100)}),
    ShotAnnotation(CUTS[2], CLIP_FRAMES - 1, {OBAMA: (350, 90)}, frozenset(), ((75, 105), (198, 128), (417, 133))),
)
"""The shots of the clip.

1. A stage from afar: Miranda sings, and Lacamoire, who is small, sits at the piano.
2. Lacamoire's profile, large and moving, before an audience in the dark.
3. Miranda alone.
4. The audience: a laughing young woman, Marian Robinson, Barack and Michelle Obama.
"""


@pytest.fixture(scope="module")
def bank(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """A gallery of three people of the clip, and of three others."""
    photos = shared / "data" / "photos"
    opened = FaceBank.open(tmp_path_factory.mktemp("video") / "six.facebank", threads=1)
    opened.enroll(MIRANDA, photos / "probe" / "lin-manuel-miranda.png")
    for name, folder in (
        (LACAMOIRE, "alex_lacamoire"),
        (OBAMA, "obama"),
        ("Joe Biden", "biden"),
        ("Kit Harington", "kit_harington"),
        ("Rose Leslie", "rose_leslie"),
    ):
        opened.enroll(name, photos / "enrol" / folder)
    return opened


@pytest.fixture(scope="module")
def report(bank: FaceBank, shared: Path) -> VideoReport:
    return identify_video(bank.engine, bank.identification, clip_path(shared), VideoPlan(thumbnails=True))


def test_shots_match_the_annotation(report: VideoReport) -> None:
    np.testing.assert_allclose(report.shots, [shot.first_frame / CLIP_RATE for shot in SHOTS], atol=0.01)
    assert not report.ends_early
    assert report.position == pytest.approx((CLIP_FRAMES - 1) / CLIP_RATE, abs=0.01)


@pytest.mark.parametrize("shot_number", range(len(SHOTS)))
def test_known_people_have_one_track_per_shot(report: VideoReport, shot_number: int) -> None:
    shot = SHOTS[shot_number]
    in_shot = [appearance for appearance in report.appearances if appearance.track.shot == shot_number]
    named = [appearance for appearance in in_shot if appearance.identity.person is not None]
    assert {appearance.label for appearance in named} - shot.may_be_named == set(shot.named)
    for person, position in shot.named.items():
        (appearance,) = (appearance for appearance in named if appearance.label == person)
        assert appearance.identity.probability is not None
        assert appearance.identity.probability > 0.95
        assert appearance.start == pytest.approx(shot.first_frame / CLIP_RATE, abs=0.01)
        assert appearance.end == pytest.approx((shot.last_frame + 1) / CLIP_RATE, abs=0.05)
        assert appearance.seconds / STEP - 1 <= len(appearance.track.sightings) <= appearance.seconds / STEP + 2
        assert is_near(appearance.track.sightings[0].face.box, position)


@pytest.mark.parametrize("shot_number", range(len(SHOTS)))
def test_clearly_visible_people_are_found(report: VideoReport, shot_number: int) -> None:
    shot = SHOTS[shot_number]
    for position in shot.others:
        matching = [
            appearance
            for appearance in report.appearances
            if appearance.track.shot == shot_number
            and any(is_near(sighting.face.box, position) for sighting in appearance.track.sightings)
        ]
        assert matching
        assert {appearance.identity.person for appearance in matching} <= {None, *shot.may_be_named}


def test_strangers_in_a_shot_have_different_labels(report: VideoReport) -> None:
    strangers = [appearance for appearance in report.appearances if appearance.identity.person is None]
    assert all(appearance.label.split()[0] in {"stranger", "uncertain"} for appearance in strangers)
    for shot_number in range(len(SHOTS)):
        labels = [appearance.label for appearance in strangers if appearance.track.shot == shot_number]
        assert len(labels) == len(set(labels))


def test_a_part_of_a_video_is_identified(bank: FaceBank, shared: Path) -> None:
    part = identify_video(bank.engine, bank.identification, clip_path(shared), VideoPlan(start=3.0, end=5.0))
    (miranda,) = part.appearances
    assert miranda.label == MIRANDA
    assert 3.0 <= miranda.start < 3.05
    assert 4.9 < miranda.end <= 5.0
    assert not part.ends_early


def test_the_number_of_workers_does_not_change_the_result(bank: FaceBank, shared: Path, report: VideoReport) -> None:
    single = identify_video(bank.engine, bank.identification, clip_path(shared), VideoPlan(workers=1))
    assert [(appearance.label, appearance.start, appearance.end) for appearance in single.appearances] == [
        (appearance.label, appearance.start, appearance.end) for appearance in report.appearances
    ]


def test_a_truncated_video_reports_its_end(bank: FaceBank, shared: Path, tmp_path: Path) -> None:
    data = move_index_first(clip_path(shared).read_bytes())
    (tmp_path / "truncated.mp4").write_bytes(data[: len(data) * 6 // 10])
    report = identify_video(bank.engine, bank.identification, tmp_path / "truncated.mp4")
    assert report.ends_early
    assert [appearance.label for appearance in report.appearances].count(MIRANDA) == 2
    assert 4 < report.position < 8


def test_an_empty_gallery_names_strangers_only(shared: Path, tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "none.facebank", threads=1) as bank:
        with pytest.raises(GalleryNotFoundError):
            identify_video(bank.engine, bank.identification, clip_path(shared))
        bank.open_gallery(create=True)
        report = identify_video(bank.engine, bank.identification, clip_path(shared), VideoPlan(start=3.0, end=4.0))
    (stranger,) = report.appearances
    assert (stranger.label, stranger.identity.decision, stranger.identity.reason) == (
        "stranger 1",
        Decision.UNKNOWN,
        Reason.GALLERY_EMPTY,
    )


def test_annotated_videos_have_all_frames_and_boxes(shared: Path, tmp_path: Path, report: VideoReport) -> None:
    out = tmp_path / "named.mp4"
    annotate_video(clip_path(shared), report.appearances, out, VideoPlan())
    (miranda,) = (
        appearance for appearance in report.appearances if appearance.label == MIRANDA and appearance.track.shot == 2
    )
    sighting = miranda.track.sightings[10]
    with Video(out) as annotated_video, Video(clip_path(shared)) as video:
        pairs = list(zip(annotated_video.frames(), video.frames(), strict=True))
    assert len(pairs) == CLIP_FRAMES
    annotated, original = min(pairs, key=lambda pair: abs(pair[1].time - sighting.time))
    changed = np.abs(annotated.pixels.astype(int) - original.pixels).max(axis=2) > 60
    x1, y1, x2, y2 = sighting.face.box.astype(int)
    assert changed[y1 - 3 : y1 + 4, x1 + 20 : x2 - 20].any(axis=0).all()
    assert changed[y1 + 20 : y2 - 20, x1 - 3 : x1 + 4].any(axis=1).all()
    assert not changed[:, 500:].any()


def test_each_track_has_a_picture(tmp_path: Path, report: VideoReport) -> None:
    (tmp_path / f"{MIRANDA} 00m02.jpg").write_bytes(b"mine")
    paths = write_pictures(report.appearances, tmp_path)
    assert set(paths) == {appearance.track.number for appearance in report.appearances}
    assert (tmp_path / f"{MIRANDA} 00m02.jpg").read_bytes() == b"mine"
    assert (tmp_path / f"{MIRANDA} 00m02-2.jpg") in paths.values()
    for path in paths.values():
        assert min(read_photo(path).pixels.shape[:2]) > 20


def is_near(box: np.ndarray[tuple[int], np.dtype[np.float32]], position: tuple[int, int]) -> bool:
    """Return whether a position is in a box or next to it."""
    x, y = position
    return bool(box[0] - 25 <= x <= box[2] + 25 and box[1] - 25 <= y <= box[3] + 25)
