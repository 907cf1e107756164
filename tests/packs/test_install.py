"""Packs are installed from all kinds of sources, completely or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import (
    DownloadError,
    LicenceNotAcceptedError,
    ManifestError,
    PackError,
    PackIntegrityError,
    PackNotFoundError,
    StorageError,
    UsageError,
)
from facebank.packs import KnownPack, PackManifest, known_packs, list_packs, load_pack
from facebank.packs.download import DownloadLimits
from facebank.packs.install import InstallLimits, accepted_licenses, install_pack
from facebank.packs.manifest import MANIFEST_NAME
from tests.packs.conftest import ServedFile
from tests.recorder import Recorder

if TYPE_CHECKING:
    from tests.packs.conftest import Folders, MakeZip, Site

LIMITS = InstallLimits(DownloadLimits(attempts=2, pause=0.0, timeout=5.0))


@pytest.fixture
def archive(tmp_path: Path, contents: Mapping[str, bytes], make_zip: MakeZip) -> Path:
    """Path of a zip archive with a manifest."""
    path = tmp_path / "small.zip"
    path.write_bytes(make_zip(contents))
    return path


@pytest.mark.parametrize("folder", ["", "antelope"])
def test_a_known_pack_is_installed_by_name(
    site: Site,
    manifest: PackManifest,
    contents: dict[str, bytes],
    make_zip: MakeZip,
    folders: Folders,
    folder: str,
) -> None:
    """Archives of InsightFace have no manifest, other files too, and may have all files in a folder."""
    prefix = f"{folder}/" if folder else ""
    files = {f"{prefix}{name}": data for name, data in contents.items() if name != MANIFEST_NAME}
    data = make_zip({**files, f"{prefix}genderage.onnx": b"not needed"})
    known_pack = KnownPack(
        manifest, site.serve("/small.zip", ServedFile(data)), hashlib.sha256(data).hexdigest(), folder
    )
    progress = Recorder()

    pack = install_pack(
        "small",
        accept_license=True,
        progress=progress,
        limits=LIMITS,
        registry={"small": known_pack},
    )

    assert pack == load_pack("small")
    assert pack.manifest == manifest
    assert sorted(path.name for path in pack.folder.iterdir()) == ["d.onnx", "e.onnx", MANIFEST_NAME]
    assert pack.embedder_path().read_bytes() == contents["e.onnx"]
    assert progress.done == [len(data)]
    assert [path.name for path in folders.packs.iterdir() if "installing" in path.name] == []


def test_a_known_archive_is_recognized_by_its_hash(
    tmp_path: Path, manifest: PackManifest, contents: dict[str, bytes], make_zip: MakeZip
) -> None:
    data = make_zip({"d.onnx": contents["d.onnx"], "e.onnx": contents["e.onnx"]})
    (tmp_path / "renamed.zip").write_bytes(data)
    known_pack = KnownPack(manifest, "https://example.org/small.zip", hashlib.sha256(data).hexdigest())
    pack = install_pack(tmp_path / "renamed.zip", accept_license=True, registry={"small": known_pack})
    assert pack.name == "small"


def test_a_network_alone_is_completed_by_the_embedded_detector(
    site: Site, manifest: PackManifest, contents: dict[str, bytes]
) -> None:
    """AdaFace is published without a detector."""
    completed = replace(manifest, detector=load_pack().manifest.detector)
    url = site.serve("/e.onnx", ServedFile(contents["e.onnx"]))
    known_pack = KnownPack(completed, url, completed.embedder.sha256)
    pack = install_pack("small", accept_license=True, limits=LIMITS, registry={"small": known_pack})
    assert pack.detector_path() == load_pack().detector_path()
    assert pack.embedder_path().read_bytes() == contents["e.onnx"]


def test_a_pack_is_installed_from_a_file(archive: Path, contents: dict[str, bytes]) -> None:
    pack = install_pack(archive, accept_license=True)
    assert pack.detector_path().read_bytes() == contents["d.onnx"]
    assert [pack.name for pack in list_packs()] == ["opencv", "small"]


def test_a_pack_is_installed_from_an_archive_with_a_folder(
    tmp_path: Path, contents: dict[str, bytes], make_zip: MakeZip
) -> None:
    path = tmp_path / "small.zip"
    path.write_bytes(make_zip({f"small/{name}": data for name, data in contents.items()}))
    assert install_pack(str(path), accept_license=True).name == "small"


def test_a_pack_is_installed_from_a_url_with_a_hash(site: Site, archive: Path) -> None:
    data = archive.read_bytes()
    url = site.serve("/small.zip", ServedFile(data))
    with pytest.raises(PackIntegrityError, match="not the published file"):
        install_pack(f"{url}#sha256={'0' * 64}", accept_license=True, limits=LIMITS)
    assert install_pack(f"{url}#sha256={hashlib.sha256(data).hexdigest()}", accept_license=True, limits=LIMITS)


def test_the_license_is_shown_and_accepted_once(
    site: Site, archive: Path, folders: Folders, manifest: PackManifest
) -> None:
    url = site.serve("/small.zip", ServedFile(archive.read_bytes()))
    with pytest.raises(LicenceNotAcceptedError) as caught:
        install_pack(url, limits=LIMITS)
    message = str(caught.value)
    for text in (manifest.title, manifest.license, manifest.license_url, "commercial use: not allowed"):
        assert text in message
    assert accepted_licenses() == {}
    assert [pack.name for pack in list_packs()] == ["opencv"]

    install_pack(url, accept_license=True, limits=LIMITS)
    assert len(site.requests) == 1  # uses the file downloaded before the license was accepted
    assert len(accepted_licenses()) == 1
    install_pack(url, replace=True, limits=LIMITS)

    (folders.packs / ".accepted-licences.json").write_text(json.dumps({"accepted": ["damaged"]}))
    with pytest.raises(LicenceNotAcceptedError):
        install_pack(url, replace=True, limits=LIMITS)


def test_a_known_license_is_checked_before_the_download(site: Site, manifest: PackManifest) -> None:
    known_pack = KnownPack(manifest, site.serve("/small.zip", ServedFile(b"")), "0" * 64)
    with pytest.raises(LicenceNotAcceptedError):
        install_pack("small", limits=LIMITS, registry={"small": known_pack})
    assert site.requests == []


def test_an_installed_pack_is_replaced_only_on_request(archive: Path) -> None:
    pack = install_pack(archive, accept_license=True)
    (pack.folder / "d.onnx").write_bytes(b"altered")
    with pytest.raises(PackError, match="is installed"):
        install_pack(archive)
    assert (pack.folder / "d.onnx").read_bytes() == b"altered"
    install_pack(archive, replace=True).detector_path()


def test_the_name_of_the_embedded_pack_is_an_error(
    tmp_path: Path, contents: dict[str, bytes], make_zip: MakeZip
) -> None:
    contents[MANIFEST_NAME] = contents[MANIFEST_NAME].replace(b'name = "small"', b'name = "opencv"')
    path = tmp_path / "opencv.zip"
    path.write_bytes(make_zip(contents))
    with pytest.raises(PackError, match="embedded"):
        install_pack(path, accept_license=True, replace=True)


@pytest.mark.parametrize("fault", ["altered", "missing", "unsafe", "no manifest", "two manifests", "no archive", "cut"])
def test_an_incomplete_or_altered_archive_is_not_installed(
    tmp_path: Path, contents: dict[str, bytes], make_zip: MakeZip, folders: Folders, fault: str
) -> None:
    expected = {
        "altered": r"e\.onnx of the pack 'small' is partial or altered",
        "missing": r"does not contain e\.onnx",
        "unsafe": "unsafe path",
        "no manifest": r"contains 0 pack\.toml",
        "two manifests": r"contains 2 pack\.toml",
        "no archive": "not a complete zip archive",
        "cut": "not a complete zip archive",
    }
    match fault:
        case "altered":
            contents["e.onnx"] += b"!"
        case "missing":
            del contents["e.onnx"]
        case "unsafe":
            contents["../../e.onnx"] = b""
        case "no manifest":
            del contents[MANIFEST_NAME]
        case "two manifests":
            contents[f"other/{MANIFEST_NAME}"] = b""
    data = {"no archive": b"text", "cut": make_zip(contents)[:-30]}.get(fault) or make_zip(contents)
    path = tmp_path / "small.zip"
    path.write_bytes(data)

    with pytest.raises(PackIntegrityError, match=expected[fault]):
        install_pack(path, accept_license=True)

    assert [pack.name for pack in list_packs()] == ["opencv"]
    names = {path.name for path in folders.packs.iterdir()} if folders.packs.exists() else set()
    assert names <= {".accepted-licences.json"}


@pytest.mark.parametrize(
    ("manifest_bytes", "error", "message"),
    [(b"#" * 900_000, PackIntegrityError, "too much"), (b"name = 1", ManifestError, r"pack\.toml")],
    ids=["huge", "invalid"],
)
def test_a_huge_or_invalid_manifest_is_an_error(
    tmp_path: Path,
    contents: dict[str, bytes],
    make_zip: MakeZip,
    manifest_bytes: bytes,
    error: type[PackError],
    message: str,
) -> None:
    path = tmp_path / "small.zip"
    path.write_bytes(make_zip({**contents, MANIFEST_NAME: manifest_bytes}))
    with pytest.raises(error, match=message):
        install_pack(path, accept_license=True)


def test_an_altered_download_is_not_kept(site: Site, contents: dict[str, bytes], make_zip: MakeZip) -> None:
    url = site.serve("/small.zip", ServedFile(make_zip({**contents, "d.onnx": b"altered"})))
    with pytest.raises(PackIntegrityError, match=r"d\.onnx"):
        install_pack(url, accept_license=True, limits=LIMITS)
    site.serve("/small.zip", ServedFile(make_zip(contents), etag='"mended"'))
    assert install_pack(url, limits=LIMITS).detector_path()


@pytest.mark.parametrize(
    "source", ["nobody", "no/such/file.zip", "", "buffalo_l\n", "red \x1b[31m", pytest.param("x" * 5000, id="too long")]
)
def test_an_unknown_source_is_an_error(source: str) -> None:
    with pytest.raises(PackNotFoundError, match="buffalo_l") as caught:
        install_pack(source)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.org/pack.zip", "https"),
        ("https://[bad#sha256=00", "https"),
        ("https://example.invalid/\xfc.zip", "invalid in an address"),
        ("https://example.invalid/\udcfc.zip", "invalid in an address"),
    ],
)
def test_an_unsafe_url_is_an_error(url: str, problem: str) -> None:
    with pytest.raises(DownloadError, match=problem) as caught:
        install_pack(url, accept_license=True, limits=LIMITS)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("fragment", ["sha256=00", "sha265=" + "0" * 64, "sha256=" + "0" * 65, "top"])
def test_an_invalid_hash_is_an_error(site: Site, archive: Path, fragment: str) -> None:
    url = site.serve("/small.zip", ServedFile(archive.read_bytes()))
    with pytest.raises(UsageError, match="sha256="):
        install_pack(f"{url}#{fragment}", accept_license=True, limits=LIMITS)
    assert site.requests == []


def test_an_unwritable_packs_folder_is_an_error(archive: Path, folders: Folders) -> None:
    folders.packs.write_text("a file")
    with pytest.raises(StorageError, match="FACEBANK_PACKS"):
        install_pack(archive, accept_license=True)


def test_known_packs_are_consistent() -> None:
    packs = known_packs()
    assert list(packs) == ["buffalo_l", "buffalo_m", "buffalo_sc", "antelopev2", "adaface_ir18"]
    assert packs["antelopev2"].folder == "antelopev2"
    assert packs["adaface_ir18"].manifest.embedder.color == "BGR"
    assert len({pack.manifest.digest for pack in packs.values()}) == len(packs)
    for name, pack in packs.items():
        assert pack.url.startswith("https://github.com/")
        assert pack.manifest.name == name
        assert pack.manifest.commercial_use == (name == "adaface_ir18")
