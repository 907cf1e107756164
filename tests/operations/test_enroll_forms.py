"""Assignment of photos to people for all forms of `facebank enroll`, with real photos."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facebank import FaceBank
from facebank.errors import PhotoNotFoundError
from facebank.operations.engine import Engine
from facebank.operations.person_folders import plan_enrollment


@pytest.fixture
def make_album(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """A function that creates folders, given with the path of their photo or "", in the current folder."""
    monkeypatch.chdir(tmp_path)

    def create(folders: dict[str, str]) -> None:
        for folder, path in folders.items():
            Path(folder).mkdir()
            if path:
                shutil.copy(shared / "data" / "photos" / "enrol" / path, folder)

    return create


@pytest.fixture
def bank(engine: Engine, tmp_path: Path) -> Iterator[FaceBank]:
    """A bank without a gallery."""
    with FaceBank.open(tmp_path / "test.facebank") as opened:
        opened.engine = engine
        yield opened


OBAMA, OBAMA_2 = "obama/obama.jpg", "obama/obama2.jpg"
BIDEN, KIT = "biden/biden.jpg", "kit_harington/john1.jpeg"


@pytest.mark.parametrize(
    ("folders", "arguments", "expected"),
    [
        ({"imgs": OBAMA}, ["ada/", "imgs"], {"ada": 1}),
        ({"imgs": OBAMA}, ["ada", "imgs/"], {"ada": 1}),
        ({"imgs": OBAMA}, ["Zoë Æ. Lovelace/", "imgs"], {"Zoë Æ. Lovelace": 1}),
        ({"ada": "", "imgs": OBAMA}, ["ada/", "imgs"], {"ada": 1}),
        ({"ada": OBAMA, "imgs": OBAMA_2}, ["ada/", "imgs"], {"ada": 2}),
        ({"ada": OBAMA, "rome": OBAMA_2}, ["ada/", "rome/"], {"ada": 2}),
        ({"ada": OBAMA, "grace": BIDEN}, ["ada", "grace"], {"ada": 1, "grace": 1}),
        ({"ada": OBAMA, "grace": BIDEN, "rome": OBAMA_2}, ["ada", "grace", "rome"], {"ada": 2, "grace": 1}),
        ({"ada": OBAMA, "imgs": OBAMA_2, "2019-06": OBAMA_2}, ["ada", "imgs", "2019-06"], {"ada": 2}),
        ({"ada": OBAMA, "imgs": KIT}, ["ada", "imgs"], {}),
    ],
)
def test_photos_are_assigned_to_people(
    bank: FaceBank,
    make_album: Callable[[dict[str, str]], None],
    folders: dict[str, str],
    arguments: list[str],
    expected: dict[str, int],
) -> None:
    make_album(folders)
    reports = bank.enroll_people(plan_enrollment(arguments))
    assert {person.name: person.sample_count for person in bank.gallery.people()} == expected
    for report in reports:
        assert {photo.person for photo in report.photos} == {report.person}
        assert (report.given_as is not None) == (report.person != arguments[reports.index(report)].rstrip("/"))


def test_an_enrolled_name_or_force_keeps_the_given_name(
    bank: FaceBank, make_album: Callable[[dict[str, str]], None]
) -> None:
    make_album({"ada": OBAMA, "rome": OBAMA_2})
    bank.enroll_people(plan_enrollment(["ada", "rome"]), force=True)
    assert [person.name for person in bank.gallery.people()] == ["ada", "rome"]
    reports = bank.enroll_people(plan_enrollment(["ada", "rome"]))
    assert [report.given_as for report in reports] == [None, None]


def test_missing_photos_raise_without_creating_a_gallery(bank: FaceBank) -> None:
    for paths in (["nofile.jpg"], ["no.jpg", "none.jpg"]):
        with pytest.raises(PhotoNotFoundError, match="no such file"):
            bank.enroll("Ada", paths)
        with pytest.raises(PhotoNotFoundError, match="no such file"):
            bank.enroll_people(plan_enrollment(["Ada", *paths]))
    assert not bank.path.exists()
