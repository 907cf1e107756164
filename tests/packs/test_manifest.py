"""Reading and validating ``pack.toml``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import ManifestError
from facebank.packs import DataTerms, DetectorSpec, EmbedderSpec, PackManifest, Thresholds, load_pack, read_manifest
from facebank.packs.manifest import Allowed, manifest_toml, parse_manifest

FACENET = """
schema = 1
name = "facenet"
title = "FaceNet (InceptionResNetV1, VGGFace2)"
version = "1"
source = "made by its user"
licence = "MIT"
licence_url = "https://opensource.org/license/mit"
commercial_use = true
[detector]
kind = "yunet"
file = "face_detection_yunet_2023mar_int8bq.onnx"
sha256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
prepare = true
mean = 0
scale = 1
colour = "BGR"
score_threshold = 0.6
nms_threshold = 0.3
upright_score = 0.8
refine = true
[embedder]
file = "facenet.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
prepare = false
input = "input"
size = 160
mean = 0
scale = 1
colour = "RGB"
normalisation = "per_image"
template = "facenet"
dimension = 512
flip = false
[thresholds]
known = 0.6
margin = 0.05
verify = 0.6
minimum_quality = 0.2
calibrated_on = "nothing yet"
"""

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
numbers = st.floats(-1e6, 1e6)
per_channel = st.tuples(numbers, numbers, numbers)
colors = st.sampled_from(["RGB", "BGR"])
fractions = st.floats(0, 1)
similarities = st.floats(-1, 1)
detectors = st.builds(
    DetectorSpec,
    kind=st.sampled_from(["yunet", "scrfd"]),
    file=st.just("d.onnx"),
    sha256=hashes,
    prepare=st.booleans(),
    mean=per_channel,
    scale=per_channel,
    color=colors,
    score_threshold=fractions,
    nms_threshold=fractions,
    upright_score=st.floats(0, 1),
    hint_score=st.none() | st.floats(0, 1),
    refine=st.booleans(),
)
embedders = st.builds(
    EmbedderSpec,
    file=st.just("e.onnx"),
    sha256=hashes,
    prepare=st.booleans(),
    input=texts,
    size=st.integers(32, 1024),
    mean=per_channel,
    scale=per_channel,
    color=colors,
    normalization=st.sampled_from(["fixed", "per_image"]),
    template=st.sampled_from(["arcface", "facenet"]),
    dimension=st.integers(2, 8192),
    flip=st.booleans(),
    center=st.just(()),
)
data_terms = st.builds(
    DataTerms, name=texts, terms=texts, url=texts, commercial_use=st.sampled_from(["yes", "no", "unknown"])
)
manifests = st.builds(
    PackManifest,
    name=st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?", fullmatch=True),
    title=texts,
    version=texts,
    source=texts,
    license=texts,
    license_url=texts,
    commercial_use=st.booleans(),
    detector=detectors,
    embedder=embedders,
    thresholds=st.builds(
        Thresholds,
        known=similarities,
        margin=st.floats(0, 2),
        verify=similarities,
        minimum_quality=fractions,
        calibrated_on=texts,
    ),
    training_data=st.none() | data_terms,
    fitted_data=st.none() | data_terms,
)


@settings(max_examples=40)
@given(manifests)
def test_a_manifest_round_trips(manifest: PackManifest) -> None:
    assert parse_manifest(manifest_toml(manifest).encode()) == manifest


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_manifest_error(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


def test_facenet_can_be_described_by_a_manifest() -> None:
    embedder = parse_manifest(FACENET.encode()).embedder
    assert (embedder.size, embedder.normalization, embedder.template) == (160, "per_image", "facenet")


@pytest.mark.parametrize(
    ("line", "replacement", "key"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ('name = "facenet"', 'name = "../facenet"', "name"),
        ('name = "facenet"', 'name = "FaceNet"', "name"),
        ('name = "facenet"', 'name = "facenet."', "name"),
        ('title = "FaceNet (InceptionResNetV1, VGGFace2)"', 'title = "red \\u001b[31m"', "title"),
        ('version = "1"', "version = 1", "version"),
        ('licence = "MIT"', "", "licence"),
        ("commercial_use = true", 'commercial_use = "yes"', "commercial_use"),
        ('kind = "yunet"', 'kind = "mtcnn"', "detector.kind"),
        ('file = "facenet.onnx"', 'file = "../facenet.onnx"', "embedder.file"),
        ('file = "facenet.onnx"', 'file = "/facenet.onnx"', "embedder.file"),
        ('file = "facenet.onnx"', 'file = "facenet.pt"', "embedder.file"),
        ('file = "facenet.onnx"', 'file = "face_detection_yunet_2023mar_int8bq.onnx"', "embedder.file"),
        ("000000000000", "00000000000g", "embedder.sha256"),
        ("size = 160", "size = 160.0", "embedder.size"),
        ("size = 160", "size = 100000", "embedder.size"),
        ("size = 160", "size = true", "embedder.size"),
        ('colour = "RGB"', 'colour = "rgb"', "embedder.colour"),
        ("mean = 0", "mean = [1, 2]", "detector.mean"),
        ("known = 0.6", "known = nan", "thresholds.known"),
        ("known = 0.6", "known = 1.5", "thresholds.known"),
        ("flip = false", "flip = false\ncentre = [0.5, 0.5]", "embedder.centre"),
        ("flip = false", f"flip = false\ncentre = [{'nan, ' * 512}]", "embedder.centre"),
        ("flip = false", "flip = false\ncentre = 0.5", "embedder.centre"),
        ("flip = false", 'flip = false\ntempalte = "arcface"', "embedder.tempalte"),
        ("[thresholds]", "[threshold]", "thresholds"),
    ],
)
def test_the_error_names_the_key_of_a_wrong_value(line: str, replacement: str, key: str) -> None:
    assert line in FACENET
    with pytest.raises(ManifestError, match=re.escape(key)) as caught:
        parse_manifest(FACENET.replace(line, replacement, 1).encode(), "here/pack.toml")
    assert "here/pack.toml" in str(caught.value)
    assert str(caught.value).isprintable()


def test_one_number_stands_for_all_channels() -> None:
    text = FACENET.replace("size = 160\nmean = 0", "size = 160\nmean = [1, 2.5, 3]")
    assert parse_manifest(text.encode()).embedder.mean == (1.0, 2.5, 3.0)
    assert parse_manifest(FACENET.encode()).embedder.scale == (1.0, 1.0, 1.0)


def test_a_center_has_one_number_per_dimension() -> None:
    text = FACENET.replace("flip = false", f"flip = false\ncentre = [{'0.25, ' * 512}]")
    manifest = parse_manifest(text.encode())
    assert manifest.embedder.center == (0.25,) * 512
    assert parse_manifest(manifest_toml(manifest).encode()) == manifest
    assert manifest.digest != parse_manifest(FACENET.encode()).digest
    assert parse_manifest(FACENET.encode()).embedder.center == ()


def test_a_long_manifest_is_an_error() -> None:
    with pytest.raises(ManifestError, match="longer"):
        parse_manifest(b"#" * 300_000)


def test_a_folder_without_a_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"pack\.toml"):
        read_manifest(tmp_path)
    (tmp_path / "pack.toml").mkdir()
    with pytest.raises(ManifestError, match=r"pack\.toml"):
        read_manifest(tmp_path)


def test_the_digest_covers_only_the_keys_that_determine_embeddings() -> None:
    manifest = load_pack().manifest
    equal = [
        replace(manifest, name="other", title="Other"),
        replace(manifest, thresholds=replace(manifest.thresholds, known=0.9)),
        replace(manifest, detector=replace(manifest.detector, score_threshold=0.9, file="renamed.onnx")),
    ]
    different = [
        replace(manifest, detector=replace(manifest.detector, sha256="0" * 64)),
        replace(manifest, embedder=replace(manifest.embedder, sha256="0" * 64)),
        replace(manifest, embedder=replace(manifest.embedder, flip=True)),
        replace(manifest, embedder=replace(manifest.embedder, color="BGR")),
        replace(manifest, embedder=replace(manifest.embedder, mean=(1.0, 0.0, 0.0))),
    ]
    assert {variant.digest for variant in equal} == {manifest.digest}
    assert len({variant.digest for variant in [manifest, *different]}) == 1 + len(different)


@pytest.mark.parametrize(
    "line",
    [
        "a" + ".a" * 60_000 + " = 1",
        "[a" + ".a" * 60_000 + "]",
        '"a"' + ' . "a"' * 30_000 + " = 1",
        "version = " + "9" * 4_301,
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 20_000,
    ],
    ids=["key", "table", "quoted key", "digits", "arrays", "inline tables"],
)
def test_pathological_toml_is_an_error(line: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest((line + FACENET).encode())


@pytest.mark.parametrize("number", ["0x" + "f" * 4_000, "nan", "inf", "-inf", "1e400", "9" * 4_000])
def test_numbers_out_of_range_are_an_error(number: str) -> None:
    with pytest.raises(ManifestError, match=r"thresholds\.known is wrong"):
        parse_manifest(FACENET.replace("known = 0.6", f"known = {number}").encode())


def test_the_longest_center_is_read() -> None:
    line = f"centre = [{', '.join(['0.12345'] * 8192)}]\nflip = false"
    text = FACENET.replace("dimension = 512", "dimension = 8192").replace("flip = false", line)
    assert len(parse_manifest(text.encode()).embedder.center) == 8192


@pytest.mark.parametrize(
    ("license_allows", "training", "fitted", "known"),
    [
        (True, "yes", "yes", True),
        (True, "yes", None, True),
        (True, "yes", "unknown", None),
        (True, "no", None, None),
        (True, "unknown", "yes", None),
        (True, None, None, None),
        (False, "yes", "yes", False),
        (False, None, None, False),
    ],
)
def test_commercial_use_needs_license_and_data_terms(
    license_allows: bool, training: Allowed | None, fitted: Allowed | None, known: bool | None
) -> None:
    terms = [
        None if allowed is None else DataTerms("a set", "its terms", "an address", allowed)
        for allowed in (training, fitted)
    ]
    manifest = replace(
        load_pack().manifest, commercial_use=license_allows, training_data=terms[0], fitted_data=terms[1]
    )
    assert manifest.allows_commercial_use is known


def test_terms_do_not_change_the_digest() -> None:
    manifest = load_pack().manifest
    assert manifest.digest == "41ded0ddf6cf6d6fc8ea8f497d67b8b032db161ae3d28e5ebf27ac412ddadbf2"
    assert replace(manifest, training_data=None, fitted_data=None, commercial_use=False).digest == manifest.digest
