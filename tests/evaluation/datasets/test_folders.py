"""Datasets of one folder per person, with optional split folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pick, SkippedEntry, read_dataset_photo
from facebank.evaluation.datasets.folders import read_folders

from .conftest import WritePhotos


def test_each_folder_is_a_person(write_photos: WritePhotos) -> None:
    folder = write_photos("Ada/ada2.jpg", "Ada/ada10.jpg", "Ada/2024/old.jpg", "Bert/b.png")
    dataset = read_folders(folder)
    assert [photo.name for photo in dataset.photos] == [
        "Ada/2024/old.jpg",
        "Ada/ada2.jpg",
        "Ada/ada10.jpg",
        "Bert/b.png",
    ]
    assert dataset.people == ("Ada", "Bert")
    assert dataset.pick is Pick.LARGEST
    assert dataset.skipped == ()
    assert {photo.split for photo in dataset.photos} == {None}
    assert read_dataset_photo(dataset.photos[1]).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_split_folders_are_recognized(write_photos: WritePhotos, validation: str) -> None:
    folder = write_photos("train/Ada/1.jpg", f"{validation}/Ada/1.jpg", "test/Ada/1.jpg", "test/Bert/1.jpg")
    dataset = read_folders(folder)
    photos = {(photo.name, photo.split, photo.person) for photo in dataset.photos}
    assert photos == {
        ("train/Ada/1.jpg", "train", "Ada"),
        (f"{validation}/Ada/1.jpg", "validation", "Ada"),
        ("test/Ada/1.jpg", "test", "Ada"),
        ("test/Bert/1.jpg", "test", "Bert"),
    }


def test_person_named_test_is_a_person(write_photos: WritePhotos) -> None:
    dataset = read_folders(write_photos("Test/1.jpg", "Ada/1.jpg"))
    assert dataset.people == ("Ada", "Test")
    assert {photo.split for photo in dataset.photos} == {None}


def test_person_beside_the_split_folders_is_skipped(write_photos: WritePhotos) -> None:
    dataset = read_folders(
        write_photos("train/Ada/1.jpg", "test/Ada/1.jpg", "Bert/1.jpg", "Bert/2.jpg", "train/loose.jpg")
    )
    assert dataset.people == ("Ada",)
    assert {note.entry: note.reason for note in dataset.skipped} == {
        "Bert/1.jpg and 1 more": "its folder is next to test, train and belongs to no split",
        "train/loose.jpg": "it is not in a folder of a person",
    }


def test_two_folders_of_one_person_are_merged_with_a_note(write_photos: WritePhotos) -> None:
    dataset = read_folders(write_photos("Ada Byron/1.jpg", "ada byron  /2.jpg", "Bert/1.jpg"))
    assert dataset.people == ("Ada Byron", "Bert")
    (note,) = dataset.skipped
    assert note.entry == "Ada Byron and ada byron  "
    assert "joined as Ada Byron" in note.reason


def test_person_in_several_splits_gives_no_note(write_photos: WritePhotos) -> None:
    assert read_folders(write_photos("train/Ada/1.jpg", "test/Ada/2.jpg")).skipped == ()


def test_loose_and_hidden_photos_are_skipped(write_photos: WritePhotos) -> None:
    dataset = read_folders(write_photos("Ada/1.jpg", "Ada/.hidden.jpg", ".thumbs/1.jpg", "loose.jpg"))
    assert [photo.name for photo in dataset.photos] == ["Ada/1.jpg"]
    assert dataset.skipped == (SkippedEntry("loose.jpg", "it is not in a folder of a person"),)


def test_folder_with_an_invalid_name_is_skipped(write_photos: WritePhotos) -> None:
    dataset = read_folders(write_photos("Ada/1.jpg", "a\u202eb/1.jpg"))
    assert dataset.people == ("Ada",)
    (note,) = dataset.skipped
    assert "\u202e" not in note.entry + note.reason
    assert "A person cannot be called" in note.reason


def test_file_names_are_escaped_for_terminals(write_photos: WritePhotos) -> None:
    dataset = read_folders(write_photos("Ada/1\x1b[31m.jpg"))
    assert dataset.photos[0].name == r"Ada/1\x1b[31m.jpg"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ((), "the folder has no photos"),
        (("a.jpg",), "no folders of people"),
        (("notes.txt",), "the folder has no photos"),
    ],
)
def test_folder_without_people_is_an_error(write_photos: WritePhotos, paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_folders(write_photos(*paths))


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        read_folders(tmp_path / "nowhere")
