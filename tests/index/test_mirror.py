"""A search on Milvus equals the local one, wrong answers are errors, and forgotten people are deleted there."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import ServiceError, UsageError
from facebank.gallery import Gallery
from facebank.gallery.mirrors import MirrorRecord
from facebank.gallery.store.file import ReadAgainError
from facebank.index.gallery_index import open_index, open_local_index, read_with_retry
from facebank.index.indexed_samples import MASK
from facebank.index.milvus import MilvusStore, milvus_mirror
from facebank.index.milvus_address import MilvusAddress
from facebank.index.mirror import GalleryMirror
from facebank.index.mirrored_rows import rows_to_mirror
from facebank.index.vector_store import Answers, UnreachableError, VectorGroup
from tests.gallery.conftest import FaceFactory
from tests.index.conftest import client_problem, skip_on
from tests.index.nearest import nearest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from facebank.index.gallery_index import GalleryIndex
    from facebank.types import FloatArray
    from tests.index.milvus_server import MilvusServer

PEOPLE = 40
_seeds = count(1000)  # unique: tests look for the vectors in Milvus's files


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    """A gallery of people with one to three samples, most of them with a drawn mask."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    faces, random = FaceFactory(next(_seeds)), np.random.default_rng(1)
    with Gallery.open(tmp_path / "family.facebank", faces.pack, create=True) as opened:
        groups = []
        for number in range(PEOPLE):
            samples = faces.samples(int(random.integers(1, 4)))
            masked = [replace(sample, vectors={**sample.vectors, MASK: faces.vector()}) for sample in samples]
            groups.append((f"Person {number}", masked if number % 3 else samples))
        opened.enroll_people(groups)
        yield opened


def set_mirror(gallery: Gallery, address: str, *, fallback: bool = False) -> Gallery:
    """Return a gallery after setting its mirror's address."""
    gallery.mirror = milvus_mirror(MilvusAddress.parse(address), fallback=fallback)
    return gallery


def search_all(index: GalleryIndex, queries: FloatArray) -> list[list[list[int]]]:
    """Return the rows that each kind of search finds."""
    assert index.people is not None
    assert index.masked is not None
    exact = queries.astype(np.float64)
    people, samples, masked = index.people.nearest_people, index.people.nearest_samples, index.masked[0].nearest_people
    searches = [people.near(exact, 3), samples.near(exact, 5), samples.within(exact, 0.4), masked.near(exact, 3)]
    return [[rows.tolist() for rows in answers] for answers in searches]


def check_mirror(gallery: Gallery) -> None:
    """Check that the mirror and the local index find the same, and that Milvus holds exactly the expected rows."""
    queries = np.stack([FaceFactory(99).vector() for _ in range(6)])
    remote, local = open_index(gallery), open_local_index(gallery)
    assert local.people is not None
    queries = np.concatenate([queries, local.people.embeddings()[:4]])
    assert search_all(remote, queries) == search_all(local, queries)
    ids = local.sample_ids()
    assert ids is not None
    expected = rows_to_mirror(ids, local).as_stored()
    keys, digests = open_store(gallery).list_keys(int(expected.keys[-1]) + 1)
    assert keys.tolist() == expected.keys.tolist()
    assert digests.tolist() == expected.digests.tolist()


def open_store(gallery: Gallery) -> MilvusStore:
    """Return a gallery's collection."""
    assert isinstance(gallery.mirror, GalleryMirror)
    store = gallery.mirror._open_store()
    assert isinstance(store, MilvusStore)
    return store


def test_every_change_is_mirrored(gallery: Gallery, milvus_address: str) -> None:
    set_mirror(gallery, milvus_address)
    check_mirror(gallery)
    faces = FaceFactory(7)
    for change in (
        lambda: gallery.enroll("Person 1", faces.samples(1)),
        lambda: gallery.enroll("Ada", faces.samples(1)),
        lambda: gallery.merge(["Person 2", "Person 3"], "Ada"),
        lambda: gallery.unmerge("Ada"),
        lambda: gallery.rename("Person 5", "Ben"),
    ):
        change()
        check_mirror(gallery)


def test_a_large_gallery_is_updated_from_cached_rows(
    gallery: Gallery, server_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facebank.index.mirrored_rows.MIN_CACHED_SAMPLES", 1)
    set_mirror(gallery, server_address)
    open_index(gallery)
    with monkeypatch.context() as patch:
        patch.delattr(MilvusStore, "list_keys")  # not called
        gallery.enroll("Ada", FaceFactory(7).samples(2))
        open_index(gallery)
    check_mirror(gallery)


def test_concurrent_writers_lose_nothing(gallery: Gallery, server_address: str) -> None:
    set_mirror(gallery, server_address)
    check_mirror(gallery)
    program = Path(__file__).with_name("mirror_worker.py")
    command = [sys.executable, str(program), str(gallery.path), server_address]

    def run(seed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, seed], capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        processes = pool.map(run, ("11", "12"))
    assert [(process.returncode, process.stderr) for process in processes] == [(0, "")] * 2
    check_mirror(gallery)
    assert len(gallery.people()) == PEOPLE + 2 * 5


def test_a_search_is_repeated_after_another_process_changed_the_mirror(gallery: Gallery, server_address: str) -> None:
    set_mirror(gallery, server_address)
    before = open_index(gallery)
    with Gallery.open(gallery.path) as other:
        (enrolled,) = other.enroll("Ada", FaceFactory(7).samples(1))
        open_index(set_mirror(other, server_address))
        query = other.vectors_of([enrolled.sample_id]).astype(np.float64)
    opened = [before]

    def search() -> str:
        return nearest_name(opened.pop() if opened else open_index(gallery), query)

    assert read_with_retry(search) == "Ada"
    assert before.is_lost


@pytest.mark.parametrize("message", ["another gallery", "a different pack"])
def test_a_collection_of_another_gallery_or_pack_is_an_error(
    gallery: Gallery, milvus_address: str, tmp_path: Path, message: str
) -> None:
    pack = FaceFactory.pack if message == "another gallery" else FaceFactory.other_pack
    other = Gallery.open(tmp_path / "other.facebank", pack, create=True)
    if message == "a different pack":
        other.write_setting("mirror_identity", gallery.keep_setting("mirror_identity", "12" * 16))
    faces = FaceFactory(5)
    other.enroll("Ada", [replace(faces.sample(), vectors={"plain": faces.vector(pack.dimension)})])
    open_index(set_mirror(other, milvus_address))
    with pytest.raises(ServiceError, match=message):
        open_index(set_mirror(gallery, milvus_address))
    assert gallery.mirrors() == []


def test_a_collection_that_facebank_did_not_make_is_an_error(gallery: Gallery, server_address: str) -> None:
    set_mirror(gallery, server_address)
    client: Any = open_store(gallery)._client
    client.create_collection(server_address.rpartition("/")[2], dimension=16)
    with pytest.raises(ServiceError, match="was not made by facebank"):
        open_index(gallery)


def test_a_collection_with_the_same_fields_is_kept(gallery: Gallery, server_address: str) -> None:
    set_mirror(gallery, server_address)
    store, name = open_store(gallery), server_address.rpartition("/")[2]
    schema = store._client.create_schema(auto_id=False)
    schema.add_field("key", store._milvus.DataType.INT64, is_primary=True)
    schema.add_field("digest", store._milvus.DataType.INT64)
    schema.add_field("embedding", store._milvus.DataType.FLOAT_VECTOR, dim=gallery.pack.dimension)
    store._client.create_collection(name, schema=schema)
    with pytest.raises(ServiceError, match="was not made by facebank"):
        open_index(gallery)
    assert store._client.has_collection(name)


def test_an_unreachable_address_is_an_error_or_falls_back(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    skip_on(client_problem())
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=r"milvus://127\.0\.0\.1:1/family: Milvus does not answer"):
        open_index(set_mirror(gallery, "milvus://127.0.0.1:1/family"))
    assert time.monotonic() - start < 10
    index = open_index(set_mirror(gallery, "milvus://127.0.0.1:1/family", fallback=True))
    assert index.people is open_local_index(gallery).people or index.is_outdated is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_server_that_stops_is_an_error_or_falls_back(
    gallery: Gallery, milvus_server: MilvusServer, server_address: str
) -> None:
    queries = np.stack([FaceFactory(99).vector() for _ in range(3)])
    strict = open_index(set_mirror(gallery, server_address))
    lenient = open_index(set_mirror(gallery, server_address, fallback=True))
    milvus_server.halt()
    try:
        with pytest.raises(ServiceError, match="Milvus does not answer"):
            search_all(strict, queries)
        assert search_all(lenient, queries) == search_all(open_local_index(gallery), queries)
        set_mirror(gallery, server_address)
        assert gallery.forget("Person 7").mirrors == (server_address,)
        assert [note.needs_cleaning for note in gallery.mirrors()] == [True]
    finally:
        milvus_server.start()
    wait_until_ready(gallery)
    check_mirror(gallery)
    assert [note.needs_cleaning for note in gallery.mirrors()] == [False]


def wait_until_ready(gallery: Gallery) -> None:
    """Wait until a restarted server answers queries, which takes longer than reporting to be healthy."""
    deadline = time.monotonic() + 60
    while True:
        try:
            open_store(gallery).identity()
        except ServiceError:
            assert time.monotonic() < deadline
            gallery.mirror._store = None  # type: ignore[union-attr]
            time.sleep(0.5)
        else:
            return


WRONG_ANSWERS: dict[str, Callable[[Answers], Answers]] = {
    "that the gallery does not have": lambda answers: answers._replace(keys=answers.keys + (1 << 40)),
    "that are not finite numbers": lambda answers: answers._replace(products=answers.products * np.nan),
    "vectors where": lambda answers: Answers(answers.keys[1:], answers.products[1:]),
    "one vector twice": lambda answers: answers._replace(keys=np.repeat(answers.keys[:1], len(answers.keys))),
}


@pytest.mark.parametrize("message", WRONG_ANSWERS)
def test_wrong_answers_are_errors(
    gallery: Gallery, lite_address: str, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    index = open_index(set_mirror(gallery, lite_address, fallback=True))
    nearest = MilvusStore.nearest

    def answer_wrongly(store: MilvusStore, *arguments: Any) -> Sequence[Answers]:
        return [WRONG_ANSWERS[message](answers) for answers in nearest(store, *arguments)]

    with monkeypatch.context() as patch:
        patch.setattr(MilvusStore, "nearest", answer_wrongly)
        with pytest.raises(ServiceError, match=message):
            search_all(index, FaceFactory(99).vector()[None])
    assert [note.token for note in gallery.mirrors()] == [None]
    check_mirror(gallery)


def test_vectors_removed_from_the_store_are_written_again(gallery: Gallery, milvus_address: str) -> None:
    check_mirror(set_mirror(gallery, milvus_address))
    store = open_store(gallery)
    keys, _ = store.list_keys(10_000)
    store.delete(keys[3:5])
    check_mirror(set_mirror(gallery, milvus_address))


def test_a_dropped_collection_is_written_again(gallery: Gallery, milvus_address: str) -> None:
    check_mirror(set_mirror(gallery, milvus_address))
    open_store(gallery).drop()
    check_mirror(set_mirror(gallery, milvus_address))


@pytest.mark.parametrize("step", ["create_index", "create_partition", "load_collection", "insert"])
def test_an_interrupted_creation_is_repeated(gallery: Gallery, milvus_address: str, step: str) -> None:
    set_mirror(gallery, milvus_address)
    client: Any = open_store(gallery)._client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(client), step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_index(gallery)
    check_mirror(set_mirror(gallery, milvus_address))


def interrupt(*_: object, **__: object) -> None:
    """Interrupt the program, as Ctrl-C does."""
    raise KeyboardInterrupt


def test_an_interrupted_creation_is_removed_on_request(gallery: Gallery, server_address: str) -> None:
    mirror, store = set_mirror(gallery, server_address).mirror, open_store(gallery)
    assert isinstance(mirror, GalleryMirror)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store._client), "create_partition", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_index(gallery)
    mirror.drop(gallery)
    assert not store._client.has_collection(server_address.rpartition("/")[2])


def test_parts_removed_from_a_collection_are_restored(gallery: Gallery, server_address: str) -> None:
    check_mirror(set_mirror(gallery, server_address))
    client, name = open_store(gallery)._client, server_address.rpartition("/")[2]
    client.release_collection(name)
    client.drop_index(name, client.list_indexes(name)[0])
    client.drop_partition(name, "single")
    check_mirror(set_mirror(gallery, server_address))


def test_changed_vectors_are_an_error_and_written_again(gallery: Gallery, milvus_address: str) -> None:
    check_mirror(set_mirror(gallery, milvus_address))
    local = open_local_index(gallery)
    ids = local.sample_ids()
    assert ids is not None
    rows, store = rows_to_mirror(ids, local), open_store(gallery)
    for group in VectorGroup:  # as another program would, with the right keys and digests
        in_group = rows.keys % len(VectorGroup) == group
        vectors = np.stack([FaceFactory(98).vector()] * int(in_group.sum()))
        store.delete(rows.keys[in_group])
        store.add(group, rows.keys[in_group], rows.digests[in_group], vectors)
    with pytest.raises(ServiceError, match=r"other vectors than the gallery's.*write all vectors again"):
        search_all(open_index(set_mirror(gallery, milvus_address)), FaceFactory(99).vector()[None])
    check_mirror(set_mirror(gallery, milvus_address))


def test_an_open_index_notices_removed_vectors(
    gallery: Gallery, milvus_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(set_mirror(gallery, milvus_address))
    monkeypatch.setattr("facebank.index.mirror._SECONDS_BETWEEN_COUNTS", 0.0)
    store = open_store(gallery)
    store.delete(store.list_keys(10_000)[0][3:5])
    store.count(store.set_token(store.token()))  # waits until searches see the removal
    assert index.people is not None
    with pytest.raises(ReadAgainError):
        index.people.nearest_people.near(FaceFactory(99).vector().astype(np.float64)[None], 3)
    assert index.is_lost
    check_mirror(gallery)


def test_an_open_index_notices_changes_by_a_copy_of_the_gallery(
    gallery: Gallery, milvus_address: str, tmp_path: Path
) -> None:
    index = open_index(set_mirror(gallery, milvus_address))
    with Gallery.open(gallery.back_up(tmp_path / "copy.facebank")) as copy:
        copy.mirror = gallery.mirror  # a Milvus Lite file is open once
        copy.forget("Person 7")
        check_mirror(copy)
    assert index.people is not None
    with pytest.raises(ReadAgainError):
        index.people.nearest_people.near(FaceFactory(99).vector().astype(np.float64)[None], 3)
    check_mirror(gallery)


def test_an_approximate_index_is_cleaned_without_its_type(gallery: Gallery, server_address: str) -> None:
    open_index(set_mirror(gallery, f"{server_address}?index=ivf_flat"))
    gallery.mirror = None
    assert gallery.forget("Person 7").mirrors == (server_address,)
    mirror = set_mirror(gallery, server_address).mirror
    assert mirror is not None
    mirror.clean(gallery)
    assert [note.needs_cleaning for note in gallery.mirrors()] == [False]
    with pytest.raises(ServiceError, match="IVF_FLAT"):
        open_index(gallery)
    open_index(set_mirror(gallery, f"{server_address}?index=ivf_flat"))
    assert isinstance(mirror, GalleryMirror)
    mirror.drop(gallery)
    assert gallery.mirrors() == []


def test_a_removal_stays_pending_if_others_change_the_gallery_meanwhile(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_busy(*_: object) -> None:
        raise ReadAgainError

    gallery.keep_mirror(MirrorRecord("milvus://127.0.0.1:1/family", 1, gallery.revision))
    monkeypatch.setattr(GalleryMirror, "clean", be_busy)
    set_mirror(gallery, "milvus://127.0.0.1:1/family")
    assert gallery.forget("Person 7").mirrors == ("milvus://127.0.0.1:1/family",)


def test_a_refused_creation_leaves_no_record(gallery: Gallery, milvus_server: MilvusServer) -> None:
    with pytest.raises(ServiceError, match="absent"):
        open_index(set_mirror(gallery, f"{milvus_server.address}/family?database=absent"))
    assert gallery.mirrors() == []


def test_a_gallery_does_not_lose_a_mirror_to_a_new_one(gallery: Gallery) -> None:
    for number in range(32):
        gallery.keep_mirror(MirrorRecord(f"milvus-lite:/{number}.db", 1, gallery.revision))
    with pytest.raises(UsageError, match="people unmirror"):
        gallery.keep_mirror(MirrorRecord("milvus-lite:/more.db", 1, gallery.revision))
    gallery.keep_mirror(MirrorRecord("milvus-lite:/0.db", 2, gallery.revision))
    assert len(gallery.mirrors()) == 32


def test_a_restored_backup_is_mirrored(gallery: Gallery, lite_address: str, tmp_path: Path) -> None:
    check_mirror(set_mirror(gallery, lite_address))
    backup = gallery.back_up(tmp_path / "copy.facebank")
    gallery.enroll("Ada", FaceFactory(7).samples(2))
    check_mirror(gallery)
    with Gallery.open(backup) as restored:
        check_mirror(set_mirror(restored, lite_address))
        restored.enroll("Ben", FaceFactory(8).samples(2))
        check_mirror(restored)


def find_files(folder: Path, vectors: FloatArray) -> set[str]:
    """Return the files below a folder that contain bytes of one of the vectors."""
    rows = [row.astype("<f4").tobytes() for row in vectors]
    names = set()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # removed by a compaction meanwhile
            continue
        if any(row[16:48] in data for row in rows):
            names.add(str(path.relative_to(folder)))
    return names


def test_a_forgotten_person_is_erased_from_milvus_lite(gallery: Gallery, tmp_path: Path) -> None:
    skip_on(client_problem())
    open_index(set_mirror(gallery, f"milvus-lite:{tmp_path}/vectors.db"))
    vectors = gallery.vectors_of([sample.id for sample in gallery.samples("Person 7")])
    assert find_files(tmp_path / "vectors.db", vectors)
    assert gallery.forget("Person 7").mirrors == ()
    assert not find_files(tmp_path / "vectors.db", vectors)
    check_mirror(gallery)


def test_a_forgotten_person_is_erased_from_the_segments_of_a_server(
    gallery: Gallery, milvus_server: MilvusServer, server_address: str
) -> None:
    open_index(set_mirror(gallery, server_address))
    vectors = gallery.vectors_of([sample.id for sample in gallery.samples("Person 7")])
    others = gallery.vectors_of([sample.id for sample in gallery.samples("Person 8")])
    open_store(gallery).clean()
    segments = milvus_server.folder / "data" / "insert_log"
    assert find_files(segments, vectors)
    assert gallery.forget("Person 7").mirrors == ()
    deadline = time.monotonic() + 60
    while find_files(milvus_server.folder / "data", vectors) - find_log_files(milvus_server, vectors):
        assert time.monotonic() < deadline
        time.sleep(1)
    assert find_files(segments, others)
    check_mirror(gallery)


def find_log_files(server: MilvusServer, vectors: FloatArray) -> set[str]:
    """Return the files of the write-ahead log, kept for days by the server, that contain bytes of the vectors."""
    return {name for name in find_files(server.folder / "data", vectors) if name.startswith("rocksmq/")}


def test_forgetting_everybody_drops_the_collection(gallery: Gallery, milvus_address: str) -> None:
    open_index(set_mirror(gallery, milvus_address))
    store = open_store(gallery)
    assert gallery.forget_people([person.name for person in gallery.people()]).mirrors == ()
    assert store.identity() is None
    assert gallery.mirrors() == []


def test_a_mirror_is_dropped_on_request(gallery: Gallery, milvus_address: str) -> None:
    open_index(set_mirror(gallery, milvus_address))
    store, mirror = open_store(gallery), gallery.mirror
    assert isinstance(mirror, GalleryMirror)
    mirror.drop(gallery)
    assert store.identity() is None
    assert gallery.mirrors() == []


def test_the_token_is_in_no_error(
    gallery: Gallery, milvus_server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBANK_MILVUS_TOKEN", "root:very-secret")
    with pytest.raises(ServiceError) as caught:
        open_index(set_mirror(gallery, f"{milvus_server.address}/family?database=absent"))
    assert "absent" in str(caught.value)
    assert "very-secret" not in str(caught.value)
