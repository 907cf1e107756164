"""LFW folders and their lists of pairs, people and label errors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pair, Pick, SkippedEntry
from facebank.evaluation.datasets import find_pairs, find_wrong_pairs, read_errata, read_lfw, read_people
from facebank.evaluation.datasets.folders import read_folders
from facebank.evaluation.datasets.lfw import is_lfw, read_pairs

from .conftest import WritePhotos

PHOTOS = ("lfw/Ada/Ada_0001.jpg", "lfw/Ada/Ada_0002.jpg", "lfw/Bert/Bert_0001.jpg", "lfw/Cleo/Cleo_0001.jpg")
PAIRS = "2\t1\nAda\t1\t2\nAda\t1\tBert\t1\nBert\t1\t2\nCleo\t1\tDora\t7\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_refer_to_photos(write_photos: WritePhotos) -> None:
    folder = write_photos(*PHOTOS)
    dataset = read_lfw(folder / "lfw", write(folder / "p.txt", PAIRS))
    assert dataset.pick is Pick.CENTRAL
    assert dataset.pairs == (Pair(0, 1, same=True, fold=0), Pair(0, 2, same=False, fold=0))
    assert dataset.skipped == (
        SkippedEntry("pair of line 4", "the photo Bert_0002 is missing"),
        SkippedEntry("pair of line 5", "no person is called Dora"),
    )


@pytest.mark.parametrize("location", ["lfw", ".", "lfw-meta"])
def test_pairs_are_found_in_the_usual_places(write_photos: WritePhotos, location: str) -> None:
    folder = write_photos(*PHOTOS)
    assert find_pairs(folder / "lfw") is None
    assert read_lfw(folder / "lfw").pairs == ()
    pairs = write(folder / location / "pairs.txt", PAIRS)
    path = find_pairs(folder / "lfw")
    assert path is not None
    assert path.samefile(pairs)
    assert len(read_lfw(folder / "lfw").pairs) == 2


def test_lfw_is_recognized_by_its_file_names(write_photos: WritePhotos) -> None:
    folder = write_photos(*PHOTOS, "family/Ada/holiday.jpg", "family/Bert/Bert_0001.jpg")
    assert is_lfw(read_folders(folder / "lfw"))
    assert not is_lfw(read_folders(folder / "family"))


def test_folds_are_consecutive(tmp_path: Path) -> None:
    fold = ["Ada\t1\t2", "Bert\t1\t2", "Ada\t1\tBert\t1", "Ada\t2\tBert\t1"]
    path = write(tmp_path / "pairs.txt", "\n".join(["3\t2", *fold, *fold, *fold]))
    assert [pair.fold for pair in read_pairs(path)] == [0] * 4 + [1] * 4 + [2] * 4
    assert [pair.same for pair in read_pairs(path)] == [True, True, False, False] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of pairs is empty"),
        ("10\t300\n", "the list of pairs is empty"),
        ("0\t0\nAda\t1\t2\n", "the list of pairs is empty"),
        ("Ada\t1\t2\n", "line 1: expected the numbers of"),
        ("1 2 3\n", "line 1: expected the numbers of"),
        ("1\t1\nAda\t1\t2\n", "line 1 states 2 pairs, but 1"),
        ("1\nAda\t1\t2\nAda\t1\n", "line 3: expected a pair"),
        ("1\nAda\t1\t2\nAda\t1\tBert\tx\n", "line 3: expected a pair"),
        ("1\nAda\t1\t2\nAda\t1\tBert\t0\n", "line 3: expected a pair"),
        ("1\nAda\t1\t2\nAda\t1\tBert\t99999\n", "line 3: expected a pair"),
        ("1\nAda\t1\t1\nAda\t1\tBert\t1\n", "line 2: a photo is paired with itself"),
    ],
)
def test_broken_list_of_pairs_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=f"pairs.txt: {message}") as caught:
        read_pairs(write(tmp_path / "pairs.txt", text))
    assert "\n" not in str(caught.value)


def test_list_of_absent_people_is_an_error(write_photos: WritePhotos) -> None:
    folder = write_photos(*PHOTOS)
    pairs = write(folder / "p.txt", "1\nXaver\t1\t2\nXaver\t1\tYps\t1\n")
    with pytest.raises(DatasetError, match="lacks photos of every pair; the first: no person is called Xaver"):
        read_lfw(folder / "lfw", pairs)


def test_paths_in_a_list_are_refused(write_photos: WritePhotos) -> None:
    folder = write_photos(*PHOTOS, "secret/secret_0001.jpg")
    pairs = write(folder / "p.txt", "1\nAda\t1\t2\nAda\t1\t../secret\t1\n")
    assert read_lfw(folder / "lfw", pairs).skipped == (SkippedEntry("pair of line 3", "no person is called ../secret"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the number"),
        ("Ada\t1\n", "line 1: expected the number"),
        ("3\nAda\t1\n", "line 1 states 3 people, but 1 follow"),
        ("2\n1\nAda\t1\n1\n", "line 4 states 1 person, but 0 follow"),
        ("3\n1\nAda\t1\n1\nBert\t1\n", "line 1 states 3 sets of people, but 2"),
        ("1\nAda\tmany\n", "line 2: expected a name"),
        ("2\nAda\t1\nBert\n", "line 3: expected a name"),
        ("0\n", "the list of people is empty"),
    ],
)
def test_broken_list_of_people_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=f"people.txt: {message}"):
        read_people(write(tmp_path / "people.txt", text))


@given(st.text(alphabet="AB12\t\n \x00é", max_size=60))
def test_any_text_gives_pairs_or_an_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp() / "any" / "pairs.txt", text)
    for read in (read_pairs, read_people, read_errata):
        try:
            read(path)
        except DatasetError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_official_lists_of_pairs_are_read(shared: Path) -> None:
    folder = shared / "data" / "lfw-meta"
    pairs = read_pairs(folder / "pairs.txt")
    assert Counter((pair.fold, pair.same) for pair in pairs) == {
        (fold, same): 300 for fold in range(10) for same in (True, False)
    }
    assert pairs[0].first == ("Abel_Pacheco", 1)
    assert pairs[-1].second == ("Sok_An", 1)
    assert [len(read_pairs(folder / f"pairsDev{part}.txt")) for part in ("Train", "Test")] == [2200, 1000]


def test_official_lists_of_people_are_read(shared: Path) -> None:
    folder = shared / "data" / "lfw-meta"
    people = read_people(folder / "people.txt")
    assert (len(people), sum(person.photos for person in people)) == (5749, 13233)
    assert {person.fold for person in people} == set(range(10))
    halves = [{person.name for person in read_people(folder / f"peopleDev{part}.txt")} for part in ("Train", "Test")]
    assert [len(half) for half in halves] == [4038, 1711]
    assert not halves[0] & halves[1]


def test_official_errata_are_read(shared: Path) -> None:
    errata = read_errata(shared / "data" / "lfw-meta" / "errata.txt")
    assert len(errata.photos) == 21
    assert {"Michael_Schumacher_0008", "Claire_Hentzen_0002", "Flor_Montulo_0002"} <= errata.photos
    for name in ("Ricky_Ray_0001", "Don_Carcieri_0001", "Tia_Mowry_0001", "Eric_Christian_Olsen_0001"):
        assert name not in errata.photos
    assert len(errata.pairs) == 9
    assert ("Talisa_Bratt", "Talisa_Soto") in errata.same_people


def test_real_lfw_has_seven_wrong_pairs(shared: Path) -> None:
    dataset = read_lfw(shared / "data" / "lfw")
    assert (len(dataset.pairs), dataset.skipped) == (6000, ())
    errata = read_errata(shared / "data" / "lfw-meta" / "errata.txt")
    wrong = [dataset.pairs[index] for index in find_wrong_pairs(dataset, errata)]

    # The folds that the errata state.
    assert sorted(pair.fold for pair in wrong) == [0, 0, 0, 4, 4, 4, 6]
    for pair in dataset.pairs:
        assert (dataset.photos[pair.first].person == dataset.photos[pair.second].person) == pair.same


def test_errata_without_photos_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no mislabeled photos are listed"):
        read_errata(write(tmp_path / "errata.txt", "All is well."))
