"""``pack.toml``: what a pack says about itself, read and checked. ``models/README.md`` documents every key."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from facebank.errors import ManifestError
from facebank.packs.tables import PerChannel, Table
from facebank.storage.text import printable

MANIFEST_NAME = "pack.toml"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
SCHEMA = 1

DetectorKind: TypeAlias = Literal["yunet", "scrfd"]
Colour: TypeAlias = Literal["RGB", "BGR"]
Normalisation: TypeAlias = Literal["fixed", "per_image"]
Template: TypeAlias = Literal["arcface", "facenet"]
Allowed: TypeAlias = Literal["yes", "no", "unknown"]

MAX_MANIFEST_BYTES = 1 << 18
_MOST_DOTS = 10_000  # the time for a key of n parts grows as n * n: half a second for these
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?<!\.)")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\.onnx")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """How faces are found.

    Attributes
    ----------
    kind
        How the network's outputs are read.
    file, sha256
        The ONNX file in the pack's folder, and its hash.
    prepare
        Whether the file is dequantised and its axes freed before it is used.
    mean, scale
        The network gets ``(x - mean) * scale`` of pixels 0..255, per channel in its colour order.
    colour
        The order of the channels that the network gets.
    score_threshold
        Detections below it are dropped, 0..1.
    nms_threshold
        Of two boxes that overlap by more (intersection over union), the weaker is dropped, 0..1.
    upright_score
        The score that only upright faces reach, 0..1: below it, a photo that does not say which side is up is turned.
    refine
        Whether landmarks are found again on an enlarged cut-out of each face: for detectors with noisy landmarks.
    """

    kind: DetectorKind
    file: str
    sha256: str
    prepare: bool
    mean: PerChannel
    scale: PerChannel
    colour: Colour
    score_threshold: float
    nms_threshold: float
    upright_score: float
    refine: bool


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """How an aligned face becomes a vector.

    Attributes
    ----------
    file, sha256, prepare
        As of `DetectorSpec`.
    input
        Name of the network's input.
    size
        Side of the square crop in pixels.
    mean, scale
        The network gets ``(x - mean) * scale`` of pixels 0..255, per channel in its colour order.
    colour
        The order of the channels that the network gets.
    normalisation
        ``fixed``: mean and scale alone; ``per_image``: after them, each crop gets mean 0 and deviation 1 (FaceNet).
    template
        Where the five landmarks come to lie in the crop.
    dimension
        Length of the embedding.
    flip
        Whether the embedding is the mean of the crop's and of its mirror image's.
    centre
        The mean embedding of many people, which is taken from every embedding before it is scaled to length 1 again:
        what all faces share tells nobody apart. As many numbers as the dimension; empty to leave them as they are.
    """

    file: str
    sha256: str
    prepare: bool
    input: str
    size: int
    mean: PerChannel
    scale: PerChannel
    colour: Colour
    normalisation: Normalisation
    template: Template
    dimension: int
    flip: bool
    centre: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a similarity is enough.

    Attributes
    ----------
    known
        The similarity from which a person may be named, -1..1.
    margin
        How much more similar than the runner-up the person must be, 0..2.
    verify
        The similarity from which two photos are of the same person, -1..1.
    minimum_quality
        The quality from which a face is compared at all, 0..1.
    calibrated_on
        The data on which the numbers were found.
    linked
        The similarity from which two faces are grouped together though nobody is enrolled, -1..1; None where it was not
        measured.
    merged
        The similarity of their means from which two groups are one, -1..1; None where it was not measured.
    """

    known: float
    margin: float
    verify: float
    minimum_quality: float
    calibrated_on: str
    linked: float | None = None
    merged: float | None = None


@dataclass(frozen=True, slots=True)
class DataTerms:
    """Which data numbers come from, and on which terms.

    Attributes
    ----------
    name
        The data sets.
    terms
        What their publishers allow, or that nothing is stated.
    url
        Where that is said.
    commercial_use
        Whether these terms allow commercial use: ``yes``, ``no`` or ``unknown``.
    """

    name: str
    terms: str
    url: str
    commercial_use: Allowed


@dataclass(frozen=True, slots=True)
class PackManifest:
    """Everything a ``pack.toml`` says.

    Attributes
    ----------
    name
        What the pack is called on the command line: lower-case letters, digits, ``.``, ``_`` and ``-``.
    title, version, source
        For people: what it is, which edition, where it comes from.
    licence, licence_url
        The licence of the weights and where its text is.
    commercial_use
        Whether that license allows commercial use; see `commercial_use_known` for what the data allow.
    training_data
        What the networks were trained on; None where the pack does not say.
    fitted_data
        What thresholds, mean embedding and calibration were fitted on; None where on nothing, or it is not said.
    """

    name: str
    title: str
    version: str
    source: str
    licence: str
    licence_url: str
    commercial_use: bool
    detector: DetectorSpec
    embedder: EmbedderSpec
    thresholds: Thresholds
    training_data: DataTerms | None = None
    fitted_data: DataTerms | None = None

    @property
    def commercial_use_known(self) -> bool | None:
        """Whether commercial use is allowed, by the license of the weights and by the terms of all data.

        None where it is not known: the license allows it, and the terms of the data do not, or nobody states them.
        """
        if not self.commercial_use:
            return False
        data = [self.training_data, *([self.fitted_data] if self.fitted_data else [])]
        return True if all(terms is not None and terms.commercial_use == "yes" for terms in data) else None

    @property
    def files(self) -> dict[str, str]:
        """The pack's ONNX files: name to SHA-256."""
        return {self.detector.file: self.detector.sha256, self.embedder.file: self.embedder.sha256}

    @property
    def digest(self) -> str:
        """SHA-256 in hex over what makes embeddings: networks, preprocessing, alignment; not names or thresholds."""
        detector, embedder = self.detector, self.embedder
        making = {
            "detector": [
                detector.kind,
                detector.sha256,
                detector.mean,
                detector.scale,
                detector.colour,
                detector.refine,
            ],
            "embedder": [
                embedder.sha256,
                embedder.size,
                embedder.mean,
                embedder.scale,
                embedder.colour,
                embedder.normalisation,
                embedder.template,
                embedder.dimension,
                embedder.flip,
                embedder.centre,
            ],
        }
        return hashlib.sha256(json.dumps(making, sort_keys=True).encode()).hexdigest()


def is_pack_name(text: str) -> bool:
    """Tell whether a pack can be called that."""
    return _NAME.fullmatch(text) is not None


def read_manifest(folder: Path) -> PackManifest:
    """Read and check the ``pack.toml`` of a pack's folder.

    Parameters
    ----------
    folder
        The pack's folder.

    Raises
    ------
    ManifestError
        It is missing, unreadable, too long or says something that cannot be; the message names file and key.
    """
    return read_manifest_file(folder / MANIFEST_NAME)


def read_manifest_file(path: Path) -> PackManifest:
    """Read and check a manifest; as `read_manifest`, from a file of any name."""
    label = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ManifestError(
            f"{label} cannot be read ({error.strerror}): a pack is a folder with a pack.toml"
        ) from error
    return parse_manifest(data, label)


def parse_manifest(data: bytes, label: str = MANIFEST_NAME) -> PackManifest:
    """Check the bytes of a manifest.

    Parameters
    ----------
    data
        TOML in UTF-8, at most 256 KiB.
    label
        The file's name, for messages.

    Raises
    ------
    ManifestError
        As `read_manifest`.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{label} is longer than {MAX_MANIFEST_BYTES} bytes: this is no pack manifest")
    if data.count(b".") > _MOST_DOTS:
        raise ManifestError(f"{label} holds more than {_MOST_DOTS} dots: this is no pack manifest")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of too many digits is a mere ValueError
        raise ManifestError(f"{label} is not valid TOML: {printable(str(error)) or 'nested too deeply'}") from error
    return _manifest(Table(content, label))


def _manifest(top: Table) -> PackManifest:
    top.whole("schema", SCHEMA, SCHEMA)
    name = top.text("name")
    if not is_pack_name(name):
        raise top.wrong("name", "lower-case letters, digits, '.', '_' and '-', starting with a letter or digit")
    manifest = PackManifest(
        name=name,
        title=top.text("title"),
        version=top.text("version"),
        source=top.text("source"),
        licence=top.text("licence"),
        licence_url=top.text("licence_url"),
        commercial_use=top.truth("commercial_use"),
        detector=_detector(top.table("detector")),
        embedder=_embedder(top.table("embedder")),
        thresholds=_thresholds(top.table("thresholds")),
        training_data=_data_terms(top.optional_table("training_data")),
        fitted_data=_data_terms(top.optional_table("fitted_data")),
    )
    top.refuse_others()
    if manifest.detector.file == manifest.embedder.file:
        raise top.wrong("embedder.file", "another file than the detector's")
    return manifest


def _detector(table: Table) -> DetectorSpec:
    spec = DetectorSpec(
        kind=table.choice("kind", get_args(DetectorKind)),
        file=table.matching("file", _FILE, "a plain file name ending in .onnx"),
        sha256=table.matching("sha256", _SHA256, "64 hexadecimal digits in lower case"),
        prepare=table.truth("prepare"),
        mean=table.per_channel("mean"),
        scale=table.per_channel("scale"),
        colour=table.choice("colour", get_args(Colour)),
        score_threshold=table.number("score_threshold", 0, 1),
        nms_threshold=table.number("nms_threshold", 0, 1),
        upright_score=table.number("upright_score", 0, 1),
        refine=table.truth("refine"),
    )
    table.refuse_others()
    return spec


def _embedder(table: Table) -> EmbedderSpec:
    dimension = table.whole("dimension", 2, 8192)
    spec = EmbedderSpec(
        file=table.matching("file", _FILE, "a plain file name ending in .onnx"),
        sha256=table.matching("sha256", _SHA256, "64 hexadecimal digits in lower case"),
        prepare=table.truth("prepare"),
        input=table.text("input"),
        size=table.whole("size", 32, 1024),
        mean=table.per_channel("mean"),
        scale=table.per_channel("scale"),
        colour=table.choice("colour", get_args(Colour)),
        normalisation=table.choice("normalisation", get_args(Normalisation)),
        template=table.choice("template", get_args(Template)),
        dimension=dimension,
        flip=table.truth("flip"),
        centre=table.numbers("centre", dimension),
    )
    table.refuse_others()
    return spec


def _data_terms(table: Table | None) -> DataTerms | None:
    if table is None:
        return None
    terms = DataTerms(
        name=table.text("name"),
        terms=table.text("terms"),
        url=table.text("url"),
        commercial_use=table.choice("commercial_use", get_args(Allowed)),
    )
    table.refuse_others()
    return terms


def _thresholds(table: Table) -> Thresholds:
    thresholds = Thresholds(
        known=table.number("known", -1, 1),
        margin=table.number("margin", 0, 2),
        verify=table.number("verify", -1, 1),
        minimum_quality=table.number("minimum_quality", 0, 1),
        calibrated_on=table.text("calibrated_on"),
        linked=table.optional_number("linked", -1, 1),
        merged=table.optional_number("merged", -1, 1),
    )
    table.refuse_others()
    return thresholds


def manifest_toml(manifest: PackManifest) -> str:
    """Write a manifest as the TOML that `read_manifest` reads back as the same manifest."""
    lines = [f"schema = {SCHEMA}"]
    sections: list[str] = []
    for field in fields(manifest):
        value = getattr(manifest, field.name)
        if is_dataclass(value):
            sections += ["", f"[{field.name}]"]
            stated = ((key.name, getattr(value, key.name)) for key in fields(value))
            sections += [f"{name} = {_toml_value(content)}" for name, content in stated if content is not None]
        elif value is not None:
            lines.append(f"{field.name} = {_toml_value(value)}")
    return "\n".join([*lines, *sections, ""])


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
