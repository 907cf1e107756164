"""Downloads from a server that breaks connections, redirects, changes files or is slow."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import DownloadError, LicenceNotAcceptedError, PackIntegrityError, StorageError
from facebank.packs import checked_http
from facebank.packs.checked_http import check_address
from facebank.packs.download import DownloadLimits, open_download
from tests.packs.conftest import ServedFile, run_server
from tests.recorder import Recorder

if TYPE_CHECKING:
    from tests.packs.conftest import Folders, Site

DATA = random.Random(1).randbytes(700_000)
HASH = hashlib.sha256(DATA).hexdigest()
LIMITS = DownloadLimits(attempts=3, pause=0.0, timeout=5.0)


def test_a_file_is_downloaded_with_progress(site: Site, folders: Folders) -> None:
    progress = Recorder()
    url = site.serve("/pack.zip", ServedFile(DATA))
    with open_download(url, HASH, progress, LIMITS) as path:
        assert path.read_bytes() == DATA
    assert progress.steps == [("Downloading", len(DATA))]
    assert progress.done == [len(DATA)]
    assert progress.advances > 1
    assert list((folders.cache / "downloads").iterdir()) == []


def test_a_broken_connection_is_resumed(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, cuts=[100_000, 300_000]))
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert [range_header for _, range_header in site.requests] == [None, "bytes=100000-", "bytes=400000-"]


@pytest.mark.parametrize("etag", ['"one"', None])
def test_a_download_without_ranges_starts_over(site: Site, etag: str | None) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, etag=etag, has_ranges=False, cuts=[100_000]))
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert len(site.requests) == 2


def test_a_file_without_a_stated_length_is_downloaded(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, has_length=False))
    progress = Recorder()
    with open_download(url, HASH, progress, LIMITS) as path:
        assert path.read_bytes() == DATA
    assert progress.steps == [("Downloading", None)]


def test_a_failed_download_is_resumed_by_the_next_call(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, cuts=[100_000, 0, 0]))
    with pytest.raises(DownloadError, match="the received part is kept"), open_download(url, HASH, limits=LIMITS):
        pass
    site.requests.clear()
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert [range_header for _, range_header in site.requests] == ["bytes=100000-"]


def test_an_interrupt_keeps_the_received_part(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA))

    class InterruptingProgress(Recorder):
        def advance(self, amount: float = 1) -> None:
            super().advance(amount)
            if self.done[-1] > 300_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_download(url, HASH, InterruptingProgress(), LIMITS):
        pass
    site.requests.clear()
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert site.requests[0][1] is not None


@pytest.mark.parametrize("etag", ['"one"', None])
@pytest.mark.parametrize("has_length", [True, False], ids=["with its length", "without"])
def test_a_file_is_kept_if_the_block_fails(site: Site, etag: str | None, has_length: bool) -> None:
    """The license may be known only after the download; the server may not state a validator or a length."""
    url = site.serve("/pack.zip", ServedFile(DATA, etag=etag, has_length=has_length))
    with pytest.raises(LicenceNotAcceptedError), open_download(url, None, limits=LIMITS):
        raise LicenceNotAcceptedError
    with open_download(url, None, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert len(site.requests) == 1


def test_a_download_of_a_changed_file_starts_over(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(bytes(700_000), cuts=[100_000, 0, 0], etag='"old"'))
    with pytest.raises(DownloadError), open_download(url, HASH, limits=LIMITS):
        pass
    site.serve("/pack.zip", ServedFile(DATA, etag='"new"'))
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA


def test_a_resumed_file_with_a_wrong_hash_is_downloaded_again(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(bytes(700_000), cuts=[100_000, 0, 0]))
    with pytest.raises(DownloadError), open_download(url, HASH, limits=LIMITS):
        pass
    site.serve("/pack.zip", ServedFile(DATA))  # other bytes under the same ETag
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA


def test_a_file_with_a_wrong_hash_is_not_kept(site: Site, folders: Folders) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA[:-1] + b"?"))
    with pytest.raises(PackIntegrityError, match="not the published file"), open_download(url, HASH, limits=LIMITS):
        pass
    assert list((folders.cache / "downloads").iterdir()) == []


def test_a_stated_size_above_the_limit_is_an_error(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA))
    progress = Recorder()
    limits = DownloadLimits(max_bytes=600_000)
    with (
        pytest.raises(DownloadError, match="700000 bytes or more"),
        open_download(url, HASH, progress, limits),
    ):
        pass
    assert progress.steps == []


def test_a_received_size_above_the_limit_is_an_error(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, has_length=False))
    with (
        pytest.raises(DownloadError, match="or more"),
        open_download(url, HASH, limits=DownloadLimits(max_bytes=600_000)),
    ):
        pass


def test_a_busy_server_is_retried(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, statuses=[503, 429]))
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA


def test_a_refused_range_starts_over(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, cuts=[100_000], statuses=[200, 416]))
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    assert [range_header for _, range_header in site.requests] == [None, "bytes=100000-", None]


def test_a_missing_file_is_not_retried(site: Site) -> None:
    with (
        pytest.raises(DownloadError, match="answers 404"),
        open_download(f"http://127.0.0.1:{site.port}/no.zip", None, limits=LIMITS),
    ):
        pass
    assert len(site.requests) == 1


def test_an_unreachable_server_is_an_error() -> None:
    with (
        pytest.raises(DownloadError, match="check the connection"),
        open_download("http://127.0.0.1:9/pack.zip", None, limits=LIMITS),
    ):
        pass


def test_only_redirects_to_allowed_urls_are_followed(site: Site) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA))
    moved = site.serve("/moved.zip", ServedFile(b"", redirect=url))
    with open_download(moved, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA
    for target in ("file:///etc/passwd", "http://example.org/pack.zip", "ftp://127.0.0.1/pack.zip"):
        away = site.serve("/away.zip", ServedFile(b"", redirect=target))
        with pytest.raises(DownloadError, match=r"https|not allowed"), open_download(away, None, limits=LIMITS):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/pack.zip",
        "http://127.0.0.1.example.org/pack.zip",
        "file:///etc/passwd",
        "ftp://example.org/pack.zip",
        "https://",
        "http://[::1",
        "pack.zip",
        "https://[bad",
        "https://example.org:port/pack.zip",
        "https://example.org:99999/pack.zip",
    ],
)
def test_urls_without_https_are_an_error(url: str) -> None:
    with pytest.raises(DownloadError, match="must begin with https"):
        check_address(url)


@pytest.mark.parametrize(
    "url", ["https://example.org/a pack.zip", "https://ex\xe4mple.org/", "https://example.org/\x1b"]
)
def test_unencoded_characters_in_a_url_are_an_error(url: str) -> None:
    with pytest.raises(DownloadError, match="invalid in an address") as caught:
        check_address(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("target", ["https://[bad", f"https://{'x' * 70}.invalid/pack.zip"])
def test_a_redirect_to_a_malformed_url_is_an_error(site: Site, target: str) -> None:
    url = site.serve("/away.zip", ServedFile(b"", redirect=target))
    with pytest.raises(DownloadError, match="is not a usable address"), open_download(url, None, limits=LIMITS):
        pass


def test_an_unwritable_cache_is_an_error(site: Site, folders: Folders) -> None:
    folders.cache.write_text("a file")
    url = site.serve("/pack.zip", ServedFile(DATA))
    with pytest.raises(StorageError, match="FACEBANK_CACHE"), open_download(url, HASH, limits=LIMITS):
        pass


def test_a_damaged_state_file_is_ignored(site: Site, folders: Folders) -> None:
    url = site.serve("/pack.zip", ServedFile(DATA, cuts=[100_000, 0, 0]))
    with pytest.raises(DownloadError), open_download(url, HASH, limits=LIMITS):
        pass
    (state_file,) = Path(folders.cache).glob("downloads/*/state.json")
    state_file.write_text('{"validator": 3, "total": "many"}')
    with open_download(url, HASH, limits=LIMITS) as path:
        assert path.read_bytes() == DATA


@pytest.fixture
def trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a certificate accepted by downloads."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def test_an_encrypted_server_may_redirect(trusted_certificate: Path) -> None:
    with run_server(certificate=trusted_certificate) as site:
        target = site.serve("/pack.zip", ServedFile(DATA))
        with open_download(site.serve("/", ServedFile(b"", redirect=target)), HASH, limits=LIMITS) as path:
            assert path.read_bytes() == DATA


def test_a_redirect_to_an_unencrypted_server_is_an_error(trusted_certificate: Path, site: Site) -> None:
    """The unencrypted server is on this computer, where its URL would be allowed without the redirect."""
    target = site.serve("/pack.zip", ServedFile(DATA))
    with run_server(certificate=trusted_certificate) as public_site:
        url = public_site.serve("/", ServedFile(b"", redirect=target))
        with pytest.raises(DownloadError, match="not encrypted"), open_download(url, HASH, limits=LIMITS):
            pass
    assert site.requests == []


@pytest.mark.parametrize("is_literal", [False, True], ids=["resolved", "literal"])
def test_a_redirect_from_a_public_to_a_private_server_is_an_error(
    trusted_certificate: Path, monkeypatch: pytest.MonkeyPatch, is_literal: bool
) -> None:
    """127.0.0.1 stands for the internet, 127.0.0.2 for a private network; literal addresses are checked first."""
    monkeypatch.setattr(checked_http, "is_public", lambda address: address == "127.0.0.1")
    if not is_literal:
        monkeypatch.setattr(checked_http, "_is_private", lambda _: False)
    with (
        run_server(certificate=trusted_certificate) as public_site,
        run_server("127.0.0.2", trusted_certificate) as private_site,
    ):
        url = public_site.serve("/", ServedFile(b"", redirect=private_site.serve("/pack.zip", ServedFile(DATA))))
        with pytest.raises(DownloadError, match=r"redirects to 127\.0\.0\.2"), open_download(url, HASH, limits=LIMITS):
            pass
        assert private_site.requests == []
        monkeypatch.setattr(checked_http, "is_public", lambda _: False)
        with open_download(url, HASH, limits=LIMITS) as path:  # the first server is private now, too
            assert path.read_bytes() == DATA


@pytest.mark.parametrize("address", ["140.82.121.3", "2606:50c0:8000::154"])
def test_public_addresses_are_recognized(address: str) -> None:
    assert checked_http.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254"),
        *("fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "0.0.0.0"),
    ],
)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not checked_http.is_public(address)


@pytest.mark.parametrize("has_endless_head", [False, True])
@pytest.mark.parametrize("has_length", [False, True])
def test_a_server_that_never_finishes_is_an_error(
    site: Site, folders: Folders, has_endless_head: bool, has_length: bool
) -> None:
    """The server sends single bytes, each within the time limit of the connection."""
    url = site.serve(
        "/pack.zip", ServedFile(DATA, byte_delay=0.02, has_endless_head=has_endless_head, has_length=has_length)
    )
    limits = DownloadLimits(attempts=3, pause=0.0, timeout=5.0, seconds=0.3)
    with pytest.raises(DownloadError, match=r"within 0\.3 seconds.*kept"), open_download(url, None, limits=limits):
        pass
    assert has_endless_head != any(path.stat().st_size for path in folders.cache.rglob("data"))
