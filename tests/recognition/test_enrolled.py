"""Validation of the samples that classifiers learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.recognition.enrolled import EnrolledSamples

MATRIX = np.eye(3, 4, dtype=np.float32)
PERSON_IDS = np.array([7, 3, 7])
QUALITIES = np.array([0.5, 1, 0], dtype=np.float32)


def test_people_are_unique_and_sorted() -> None:
    enrolled = EnrolledSamples(MATRIX, PERSON_IDS, QUALITIES)
    assert enrolled.distinct_ids.tolist() == [3, 7]
    assert enrolled.person_indices.tolist() == [1, 0, 1]
    assert (enrolled.count, enrolled.dimension) == (3, 4)


def test_arrays_are_converted() -> None:
    enrolled = EnrolledSamples(MATRIX.astype(np.float64), PERSON_IDS.astype(np.int32), QUALITIES.astype(np.float64))
    assert enrolled.embeddings.dtype == enrolled.qualities.dtype == np.float32
    assert enrolled.person_ids.dtype == enrolled.distinct_ids.dtype == enrolled.person_indices.dtype == np.int64


@pytest.mark.parametrize(
    ("matrix", "person_ids", "qualities", "message"),
    [
        (np.empty((0, 4)), np.empty(0, np.int64), np.empty(0), "enroll a person first"),
        (np.empty((0, 0)), np.empty(0, np.int64), np.empty(0), r"shape \(N, D\)"),
        (MATRIX[0], PERSON_IDS, QUALITIES, r"shape \(N, D\)"),
        (MATRIX.astype(complex), PERSON_IDS, QUALITIES, "real numbers"),
        (MATRIX.astype(str), PERSON_IDS, QUALITIES, "real numbers"),
        (np.full((3, 4), np.nan), PERSON_IDS, QUALITIES, "finite"),
        (np.full((3, 4), np.inf), PERSON_IDS, QUALITIES, "finite"),
        (2 * MATRIX, PERSON_IDS, QUALITIES, "number 0 is of length 2"),
        (np.zeros((3, 4)), PERSON_IDS, QUALITIES, "length 1"),
        (MATRIX, PERSON_IDS[:2], QUALITIES, "3 integer person ids"),
        (MATRIX, PERSON_IDS.astype(float), QUALITIES, "3 integer person ids"),
        (MATRIX, PERSON_IDS, QUALITIES[:2], "3 qualities"),
        (MATRIX, PERSON_IDS, np.array([0.5, 1.5, 0]), "0..1"),
        (MATRIX, PERSON_IDS, np.array([0.5, np.nan, 0]), "0..1"),
    ],
)
def test_invalid_samples_are_refused(matrix: Any, person_ids: Any, qualities: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EnrolledSamples(matrix, person_ids, qualities)


def test_digest_distinguishes_samples() -> None:
    digest = EnrolledSamples(MATRIX, PERSON_IDS, QUALITIES).digest()
    assert EnrolledSamples(MATRIX.copy(), PERSON_IDS.astype(np.int32), QUALITIES).digest() == digest
    others = [
        EnrolledSamples(-MATRIX, PERSON_IDS, QUALITIES),
        EnrolledSamples(MATRIX, PERSON_IDS + 1, QUALITIES),
        EnrolledSamples(MATRIX, PERSON_IDS, np.float32(0.5) * QUALITIES),
        EnrolledSamples(MATRIX[:2], PERSON_IDS[:2], QUALITIES[:2]),
    ]
    assert len({digest, *(other.digest() for other in others)}) == 5
