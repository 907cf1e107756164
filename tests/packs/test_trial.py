"""A pack is tried in a separate process before it is installed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import ManifestError, PackError, PackIntegrityError
from facebank.packs import PackManifest, add_pack, load_pack
from facebank.packs.manifest import MANIFEST_NAME, manifest_toml
from facebank.packs.trial import TrialLimits, try_pack
from tests.small_networks import endless_loop, huge_tensor, last_node, small_detector, small_embedder

if TYPE_CHECKING:
    from tests.packs.conftest import Folders

MakePack = Callable[[bytes, bytes], tuple[Path, PackManifest]]
LIMITS = TrialLimits(processor_seconds=3)


@pytest.fixture
def make_pack(pack_folder: Path, manifest: PackManifest) -> MakePack:
    """A function that puts networks into the folder of the small pack, and returns the folder and its manifest."""

    def write(detector: bytes, embedder: bytes) -> tuple[Path, PackManifest]:
        hashes = [hashlib.sha256(data).hexdigest() for data in (detector, embedder)]
        changed = replace(
            manifest,
            detector=replace(manifest.detector, sha256=hashes[0]),
            embedder=replace(manifest.embedder, sha256=hashes[1]),
        )
        for name, data in (("d.onnx", detector), ("e.onnx", embedder)):
            (pack_folder / name).write_bytes(data)
        (pack_folder / MANIFEST_NAME).write_text(manifest_toml(changed), "utf-8")
        return pack_folder, changed

    return write


def test_working_packs_pass(make_pack: MakePack, folders: Folders) -> None:
    try_pack(*make_pack(small_detector(), small_embedder()))
    embedded = load_pack()
    try_pack(embedded.folder, embedded.manifest)
    assert not folders.cache.exists()


@pytest.mark.parametrize(
    ("embedder", "message"),
    [
        (small_embedder(extra_nodes=endless_loop(), output="last"), "more than 3 seconds of CPU time"),
        (small_embedder(extra_nodes=huge_tensor(), output="last"), "cannot be run|memory"),
        (small_embedder(extra_nodes=last_node("Div", "embedding", "nothing"), output="last"), "not finite"),
        (small_embedder(extra_nodes=last_node("Mul", "embedding", "nothing"), output="last"), "only zeros"),
        (
            small_embedder(extra_nodes=last_node("RandomNormalLike", "embedding"), output="last"),
            "different embeddings for the same image",
        ),
        (
            small_embedder(extra_nodes=last_node("Concat", "embedding", "embedding", axis=1), output="last", size=96),
            "96 numbers",
        ),
        (
            small_embedder(extra_nodes=last_node("ReduceMean", "embedding", keepdims=0), output="last"),
            "embeddings of 1 numbers",
        ),
        (small_embedder("picture"), "has the inputs picture, but pack.toml states data"),
    ],
    ids=["endless", "greedy", "not finite", "zeros", "random", "dimension", "one number", "input"],
)
def test_a_faulty_embedder_is_an_error(make_pack: MakePack, embedder: bytes, message: str) -> None:
    with pytest.raises(PackError, match=message):
        try_pack(*make_pack(small_detector(), embedder), LIMITS)


def test_a_detector_that_finds_no_face_is_an_error(make_pack: MakePack) -> None:
    folder, manifest = make_pack(small_detector(), small_embedder())
    strict = replace(manifest, detector=replace(manifest.detector, score_threshold=1.0))
    (folder / MANIFEST_NAME).write_text(manifest_toml(strict), "utf-8")
    with pytest.raises(PackIntegrityError, match=r"'small' was tried on photos and failed: .* no face"):
        try_pack(folder, strict)


def test_a_trial_has_a_time_limit(make_pack: MakePack) -> None:
    with pytest.raises(PackIntegrityError, match=r"within 0\.01 seconds"):
        try_pack(*make_pack(small_detector(), small_embedder()), TrialLimits(seconds=0.01))


def test_a_trial_in_a_frozen_program_is_an_error(make_pack: MakePack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(PackError, match="frozen"):
        try_pack(*make_pack(small_detector(), small_embedder()))


def test_a_pack_that_failed_is_not_installed(
    make_pack: MakePack, folders: Folders, monkeypatch: pytest.MonkeyPatch, run_trial: Callable[..., None]
) -> None:
    monkeypatch.setattr("facebank.packs.trial.try_pack", run_trial)
    folder, _ = make_pack(small_detector(), small_embedder("picture"))
    with pytest.raises(ManifestError, match=r"correct pack\.toml"):
        add_pack(folder)
    assert list(folders.packs.iterdir()) == []
