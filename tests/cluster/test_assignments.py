"""Who gets which files, and what becomes of those that a worker died of."""

from __future__ import annotations

from facebank.album.scan.rows import FileState
from facebank.cluster.assignments import MOST_DEATHS, Assignments, Batch
from facebank.media import decoder_versions

FILES = [(f"/photos/{number}.jpg", FileState(number, number)) for number in range(100)]


def taken(assignments: Assignments, workers: int = 2) -> list[Batch]:
    return list(iter(lambda: assignments.take(workers), None))


def test_every_file_is_given_once_and_the_last_batches_are_small() -> None:
    batches = taken(Assignments(FILES))
    assert [file for batch in batches for file in batch.files] == FILES
    assert len(batches[0].files) > 4 > len(batches[-1].files)


def test_a_batch_that_killed_a_worker_is_tried_again_file_by_file() -> None:
    assignments = Assignments(FILES[:3])
    assert assignments.suspect(Batch(tuple(FILES[:3])), "kills") == []
    again = [batch for batch in taken(assignments) if batch.deaths is not None]
    assert [batch.files for batch in again] == [(file,) for file in FILES[:3]]


def test_a_file_that_kills_again_and_again_is_given_up() -> None:
    assignments, batch = Assignments([]), Batch((FILES[7],), deaths=0)
    for _ in range(MOST_DEATHS - 1):
        assert assignments.suspect(batch, "ends the process") == []
        (batch,) = taken(assignments)
    (file,) = assignments.suspect(batch, "ends the process")
    assert (file.path, file.state, file.found, file.readers) == (*FILES[7], None, decoder_versions())
    assert file.error is not None
    assert "/photos/7.jpg ends the process" in file.error
    assert not len(assignments)


def test_a_file_that_hangs_alone_is_given_up_at_once() -> None:
    assignments = Assignments([])
    assert len(assignments.suspect(Batch((FILES[0],)), "takes too long", is_certain=True)) == 1
    assert assignments.suspect(Batch(tuple(FILES[:2])), "takes too long", is_certain=True) == []


def test_what_was_not_looked_at_is_given_to_another() -> None:
    assignments = Assignments(FILES[:4])
    batch = assignments.take(1)
    assert batch is not None
    assignments.give_back(batch)
    assert len(assignments) == 4
