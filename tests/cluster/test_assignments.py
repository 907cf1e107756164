"""Assignment of files to workers, and isolation of files that crash workers."""

from __future__ import annotations

from facebank.album.scan.rows import FileStamp
from facebank.cluster.assignments import MAX_FAILURES, Assignments, Batch
from facebank.media import decoder_versions

FILES = [(f"/photos/{number}.jpg", FileStamp(number, number)) for number in range(100)]


def take_all(assignments: Assignments, workers: int = 2) -> list[Batch]:
    return list(iter(lambda: assignments.take(workers), None))


def test_each_file_is_assigned_once_and_the_last_batches_are_small() -> None:
    batches = take_all(Assignments(FILES))
    assert [file for batch in batches for file in batch.files] == FILES
    assert len(batches[0].files) > 4 > len(batches[-1].files)


def test_a_batch_that_crashed_a_worker_is_retried_file_by_file() -> None:
    assignments = Assignments(FILES[:3])
    assert assignments.suspect(Batch(tuple(FILES[:3])), "kills") == []
    retried = [batch for batch in take_all(assignments) if batch.failures is not None]
    assert [batch.files for batch in retried] == [(file,) for file in FILES[:3]]


def test_a_file_that_repeatedly_crashes_workers_is_given_up() -> None:
    assignments, batch = Assignments([]), Batch((FILES[7],), failures=0)
    for _ in range(MAX_FAILURES - 1):
        assert assignments.suspect(batch, "ends the process") == []
        (batch,) = take_all(assignments)
    (file,) = assignments.suspect(batch, "ends the process")
    assert (file.path, file.state, file.photo, file.readers) == (*FILES[7], None, decoder_versions())
    assert file.error is not None
    assert "/photos/7.jpg ends the process" in file.error
    assert not len(assignments)


def test_a_single_hanging_file_is_given_up_immediately() -> None:
    assignments = Assignments([])
    assert len(assignments.suspect(Batch((FILES[0],)), "takes too long", is_certain=True)) == 1
    assert assignments.suspect(Batch(tuple(FILES[:2])), "takes too long", is_certain=True) == []


def test_a_returned_batch_is_assigned_again() -> None:
    assignments = Assignments(FILES[:4])
    batch = assignments.take(1)
    assert batch is not None
    assignments.give_back(batch)
    assert len(assignments) == 4
