"""Cache of fitted coefficients, one file for each gallery, without pickle.

A linear machine's weights for a person with one photo resemble that photo's embedding. Therefore the file is readable
by its owner only, and is wiped when a person is forgotten (`facebank.gallery.derived`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import stat
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import StorageError
from facebank.gallery.derived import classifier_file
from facebank.recognition.training import FITTED, KERNEL_DRAWS, RECIPE, Coefficients, fit
from facebank.storage.files import write_error, write_file
from facebank.storage.leftovers import wipe_file
from facebank.storage.npz import read_arrays, write_arrays
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import EnrolledSamples

_FORMAT = 1
_ADVICE = "free some space, or set FACEBANK_CACHE to a writable folder"


def fit_cached(
    classifier: str,
    enrolled: EnrolledSamples,
    background: Background | None,
    *,
    gallery: Path,
    revision: int,
    pack_digest: str,
) -> Coefficients:
    """Return the result of `facebank.recognition.training.fit`, cached for the same samples.

    A damaged or unwritable cache is ignored. Raises `UsageError` as `fit` does.

    Parameters
    ----------
    classifier, enrolled, background
        As for `fit`.
    gallery, revision
        Path of the gallery, and its revision when the samples were read.
    pack_digest
        Digest of the pack that made the embeddings.
    """
    path = classifier_file(gallery)
    key = _key(classifier, enrolled, background, revision, pack_digest)
    coefficients = _read(path, key, classifier, enrolled, background)
    if coefficients is None:
        coefficients = fit(classifier, enrolled, background)
        with contextlib.suppress(StorageError):
            _write(path, key, coefficients)
    return coefficients


def _key(
    classifier: str, enrolled: EnrolledSamples, background: Background | None, revision: int, pack_digest: str
) -> bytes:
    # Two successive galleries at one path may have equal revisions, but not equal samples.
    background_digest = None if background is None else background.digest()
    parts = (_FORMAT, RECIPE, classifier, revision, pack_digest, enrolled.digest(), background_digest)
    return hashlib.sha256(repr(parts).encode()).digest()


def _read(
    path: Path, key: bytes, classifier: str, enrolled: EnrolledSamples, background: Background | None
) -> Coefficients | None:
    if classifier not in FITTED:
        return None
    people, dimension = len(enrolled.distinct_ids), enrolled.dimension
    draws = KERNEL_DRAWS if background is not None else 0
    support = enrolled.count + draws if classifier == "svm-rbf" else 0
    expected = {
        "key": ("|u1", (len(key),)),
        "people": ("<i8", (people,)),
        "weights": ("<f4", (people, support or dimension)),
        "biases": ("<f4", (people,)),
        "centre": ("<f4", (dimension,)),
        "support": ("<f4", (support, dimension)),
    }
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as stream:
            arrays = read_arrays(stream, expected)
    except (OSError, InvalidValueError):
        return None
    coefficients = [arrays.pop(name) for name in ("weights", "biases", "centre", "support")]
    is_current = arrays["key"].tobytes() == key and np.array_equal(arrays["people"], enrolled.distinct_ids)
    if not is_current or not all(np.isfinite(array).all() for array in coefficients):
        return None
    return Coefficients(classifier, arrays["people"], *coefficients)


def _write(path: Path, key: bytes, coefficients: Coefficients) -> None:
    buffer = io.BytesIO()
    arrays = {
        "key": np.frombuffer(key, dtype=np.uint8),
        "people": coefficients.person_ids.astype("<i8"),
        "weights": np.ascontiguousarray(coefficients.weights, dtype="<f4"),
        "biases": coefficients.biases.astype("<f4"),
        "centre": coefficients.center.astype("<f4"),
        "support": np.ascontiguousarray(coefficients.support, dtype="<f4"),
    }
    write_arrays(buffer, arrays)
    try:
        wipe_file(path)
    except OSError as error:
        raise write_error(path, error, _ADVICE) from error
    write_file(path, buffer.getvalue(), advice=_ADVICE)
