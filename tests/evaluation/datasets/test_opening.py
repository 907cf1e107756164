"""The format of a dataset is recognized by its content."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.datasets import open_dataset, select_listed
from facebank.evaluation.datasets.opening import read_names

from .conftest import WritePhotos

BOX = {"left": 1, "top": 1, "width": 4, "height": 3}
VOTT = json.dumps({"assets": {"k": {"asset": {"name": "a.jpg"}, "regions": [{"tags": ["Ada"], "boundingBox": BOX}]}}})
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 3]}],
        "categories": [{"id": 1, "name": "Ada"}],
    }
)
VOTT_CSV = "image,xmin,ymin,xmax,ymax,label\na.jpg,1,1,5,4,Ada\n"
PAIRS_CSV = "\ufefffirst,second,same\na.jpg,b.jpg,1\n"


@pytest.mark.parametrize("name", ["data.json", "data", "data.txt"])
@pytest.mark.parametrize("text", [VOTT, COCO, VOTT_CSV, PAIRS_CSV])
def test_file_is_recognized_by_its_content(write_photos: WritePhotos, name: str, text: str) -> None:
    folder = write_photos("a.jpg", "b.jpg")
    (folder / name).write_text(text, encoding="utf-8")
    dataset = open_dataset(folder / name)
    assert dataset.title == name
    assert bool(dataset.pairs) == (text == PAIRS_CSV)


def test_binary_files_are_recognized_by_their_content(tmp_path: Path) -> None:
    with (tmp_path / "arrays").open("wb") as stream:
        np.savez(stream, images=np.zeros((1, 2, 2, 3), np.uint8), labels=np.array(["Ada"]))
    (tmp_path / "pairs").write_bytes(pickle.dumps(([b"a", b"b"], [True])))
    assert open_dataset(tmp_path / "arrays").people == ("Ada",)
    assert open_dataset(tmp_path / "pairs").pick is Pick.ALIGNED


@pytest.mark.parametrize("location", [".", "vott-json-export"])
@pytest.mark.parametrize("text", [VOTT, COCO])
def test_folder_with_an_export_is_opened_as_the_export(write_photos: WritePhotos, location: str, text: str) -> None:
    folder = write_photos(f"{location}/a.jpg")
    (folder / location / "k-asset.json").write_text(json.dumps({"asset": {}, "regions": []}))
    (folder / location / "twins-export.json").write_text(text)
    assert open_dataset(folder).people == ("Ada",)


def test_two_exports_are_ambiguous(write_photos: WritePhotos) -> None:
    folder = write_photos("a.jpg")
    (folder / "one.json").write_text(VOTT)
    (folder / "two.csv").write_text(VOTT_CSV)
    with pytest.raises(
        DatasetError, match=r"the folder has several exports \(one.json, two.csv\); pass the path of one"
    ):
        open_dataset(folder)


def test_broken_export_in_a_folder_is_an_error(write_photos: WritePhotos) -> None:
    folder = write_photos("a.jpg")
    (folder / "twins-export.json").write_text(VOTT[:-5])
    with pytest.raises(DatasetError, match=r"twins-export\.json: invalid JSON"):
        open_dataset(folder)


def test_other_files_in_a_folder_are_ignored(write_photos: WritePhotos) -> None:
    folder = write_photos("Ada/1.jpg", "Bert/1.jpg")
    (folder / "notes.json").write_text("{")
    (folder / "list.csv").write_text('"')
    (folder / "report.json").write_text('{"protocol": "lfw"}')
    assert open_dataset(folder).people == ("Ada", "Bert")


def test_lfw_is_opened_by_folder_or_list(write_photos: WritePhotos) -> None:
    folder = write_photos("lfw/Ada/Ada_0001.jpg", "lfw/Ada/Ada_0002.jpg", "lfw/Bert/Bert_0001.jpg")
    (folder / "lfw-meta").mkdir()
    pairs = folder / "lfw-meta" / "pairs.txt"
    pairs.write_text("1\t1\nAda\t1\t2\nAda\t1\tBert\t1\n")
    unpaired = open_dataset(folder / "lfw")
    assert (unpaired.pairs, unpaired.pairs_file, unpaired.pick) == ((), "", Pick.CENTRAL)
    for dataset in (open_dataset(pairs), open_dataset(pairs, folder / "lfw")):
        assert len(dataset.pairs) == 2
        assert (dataset.pairs_file, dataset.pick) == ("lfw-meta/pairs.txt", Pick.CENTRAL)
    (folder / "lfw").rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match="the photos of this list of pairs were not found"):
        open_dataset(pairs)
    assert len(open_dataset(pairs, folder / "elsewhere").pairs) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "unsupported format; supported are: a folder per person, LFW"),
        (b"\xff\xd8\xff\xe0\0\0", "unsupported format"),
        (b'"', "unsupported format"),
        (b'{"a": 1}', "neither a VoTT export"),
        (b"[]", "neither a VoTT export"),
        (b"{", "invalid JSON"),
        (b"\x80\x04N.", "not a face verification file: unsupported opcode NONE"),
        (b"PK\x03\x04", "not an npz file, or damaged"),
        (b"image,xmin,ymin,xmax,label\n", "line 1: the column 'ymax' is missing"),
        (b"first,second\n", "line 1: the column 'same' is missing"),
    ],
)
def test_unreadable_file_is_a_one_line_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "data\x07"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset(path)
    assert str(caught.value).isprintable()


def test_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_dataset(Path("a\0b"))


def test_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the folder has no photos"):
        open_dataset(tmp_path)


def test_photo_folder_is_only_accepted_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a separate folder of photos can only be given with a file"):
        open_dataset(tmp_path, tmp_path)


STARTS = st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"{", b"[", b"first,second,same\n", b"10\t300\n"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STARTS, st.binary(max_size=200))
def test_arbitrary_bytes_are_an_error(tmp_path: Path, start: bytes, data: bytes) -> None:
    path = tmp_path / "data"
    path.write_bytes(start + data)
    with pytest.raises(DatasetError) as caught:
        open_dataset(path)
    assert str(caught.value).isprintable()


def test_real_album_is_opened(shared: Path) -> None:
    dataset = open_dataset(shared / "data" / "photos" / "enrol")
    assert len(dataset.people) == 5
    assert dataset.skipped == ()


def test_unrelated_pairs_txt_is_ignored(write_photos: WritePhotos) -> None:
    folder = write_photos("lfw/Ada/Ada_0001.jpg", "lfw/Ada/Ada_0002.jpg", "lfw/Bert/Bert_0001.jpg")
    (folder / "pairs.txt").write_text("these are notes\nabout pears\n", encoding="utf-8")
    dataset = open_dataset(folder / "lfw")
    assert (len(dataset.photos), dataset.pairs, dataset.skipped) == (3, (), ())


def write_names(folder: Path, text: str) -> Path:
    path = folder / "people.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada\nBea\tremark\n\n", {"Ada", "Bea"}),
        ("2\nAda\t3\nBea\t1\n", {"Ada", "Bea"}),  # the format of LFW
        ("1\n3\n25\n", {"1", "3", "25"}),  # names that are numbers
    ],
)
def test_lists_of_people_are_read(tmp_path: Path, text: str, names: set[str]) -> None:
    assert read_names(write_names(tmp_path, text)) == names


def test_only_listed_people_are_selected(tmp_path: Path) -> None:
    dataset = Dataset(
        "three people",
        tuple(DatasetPhoto(f"{name}.jpg", name, np.zeros((4, 4, 3), dtype=np.uint8)) for name in ("1", "2", "3")),
    )
    subset = select_listed(dataset, write_names(tmp_path, "1\n3\n4\n"))
    assert subset.people == ("1", "3")
    assert subset.skipped[0].reason == "1 of 3 listed people have no photos in the dataset: 4"
    with pytest.raises(DatasetError, match="none of the 1 listed people"):
        select_listed(dataset, write_names(tmp_path, "9\n"))
