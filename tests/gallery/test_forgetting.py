"""Forgotten people leave no bytes in any file of the gallery."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import PersonNotFoundError, UsageError
from facebank.gallery import FaceKey, Gallery, inspect_gallery, name_key
from facebank.gallery.derived import classifier_file, index_file
from facebank.index import gallery_index
from tests.index.nearest import nearest_person

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator

    from facebank.gallery import NewSample
    from tests.gallery.conftest import FaceFactory

TRACE_SIZE = 16  # bytes; short enough to find parts of an embedding


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def read_all_bytes(path: Path) -> bytes:
    """Return the content of all files of a gallery, including derived ones."""
    derived = [classifier_file(path), *index_file(path).parent.glob(index_file(path).name + "*")]
    paths = [*path.parent.glob(path.name + "*"), *(entry for entry in derived if entry.exists())]
    return b"\0".join(entry.read_bytes() for entry in sorted(paths))


def split(data: bytes) -> list[bytes]:
    """Return parts of `TRACE_SIZE` bytes, among them the first and the last."""
    starts = range(0, max(1, len(data) - TRACE_SIZE), 97)
    return [data[start : start + TRACE_SIZE] for start in starts] + [data[-TRACE_SIZE:]]


def sample_traces(samples: Iterable[NewSample]) -> list[bytes]:
    """Return byte strings that would disclose samples."""
    traces = []
    for sample in samples:
        traces += [sample.path.encode(), sample.content_hash.encode()]
        traces += split(sample.box.tobytes()) + split(sample.landmarks.tobytes())
        traces += [trace for embedding in sample.vectors.values() for trace in split(embedding.tobytes())]
        traces += split(sample.thumbnail or b"")
    return [trace for trace in traces if len(trace) >= TRACE_SIZE]


def name_traces(*names: str) -> list[bytes]:
    return [spelling.encode() for name in names for spelling in (name, name_key(name))]


def find_traces(path: Path, traces: Iterable[bytes]) -> list[bytes]:
    data = read_all_bytes(path)
    return [trace for trace in traces if trace in data]


def test_enrolled_data_is_in_the_files(gallery: Gallery, faces: FaceFactory) -> None:
    """The search that the other tests use finds existing bytes."""
    samples = faces.samples(5)
    gallery.enroll("Augusta Ada King", samples)
    traces = [*name_traces("Augusta Ada King"), *sample_traces(samples)]
    assert len(find_traces(gallery.path, traces)) > 0.9 * len(traces)  # a few are split between two pages
    gallery.close()
    assert len(find_traces(gallery.path, traces)) > 0.9 * len(traces)


def test_forgetting_a_person_erases_all_bytes(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(5)
    gallery.enroll("Augusta Ada King", samples)
    gallery.enroll("Bob", faces.samples(5))
    gallery.forget("Augusta Ada King")
    assert find_traces(gallery.path, [*name_traces("Augusta Ada King"), *sample_traces(samples)]) == []
    gallery.close()
    assert find_traces(gallery.path, [*name_traces("Augusta Ada King"), *sample_traces(samples)]) == []


@pytest.mark.parametrize("action", ["forget", "remove_sample", "rebind"])
def test_forgetting_erases_the_search_index(
    gallery: Gallery, faces: FaceFactory, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = faces.samples(2)
    monkeypatch.setattr(gallery_index, "MIN_CACHED_SAMPLES", 10)
    gallery.enroll("Augusta Ada King", samples)
    gallery.enroll("Bob", faces.samples(38))
    traces = [trace for sample in samples for trace in split(sample.vectors["plain"].tobytes())]
    assert nearest_person(gallery, samples[0].vectors["plain"]) == 1
    path, erased = index_file(gallery.path), traces
    descriptor = os.open(path, os.O_RDONLY)  # the bytes must be overwritten and not only unlinked
    assert any(trace in path.read_bytes() for trace in traces)
    if action == "forget":
        gallery.forget("Augusta Ada King")
    elif action == "remove_sample":
        gallery.remove_sample(1)
        erased = split(samples[0].vectors["plain"].tobytes())
    else:
        gallery.rebind(faces.other_pack, {number: {"plain": faces.vector(24)} for number in range(1, 41)})
    assert not any(os.pread(descriptor, 1 << 20, 0))
    os.close(descriptor)
    assert find_traces(gallery.path, erased) == []
    people = gallery_index.open_index(gallery).people
    assert people is not None
    assert people.count == {"forget": 38, "remove_sample": 39}.get(action, 40)
    assert index_file(gallery.path).exists()
    assert find_traces(gallery.path, erased) == []
    assert (find_traces(gallery.path, traces) == []) == (action != "remove_sample")


def test_forgetting_erases_earlier_names(gallery: Gallery, faces: FaceFactory) -> None:
    names = ["First Name Of All", "Second Name Of All", "Third Name Of All", "Somebody Merged"]
    samples = faces.samples(4)
    gallery.enroll(names[0], samples[:2])
    gallery.enroll(names[3], samples[2:])
    gallery.rename(names[0], names[1])
    gallery.merge([names[3]], names[1])
    gallery.rename(names[1], names[2])
    gallery.forget(names[2])
    assert find_traces(gallery.path, [*name_traces(*names), *sample_traces(samples)]) == []


def test_removing_a_sample_erases_all_bytes(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(6)
    gallery.enroll("Ada", samples)
    gallery.remove_sample(2)
    assert find_traces(gallery.path, sample_traces(samples[1:2])) == []
    assert find_traces(gallery.path, sample_traces(samples[:1])) != []


def test_forgetting_several_people_is_atomic(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(6)
    for number, name in enumerate(("First Of Two", "Second Of Two", "Bob")):
        gallery.enroll(name, samples[2 * number : 2 * number + 2])
    with pytest.raises(PersonNotFoundError, match="'Nobody'"):
        gallery.forget_people(["First Of Two", "Nobody"])
    with pytest.raises(UsageError, match="no sample 99"):
        gallery.remove_samples([5, 99])
    assert [person.sample_count for person in gallery.people()] == [2, 2, 2]
    assert gallery.forget_people(["First Of Two", "second of two", "FIRST OF TWO"]).sample_count == 4
    assert gallery.remove_samples([5, 5, 6]).sample_count == 2
    assert (gallery.forget_people([]).sample_count, gallery.remove_samples([]).sample_count) == (0, 0)
    assert [(person.name, person.sample_count) for person in gallery.people()] == [("Bob", 0)]
    assert find_traces(gallery.path, [*name_traces("First Of Two", "Second Of Two"), *sample_traces(samples)]) == []


def test_re_embedding_erases_old_embeddings(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(4)
    gallery.enroll("Ada", samples)
    gallery.rebind(faces.other_pack, {number: {"plain": faces.vector(24)} for number in (1, 2, 3)}, dropped=[4])
    traces = [
        trace for sample in samples for embedding in sample.vectors.values() for trace in split(embedding.tobytes())
    ]
    assert find_traces(gallery.path, [*traces, *sample_traces(samples[3:])]) == []


def test_forgetting_erases_denials(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Augusta Ada King", faces.samples(2))
    gallery.enroll("Bob", faces.samples(2))
    denied, shared = faces.samples(20), faces.sample()
    for sample in [*denied, shared]:
        gallery.deny("Augusta Ada King", FaceKey.from_sample(sample))
    gallery.deny("Bob", FaceKey.from_sample(shared))
    traces = [trace for sample in denied for trace in (sample.content_hash.encode(), sample.box.tobytes())]
    assert find_traces(gallery.path, traces) != []
    gallery.forget("Augusta Ada King")
    assert find_traces(gallery.path, traces) == []
    assert gallery.denials_of(FaceKey.from_sample(shared)) == {2}
    gallery.close()
    assert find_traces(gallery.path, traces) == []


def test_forgetting_a_stranger_erases_all_bytes(gallery: Gallery, faces: FaceFactory) -> None:
    strangers = faces.samples(30)
    for sample in strangers:
        gallery.remember_stranger(sample)
    stored = [replace(sample, thumbnail=None, vectors={"plain": sample.vectors["plain"]}) for sample in strangers]
    traces = [trace for sample in stored[:20] for trace in stranger_traces(sample)]
    assert len(find_traces(gallery.path, traces)) > 0.9 * len(traces)
    for number in range(1, 21):
        assert not gallery.forget_stranger(number).busy_readers
    assert find_traces(gallery.path, traces) == []
    assert gallery.strangers().stranger_ids.tolist() == list(range(21, 31))
    gallery.close()
    assert find_traces(gallery.path, traces) == []


def test_strangers_are_stored_without_thumbnail_and_variants(gallery: Gallery, faces: FaceFactory) -> None:
    sample = faces.sample()
    gallery.remember_stranger(sample)
    unneeded = [*split(sample.thumbnail or b""), *split(sample.landmarks.tobytes())]
    unneeded += split(sample.vectors["flip"].tobytes())
    assert find_traces(gallery.path, unneeded) == []
    assert find_traces(gallery.path, stranger_traces(sample)) != []


def stranger_traces(sample: NewSample) -> list[bytes]:
    traces = [sample.path.encode(), sample.content_hash.encode(), sample.box.tobytes()]
    return [*traces, *split(sample.vectors["plain"].tobytes())]


def test_re_embedding_erases_old_embeddings_of_strangers(gallery: Gallery, faces: FaceFactory) -> None:
    kept, dropped = faces.samples(2)
    for sample in (kept, dropped):
        gallery.remember_stranger(sample)
    gallery.rebind(faces.other_pack, {}, strangers={1: faces.vector(24), 2: None})
    old_traces = split(kept.vectors["plain"].tobytes())
    assert find_traces(gallery.path, [*old_traces, *stranger_traces(dropped)]) == []


@pytest.mark.parametrize("seed", range(4))
def test_moved_rows_leave_no_copies(gallery: Gallery, random_faces: type[FaceFactory], seed: int) -> None:
    """With ``secure_delete`` alone, some of these galleries leave copies in unused parts of pages."""
    faces, random = random_faces(seed), Random(seed)
    names = [f"Person {random.randbytes(9).hex()}" for _ in range(60)]
    samples = {
        name: [faces.sample(thumbnail=random.randbytes(random.randrange(200, 400))) for _ in range(4)] for name in names
    }
    for turn in range(4):
        gallery.enroll_people([(name, samples[name][turn : turn + 1]) for name in names])
    forgotten_names = random.sample(names, 45)
    for name in forgotten_names:
        gallery.forget(name)
    traces = [
        *name_traces(*forgotten_names),
        *sample_traces(sample for name in forgotten_names for sample in samples[name]),
    ]
    assert find_traces(gallery.path, traces) == []
    assert len(gallery.people()) == 15


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=25),
    rounds=st.integers(1, 3),
    data=st.data(),
)
def test_forgetting_erases_random_people(
    random_faces: type[FaceFactory], seed: int, counts: list[int], rounds: int, data: st.DataObject
) -> None:
    faces = random_faces(seed)
    names = {f"Person Number {number:05d} Of {seed}": count for number, count in enumerate(counts)}
    samples: dict[str, list[NewSample]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.facebank"
        with Gallery.open(path, faces.pack, create=True) as gallery:
            for _ in range(rounds):  # interleaves the rows of all people
                for name, count in names.items():
                    new = faces.samples(count)
                    samples[name] += new
                    gallery.enroll(name, new)
            forgotten_names = data.draw(st.lists(st.sampled_from(sorted(names)), min_size=1, unique=True))
            kept = [name for name in names if name not in forgotten_names]
            for name in forgotten_names:
                gallery.forget(name)
            traces = [
                *name_traces(*forgotten_names),
                *sample_traces(sample for name in forgotten_names for sample in samples[name]),
            ]
            assert find_traces(path, traces) == []
            assert [person.name for person in gallery.people()] == kept
            gallery.close()
        assert find_traces(path, traces) == []
        assert len(find_traces(path, name_traces(*kept))) == 2 * len(kept)


def test_forgetting_erases_all_bytes_with_a_rollback_journal(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.close()
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN")  # prevents the gallery from switching back to the write-ahead log
        connection.execute("SELECT * FROM people").fetchall()
        opened = Gallery.open(gallery.path, faces.pack, busy_timeout=0.1)
    samples = faces.samples(5)
    with opened:
        opened.enroll("Augusta Ada King", samples)
        assert inspect_gallery(gallery.path).journal_mode == "delete"
        assert not opened.forget("Augusta Ada King").busy_readers
        assert find_traces(gallery.path, [*name_traces("Augusta Ada King"), *sample_traces(samples)]) == []


def test_a_busy_reader_is_reported_and_not_disturbed(
    gallery: Gallery, faces: FaceFactory, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    samples = faces.samples(4)
    gallery.enroll("Augusta Ada King", samples)
    gallery.enroll("Bob", faces.samples(3))
    traces = [*name_traces("Augusta Ada King"), *sample_traces(samples)]
    reader = start_worker("read", gallery.path)
    assert reader.stdout is not None
    assert [reader.stdout.readline().strip() for _ in range(2)] == ["ready", "reading"]

    forgotten = gallery.forget("Augusta Ada King")

    assert (forgotten.sample_count, forgotten.busy_readers) == (4, True)
    assert [person.name for person in gallery.people()] == ["Bob"]
    assert find_traces(gallery.path, traces) != []  # they are in the reader's snapshot
    assert any("Traces" in problem for problem in inspect_gallery(gallery.path).problems)
    answer, _ = reader.communicate()
    assert answer.strip() == "7"
    with Gallery.open(gallery.path, faces.pack) as reopened:  # cleans up
        assert find_traces(gallery.path, traces) == []
        assert reopened.person("Bob").sample_count == 3
        assert inspect_gallery(gallery.path).problems == ()
