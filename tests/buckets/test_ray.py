"""A scan of a bucket by a Ray cluster, which continues after the bucket was unreachable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from facebank import FaceBank
from facebank.album.scan.scan_file import ScanFile
from facebank.operations.engine import Engine

from .bucket_servers import Bucket, Relay
from .conftest import PHOTO_COUNT, PLACE, scan_all


def run_scan(folder: Path, *arguments: str, code: int) -> tuple[str, str]:
    completed = subprocess.run(
        [sys.executable, "-m", "facebank_cli", "--runtime", "onnxruntime", "scan", *arguments],
        cwd=folder,
        env={**os.environ, "FACEBANK_GALLERY": str(folder / "test.facebank")},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=200,
    )
    assert completed.returncode == code, completed.stdout + completed.stderr
    assert "s3cr3t" not in completed.stdout + completed.stderr
    return completed.stdout, completed.stderr


def test_a_scan_by_a_ray_cluster_equals_a_local_scan(
    filled_bucket: Bucket, s3: Relay, engine: Engine, scan_file: ScanFile, tmp_path: Path
) -> None:
    options = (PLACE, "--ray", "local", "--no-merge", "--shards", "parts", "--scan-file", "ray.scan")
    local = scan_all(engine, scan_file)
    s3.clear()
    s3.request_hook = lambda method, path: 0 if any(request.method == "HEAD" for request in s3.requests[9:]) else None
    _, err = run_scan(tmp_path, *options, code=2)
    expected = rf"the machine \S+ cannot read the photos: {PLACE}/.* cannot be reached \(.*\): check the network"
    assert re.search(expected, err), err
    s3.clear()
    out, _ = run_scan(tmp_path, *options, code=1)
    assert re.fullmatch(r"([1-6] analyzed, )?([12] moved, renamed or copied, )?(\d unchanged, )?1 unreadable\n", out), (
        out
    )
    with FaceBank.open(tmp_path / "x.facebank") as bank, bank.album(tmp_path / "parts") as album:
        assert album.count(PLACE) == PHOTO_COUNT + 2
        assert set(album.to_arrow(PLACE).column("path").to_pylist()) <= {photo.path for photo in scan_file.photos()}
    run_scan(tmp_path, "--merge", "parts", "--scan-file", "ray.scan", code=0)
    with ScanFile.open(tmp_path / "ray.scan", engine.identity, read_only=True) as merged:
        assert merged.unreadable(PLACE) == local.unreadable
        for merged_photo, photo in zip(merged.photos(), scan_file.photos(), strict=True):
            assert (merged_photo.path, merged_photo.content_hash) == (photo.path, photo.content_hash)
            assert [face.box.tolist() for face in merged_photo.faces] == [face.box.tolist() for face in photo.faces]
        assert [row.place for row in merged.shards()] == []
