"""The program on scans of buckets: what works on them, and what refuses them."""

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
from facebank.operations.engine import Engine

from .bucket_servers import Bucket, Relay
from .conftest import PHOTOS, PLACE

DEMO = Path(__file__).resolve().parents[2] / "facebank" / "demo" / "photos"
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


class Ran(NamedTuple):
    """What a command wrote, and its exit code."""

    out: str
    err: str
    code: int


class Run(Protocol):
    """Runs commands one after the other in a process, in the test's folder with a gallery of its own."""

    def __call__(self, *commands: Sequence[str | Path]) -> list[Ran]: ...


@pytest.fixture
def run(tmp_path: Path, credentials: None) -> Run:
    """Run commands."""

    def check(*commands: Sequence[str | Path]) -> list[Ran]:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([list(map(str, command)) for command in commands])],
            cwd=tmp_path,
            env={**os.environ, "FACEBANK_GALLERY": str(tmp_path / "test.facebank")},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "s3cr3t" not in ran.stdout + ran.stderr
        *said, _ = re.split(r"^END (\d)\n", ran.stderr, flags=re.MULTILINE)
        outs = re.split(r"^END\n", ran.stdout, flags=re.MULTILINE)[:-1]
        found = [Ran(out, err, int(code)) for out, err, code in zip(outs, said[::2], said[1::2], strict=True)]
        assert len(found) == len(commands)
        return found

    return check


@pytest.fixture
def demo(bucket: Bucket) -> Bucket:
    """The bucket with the photos of the package."""
    for path in DEMO.glob("*.jpg"):
        bucket.put(f"photos/{path.name}", path.read_bytes())
    return bucket


def images(ran: Ran) -> set[str]:
    return {json.loads(line)["image"] for line in ran.out.splitlines()}


ENROLL = ("enroll", "Joe Biden", DEMO / "joe_biden_blue_room.jpg")


def test_what_needs_no_files_works_on_a_bucket(run: Run, demo: Bucket, s3: Relay, tmp_path: Path) -> None:
    one, joe = f"{PLACE}/eileen_collins.jpg", f"{PLACE}/joe_biden_blue_room.jpg"
    wanted = {f"{PLACE}/{path.name}" for path in DEMO.glob("*.jpg")}
    _, scanned = run(ENROLL, ("scan", PLACE, "--json"))
    assert images(scanned) == wanted
    s3.clear()
    everybody, alone, found, listed, shown, *_, groups = run(
        ("identify", "--scan", "--json"),
        ("identify", "--scan", one, "--json"),
        ("find", "Joe Biden", "--json"),
        ("find", "Joe Biden"),
        ("album", "show", "--json"),
        ("cluster",),
        ("cluster", "--json"),
    )
    assert (images(everybody), images(alone)) == (wanted, {one})
    assert joe in images(found)
    assert joe in listed.out
    assert json.loads(shown.out)["photos"] == len(wanted)
    assert s3.requests == []  # all of that is in the scan
    number = json.loads(groups.out.splitlines()[0])["group"]
    named, who, forgotten, left = run(
        ("people", "name", str(number), "Barack Obama"),
        ("find", "Barack Obama", "--json"),
        ("scan", "--forget", PLACE),
        ("album", "show", "--json"),
    )
    assert named.code == 0, named
    assert s3.read  # the photos of which it makes samples
    assert {f"s3://family/{key}" for key in s3.read} <= images(who) < wanted
    assert forgotten.err == f"facebank: {len(wanted)} files forgotten\n"
    assert json.loads(left.out)["photos"] == 0
    assert not list(tmp_path.glob("s3*"))


def test_buckets_and_folders_in_one_scan_and_its_shards(run: Run, filled: Bucket, folder: Path, s3: Relay) -> None:
    parts = [("scan", PLACE, folder, "--shard", f"{number}/2", "--scan-file", f"{number}.scan") for number in (1, 2)]
    *_, merged = run(*parts, ("scan", "--merge", "1.scan", "2.scan", "--scan-file", "both.scan"))
    assert merged.code == 0
    s3.clear()
    (ran,) = run(("scan", PLACE, folder, "--scan-file", "both.scan"))
    assert ran.out.startswith(f"{2 * (PHOTOS + 2)} unchanged, 2 unreadable\n")
    assert s3.read == []


REFUSED = (
    *(("identify", f"{PLACE}/x.jpg"), ("verify", f"{PLACE}/x.jpg", "a.jpg"), ("enroll", "Ada", f"{PLACE}/x.jpg")),
    *(("enroll", "--name", "Ada", PLACE), ("sort", PLACE, "out"), ("sort", "photos", "s3://family/out")),
    *(("tags", "write", PLACE), ("tags", "show", PLACE), ("tags", "import", PLACE), ("watch", f"{PLACE}/x.mp4")),
    *(("video", f"{PLACE}/x.mp4"), ("serve", "--album", PLACE), ("scan", "photos", "--scan-file", f"{PLACE}/x.scan")),
    ("scan", "--merge", f"{PLACE}/x.scan"),
    *(("scan", "--merge", "x.scan", "--moved", "/mnt/photos", PLACE), ("confirm", f"{PLACE}/x.jpg", "Ada")),
    *(("identify", "--scan", PLACE, "--annotate", "drawn"), ("demo", "--out", PLACE)),
)


def test_what_needs_files_refuses_a_bucket_by_name(run: Run, tmp_path: Path) -> None:
    run(ENROLL, ("scan", DEMO))
    before = sorted(tmp_path.iterdir())
    for arguments, ran in zip(REFUSED, run(*REFUSED), strict=True):
        url = next(part for part in arguments if part.startswith("s3://"))
        wanted = (
            f"facebank: {url} is in a bucket, from which only 'facebank scan' reads photos: download it, or mount the"
        )
        assert ran == ("", f"{wanted} bucket and name the file or folder there\n", 2)
    assert sorted(tmp_path.iterdir()) == before


def test_the_gallery_is_in_no_bucket(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facebank_cli", "--gallery", f"{PLACE}/x.facebank", "people", "list"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, f"{PLACE}/x.facebank is in a bucket" in " ".join(ran.stderr.split())) == (2, True)


def test_credentials_in_an_address_are_refused_and_not_printed(run: Run) -> None:
    for ran in run(("scan", "s3://AKIA:s3cr3t@family/x"), ("identify", "s3://AKIA:s3cr3t@family/x.jpg")):
        assert ran.code == 2
        assert "s3://…@family/x" in ran.err


def test_videos_of_buckets_are_not_read(run: Run, filled: Bucket) -> None:
    refused, ran = run(("scan", PLACE, "--videos"), ("scan", PLACE, "--json"))
    assert "--videos excludes buckets" in refused.err
    assert "facebank: 1 video skipped\nfacebank: 1 camera raw file skipped" in ran.err
    assert f"{PLACE}/raw.cr2" in images(ran)


def test_a_bucket_that_is_not_there_leaves_no_scan(run: Run, s3: Relay, tmp_path: Path) -> None:
    missing, empty = run(("scan", "s3://nobodys/photos"), ("scan", PLACE))
    assert "there is no bucket s3://nobodys" in missing.err
    assert f"{PLACE}: no photos there" in empty.err
    assert not list(tmp_path.glob("*.scan"))


def test_pictures_on_pages_are_left_out_with_the_reason(run: Run, demo: Bucket, tmp_path: Path) -> None:
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


def test_tags_of_a_scan_with_a_bucket_leave_it_alone(demo: Bucket, tmp_path: Path, engine: Engine) -> None:
    pytest.importorskip("lxml")
    from facebank.album.tags.writing import TagOptions

    with FaceBank.open(tmp_path / "x.facebank", threads=1) as bank, bank.album() as album:
        bank.enroll("Joe", DEMO / "joe_biden_blue_room.jpg")
        album.scan(f"{PLACE}/joe_biden_blue_room.jpg")
        (tagged,) = album.write_tags([], TagOptions())
        assert (tagged.files, str(tagged.error).partition(" is in")[0]) == ((), f"{PLACE}/joe_biden_blue_room.jpg")
