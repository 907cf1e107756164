"""Who is to be enrolled from what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import PhotoNotFoundError, UsageError
from facebank.planning import PersonPhotos, plan_enrolment

FOLDERS = ("Ada", "Grace", "Ada Lovelace", "[red]")
FILES = ("one.jpg", "two.png")
ABSENT = ("Alan", "none.jpg", "-x")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with some folders and files, which is the current one."""
    top = tmp_path_factory.mktemp("place")
    for folder in FOLDERS:
        (top / "tree" / folder).mkdir(parents=True)
        (top / folder).mkdir()
    (top / "tree" / ".hidden").mkdir()
    (top / "bare").mkdir()
    for file in FILES:
        (top / file).touch()
    before = Path.cwd()
    os.chdir(top)
    try:
        yield top
    finally:
        os.chdir(before)


folders = st.sampled_from(FOLDERS)
slashes = st.sampled_from(["", "/", "//"])
anything = st.sampled_from([*FOLDERS, *FILES, *ABSENT])


@given(st.lists(st.tuples(folders, slashes), min_size=1, max_size=4))
def test_folders_are_people_whatever_slash_follows(typed: list[tuple[str, str]]) -> None:
    planned = plan_enrolment([folder + slash for folder, slash in typed])
    assert planned == [PersonPhotos(folder, (Path(folder),)) for folder, _ in typed]


@given(st.sampled_from(["Alan", "-x", "../up"]), st.lists(anything, min_size=1, max_size=4))
def test_a_first_argument_that_is_not_there_is_the_name(name: str, places: list[str]) -> None:
    assert plan_enrolment([name, *places]) == [PersonPhotos(name, tuple(map(Path, places)))]


@given(st.text(min_size=1), st.lists(anything, min_size=1, max_size=4))
def test_a_given_name_settles_any_doubt(name: str, places: list[str]) -> None:
    assert plan_enrolment(places, name=name) == [PersonPhotos(name, tuple(map(Path, places)))]


@given(folders, st.lists(anything, max_size=3), st.sampled_from([*FILES, *ABSENT]), st.lists(anything, max_size=2))
def test_a_folder_and_what_is_none_are_refused_with_both_spellings(
    folder: str, some: list[str], other: str, more: list[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        plan_enrolment([folder, *some, other, *more])
    message = str(refused.value)
    assert message.count("facebank enroll") == 2
    assert "--name" in message
    assert message.isprintable()


@given(st.lists(anything, min_size=1, max_size=4), st.booleans())
def test_whatever_is_typed_is_understood_or_refused(places: list[str], tree: bool) -> None:
    try:
        planned = plan_enrolment(places, tree=tree)
    except (UsageError, PhotoNotFoundError):
        return
    assert planned
    assert all(person.name and person.places for person in planned)


def test_a_tree_gives_its_folders_in_order_without_hidden_ones() -> None:
    planned = plan_enrolment(["tree/"], tree=True)
    assert [person.name for person in planned] == sorted(FOLDERS)
    assert planned[0].places == (Path("tree") / planned[0].name,)


@pytest.mark.parametrize("typed", [["Alan"], ["one.jpg"], ["one.jpg", "two.png"], [], [""], ["/"]])
def test_what_names_nobody_is_refused(typed: list[str]) -> None:
    with pytest.raises(UsageError):
        plan_enrolment(typed)


def test_a_folder_of_folders_is_one_person_only_where_that_is_plain(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for photo in ("2019/a.jpg", "2020/b.jpg"):
        (folder / photo).parent.mkdir(parents=True)
        (folder / photo).touch()
    with pytest.raises(UsageError, match=r"--tree .*--name NAME"):
        plan_enrolment([str(folder)])
    with pytest.raises(UsageError, match=r"--tree"):
        plan_enrolment(["Ada", str(folder)])
    assert [person.name for person in plan_enrolment([str(folder)], tree=True)] == ["2019", "2020"]
    assert plan_enrolment(["Alan", str(folder)]) == [PersonPhotos("Alan", (folder,))]
    (folder / "c.jpg").touch()
    assert plan_enrolment([str(folder)]) == [PersonPhotos("photos", (folder,))]


def test_trees_without_people_are_refused() -> None:
    with pytest.raises(PhotoNotFoundError, match="bare"):
        plan_enrolment(["bare"], tree=True)
    with pytest.raises(UsageError, match=r"one\.jpg"):
        plan_enrolment(["one.jpg"], tree=True)
    with pytest.raises(UsageError, match="--tree"):
        plan_enrolment(["tree"], name="Ada", tree=True)


def test_a_folder_is_called_by_its_real_name_where_the_path_has_none(place: Path) -> None:
    os.chdir(place / "Ada")
    try:
        assert plan_enrolment(["."]) == [PersonPhotos("Ada", (Path(),))]
        assert plan_enrolment(["../Grace/../Ada/.."])[0].name == place.name
    finally:
        os.chdir(place)
