"""Commands on scans of buckets: some work without the files, and the others refuse them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from facebank import FaceBank
from facebank.album.pages import link
from facebank.album.tags.writing import TagOptions
from facebank.operations.engine import Engine
from tests.demo_photos import BIDEN, DEMO_PHOTOS

from .bucket_servers import Bucket, Relay
from .conftest import PHOTO_COUNT, PLACE

PROGRAM = """
import json, sys
from facebank_cli.app import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["facebank", "--runtime", "onnxruntime", *arguments]
    try:
        code = main()
    except SystemExit as error:
        code = error.code
    print("END", flush=True)
    print("END", code, file=sys.stderr, flush=True)
"""


class CommandResult(NamedTuple):
    """Output and exit code of a command."""

    out: str
    err: str
    code: int


class RunCommands(Protocol):
    """Runs commands one after the other in one process, in the test's folder with the test's gallery."""

    def __call__(self, *commands: Sequence[str | Path]) -> list[CommandResult]: ...


@pytest.fixture
def run(tmp_path: Path, credentials: None) -> RunCommands:
    """A function that runs commands."""

    def run_commands(*commands: Sequence[str | Path]) -> list[CommandResult]:
        completed = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([list(map(str, command)) for command in commands])],
            cwd=tmp_path,
            env={**os.environ, "FACEBANK_GALLERY": str(tmp_path / "test.facebank")},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        assert "s3cr3t" not in completed.stdout + completed.stderr
        *error_parts, _ = re.split(r"^END (\d)\n", completed.stderr, flags=re.MULTILINE)
        outs = re.split(r"^END\n", completed.stdout, flags=re.MULTILINE)[:-1]
        results = [
            CommandResult(out, err, int(code))
            for out, err, code in zip(outs, error_parts[::2], error_parts[1::2], strict=True)
        ]
        assert len(results) == len(commands)
        return results

    return run_commands


@pytest.fixture
def demo(bucket: Bucket) -> Bucket:
    """The bucket with the photos of the package."""
    for path in DEMO_PHOTOS.glob("*.jpg"):
        bucket.put(f"photos/{path.name}", path.read_bytes())
    return bucket


def photo_paths(result: CommandResult) -> set[str]:
    return {json.loads(line)["image"] for line in result.out.splitlines()}


ENROLL = ("enroll", "Joe Biden", BIDEN)


def test_commands_that_need_no_files_work_on_a_scanned_bucket(
    run: RunCommands, demo: Bucket, s3: Relay, tmp_path: Path
) -> None:
    eileen, joe = f"{PLACE}/eileen_collins.jpg", f"{PLACE}/joe_biden_blue_room.jpg"
    all_photos = {f"{PLACE}/{path.name}" for path in DEMO_PHOTOS.glob("*.jpg")}
    _, scanned = run(ENROLL, ("scan", PLACE, "--json"))
    assert photo_paths(scanned) == all_photos
    s3.clear()
    identified, one_photo, found, table, album, *_, groups = run(
        ("identify", "--scan", "--json"),
        ("identify", "--scan", eileen, "--json"),
        ("find", "Joe Biden", "--json"),
        ("find", "Joe Biden"),
        ("album", "show", "--json"),
        ("cluster",),
        ("cluster", "--json"),
    )
    assert (photo_paths(identified), photo_paths(one_photo)) == (all_photos, {eileen})
    assert joe in photo_paths(found)
    assert joe in table.out
    assert json.loads(album.out)["photos"] == len(all_photos)
    assert s3.requests == []  # the scan holds all of the results
    group_number = json.loads(groups.out.splitlines()[0])["group"]
    named, known, forgotten, emptied = run(
        ("people", "name", str(group_number), "Barack Obama"),
        ("find", "Barack Obama", "--json"),
        ("scan", "--forget", PLACE),
        ("album", "show", "--json"),
    )
    assert named.code == 0, named
    assert s3.read_keys  # only the photos that become samples
    assert {f"s3://family/{key}" for key in s3.read_keys} <= photo_paths(known) < all_photos
    assert forgotten.err == f"facebank: {len(all_photos)} files forgotten\n"
    assert json.loads(emptied.out)["photos"] == 0
    assert not list(tmp_path.glob("s3*"))


def test_buckets_and_folders_can_be_in_one_scan_and_its_shards(
    run: RunCommands, filled_bucket: Bucket, folder: Path, s3: Relay
) -> None:
    shards = [("scan", PLACE, folder, "--shard", f"{number}/2", "--scan-file", f"{number}.scan") for number in (1, 2)]
    *_, merged = run(*shards, ("scan", "--merge", "1.scan", "2.scan", "--scan-file", "both.scan"))
    assert merged.code == 0
    s3.clear()
    (result,) = run(("scan", PLACE, folder, "--scan-file", "both.scan"))
    assert result.out.startswith(f"{2 * (PHOTO_COUNT + 2)} unchanged, 2 unreadable\n")
    assert s3.read_keys == []


REFUSED_COMMANDS = (
    *(("identify", f"{PLACE}/x.jpg"), ("verify", f"{PLACE}/x.jpg", "a.jpg"), ("enroll", "Ada", f"{PLACE}/x.jpg")),
    *(("enroll", "--name", "Ada", PLACE), ("sort", PLACE, "out"), ("sort", "photos", "s3://family/out")),
    *(("tags", "write", PLACE), ("tags", "show", PLACE), ("tags", "import", PLACE), ("watch", f"{PLACE}/x.mp4")),
    *(("video", f"{PLACE}/x.mp4"), ("serve", "--album", PLACE), ("scan", "photos", "--scan-file", f"{PLACE}/x.scan")),
    ("scan", "--merge", f"{PLACE}/x.scan"),
    *(("scan", "--merge", "x.scan", "--moved", "/mnt/photos", PLACE), ("confirm", f"{PLACE}/x.jpg", "Ada")),
    *(("identify", "--scan", PLACE, "--annotate", "drawn"), ("demo", "--out", PLACE)),
)


def test_commands_that_need_files_refuse_a_bucket_by_name(run: RunCommands, tmp_path: Path) -> None:
    run(ENROLL, ("scan", DEMO_PHOTOS))
    before = sorted(tmp_path.iterdir())
    for arguments, result in zip(REFUSED_COMMANDS, run(*REFUSED_COMMANDS), strict=True):
        url = next(part for part in arguments if part.startswith("s3://"))
        message = (
            f"facebank: {url} is in a bucket, from which only 'facebank scan' reads photos: download it, or mount the "
            "bucket and name the file or folder there\n"
        )
        assert result == ("", message, 2)
    assert sorted(tmp_path.iterdir()) == before


def test_a_gallery_in_a_bucket_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facebank_cli", "--gallery", f"{PLACE}/x.facebank", "people", "list"]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert completed.returncode == 2
    assert f"{PLACE}/x.facebank is in a bucket" in " ".join(completed.stderr.split())


def test_credentials_in_an_address_are_refused_and_not_printed(run: RunCommands) -> None:
    for result in run(("scan", "s3://AKIA:s3cr3t@family/x"), ("identify", "s3://AKIA:s3cr3t@family/x.jpg")):
        assert result.code == 2
        assert "s3://…@family/x" in result.err


def test_videos_of_buckets_are_not_read(run: RunCommands, filled_bucket: Bucket) -> None:
    refused, scanned = run(("scan", PLACE, "--videos"), ("scan", PLACE, "--json"))
    assert "--videos excludes buckets" in refused.err
    assert "facebank: 1 video skipped\nfacebank: 1 camera raw file skipped" in scanned.err
    assert f"{PLACE}/raw.cr2" in photo_paths(scanned)


def test_a_missing_bucket_leaves_no_scan(run: RunCommands, s3: Relay, tmp_path: Path) -> None:
    missing, empty = run(("scan", "s3://nobodys/photos"), ("scan", PLACE))
    assert "there is no bucket s3://nobodys" in missing.err
    assert f"{PLACE}: no photos there" in empty.err
    assert not list(tmp_path.glob("*.scan"))


def test_pages_omit_photos_in_buckets_with_the_reason(run: RunCommands, demo: Bucket, tmp_path: Path) -> None:
    *_, refused = run(
        ENROLL,
        ("scan", PLACE),
        ("find", "Joe Biden", "--out", "joe.html"),
        ("identify", "--scan", PLACE, "--annotate", "x"),
    )
    page = (tmp_path / "joe.html").read_text(encoding="utf-8")
    assert f"{PLACE}/joe_biden_blue_room.jpg is in a bucket" in page
    assert "<img" not in page
    assert link(f"{PLACE}/a.jpg") == "a.jpg"
    assert f"{PLACE} is in a bucket" in refused.err
    assert not (tmp_path / "x").exists()


def test_tags_are_not_written_into_a_bucket(demo: Bucket, tmp_path: Path, engine: Engine) -> None:
    pytest.importorskip("lxml")
    with FaceBank.open(tmp_path / "x.facebank", threads=1) as bank, bank.album() as album:
        bank.enroll("Joe", BIDEN)
        album.scan(f"{PLACE}/joe_biden_blue_room.jpg")
        (result,) = album.write_tags([], TagOptions())
        assert (result.files, str(result.error).partition(" is in")[0]) == ((), f"{PLACE}/joe_biden_blue_room.jpg")
