"""Unreadable buckets and objects keep the results of earlier scans, and the errors contain advice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from facebank.album.scan.scan_file import ScanFile
from facebank.errors import ServiceError
from facebank.media import buckets
from facebank.operations.engine import Engine
from tests.ports import free_port

from .bucket_servers import Bucket, Relay
from .conftest import PHOTO_COUNT, PLACE, content_hashes, scan_all


@contextmanager
def check_unchanged(scan_file: ScanFile) -> Iterator[None]:
    before = content_hashes(scan_file, PLACE), scan_file.count()
    yield
    assert (content_hashes(scan_file, PLACE), scan_file.count()) == before


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, r"cannot be listed: access is denied \(AccessDenied\); give the credentials the right to list"),
        (500, r"cannot be listed: the service fails \(InternalError\)"),
        (0, r"cannot be reached \(.*\): check the network, and AWS_ENDPOINT_URL if it is set; the photos scanned"),
    ],
)
def test_photos_of_a_bucket_that_cannot_be_listed_are_kept(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, s3: Relay, status: int, message: str
) -> None:
    scan_all(engine, scan_file)
    s3.request_hook = lambda method, path: status
    with check_unchanged(scan_file), pytest.raises(ServiceError, match=rf"^{PLACE} {message}"):
        scan_all(engine, scan_file)


def test_photos_are_kept_if_another_bucket_is_missing(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket
) -> None:
    scan_all(engine, scan_file)
    with (
        check_unchanged(scan_file),
        pytest.raises(ServiceError, match="there is no bucket s3://nobodys: check its name"),
    ):
        scan_all(engine, scan_file, PLACE, "s3://nobodys/photos")


def test_photos_are_kept_with_other_connection_settings(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_all(engine, scan_file)
    for name, value, message in (
        ("AWS_ENDPOINT_URL", f"http://user:s3cr3t@127.0.0.1:{free_port()}", "cannot be reached"),
        ("AWS_ACCESS_KEY_ID", None, "cannot be listed: there are no credentials for it, or they are refused"),
        ("AWS_PROFILE", "nobodys", "cannot be (listed|read): there are no credentials for it, or they are refused"),
    ):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        if value is None:
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        buckets._systems.clear()
        with check_unchanged(scan_file), pytest.raises(ServiceError, match=f"^{PLACE} {message}") as caught:
            scan_all(engine, scan_file)
        assert "s3cr3t" not in str(caught.value)


def test_a_scan_ends_with_the_server_and_the_next_one_continues(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, folder: Path, s3: Relay
) -> None:
    for number in range(20):
        filled_bucket.put(f"photos/later {number:02}.jpg", (folder / "00000.jpg").read_bytes() + bytes([number]))
    s3.request_hook = lambda method, path: (
        0 if any(request.key.endswith("later 01.jpg") for request in s3.requests) else None
    )
    start_time = time.monotonic()
    with pytest.raises(ServiceError, match=rf"{PLACE}/.* cannot be reached .* the next scan continues"):
        scan_all(engine, scan_file)
    assert time.monotonic() - start_time < 30
    scanned = content_hashes(scan_file, PLACE)
    s3.clear()
    report = scan_all(engine, scan_file)
    assert len(content_hashes(scan_file, PLACE)) == PHOTO_COUNT + 3 + 20
    assert len(s3.read_keys) == PHOTO_COUNT + 3 + 20 - len(scanned)
    assert report.unreadable.keys() == {f"{PLACE}/broken.jpg"}


@pytest.mark.parametrize("status", [403, 500])
def test_an_unreadable_object_is_listed_and_retried(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, s3: Relay, status: int
) -> None:
    s3.request_hook = lambda method, path: status if method == "GET" and path.endswith("00002.jpg") else None
    report = scan_all(engine, scan_file)
    message = (
        "access is denied (AccessDenied); give the credentials"
        if status == 403
        else "the service fails (InternalError)"
    )
    assert report.unreadable[f"{PLACE}/00002.jpg"].startswith(f"{PLACE}/00002.jpg cannot be read: {message}")
    assert report.analyzed == PHOTO_COUNT - 1
    s3.clear()
    assert scan_all(engine, scan_file).analyzed == 1


POLICY = """{"Version": "2012-10-17", "Statement": [
{"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
{"Effect": "Deny", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::family/photos/00002.jpg"]},
{"Effect": "Deny", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::family2"]}]}"""


def test_policies_and_wrong_keys_are_reported(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, s3: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("iam", endpoint_url=f"http://127.0.0.1:{s3.target_port}")
    client.create_user(UserName="ada")
    client.put_user_policy(UserName="ada", PolicyName="p", PolicyDocument=POLICY)
    key = client.create_access_key(UserName="ada")["AccessKey"]
    filled_bucket.send("PUT", "/family2", b"")
    filled_bucket.send("POST", "/moto-api/reset-auth", b"0")
    try:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        buckets._systems.clear()
        report = scan_all(engine, scan_file)
        assert report.unreadable.keys() == {f"{PLACE}/00002.jpg", f"{PLACE}/broken.jpg"}
        assert "access is denied (AccessDenied)" in report.unreadable[f"{PLACE}/00002.jpg"]
        with pytest.raises(ServiceError, match=r"s3://family2 cannot be listed: access is denied"):
            scan_all(engine, scan_file, "s3://family2")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
        buckets._systems.clear()
        with check_unchanged(scan_file), pytest.raises(ServiceError, match=r"refused \(InvalidAccessKeyId\)"):
            scan_all(engine, scan_file)
    finally:
        filled_bucket.send("POST", "/moto-api/reset-auth", b"inf")
