"""Tracking of faces that move, cross, disappear and return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.types import Face, Quality
from facebank.vision.tracking import Sighting, Track, Tracker, group_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.types import FloatArray

THRESHOLD = 0.3
DIMENSION = 32
STEP = 0.2


def make_embedding(person: int, seed: int = 0, noise: float = 0.1) -> FloatArray:
    """Return an embedding similar to all of the same person and to no other person's."""
    embedding = np.zeros(DIMENSION)
    embedding[person] = 1
    embedding += noise * np.random.default_rng(seed).normal(size=DIMENSION)
    return np.asarray(embedding / np.linalg.norm(embedding), dtype=np.float32)


def make_face(x: float, y: float, embedding: FloatArray, quality: float = 0.9, side: float = 50) -> Face:
    box = np.array([x, y, x + side, y + side], dtype=np.float32)
    return Face(box, np.zeros((5, 2), dtype=np.float32), 0.9, Quality(quality, side, quality, quality), embedding)


def track_faces(frames: list[list[Face]], shots: list[int] | None = None) -> list[Track]:
    tracker, ended = Tracker(THRESHOLD), list[Track]()
    for number, faces in enumerate(frames):
        ended += tracker.follow(number * STEP, 0 if shots is None else shots[number], faces)
    return ended + tracker.finish()


def time_steps(track: Track) -> list[int]:
    return [round(sighting.time / STEP) for sighting in track.sightings]


def test_two_people_who_cross_keep_their_tracks() -> None:
    steps = range(11)
    frames = [
        [
            make_face(20.0 * step, 0, make_embedding(0, step)),
            make_face(200 - 20.0 * step, 0, make_embedding(1, step + 99)),
        ]
        for step in steps
    ]
    tracks = track_faces(frames)
    assert [time_steps(track) for track in tracks] == [list(steps), list(steps)]
    for track in tracks:
        assert len({int(np.argmax(face.embedding)) for face in track.faces}) == 1


def test_another_face_at_the_same_position_begins_a_track() -> None:
    frames = [[make_face(0, 0, make_embedding(step // 4, step))] for step in range(8)]
    assert [time_steps(track) for track in track_faces(frames)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_blurred_face_is_tracked_by_its_position() -> None:
    frames = [[make_face(3.0 * step, 0, make_embedding(step, step), quality=0.1)] for step in range(6)]
    assert [time_steps(track) for track in track_faces(frames)] == [list(range(6))]


def test_a_jumping_face_is_tracked_by_its_embedding() -> None:
    frames = [[make_face(60.0 * step, 0, make_embedding(0, step))] for step in range(5)]
    assert [time_steps(track) for track in track_faces(frames)] == [list(range(5))]
    frames = [[make_face(0, 0, make_embedding(0))], [make_face(5000, 0, make_embedding(0))]]
    assert len(track_faces(frames)) == 2


def test_a_new_shot_ends_all_tracks() -> None:
    frames = [[make_face(0, 0, make_embedding(0, step))] for step in range(6)]
    tracks = track_faces(frames, [0, 0, 0, 1, 1, 1])
    assert [(time_steps(track), track.shot) for track in tracks] == [([0, 1, 2], 0), ([3, 4, 5], 1)]


@pytest.mark.parametrize(("absence", "count"), [(5, 1), (9, 2)])
def test_a_short_absence_does_not_end_a_track(absence: int, count: int) -> None:
    present = [make_face(0, 0, make_embedding(0))]
    frames = [present, present, *[[]] * absence, present, present]
    assert len(track_faces(frames)) == count


@given(st.data())
def test_each_face_is_in_exactly_one_track(data: st.DataObject) -> None:
    coordinates = st.floats(0, 300)
    frames = []
    for number in range(data.draw(st.integers(0, 6))):
        people = data.draw(st.lists(st.integers(0, 4), max_size=5))
        frames.append(
            [
                make_face(
                    data.draw(coordinates),
                    data.draw(coordinates),
                    make_embedding(person, number),
                    data.draw(st.floats(0, 1)),
                )
                for person in people
            ]
        )
    tracks = track_faces(frames)
    assert sum(len(track.sightings) for track in tracks) == sum(map(len, frames))
    for track in tracks:
        assert time_steps(track) == sorted(set(time_steps(track)))
        assert track.begun == track.sightings[0].time
        assert np.linalg.norm(track.mean) == pytest.approx(1, abs=1e-5)
    assert sorted(track.number for track in tracks) == list(range(1, len(tracks) + 1))


@given(st.integers(2, 40), st.integers(2, 20))
def test_trimming_keeps_the_last_and_best_sighting_and_the_mean(count: int, limit: int) -> None:
    tracker = Tracker(THRESHOLD)
    qualities = np.random.default_rng(count).permutation(count) / count
    for number, quality in enumerate(qualities):
        tracker.follow(number * STEP, 0, [make_face(0, 0, make_embedding(0, number), float(quality))])
    (track,) = tracker.live
    mean, best, last = track.mean, track.best, track.last
    track.trim(limit)
    assert len(track.sightings) == min(count, limit)
    assert track.last is last
    assert track.best is best
    assert track.begun == 0
    np.testing.assert_array_equal(track.mean, mean)


class CountingList(list[Sighting]):
    """A list that counts the items of its iterations."""

    iterated = 0

    def __iter__(self) -> Iterator[Sighting]:
        for sighting in super().__iter__():
            self.iterated += 1
            yield sighting


def test_the_best_sighting_is_updated_in_constant_time() -> None:
    faces = [make_face(0, 0, make_embedding(0), quality) for quality in np.random.default_rng(1).random(500)]
    sightings = CountingList([Sighting(0.0, faces[0])])
    track = Track(1, 0, sightings)
    for number, face in enumerate(faces[1:], 1):
        track.add(Sighting(number * STEP, face))
        assert track.best.face.quality == max(face.quality for face in faces[: number + 1])
    assert len(sightings) == len(faces)
    assert sightings.iterated <= 2 * len(faces)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=30))
def test_the_best_sighting_is_by_quality_then_size_then_time(
    drawn: list[tuple[int, int, int]],
) -> None:
    faces = [(make_face(0, 0, make_embedding(0), quality / 4, 20.0 * side), limit) for quality, side, limit in drawn]
    track = Track(1, 0, [Sighting(0.0, faces[0][0])])
    for number, (face, limit) in enumerate(faces[1:], 1):
        track.add(Sighting(number * STEP, face))
        if limit > 5:
            track.trim(limit)
        key = [(sighting.face.quality, sighting.face.size) for sighting in track.sightings]
        assert track.best is track.sightings[key.index(max(key))]


def test_a_threshold_of_zero_is_an_error() -> None:
    with pytest.raises(UsageError):
        Tracker(0)


def test_overlapping_tracks_of_a_shot_are_seen_together() -> None:
    def track(number: int, shot: int, *times: float) -> Track:
        return Track(number, shot, [Sighting(time, make_face(0, 0, make_embedding(0))) for time in times])

    tracks = [track(1, 0, 0.0, 2.0), track(2, 0, 1.0, 4.0), track(3, 0, 3.0, 5.0), track(4, 1, 3.5, 4.5)]
    assert group_tracks(tracks) == [[0, 1], [1, 2]]
    assert group_tracks([track(1, 0, 0.0, 9.0), track(2, 0, 1.0, 8.0), track(3, 0, 2.0, 3.0)]) == [
        [0, 1],
        [0, 1, 2],
    ]
    assert group_tracks(tracks[:1]) == group_tracks([]) == []
