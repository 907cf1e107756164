"""Interpretation of the arguments of an enrollment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import PhotoNotFoundError, UsageError
from facebank.operations.person_folders import PersonPhotos, is_generic, plan_enrollment

FOLDERS = ("Ada", "Grace", "Ada Lovelace", "[red]")
FILES = ("one.jpg", "two.png")
ABSENT = ("Alan", "none.jpg", "-x")


@pytest.fixture(scope="module", autouse=True)
def current_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Path of the current folder, with some folders and files."""
    folder = tmp_path_factory.mktemp("current")
    for name in FOLDERS:
        (folder / "tree" / name).mkdir(parents=True)
        (folder / name).mkdir()
    (folder / "tree" / ".hidden").mkdir()
    for name in ("bare", "imgs", "100APPLE"):
        (folder / name).mkdir()
    for name in FILES:
        (folder / name).touch()
    original = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(original)


FOLDER_ARGUMENTS = st.sampled_from(FOLDERS)
SLASHES = st.sampled_from(["", "/", "//"])
ARGUMENTS = st.sampled_from([*FOLDERS, *FILES, *ABSENT])


@given(st.lists(st.tuples(FOLDER_ARGUMENTS, SLASHES), min_size=1, max_size=4))
def test_folders_are_people_with_or_without_a_slash(arguments: list[tuple[str, str]]) -> None:
    plan = plan_enrollment([folder + slash for folder, slash in arguments])
    assert plan == [PersonPhotos(folder, (Path(folder),)) for folder, _ in arguments]


@given(st.sampled_from(["Alan", "-x", "../up"]), st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_a_missing_first_argument_is_the_name(name: str, paths: list[str]) -> None:
    assert plan_enrollment([name, *paths]) == [PersonPhotos(name, tuple(map(Path, paths)))]


@given(st.text(min_size=1), st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_an_explicit_name_applies_to_all_arguments(name: str, paths: list[str]) -> None:
    assert plan_enrollment(paths, name=name) == [PersonPhotos(name, tuple(map(Path, paths)))]


@given(
    FOLDER_ARGUMENTS,
    st.lists(ARGUMENTS, max_size=3),
    st.sampled_from([*FILES, *ABSENT]),
    st.lists(ARGUMENTS, max_size=2),
)
def test_mixed_folders_and_files_are_rejected_with_advice(
    folder: str, before: list[str], path: str, after: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        plan_enrollment([folder, *before, path, *after])
    message = str(caught.value)
    assert message.count("facebank enroll") == 2
    assert "--name" in message
    assert message.isprintable()


@given(st.lists(ARGUMENTS, min_size=1, max_size=4), st.booleans())
def test_any_arguments_are_parsed_or_rejected(paths: list[str], tree: bool) -> None:
    try:
        plan = plan_enrollment(paths, tree=tree)
    except (UsageError, PhotoNotFoundError):
        return
    assert plan
    assert all(person.name and person.paths for person in plan)


def test_a_tree_lists_visible_folders_in_order() -> None:
    plan = plan_enrollment(["tree/"], tree=True)
    assert [person.name for person in plan] == sorted(FOLDERS)
    assert plan[0].paths == (Path("tree") / plan[0].name,)


@given(st.sampled_from(["Alan/", "-x//", "Álan Æ/"]), st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_a_slash_after_a_name_does_not_matter(name: str, paths: list[str]) -> None:
    (person,) = plan_enrollment([name, *paths])
    assert person == PersonPhotos(name.rstrip("/"), tuple(map(Path, paths)))
    assert person.note is not None
    assert "no folder" in person.note


def test_a_folder_with_a_generic_name_holds_the_persons_photos() -> None:
    (person,) = plan_enrollment(["Ada Lovelace/", "imgs", "100APPLE/"])
    assert person == PersonPhotos("Ada Lovelace", (Path("Ada Lovelace"), Path("imgs"), Path("100APPLE")))
    assert person.note == "imgs and 100APPLE: taken for folders with photos of Ada Lovelace, not for a person"


def test_later_folders_may_belong_to_an_earlier_person() -> None:
    assert [person.note for person in plan_enrollment(["Ada", "Grace"])] == [None, None]
    assert [person.may_be_earlier for person in plan_enrollment(["Ada", "Grace"])] == [False, True]
    assert [person.may_be_earlier for person in plan_enrollment(["tree"], tree=True)] == [False] * len(FOLDERS)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["imgs"], "--name NAME imgs`"),
        (["imgs/", "Ada"], "--name Ada imgs`"),
        (["Ada", "imgs", "Grace"], "--name NAME imgs`"),
        (["Ada", "Grace", "imgs"], "--name NAME imgs`"),
        (["imgs", "100APPLE"], "--name NAME imgs`"),
    ],
)
def test_a_generic_folder_alone_is_rejected(arguments: list[str], advice: str) -> None:
    with pytest.raises(UsageError, match="its person is unknown") as caught:
        plan_enrollment(arguments)
    assert advice in str(caught.value)
    assert plan_enrollment(arguments, name="Ada") == [PersonPhotos("Ada", tuple(map(Path, arguments)))]


@pytest.mark.parametrize("name", ["img", "Photos", "DCIM", "102CANON", "2019", "2019-06", "20190601", "2019-06 Rome"])
def test_generic_names_are_recognized(name: str) -> None:
    assert is_generic(name)


@pytest.mark.parametrize(
    "name", ["My Photos", "Ima\u0301genes", "Immagini", "Фото", "фотографии", "Zdjęcia", "照片", "写真", "사진"]
)
def test_generic_names_in_other_languages_are_recognized(name: str) -> None:
    assert is_generic(name)


@pytest.mark.parametrize("name", ["Ada", "May", "April", "Pixie", "Imogen", "0001", "3456", "Álan", "Ada 2019", ""])
def test_personal_names_are_not_generic(name: str) -> None:
    assert not is_generic(name)


@pytest.mark.parametrize("arguments", [["Alan"], ["one.jpg"], ["one.jpg", "two.png"], [], [""], ["/"]])
def test_arguments_without_a_name_are_rejected(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        plan_enrollment(arguments)


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """Path of a folder with the folders of two people."""
    folder = tmp_path / "family"
    for path in (folder / "Alan" / "a.jpg", folder / "Bea" / "b.jpg"):
        path.parent.mkdir(parents=True)
        path.touch()
    return folder


def test_ambiguous_nested_folders_are_rejected(family: Path) -> None:
    with pytest.raises(UsageError, match=r"--tree .*--name NAME"):
        plan_enrollment([str(family)])
    with pytest.raises(UsageError, match=r"--tree"):
        plan_enrollment(["Ada", str(family)])


def test_nested_folders_are_accepted_as_a_tree_or_with_a_name(family: Path) -> None:
    assert [person.name for person in plan_enrollment([str(family)], tree=True)] == ["Alan", "Bea"]
    assert plan_enrollment(["Alan", str(family)]) == [PersonPhotos("Alan", (family,))]


def test_a_folder_with_photos_and_folders_is_one_person(family: Path) -> None:
    (family / "c.jpg").touch()
    assert plan_enrollment([str(family)]) == [PersonPhotos("family", (family,))]


def test_a_folder_of_folders_with_generic_names_is_one_person(tmp_path: Path) -> None:
    for path in (tmp_path / "Ada/2019/a.jpg", tmp_path / "Ada/2020/b.jpg"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert plan_enrollment([str(tmp_path / "Ada")]) == [PersonPhotos("Ada", (tmp_path / "Ada",))]


def test_trees_without_people_are_rejected() -> None:
    with pytest.raises(PhotoNotFoundError, match="bare"):
        plan_enrollment(["bare"], tree=True)
    with pytest.raises(UsageError, match=r"one\.jpg"):
        plan_enrollment(["one.jpg"], tree=True)
    with pytest.raises(UsageError, match="--tree"):
        plan_enrollment(["tree"], name="Ada", tree=True)


def test_a_path_without_a_name_uses_the_real_folder_name(current_folder: Path) -> None:
    os.chdir(current_folder / "Ada")
    try:
        assert plan_enrollment(["."]) == [PersonPhotos("Ada", (Path(),))]
        assert plan_enrollment(["../Grace/../Ada/.."])[0].name == current_folder.name
    finally:
        os.chdir(current_folder)
