"""``facebank packs``: list, show, install, add, verify and remove."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from onnx import ModelProto

from facebank.packs import known_packs, load_pack
from facebank.packs.manifest import MANIFEST_NAME, manifest_toml
from tests.small_networks import EMBEDDING_SIZE, external_tensor, small_detector, small_embedder

from .conftest import Run, RunResult, Validate


class QuietFolderHandler(SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def run(run: Run) -> Callable[..., RunResult]:
    """A function that runs the program without a proxy for the local server."""
    return partial(run, no_proxy="127.0.0.1")


@pytest.fixture
def small_pack(tmp_path: Path) -> Path:
    """A folder with a pack of two small networks."""
    folder = tmp_path / "a pack"
    folder.mkdir()
    files = {"d.onnx": small_detector(), "e.onnx": small_embedder()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    embedded = load_pack().manifest
    manifest = replace(
        embedded,
        name="small",
        title="A small pack",
        license="A test license",
        commercial_use=False,
        detector=replace(
            embedded.detector, file="d.onnx", sha256=hashes["d.onnx"], prepare=False, score_threshold=0.2, refine=False
        ),
        embedder=replace(
            embedded.embedder,
            file="e.onnx",
            sha256=hashes["e.onnx"],
            prepare=False,
            dimension=EMBEDDING_SIZE,
            center=(),
        ),
    )
    (folder / MANIFEST_NAME).write_text(manifest_toml(manifest), encoding="utf-8")
    return folder


@pytest.fixture
def archive(small_pack: Path, tmp_path: Path) -> Path:
    """The small pack as a zip archive, alone in a folder."""
    path = tmp_path / "site" / "small.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zip_file:
        for part in sorted(small_pack.iterdir()):
            zip_file.write(part, f"small/{part.name}")
    return path


@pytest.fixture
def url(archive: Path) -> Iterator[str]:
    """URL of the archive on a local web server."""
    handler = partial(QuietFolderHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{archive.name}"
        server.shutdown()
        thread.join()


def test_the_list_has_installed_and_available_packs(run: Run, small_pack: Path, validate: Validate) -> None:
    run("packs", "add", small_pack)
    packs = run("packs", "list", "--json").records
    validate("packs-list", packs)
    assert [pack["name"] for pack in packs if pack["installed"]] == ["opencv", "small"]
    assert {pack["name"] for pack in packs if not pack["installed"]} == set(known_packs())
    assert [pack["name"] for pack in packs if pack["embedded"]] == ["opencv"]
    allowed = {pack["name"]: pack["commercial_use"] for pack in packs}
    assert (allowed["opencv"], allowed["adaface_ir18"], allowed["buffalo_l"]) == (None, None, False)
    lines = run("packs", "list").out.splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == [pack["name"] for pack in packs]


@pytest.mark.parametrize("name", ["opencv", "buffalo_l"])
def test_show_prints_the_manifest(run: Run, name: str, validate: Validate) -> None:
    records = run("packs", "show", name, "--json").records
    validate("packs-show", records)
    (shown,) = records
    manifest = load_pack().manifest if name == "opencv" else known_packs()[name].manifest
    assert manifest.training_data is not None
    assert {file["name"]: file["sha256"] for file in shown["files"]} == manifest.files
    assert shown["licence_commercial_use"] is manifest.commercial_use
    assert shown["commercial_use"] is manifest.allows_commercial_use
    assert shown["training_data"] == asdict(manifest.training_data)
    assert shown["thresholds"]["known"] == manifest.thresholds.known
    output = run("packs", "show", name).out
    assert manifest.license_url in output
    assert manifest.training_data.terms in output
    assert all(sha256 in output for sha256 in manifest.files.values())


def test_the_first_use_states_the_terms(run: Run, portrait: Path, speech: Path) -> None:
    notice = "but the terms of its training data may not; see `facebank packs show opencv`"
    assert notice in run("enroll", "--name", "Barack Obama", portrait).err
    assert notice not in run("enroll", "--name", "Barack Obama", speech).err


@pytest.mark.parametrize("command", ["show", "verify", "remove", "install"])
def test_an_unknown_pack_is_refused_in_one_sentence(run: Run, command: str) -> None:
    result = run("packs", command, "nowhere\x1b[31m", code=2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert "\x1b" not in result.err


def test_a_pack_is_installed_from_a_url(run: Run, packs_folder: Path, url: str, validate: Validate) -> None:
    refused = run("packs", "install", url, code=2).err
    assert "A test license" in refused
    assert "--accept-license" in refused
    assert not (packs_folder / "small").exists()
    result = run("packs", "install", url, "--accept-license", "--json")
    installed = result.records
    validate("packs-install", installed)
    assert "A test license" in result.err
    assert [pack["folder"] for pack in installed] == [str(packs_folder / "small")]
    health = run("packs", "verify", "small", "--json").records
    validate("packs-verify", health)
    assert [pack["ok"] for pack in health] == [True]


def test_a_license_needs_to_be_accepted_once(run: Run, archive: Path, validate: Validate) -> None:
    run("packs", "install", archive, "--accept-license")
    assert "is installed" in run("packs", "install", archive, code=2).err
    run("packs", "install", archive, "--replace")
    removed = run("packs", "remove", "small", "--json").records
    validate("packs-remove", removed)
    assert removed == [{"name": "small", "removed": True}]
    run("packs", "install", archive)


def test_a_broken_archive_leaves_nothing(run: Run, packs_folder: Path, archive: Path) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    assert str(archive) in run("packs", "install", archive, "--accept-license", code=2).err
    assert [path for path in packs_folder.glob("*") if path.is_dir()] == []


def test_verify_checks_each_file_of_an_added_pack(
    run: Run, packs_folder: Path, small_pack: Path, validate: Validate
) -> None:
    added = run("packs", "add", small_pack, "--json").records
    validate("packs-add", added)
    assert [pack["folder"] for pack in added] == [str(packs_folder / "small")]
    run("packs", "verify")
    (packs_folder / "small" / "d.onnx").write_bytes(b"something else")
    health = run("packs", "verify", "--json", code=1).records
    validate("packs-verify", health)
    states = {pack["name"]: pack["files"] for pack in health}
    assert {file["name"]: file["state"] for file in states["small"]} == {"d.onnx": "altered", "e.onnx": "ok"}
    assert "small: d.onnx is altered" in run("packs", "verify", "small", code=1).out


def test_doctor_reports_an_altered_pack_with_a_fix(run: Run, packs_folder: Path, small_pack: Path) -> None:
    run("packs", "add", small_pack)
    with (packs_folder / "small" / "e.onnx").open("ab") as file:
        file.write(b"one byte more")
    findings = run("doctor", "--json", code=1).records
    (problem,) = [finding for finding in findings if finding["severity"] == "problem"]
    assert (problem["subject"], problem["detail"]) == ("Pack small", "e.onnx is altered")
    assert problem["command"] == "facebank packs remove small"
    run(*problem["command"].split()[1:])
    run("doctor")


def test_a_pack_that_does_not_work_is_not_added(run: Run, packs_folder: Path, small_pack: Path) -> None:
    """pack.toml names an input that the network does not have."""
    manifest = small_pack / MANIFEST_NAME
    manifest.write_text(manifest.read_text("utf-8").replace('input = "data"', 'input = "picture"'), encoding="utf-8")
    output = run("packs", "add", small_pack, code=2).err
    assert "e.onnx has the inputs data, but pack.toml states picture" in output
    assert [path for path in packs_folder.glob("*") if path.is_dir()] == []


@pytest.mark.parametrize("is_prepared", [False, True])
def test_external_weights_are_refused_in_an_uninstalled_pack(
    run: Run, small_pack: Path, portrait: Path, is_prepared: bool
) -> None:
    """The hashes of pack.toml do not cover a separate file of weights."""
    model = ModelProto.FromString((small_pack / "e.onnx").read_bytes())
    model.graph.initializer.append(external_tensor("w"))
    old_hash, data = hashlib.sha256((small_pack / "e.onnx").read_bytes()).hexdigest(), model.SerializeToString()
    (small_pack / "e.onnx").write_bytes(data)
    (small_pack / "weights.bin").write_bytes(bytes(16))
    manifest = small_pack / MANIFEST_NAME
    text = manifest.read_text("utf-8").replace(old_hash, hashlib.sha256(data).hexdigest())
    head, tail = text.split("[embedder]")
    manifest.write_text(f"{head}[embedder]{tail.replace('prepare = false', f'prepare = {str(is_prepared).lower()}')}")
    output = run("--pack", small_pack, "verify", portrait, portrait, code=2).err
    assert "keeps weights in another file" in output
    assert "keeps weights in another file" in run("packs", "add", small_pack, code=2).err


def test_an_altered_pack_is_not_used(run: Run, packs_folder: Path, small_pack: Path, portrait: Path) -> None:
    run("packs", "add", small_pack)
    (packs_folder / "small" / "d.onnx").write_bytes(b"something else")
    output = run("--pack", "small", "verify", portrait, portrait, code=2).err
    assert "d.onnx" in output
    assert "altered" in output


def test_a_wrong_manifest_is_listed_with_its_problem(run: Run, packs_folder: Path, validate: Validate) -> None:
    (packs_folder / "odd").mkdir(parents=True)
    (packs_folder / "odd" / "pack.toml").write_text("schema = 'none'")
    listed = run("packs", "list", "--json").records
    validate("packs-list", listed)
    assert [pack["name"] for pack in listed if pack["problem"]] == ["odd"]
    validate("packs-show", run("packs", "show", "odd", "--json", code=1).records)
    run("packs", "verify", code=1)


def test_the_embedded_pack_cannot_be_removed(run: Run) -> None:
    assert "part of facebank" in run("packs", "remove", "opencv", code=2).err
