"""Pairs of photos in CSV files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pair
from facebank.evaluation.datasets.pairs_csv import read_pairs_csv

from .conftest import WritePhotos

PHOTOS = ("Ada/1.jpg", "Ada/2.jpg", "Bert/1.jpg")


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_ending", ["\n", "\r\n"])
def test_pairs_and_people_are_read(write_photos: WritePhotos, separator: str, line_ending: str) -> None:
    lines = ["First,second,SAME,fold", "Ada/1.jpg,Ada/2.jpg,yes,0", "Ada/1.jpg,Bert/1.jpg,0,1", ""]
    path = write(write_photos(*PHOTOS), line_ending.join(lines).replace(",", separator))
    dataset = read_pairs_csv(path)
    assert [(photo.name, photo.person) for photo in dataset.photos] == [
        ("Ada/1.jpg", "Ada"),
        ("Ada/2.jpg", "Ada"),
        ("Bert/1.jpg", "Bert"),
    ]
    assert dataset.pairs == (Pair(0, 1, same=True, fold=0), Pair(0, 2, same=False, fold=1))
    assert dataset.skipped == ()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1", True),
        ("True", True),
        ("YES", True),
        ("same", True),
        ("0", False),
        ("FALSE", False),
        ("no", False),
        ("Different", False),
    ],
)
def test_same_column_accepts_several_spellings(write_photos: WritePhotos, text: str, same: bool) -> None:
    dataset = read_pairs_csv(write(write_photos("a.jpg", "b.jpg"), f"first,second,same\na.jpg,b.jpg,{text}\n"))
    assert [pair.same for pair in dataset.pairs] == [same]
    assert dataset.people == ()


def test_person_columns_name_the_people(write_photos: WritePhotos) -> None:
    text = (
        "first,second,same,first_person,second_person\na.jpg,b.jpg,1,Ada,ada\nc.jpg,a.jpg,0,,\nc.jpg,b.jpg,0,Bert,Ada\n"
    )
    dataset = read_pairs_csv(write(write_photos("a.jpg", "b.jpg", "c.jpg"), text))
    assert {photo.name: photo.person for photo in dataset.photos} == {"a.jpg": "Ada", "b.jpg": "Ada", "c.jpg": "Bert"}
    assert [note.entry for note in dataset.skipped] == ["Ada and ada"]


def test_photos_may_be_in_another_folder(write_photos: WritePhotos) -> None:
    folder = write_photos("photos/Ada/1.jpg", "photos/Ada/2.jpg")
    path = write(folder, "first,second,same\nAda/1.jpg,Ada/2.jpg,1\n")
    assert len(read_pairs_csv(path, folder / "photos").pairs) == 1
    with pytest.raises(DatasetError, match=r"no entry can be used; the first, line 2: Ada/1\.jpg: no such"):
        read_pairs_csv(path)


def test_folders_that_contradict_the_pairs_name_nobody(write_photos: WritePhotos) -> None:
    dataset = read_pairs_csv(
        write(write_photos("x/1.jpg", "x/2.jpg", "x/3.jpg"), "first,second,same\nx/1.jpg,x/2.jpg,0\n")
    )
    assert dataset.people == ()
    (note,) = dataset.skipped
    assert "folders are not used as names" in note.reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Ada/1.jpg,Ada/9.jpg,1", "Ada/9.jpg: no such photo"),
        ("Ada/1.jpg,,1", "a photo: the path is empty"),
        ("Ada/1.jpg,../secret.jpg,1", "../secret.jpg: outside the folder"),
        ("Ada/1.jpg,/etc/passwd,1", "/etc/passwd: outside the folder"),
        ("Ada/1.jpg,Bert/link.jpg,1", "Bert/link.jpg: outside the folder"),
        ("Ada/1.jpg,Ada/../Ada/1.jpg,1", "Ada/1.jpg is paired with itself"),
        ("Ada/2.jpg,Ada/1.jpg,1", "same pair as in line 2"),
        ("Ada/1.jpg,Bert/1.jpg,maybe", "same is 'maybe'; expected 1 or 0"),
        ("Ada/1.jpg,Bert/1.jpg", "2 values for 3 columns"),
        ("Ada/1.jpg,Bert,0", "Bert: no such photo"),
        ("Ada/1.jpg,\x1b[31m.jpg,0", r"\\x1b\[31m.jpg: no such photo"),
    ],
)
def test_bad_row_is_skipped(
    write_photos: WritePhotos, tmp_path_factory: pytest.TempPathFactory, row: str, reason: str
) -> None:
    folder = write_photos(*PHOTOS)
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    outside.write_bytes(b"secret")
    (folder / "Bert" / "link.jpg").symlink_to(outside)
    dataset = read_pairs_csv(write(folder, f"first,second,same\nAda/1.jpg,Ada/2.jpg,1\n{row}\n"))
    assert len(dataset.pairs) == 1
    assert len(dataset.photos) == 2
    (note,) = dataset.skipped
    assert note.entry == "line 3"
    assert re.match(reason, note.reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,c.jpg,1,Ada,Bert", "same is yes for two people"),
        ("a.jpg,c.jpg,0,Ada,Ada", "same is no for one person"),
        ("a.jpg,c.jpg,0,Bert,Cleo", "a.jpg is labeled Bert, but Ada in an earlier line"),
        ("a.jpg,c.jpg,0,Ada,a/b", "A person cannot be called 'a/b': the character '/' is not allowed in a name"),
    ],
)
def test_contradictory_rows_are_skipped(write_photos: WritePhotos, row: str, reason: str) -> None:
    text = f"first,second,same,first_person,second_person\na.jpg,b.jpg,1,Ada,Ada\n{row}\n"
    dataset = read_pairs_csv(write(write_photos("a.jpg", "b.jpg", "c.jpg"), text))
    assert [(note.entry, note.reason) for note in dataset.skipped] == [("line 3", reason)]
    assert len(dataset.photos) == 2


def test_fold_must_be_an_integer(write_photos: WritePhotos) -> None:
    text = "first,second,same,fold\nAda/1.jpg,Ada/2.jpg,1,\nAda/1.jpg,Bert/1.jpg,0,one\n"
    dataset = read_pairs_csv(write(write_photos(*PHOTOS), text))
    assert [pair.fold for pair in dataset.pairs] == [0]
    assert dataset.skipped[0].reason == "fold is 'one'; expected an integer from 0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: the column 'first' is missing"),
        ("first,second\na,b\n", "line 1: the column 'same' is missing; required are first, second, same"),
        ("first,second,same,same\n", "line 1: two columns have the same name"),
        ("first,second,same\n", "the list of pairs is empty"),
        ("first,second,same,first_person\na,b,1,Ada\n", "one of the columns first_person and second_person is missing"),
        ('first,second,same\n"a,b,1\n', "line 2: unexpected end of data"),
        ("first,second,same\na,b\n", "the first, line 2: 2 values"),
    ],
)
def test_broken_table_is_a_one_line_error(write_photos: WritePhotos, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=f"pairs.csv: .*{reason}|pairs.csv: {reason}") as caught:
        read_pairs_csv(write(write_photos("a", "b"), text))
    assert "\n" not in str(caught.value)


def test_binary_content_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_bytes(b"first,second,same\n\xff\xfe\n")
    with pytest.raises(DatasetError, match="not UTF-8 text: invalid byte at 18"):
        read_pairs_csv(tmp_path / "pairs.csv")


def test_path_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_pairs_csv(tmp_path / "missing.csv")
    with pytest.raises(DatasetError, match="not a regular file"):
        read_pairs_csv(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='Aa/.1,;"\t\n\r\x00é', max_size=80))
def test_any_text_gives_a_dataset_or_an_error(write_photos: WritePhotos, text: str) -> None:
    path = write(write_photos("a", "A/1"), "first,second,same\n" + text)
    try:
        dataset = read_pairs_csv(path)
    except DatasetError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert dataset.pairs


def test_paths_with_backslashes_are_skipped_with_a_hint(write_photos: WritePhotos) -> None:
    table = "first,second,same\nAda/1.jpg,Ada/2.jpg,1\nAda\\1.jpg,Bert/1.jpg,0\nA\\no.jpg,Bert/1.jpg,0\n"
    skipped = read_pairs_csv(write(write_photos(*PHOTOS), table)).skipped
    assert "use / in paths" in skipped[0].reason
    assert "separated" not in skipped[1].reason
