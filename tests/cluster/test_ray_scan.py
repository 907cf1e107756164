"""Scans on real Ray clusters equal scans on one machine, even if workers and nodes fail."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.robustness import ray_faults
from benchmarks.robustness.ray_nodes import compare_scans
from facebank.album.scan.scan_plan import state_of
from facebank.album.scan.scanner import PhotoScanner
from facebank.cluster.ray_cluster import check_address
from facebank.cluster.shard_folder import ShardFolder
from facebank.errors import UsageError
from facebank.operations.engine import load_engine
from tests.ports import free_port

needs_ray = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ray", "pyarrow"))
    and "FACEBANK_CI_CLUSTER" not in os.environ,
    reason="the extra cluster is not installed",
)
PHOTO_COUNT = 12


def run_scan(folder: Path, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "facebank_cli", "--gallery", str(folder / "none.facebank")]
    completed = subprocess.run(
        [*command, "--runtime", "onnxruntime", "scan", str(folder / "photos"), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert completed.returncode == code, completed.stderr
    return completed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photos in its subfolder ``photos``."""
    ray_faults.make_photos(Path("none"), tmp_path / "photos", PHOTO_COUNT)
    return tmp_path


@needs_ray
def test_a_local_cluster_equals_a_scan_without_ray(folder: Path) -> None:
    run_scan(folder, "--scan-file", str(folder / "alone.scan"), code=1)
    completed = run_scan(folder, "--scan-file", str(folder / "cluster.scan"), "--ray", "local", "--json", code=1)
    difference = compare_scans(folder / "alone.scan", folder / "cluster.scan")
    assert difference.is_same, difference
    assert difference.photos == PHOTO_COUNT + 2
    records = [json.loads(line) for line in completed.stdout.splitlines()]
    statuses = sorted(record["status"] for record in records)
    assert statuses == ["known"] * 2 + ["scanned"] * PHOTO_COUNT + ["unreadable"]
    assert sorted(record["image"] for record in records) == sorted(map(str, (folder / "photos").iterdir()))
    assert all(line.startswith("facebank: ") for line in completed.stderr.splitlines())  # Ray prints nothing
    assert not (folder / "cluster.shards").exists()


@needs_ray
def test_simultaneous_failures_lose_and_repeat_nothing() -> None:
    """A worker and a node are killed, a node is added, and two photos hang and crash their decoder."""
    (trial,) = ray_faults.trials(Path("none"), 60, 1, "all at once")
    assert trial["given_up"] == [ray_faults.HANGING, ray_faults.CRASHING], trial
    assert (trial["killed"], trial["removed"], trial["exit_codes"], trial["left_over"]) == (1, 1, [1], False), trial
    assert ray_faults.is_right(trial), trial


@needs_ray
def test_a_second_scan_without_merging_scans_only_changed_files(folder: Path) -> None:
    engine = load_engine(None, "cpu", 1)
    shard_folder = ShardFolder(folder / "results", engine.identity, "onnxruntime")
    files = [(str(path), state_of(str(path))) for path in sorted((folder / "photos").iterdir())]
    with shard_folder.lock():
        shard_folder.write(list(PhotoScanner(engine.analyzer, set(), 1).scan(files)))
    shutil.move(folder / "photos" / "00000.jpg", folder / "photos" / "moved.jpg")
    (folder / "photos" / "00002.jpg").unlink()
    completed = run_scan(folder, "--ray", "local", "--no-merge", "--shards", str(shard_folder.path), "--json", code=1)
    assert not list(folder.glob("*.scan"))
    statuses = {
        Path(record["image"]).name: record["status"] for record in map(json.loads, completed.stdout.splitlines())
    }
    assert statuses["moved.jpg"] in {"known", "scanned"}
    assert sorted(statuses.values()).count("scanned") == 1  # this photo has two copies and the moved file
    run_scan(folder, "--scan-file", str(folder / "alone.scan"), code=1)
    merge = [
        "-m",
        "facebank_cli",
        "--gallery",
        str(folder / "none.facebank"),
        "scan",
        "--merge",
        str(shard_folder.path),
    ]
    subprocess.run([sys.executable, *merge, "--scan-file", str(folder / "merged.scan")], check=True)
    difference = compare_scans(folder / "alone.scan", folder / "merged.scan")
    assert difference.is_same, difference


@needs_ray
def test_an_address_without_a_server_is_an_error_within_seconds(folder: Path) -> None:
    port = free_port()
    start_time = time.monotonic()
    completed = run_scan(folder, "--ray", f"127.0.0.1:{port}", code=2)
    assert time.monotonic() - start_time < 15
    assert f"nothing listens at 127.0.0.1:{port}" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert not list(folder.glob("*.shards"))


@pytest.mark.parametrize("address", ["", "host", "host:0", "host:65536", "a b:1", "ray://host:1", "host:1;x", "-x:1\n"])
def test_an_invalid_address_is_an_error(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a Ray cluster"):
        check_address(address)


@pytest.mark.parametrize("address", ["ada:s3cr3t@host:1", "ray://s3cr3t@host:1", "ray://ada:a/s3cr3t@b@host:1"])
def test_a_secret_in_an_address_is_not_shown(address: str) -> None:
    with pytest.raises(UsageError, match=r"^(ray://)?…@host:1 is not the address") as caught:
        check_address(address)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "x"], "--shards requires --ray"),
        (["--no-merge"], "--no-merge requires --ray"),
        (["--time-limit", "9"], "--time-limit requires --ray"),
        (["--ray", "local", "--videos"], "--ray and --videos exclude each other"),
        (["--ray", "local", "--merge"], "--ray and --merge exclude each other"),
        (["--ray", "nowhere"], "nowhere is not the address"),
    ],
)
def test_incompatible_options_are_an_error(folder: Path, options: list[str], message: str) -> None:
    assert message in run_scan(folder, *options, code=2).stderr
