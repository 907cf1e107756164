"""The content of ``pack.toml``, read and checked; ``models/README.md`` documents every key."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

from facebank.errors import ManifestError
from facebank.storage.text import printable, shell_command

MANIFEST_NAME = "pack.toml"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
MAX_MANIFEST_BYTES = 1 << 18
TOML_KEYS = {
    "license": "licence",
    "license_url": "licence_url",
    "color": "colour",
    "normalization": "normalisation",
    "center": "centre",
}
"""Fields whose key in ``pack.toml`` is spelled otherwise."""

DetectorKind: TypeAlias = Literal["yunet", "scrfd"]
ColorOrder: TypeAlias = Literal["RGB", "BGR"]
Normalization: TypeAlias = Literal["fixed", "per_image"]
Template: TypeAlias = Literal["arcface", "facenet"]
Allowed: TypeAlias = Literal["yes", "no", "unknown"]
PerChannel: TypeAlias = tuple[float, float, float]
"""A number for each color channel, in the network's order."""

_SCHEMA = 1
_MAX_DOTS = 10_000  # tomllib's time for a key of n parts grows as n * n: half a second for these
_MAX_TEXT = 500
_MAX_NUMBER = 1e6
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?<!\.)")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\.onnx")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """How a pack finds faces.

    Attributes
    ----------
    kind
        How the network's outputs are read.
    file, sha256
        The ONNX file in the pack's folder, and its hash.
    prepare
        Whether the file is dequantized and its axes freed before use.
    mean, scale
        The network's input is ``(x - mean) * scale`` of pixels 0..255, per channel in its color order.
    color
        Order of the input's channels.
    score_threshold
        Detections with a lower score are dropped, 0..1.
    nms_threshold
        IoU above which the weaker of two boxes is dropped, 0..1.
    upright_score
        Score that only upright faces reach, 0..1: below it, a photo without EXIF orientation is tried turned.
    refine
        Whether landmarks are detected again on an enlarged crop of each face: for detectors with noisy landmarks.
    """

    kind: DetectorKind
    file: str
    sha256: str
    prepare: bool
    mean: PerChannel
    scale: PerChannel
    color: ColorOrder
    score_threshold: float
    nms_threshold: float
    upright_score: float
    refine: bool


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """How a pack turns an aligned face into a vector.

    Attributes
    ----------
    file, sha256, prepare, mean, scale, color
        As of `DetectorSpec`.
    input
        Name of the network's input.
    size
        Side of the square crop in pixels.
    normalization
        ``fixed``: `mean` and `scale` only; ``per_image``: then each crop gets mean 0 and deviation 1 (FaceNet).
    template
        Where the five landmarks lie in the crop.
    dimension
        Length of the embedding.
    flip
        Whether the embedding is the mean of the crop's and its mirror image's.
    center
        Mean embedding of many people, subtracted from every embedding before it is normalized, `dimension` numbers;
        empty for none.
    """

    file: str
    sha256: str
    prepare: bool
    input: str
    size: int
    mean: PerChannel
    scale: PerChannel
    color: ColorOrder
    normalization: Normalization
    template: Template
    dimension: int
    flip: bool
    center: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The similarities from which decisions are made.

    Attributes
    ----------
    known
        Similarity from which a person may be named, -1..1.
    margin
        Least lead over the runner-up, 0..2.
    verify
        Similarity from which two photos show the same person, -1..1.
    minimum_quality
        Quality from which a face is compared at all, 0..1.
    calibrated_on
        The data that the numbers were found on.
    linked
        Similarity from which two faces of strangers are grouped, -1..1; None if not measured.
    merged
        Similarity of their means from which two groups become one, -1..1; None if not measured.
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
        Whether these terms allow commercial use.
    """

    name: str
    terms: str
    url: str
    commercial_use: Allowed


@dataclass(frozen=True, slots=True)
class PackManifest:
    """The content of a ``pack.toml``.

    Attributes
    ----------
    name
        The pack's name on the command line: lower-case letters, digits, ``.``, ``_`` and ``-``.
    title, version, source
        For people: what it is, which edition, where it comes from.
    license, license_url
        License of the weights, and where its text is.
    commercial_use
        Whether that license allows commercial use; `commercial_use_known` takes the data's terms into account.
    training_data
        What the networks were trained on; None if the pack does not say.
    fitted_data
        What thresholds, mean embedding and calibration were fitted on; None for nothing, or if not said.
    """

    name: str
    title: str
    version: str
    source: str
    license: str
    license_url: str
    commercial_use: bool
    detector: DetectorSpec
    embedder: EmbedderSpec
    thresholds: Thresholds
    training_data: DataTerms | None = None
    fitted_data: DataTerms | None = None

    @property
    def commercial_use_known(self) -> bool | None:
        """Whether commercial use is allowed by the license and by the terms of all data.

        None if unknown: the license allows it, but the terms of the data do not, or are not stated.
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
        made_by = {
            "detector": ("kind", "sha256", "mean", "scale", "color", "refine"),
            "embedder": (
                *("sha256", "size", "mean", "scale", "color", "normalization"),
                *("template", "dimension", "flip", "center"),
            ),
        }
        content = {part: [getattr(getattr(self, part), field) for field in made_by[part]] for part in made_by}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_pack_name(text: str) -> bool:
    """Return whether `text` is a valid name of a pack."""
    return _NAME.fullmatch(text) is not None


def read_manifest(folder: Path, name: str = MANIFEST_NAME) -> PackManifest:
    """Read and check a manifest.

    Parameters
    ----------
    folder
        The pack's folder.
    name
        The manifest's file name.

    Raises
    ------
    ManifestError
        It is missing, unreadable, too long or has a wrong value; the message names file and key.
    """
    label = printable(str(folder / name))
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ManifestError(
            f"{label} cannot be read ({error.strerror}): a pack is a folder with a pack.toml"
        ) from error
    return parse_manifest(data, label)


def parse_manifest(data: bytes, label: str = MANIFEST_NAME) -> PackManifest:
    """Read and check the bytes of a manifest, TOML in UTF-8 of at most 256 KiB; `label` names it in messages.

    Raises
    ------
    ManifestError
        As `read_manifest`.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{label} is longer than {MAX_MANIFEST_BYTES} bytes: this is no pack manifest")
    if data.count(b".") > _MAX_DOTS:
        raise ManifestError(f"{label} holds more than {_MAX_DOTS} dots: this is no pack manifest")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of too many digits is a mere ValueError
        raise ManifestError(f"{label} is not valid TOML: {printable(str(error)) or 'nested too deeply'}") from error
    return _manifest(_Table(content, label))


def manifest_toml(manifest: PackManifest) -> str:
    """Return a manifest as TOML, which `read_manifest` reads back as the same manifest."""
    lines = [f"schema = {_SCHEMA}"]
    sections: list[str] = []
    for field in fields(manifest):
        value = getattr(manifest, field.name)
        if is_dataclass(value):
            sections += ["", f"[{field.name}]", *_toml_lines(value, *(each.name for each in fields(value)))]
        else:
            lines += _toml_lines(manifest, field.name)
    return "\n".join([*lines, *sections, ""])


def license_notice(manifest: PackManifest) -> str:
    """Return one line on the license of a pack and the terms of its data."""
    data = manifest.training_data
    trained = "it does not say what it was trained on" if data is None else f"trained on: {data.name} ({data.terms})"
    return (
        f"the pack {manifest.name!r} ({manifest.title}) is licensed under: {manifest.license}; "
        f"{trained}; commercial use: {commercial_use(manifest)}; text: {manifest.license_url}"
    )


def terms_notice(manifest: PackManifest) -> str | None:
    """Return one line on what restricts the use of a pack, for its first use; None if nothing does."""
    if manifest.commercial_use_known:
        return None
    what = (
        "the license of its weights allows commercial use; whether the data they were trained on do is not known"
        if manifest.commercial_use
        else f"it is not for commercial use ({manifest.license})"
    )
    return f"the pack {manifest.name!r} reads the faces: {what}; see `{shell_command('packs', 'show', manifest.name)}`"


def commercial_use(manifest: PackManifest) -> str:
    """Return whether commercial use is allowed: ``allowed``, ``not allowed`` or ``not known``."""
    return {True: "allowed", False: "not allowed", None: "not known"}[manifest.commercial_use_known]


class _Table:
    """Typed access to a TOML table; raises ManifestError on a missing key or a wrong value.

    Keys are given as the fields of the dataclasses are called. `prefix` is what messages put before a key: the table's
    name and a dot.
    """

    def __init__(self, content: Mapping[str, object], label: str, prefix: str = "") -> None:
        self._content = content
        self._label = label
        self._prefix = prefix
        self._read: set[str] = set()

    def wrong(self, key: str, wanted: str) -> ManifestError:
        """Return the error for a key that is missing or wrong."""
        name = TOML_KEYS.get(key, key)
        state = "is wrong" if name in self._content else "is missing"
        return ManifestError(f"{self._label}: {self._prefix}{name} {state}: it must be {wanted}")

    def table(self, key: str) -> _Table:
        value = self._value(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return _Table(value, self._label, f"{self._prefix}{key}.")

    def optional_table(self, key: str) -> _Table | None:
        return None if self._value(key) is None else self.table(key)

    def text(self, key: str) -> str:
        """Return one line of printable text."""
        value = self._value(key)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= _MAX_TEXT:
            raise self.wrong(key, f"text of 1 to {_MAX_TEXT} characters")
        if printable(value) != value:
            raise self.wrong(key, "one line of text without control characters")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise self.wrong(key, wanted)
        return value

    def choice(self, key: str, choices: tuple[_Choice, ...]) -> _Choice:
        value = self._value(key)
        for choice in choices:
            if value == choice:
                return choice
        raise self.wrong(key, " or ".join(map(repr, choices)))

    def boolean(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"{least}" if least == most else f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, least: float, most: float) -> float:
        value = _finite(self._value(key))
        if value is None or not least <= value <= most:
            raise self.wrong(key, f"a number from {least} to {most}")
        return value

    def optional_number(self, key: str, least: float, most: float) -> float | None:
        return None if self._value(key) is None else self.number(key, least, most)

    def per_channel(self, key: str) -> PerChannel:
        """Return three numbers, from a list of three or one for all channels."""
        value = self._value(key)
        match [_finite(entry) for entry in (value if isinstance(value, list) else [value] * 3)]:
            case [float(first), float(second), float(third)]:
                return first, second, third
        raise self.wrong(key, "a number, or a list of three")

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return a list of `count` numbers; an empty tuple for an empty list or a missing key."""
        value = self._value(key)
        if value is None or value == []:
            return ()
        numbers = [_finite(entry) for entry in value] if isinstance(value, list) else []
        finite = tuple(number for number in numbers if number is not None)
        if len(finite) != count or len(numbers) != count:
            raise self.wrong(key, f"a list of {count} numbers, or an empty one")
        return finite

    def refuse_others(self) -> None:
        """Raise ManifestError if the table has a key that was not read."""
        others = sorted(set(self._content) - self._read)
        if others:
            raise ManifestError(f"{self._label}: {self._prefix}{printable(others[0])} is no key of a pack manifest")

    def _value(self, key: str) -> object:
        name = TOML_KEYS.get(key, key)
        self._read.add(name)
        return self._content.get(name)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _MAX_NUMBER else None  # not so for NaN


def _manifest(top: _Table) -> PackManifest:
    top.integer("schema", _SCHEMA, _SCHEMA)
    name = top.text("name")
    if not is_pack_name(name):
        raise top.wrong("name", "lower-case letters, digits, '.', '_' and '-', starting with a letter or digit")
    manifest = PackManifest(
        name=name,
        title=top.text("title"),
        version=top.text("version"),
        source=top.text("source"),
        license=top.text("license"),
        license_url=top.text("license_url"),
        commercial_use=top.boolean("commercial_use"),
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


def _detector(table: _Table) -> DetectorSpec:
    spec = DetectorSpec(
        kind=table.choice("kind", get_args(DetectorKind)),
        file=table.matching("file", _FILE, "a plain file name ending in .onnx"),
        sha256=table.matching("sha256", _SHA256, "64 hexadecimal digits in lower case"),
        prepare=table.boolean("prepare"),
        mean=table.per_channel("mean"),
        scale=table.per_channel("scale"),
        color=table.choice("color", get_args(ColorOrder)),
        score_threshold=table.number("score_threshold", 0, 1),
        nms_threshold=table.number("nms_threshold", 0, 1),
        upright_score=table.number("upright_score", 0, 1),
        refine=table.boolean("refine"),
    )
    table.refuse_others()
    return spec


def _embedder(table: _Table) -> EmbedderSpec:
    dimension = table.integer("dimension", 2, 8192)
    spec = EmbedderSpec(
        file=table.matching("file", _FILE, "a plain file name ending in .onnx"),
        sha256=table.matching("sha256", _SHA256, "64 hexadecimal digits in lower case"),
        prepare=table.boolean("prepare"),
        input=table.text("input"),
        size=table.integer("size", 32, 1024),
        mean=table.per_channel("mean"),
        scale=table.per_channel("scale"),
        color=table.choice("color", get_args(ColorOrder)),
        normalization=table.choice("normalization", get_args(Normalization)),
        template=table.choice("template", get_args(Template)),
        dimension=dimension,
        flip=table.boolean("flip"),
        center=table.numbers("center", dimension),
    )
    table.refuse_others()
    return spec


def _data_terms(table: _Table | None) -> DataTerms | None:
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


def _thresholds(table: _Table) -> Thresholds:
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


def _toml_lines(holder: object, *names: str) -> list[str]:
    values = ((name, getattr(holder, name)) for name in names)
    return [f"{TOML_KEYS.get(name, name)} = {_toml_value(value)}" for name, value in values if value is not None]


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
