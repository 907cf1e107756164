"""The file that a large gallery's vectors are read from: it belongs to the gallery, is checked, and goes in time."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import GalleryBusyError, UsageError
from facebank.gallery import Gallery, VectorIndex
from facebank.gallery.derived import index_file
from facebank.gallery.vectors import blocks
from facebank.index.index_file import write_index_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.gallery import SearchHits
    from facebank.index.index_file import StoredIndex
    from facebank.types import FloatArray
    from tests.gallery.conftest import Faces

PROJECT = Path(__file__).resolve().parent.parent.parent
SMALL = partial(VectorIndex, coded_from=10)
OPEN = """
import sys
from functools import partial
from facebank.gallery import Gallery, VectorIndex
with Gallery.open(sys.argv[1]) as gallery:
    gallery.search_with(partial(VectorIndex, coded_from=10))
    print("ready", flush=True)
    for turn in range(int(sys.argv[2])):
        sys.stdin.readline()
        index = gallery.index()
        hits = index.search(gallery.vectors().matrix, 3)
        print(index.is_stored, index.count, hits.sample_ids[:, 0].tolist() == gallery.vectors().sample_ids.tolist(),
              flush=True)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def large(cache: Path, gallery: Gallery, faces: Faces) -> Gallery:
    """Make a gallery of 40 faces that counts as large."""
    gallery.search_with(SMALL)
    for number in range(20):
        gallery.enroll(f"Person {number}", faces.samples(2))
    return gallery


def opened(large: Gallery) -> Gallery:
    again = Gallery.open(large.path)
    again.search_with(SMALL)
    return again


def found(gallery: Gallery, queries: FloatArray) -> SearchHits:
    return gallery.index().search(queries, 5)


def agrees(gallery: Gallery) -> bool:
    """Compare the index with one made of what the gallery says."""
    table, exact = gallery.vectors(), VectorIndex(gallery.pack.dimension)
    exact.add(table)
    queries = np.concatenate([table.matrix, -table.matrix[:3]])
    ours, theirs = found(gallery, queries), exact.search(queries, 5)
    return all(
        np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("similarities", "sample_ids", "person_ids")
    )


def test_the_file_is_written_once_and_read_again(large: Gallery) -> None:
    assert not index_file(large.path).exists()
    assert agrees(large)
    assert large.index().is_stored
    path = index_file(large.path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    with opened(large) as again:
        assert agrees(again)
        assert again.index().is_stored
    assert path.read_bytes() == before


def test_a_small_gallery_has_none(cache: Path, gallery: Gallery, faces: Faces) -> None:
    gallery.search_with(SMALL)
    gallery.enroll("Ada", faces.samples(9))
    assert gallery.index().count == 9
    assert not gallery.index().is_stored
    assert not cache.exists()


def test_what_changed_since_is_added_to_what_is_read(large: Gallery, faces: Faces) -> None:
    large.index()
    before = index_file(large.path).read_bytes()
    large.enroll("Person 3", faces.samples(2))
    large.merge(["Person 4"], "Person 5")
    with opened(large) as again:
        assert agrees(again)
        assert again.index().is_stored
    assert agrees(large)
    assert index_file(large.path).read_bytes() == before


def test_a_gallery_that_grew_gets_a_new_file(large: Gallery, faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebank.index.following._FEW", 3)
    large.index()
    size = index_file(large.path).stat().st_size
    large.enroll("Person 3", faces.samples(30))
    assert agrees(large)
    assert index_file(large.path).stat().st_size > size


@pytest.mark.parametrize("place", ["header", "listing", "codes", "vectors", "digests"])
def test_damage_is_noticed_and_mended(large: Gallery, place: str) -> None:
    large.index()
    path = index_file(large.path)
    data = bytearray(path.read_bytes())
    at = {"header": 40, "listing": 4100, "codes": 5600, "vectors": 8192 + 77, "digests": len(data) - 3}[place]
    data[at] ^= 1
    path.write_bytes(data)
    with opened(large) as again:
        assert agrees(again)
    assert path.read_bytes() != bytes(data)
    with opened(large) as again:
        mended = path.read_bytes()
        assert agrees(again)
    assert path.read_bytes() == mended


@pytest.mark.parametrize("length", [0, 10, 4096, 9000, -1, 1])
def test_a_file_of_another_length_is_made_anew(large: Gallery, length: int) -> None:
    large.index()
    path = index_file(large.path)
    data = path.read_bytes()
    path.write_bytes(data + b"\0" if length == 1 else data[:length])
    with opened(large) as again:
        assert agrees(again)
        assert again.index().is_stored
    assert path.stat().st_size == len(data)


@pytest.mark.parametrize("thing", ["folder", "link", "pipe"])
def test_what_is_no_file_is_not_read(large: Gallery, thing: str, tmp_path: Path) -> None:
    large.index()
    path = index_file(large.path)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    kept = elsewhere.read_bytes()
    if thing == "folder":
        path.mkdir()
    elif thing == "link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)
    with opened(large) as again:
        assert agrees(again)
    assert elsewhere.read_bytes() == kept


def test_another_gallerys_file_is_not_taken(large: Gallery, faces: Faces, tmp_path: Path) -> None:
    """Two galleries of the same history in numbers: only their faces differ."""
    with Gallery.open(tmp_path / "other.facebank", faces.pack, create=True) as other:
        other.search_with(SMALL)
        for number in range(20):
            other.enroll(f"Person {number}", faces.samples(2))
        assert other.revision == large.revision
        other.index()
        large.index()
        index_file(large.path).write_bytes(index_file(other.path).read_bytes())
    with opened(large) as again:
        assert agrees(again)


def test_a_gallery_restored_from_a_copy_does_not_read_what_came_after(large: Gallery, faces: Faces) -> None:
    copy = large.path.read_bytes()
    large.close()
    with opened(large) as later:
        later.enroll("Ada", faces.samples(2))
        assert agrees(later)
    for companion in large.path.parent.glob(large.path.name + "-*"):
        companion.unlink()
    large.path.write_bytes(copy)
    with opened(large) as restored:
        restored.enroll("Ada", faces.samples(2))
        assert agrees(restored)


def test_re_embedding_makes_another_file(large: Gallery, faces: Faces) -> None:
    large.index()
    numbers = large.vectors().sample_ids.tolist()
    large.rebind(faces.other_pack, {number: {"plain": faces.vector(24)} for number in numbers})
    assert not index_file(large.path).exists()
    assert agrees(large)
    assert large.index().is_stored


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_does_without(large: Gallery, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    assert agrees(large)
    assert not large.index().is_stored


def test_a_cache_that_is_no_folder_does_without(large: Gallery, cache: Path) -> None:
    cache.write_bytes(b"")
    assert agrees(large)
    assert not large.index().is_stored
    assert large.index() is large.index()


def test_a_gallery_open_for_reading_reads_the_file_and_writes_none(large: Gallery) -> None:
    with Gallery.open(large.path, read_only=True) as reader:
        reader.search_with(SMALL)
        assert agrees(reader)
        assert not index_file(large.path).exists()
        large.index()
    with Gallery.open(large.path, read_only=True) as reader:
        reader.search_with(SMALL)
        assert agrees(reader)
        assert reader.index().is_stored


def test_a_snapshot_writes_none(large: Gallery) -> None:
    with large.snapshot():
        assert agrees(large)
    assert not index_file(large.path).exists()


def test_whoever_is_forgotten_is_gone_from_the_file_and_the_index(large: Gallery) -> None:
    index = large.index()
    query = large.vectors().matrix[:1]
    large.forget("Person 0")
    assert not index_file(large.path).exists()
    with pytest.raises(UsageError, match="closed"):
        index.search(query, 1)
    assert agrees(large)
    assert large.index().count == 38
    assert large.index().is_stored


def test_a_file_overwritten_while_it_is_mapped_is_not_believed(large: Gallery) -> None:
    with opened(large) as other:
        index, query = other.index(), other.vectors().matrix[:1]
        large.forget("Person 7")
        with pytest.raises(GalleryBusyError, match="search again"):
            index.search(query, 1)
        assert agrees(other)


def test_a_file_that_is_still_written_goes_too(large: Gallery) -> None:
    large.index()
    path = index_file(large.path)
    half = path.with_name(path.name + ".half")
    half.write_bytes(path.read_bytes()[:9000])
    large.forget("Person 7")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("moment", ["while it is written", "when it is written"])
def test_a_file_written_while_somebody_is_forgotten_does_not_stay(
    large: Gallery, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def forget() -> None:
        with Gallery.open(large.path) as other:
            other.forget("Person 7")

    def read(*arguments: Any) -> Iterator[object]:
        yield from blocks(*arguments)
        forget()

    def write(*arguments: Any) -> StoredIndex | None:
        stored = write_index_file(*arguments)
        forget()
        return stored

    with monkeypatch.context() as patched:
        if moment == "while it is written":
            patched.setattr("facebank.gallery.vectors.blocks", read)
        else:
            patched.setattr("facebank.index.following.write_index_file", write)
        large.index()
    assert not list(index_file(large.path).parent.iterdir())
    assert agrees(large)
    assert large.index().count == 38


def test_two_processes_at_once(large: Gallery) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(large.path), "2"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    answers = [worker.communicate("\n\n", timeout=120)[0].split("\n") for worker in workers]
    for worker, lines in zip(workers, answers, strict=True):
        assert worker.returncode == 0
        assert [line.split()[1:] for line in lines if line] == [["40", "True"]] * 2
    with opened(large) as again:
        before = index_file(large.path).read_bytes()
        assert agrees(again)
    assert index_file(large.path).read_bytes() == before


def test_a_gallery_that_was_renamed_forgets_under_its_former_name_too(large: Gallery, tmp_path: Path) -> None:
    large.index()
    former = index_file(large.path)
    assert former.exists()
    renamed = tmp_path / "renamed.facebank"
    pack = large.pack
    large.close()
    large.path.rename(renamed)
    with Gallery.open(renamed, pack) as gallery:
        gallery.forget("Person 3")
    assert not former.exists()


def test_a_file_that_holds_somebody_forgotten_elsewhere_is_wiped(
    large: Gallery, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large.index()
    lost = np.float32(large.vectors().matrix[large.vectors().sample_ids == large.samples("Person 3")[0].id]).tobytes()
    assert lost in index_file(large.path).read_bytes()
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "another"))
    with Gallery.open(large.path, large.pack) as elsewhere:
        elsewhere.forget("Person 3")
    monkeypatch.setenv("FACEBANK_CACHE", str(cache))
    with Gallery.open(large.path, large.pack) as gallery:
        gallery.search_with(SMALL)
        assert gallery.index().count == 38
    assert not any(lost in path.read_bytes() for path in (cache / "indexes").iterdir())
