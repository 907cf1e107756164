"""Manifests of packs (``pack.toml``), read and validated; ``models/README.md`` documents all keys."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

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
"""Keys in ``pack.toml`` that differ from the name of the field, by field."""

DetectorKind: TypeAlias = Literal["yunet", "scrfd"]
ColorOrder: TypeAlias = Literal["RGB", "BGR"]
Normalization: TypeAlias = Literal["fixed", "per_image"]
Template: TypeAlias = Literal["arcface", "facenet"]
Allowed: TypeAlias = Literal["yes", "no", "unknown"]
PerChannel: TypeAlias = tuple[float, float, float]
"""One number per color channel, in the network's order."""

# Annotations constrain a value in pack.toml: a pattern and its description, or the smallest and the largest number.
OnnxFile: TypeAlias = Annotated[
    str, re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\.onnx"), "a plain file name ending in .onnx"
]
Sha256: TypeAlias = Annotated[str, re.compile(r"[0-9a-f]{64}"), "64 hexadecimal digits in lower case"]
Name: TypeAlias = Annotated[
    str,
    re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?<!\.)"),
    "lower-case letters, digits, '.', '_' and '-', starting with a letter or digit",
]
Fraction: TypeAlias = Annotated[float, 0, 1]
Cosine: TypeAlias = Annotated[float, -1, 1]

_SCHEMA = 1
_MAX_DOTS = 10_000  # tomllib takes time proportional to n * n for a key of n parts
_MAX_TEXT = 500
_MAX_NUMBER = 1e6
_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """The detector of a pack: its network, preprocessing and thresholds."""

    kind: DetectorKind  # kind of network, which determines how its outputs are decoded
    file: OnnxFile  # name of the ONNX file in the pack's folder
    sha256: Sha256  # hash of the file
    prepare: bool  # whether the file is dequantized and its axes made dynamic before use
    mean: PerChannel  # subtracted from the pixels, 0..255
    scale: PerChannel  # factor of the pixels after the subtraction
    color: ColorOrder  # order of the input's channels
    score_threshold: Fraction  # detections with a lower score are dropped, 0..1
    nms_threshold: Fraction  # IoU above which the weaker of two boxes is dropped, 0..1
    # score that only upright faces reach, 0..1: with lower ones, a photo without EXIF orientation is tried turned
    upright_score: Fraction
    # whether landmarks are detected again on an enlarged crop of each face: for detectors with noisy landmarks
    refine: bool
    # smallest score of a hint, 0..1: a weak detection at a small scale whose surroundings are searched at a larger one;
    # None to search the whole photo at the larger scale
    hint_score: Fraction | None = None


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """The embedder of a pack; fields of the same name mean the same as in `DetectorSpec`."""

    file: OnnxFile
    sha256: Sha256
    prepare: bool
    input: str  # name of the network's input
    size: Annotated[int, 32, 1024]  # side of the square crop in pixels
    mean: PerChannel
    scale: PerChannel
    color: ColorOrder
    # ``fixed``: `mean` and `scale` only; ``per_image``: then each crop gets mean 0 and deviation 1 (FaceNet)
    normalization: Normalization
    template: Template  # positions of the five landmarks in the crop
    dimension: Annotated[int, 2, 8192]  # length of the embedding
    flip: bool  # whether the embedding is the mean of those of the crop and its mirror image
    # mean embedding of many people, `dimension` numbers, subtracted from each embedding before it is normalized; empty
    # for none
    center: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of decisions; similarities are cosines, -1..1."""

    known: Cosine  # similarity from which a person may be named, -1..1
    margin: Annotated[float, 0, 2]  # smallest lead over the second-best person, 0..2
    verify: Cosine  # similarity from which two photos show the same person, -1..1
    minimum_quality: Fraction  # quality from which a face is compared at all, 0..1
    calibrated_on: str  # data on which the thresholds were calibrated
    # similarity from which two faces of strangers are grouped, -1..1; None if not measured
    linked: Cosine | None = None
    # similarity of their means from which two groups become one, -1..1; None if not measured
    merged: Cosine | None = None


@dataclass(frozen=True, slots=True)
class DataTerms:
    """Terms of the data sets behind a pack."""

    name: str  # names of the data sets
    terms: str  # the terms, in one sentence
    url: str  # address of the terms
    commercial_use: Allowed  # whether the terms allow commercial use


@dataclass(frozen=True, slots=True)
class PackManifest:
    """The content of a ``pack.toml``."""

    name: Name  # the pack's name on the command line: lower-case letters, digits, ``.``, ``_`` and ``-``
    title: str  # what the pack is, for display
    version: str  # version of the pack, for display
    source: str  # where the pack comes from, for display
    license: str  # license of the weights
    license_url: str  # address of the license's text
    # whether that license allows commercial use; `allows_commercial_use` considers the terms of the data too
    commercial_use: bool
    detector: DetectorSpec
    embedder: EmbedderSpec
    thresholds: Thresholds
    training_data: DataTerms | None = None  # data of the networks' training; None if not stated
    # data of thresholds, mean embedding and calibration; None if there are none, or if not stated
    fitted_data: DataTerms | None = None

    @property
    def allows_commercial_use(self) -> bool | None:
        """Whether commercial use is allowed by the license and by the terms of all data.

        None if unknown: the license allows it, but the terms of the data do not, or are not stated.
        """
        if not self.commercial_use:
            return False
        data = [self.training_data, *([self.fitted_data] if self.fitted_data else [])]
        return True if all(terms is not None and terms.commercial_use == "yes" for terms in data) else None

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 in hex of the pack's ONNX files, by file name."""
        return {self.detector.file: self.detector.sha256, self.embedder.file: self.embedder.sha256}

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all that determines embeddings: networks, preprocessing and alignment."""
        names = {
            "detector": ("kind", "sha256", "mean", "scale", "color", "refine"),
            "embedder": (
                *("sha256", "size", "mean", "scale", "color", "normalization"),
                *("template", "dimension", "flip", "center"),
            ),
        }
        content = {part: [getattr(getattr(self, part), name) for name in names[part]] for part in names}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_pack_name(text: str) -> bool:
    """Return whether `text` is a valid name of a pack."""
    return bool(get_args(Name)[1].fullmatch(text))


def read_manifest(folder: Path, name: str = MANIFEST_NAME) -> PackManifest:
    """Return the manifest in a pack's folder; raises `ManifestError` with file and key if it is missing or wrong."""
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
    """Return the manifest in TOML data of at most 256 KiB; raises as `read_manifest`; `label` names it in messages."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{label} is longer than {MAX_MANIFEST_BYTES} bytes: use the pack.toml of a pack")
    if data.count(b".") > _MAX_DOTS:
        raise ManifestError(f"{label} contains more than {_MAX_DOTS} dots: use the pack.toml of a pack")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # numbers with too many digits raise a plain ValueError
        raise ManifestError(
            f"{label} is not valid TOML: {printable(str(error)) or 'nested too deeply'}: correct it"
        ) from error
    schema = content.pop("schema", None)
    if type(schema) is not int or schema != _SCHEMA:
        raise _key_error(label, "schema", str(_SCHEMA), "is missing" if schema is None else "is wrong")
    manifest = _read(PackManifest, content, label)
    if manifest.detector.file == manifest.embedder.file:
        raise _key_error(label, "embedder.file", "a different file than the detector's")
    dimension = manifest.embedder.dimension
    if len(manifest.embedder.center) not in {0, dimension}:
        raise _key_error(label, "embedder.centre", f"a list of {dimension} numbers, or an empty one")
    return manifest


def manifest_toml(manifest: PackManifest) -> str:
    """Return a manifest as TOML, from which `read_manifest` reads an equal manifest."""
    lines = [f"schema = {_SCHEMA}"]
    sections: list[str] = []
    for field in fields(manifest):
        value = getattr(manifest, field.name)
        if is_dataclass(value):
            sections += ["", f"[{field.name}]", *_toml_lines(value, *(nested.name for nested in fields(value)))]
        else:
            lines += _toml_lines(manifest, field.name)
    return "\n".join([*lines, *sections, ""])


def license_notice(manifest: PackManifest) -> str:
    """Return one line that states the license of a pack and the terms of its data."""
    data = manifest.training_data
    trained = "its training data is not stated" if data is None else f"trained on: {data.name} ({data.terms})"
    return (
        f"the pack {manifest.name!r} ({manifest.title}) is licensed under: {manifest.license}; "
        f"{trained}; commercial use: {commercial_use(manifest)}; text: {manifest.license_url}"
    )


def terms_notice(manifest: PackManifest) -> str | None:
    """Return one line that states the restrictions of a pack, shown at its first use; None if there are none."""
    if manifest.allows_commercial_use:
        return None
    if not manifest.commercial_use:
        restriction = f"it is not for commercial use ({manifest.license})"
    elif manifest.training_data is None:
        restriction = (
            "the license of its weights allows commercial use, but pack.toml does not state its training data, so it "
            "is not known whether their terms allow it"
        )
    else:
        restriction = "the license of its weights allows commercial use, but the terms of its training data may not"
    return f"using the pack {manifest.name!r}: {restriction}; see `{shell_command('packs', 'show', manifest.name)}`"


def commercial_use(manifest: PackManifest) -> str:
    """Return whether commercial use is allowed: ``allowed``, ``not allowed`` or ``not known``."""
    return {True: "allowed", False: "not allowed", None: "not known"}[manifest.allows_commercial_use]


def _key_error(label: str, key: str, expected: str, state: str = "is wrong") -> ManifestError:
    return ManifestError(f"{label}: {key} {state}: it must be {expected}")


def _read(content_type: type[_Content], table: Mapping[str, object], label: str, prefix: str = "") -> _Content:
    """Return a TOML table as a dataclass, with values validated by the types of the fields.

    `label` names the file in messages; `prefix` is the table's name and a dot, put before its keys. Raises
    `ManifestError` if a key is missing or unknown, or a value does not fit its field.
    """
    hints = get_type_hints(content_type, include_extras=True)
    keys = {field.name: TOML_KEYS.get(field.name, field.name) for field in fields(content_type)}  # type: ignore[arg-type]
    values: dict[str, object] = {}
    for field in fields(content_type):  # type: ignore[arg-type]
        key, value, hint = keys[field.name], table.get(keys[field.name]), hints[field.name]
        if value is None and field.default is not MISSING:
            continue
        if get_origin(hint) is UnionType or type(None) in get_args(hint):
            hint = get_args(hint)[0]
        if is_dataclass(hint):
            if not isinstance(value, dict):
                raise _key_error(label, f"{prefix}{key}", "a table", "is wrong" if key in table else "is missing")
            values[field.name] = _read(hint, value, label, f"{prefix}{key}.")  # type: ignore[arg-type]
            continue
        checked, expected = _check_value(value, hint)
        if checked is None:
            raise _key_error(label, f"{prefix}{key}", expected, "is wrong" if key in table else "is missing")
        values[field.name] = checked
    unknown = sorted(set(table) - set(keys.values()))
    if unknown:
        raise ManifestError(f"{label}: unknown key {prefix}{printable(unknown[0])}: remove it, or correct its spelling")
    return content_type(**values)


def _check_value(value: object, hint: Any) -> tuple[object, str]:
    """Return a value validated by a field's type, or None if it does not fit, and a description of valid values."""
    if get_origin(hint) is Annotated:
        base, *constraint = get_args(hint)
        if base is str:
            pattern, description = constraint
            return (value if isinstance(value, str) and pattern.fullmatch(value) else None), description
        minimum, maximum = constraint
        number = _finite_number(value) if base is float else value if type(value) is int else None
        is_valid = number is not None and minimum <= number <= maximum
        noun = "a whole number" if base is int else "a number"
        return number if is_valid else None, f"{noun} from {minimum} to {maximum}"
    if get_origin(hint) is Literal:
        return (value if value in get_args(hint) else None), " or ".join(map(repr, get_args(hint)))
    return _CHECKS[hint](value)


def _check_text(value: object) -> tuple[object, str]:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= _MAX_TEXT:
        return None, f"text of 1 to {_MAX_TEXT} characters"
    return (value if printable(value) == value else None), "one line of text without control characters"


def _check_boolean(value: object) -> tuple[object, str]:
    return (value if isinstance(value, bool) else None), "true or false"


def _check_per_channel(value: object) -> tuple[object, str]:
    numbers = tuple(map(_finite_number, value if isinstance(value, list) else [value] * 3))
    return (numbers if len(numbers) == 3 and None not in numbers else None), "a number, or a list of three"


def _check_numbers(value: object) -> tuple[object, str]:
    numbers = tuple(map(_finite_number, value)) if isinstance(value, list) else (None,)
    return (None if None in numbers else numbers), "a list of as many numbers as the dimension, or an empty one"


def _finite_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _MAX_NUMBER else None  # False for NaN


_CHECKS: dict[Any, Callable[[object], tuple[object, str]]] = {
    str: _check_text,
    bool: _check_boolean,
    PerChannel: _check_per_channel,
    tuple[float, ...]: _check_numbers,
}


def _toml_lines(holder: object, *names: str) -> list[str]:
    values = ((name, getattr(holder, name)) for name in names)
    return [f"{TOML_KEYS.get(name, name)} = {_toml_value(value)}" for name, value in values if value is not None]


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
