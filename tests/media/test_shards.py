"""Every photo belongs to exactly one shard, which is the same on every machine."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.media import list_folder
from facebank.media.shards import MAX_SHARDS, Shard
from tests.shard_numbers import shard_number_of

NAMES = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=12)


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers(1, 40), st.sampled_from(["/", "/mnt/photos", "/a"]))
@settings(max_examples=150, deadline=None)
def test_each_photo_is_in_one_shard_at_any_mount_point(names: list[str], count: int, mount_point: str) -> None:
    relative_path = "/".join(names)
    shards = [Shard(number, count) for number in range(1, count + 1)]
    (shard_of_photo,) = [
        shard for shard in shards if shard.holds(f"{mount_point.rstrip('/')}/{relative_path}", [mount_point])
    ]
    assert shard_of_photo.holds(f"/elsewhere/{relative_path}", ["/a", "/elsewhere"])
    assert not any(shard.holds(f"/nowhere/{relative_path}", [f"{mount_point}/x"]) for shard in shards)


def test_shard_numbers_are_stable() -> None:
    paths = ["1.jpg", "2019/Zürich.jpg", "2019/Zu\u0308rich.jpg", os.fsdecode(b"\xff.jpg")]
    numbers = {path: shard_number_of(f"/photos/{path}", 16, "/photos") for path in paths}
    assert numbers == {"1.jpg": 10, "2019/Zürich.jpg": 15, "2019/Zu\u0308rich.jpg": 15, os.fsdecode(b"\xff.jpg"): 7}


def test_shards_have_similar_sizes() -> None:
    sizes = Counter(shard_number_of(f"/p/IMG_{photo_number:04}.JPG", 4, "/p") for photo_number in range(2000))
    assert all(430 < sizes[shard_number] < 570 for shard_number in range(1, 5)), sizes


def test_a_named_photo_is_assigned_by_file_name() -> None:
    shards = [Shard(number, 5) for number in range(1, 6)]
    is_in_shard = [shard.holds("/a/b/1.jpg", ["/a/b/1.jpg"]) for shard in shards]
    assert is_in_shard == [shard.holds("/c/1.jpg", ["/c"]) for shard in shards]
    assert sum(is_in_shard) == 1


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "x/y", "3", "1/", "-1/2", " 1/2", "1/2/3", "1/99999", "9" * 5000, "1/٣"]
)
def test_invalid_shards_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match=r"there is no shard .*write 3/16") as caught:
        Shard.parse(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("pair", [(0, 4), (5, 4), (1, MAX_SHARDS + 1), (True, 1), (1.0, 2), (1,), "12", None, [1, 2]])
def test_invalid_pairs_are_rejected(pair: object) -> None:
    with pytest.raises(UsageError, match="there is no shard"):
        Shard.of(pair)  # type: ignore[arg-type]


def test_a_shard_is_printed_as_it_is_written() -> None:
    assert Shard.parse("3/16") == Shard.of((3, 16)) == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


def test_unreadable_folders_are_in_every_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.jpg").touch()
    scandir = os.scandir

    def scan_or_refuse(folder: object) -> object:
        if isinstance(folder, int) and os.path.samestat(os.fstat(folder), (tmp_path / "closed").stat()):
            raise PermissionError
        return scandir(folder)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scan_or_refuse)  # root can open every folder
    contents = list_folder(tmp_path)
    parts = [Shard(number, 3).select(contents, [str(tmp_path)]).photos for number in (1, 2, 3)]
    assert all(tmp_path / "closed" in part for part in parts)
    assert sum(tmp_path / "open.jpg" in part for part in parts) == 1
