"""Large galleries are processed in blocks with the same decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facebank.index.people_index import QUALITY_FLOOR
from facebank.recognition import Recognizer, Rule
from facebank.recognition.calibration.simulation import MAX_SCORES
from facebank.recognition.cohort import Cohort, Correction
from facebank.recognition.confusable import Confusables
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import LinearScorer, PrototypeScorer
from facebank.storage.arrays import normalized

from .synthetic import DIMENSION, make_face, make_names, make_people, make_probes, rules, sample_counts, seeds, shuffle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray


class WholeMatrixScorer(LinearScorer):
    """Scorer that compares each probe with all prototypes at once."""

    def __init__(self, enrolled: EnrolledSamples) -> None:
        sums = np.zeros((len(enrolled.distinct_ids), DIMENSION))
        weights = np.maximum(enrolled.qualities, QUALITY_FLOOR).astype(np.float64)
        np.add.at(sums, enrolled.person_indices, enrolled.embeddings.astype(np.float64) * weights[:, None])
        self.means = normalized(sums).astype(np.float32)
        super().__init__(enrolled.distinct_ids, self.means, np.zeros(len(sums), np.float32))

    def scores_of(self, probe: FloatArray, places: NDArray[np.int64]) -> FloatArray:
        return super().scores_of(probe, places).clip(-1.0, 1.0)


@rules
@given(seed=seeds, counts=sample_counts)
def test_decisions_in_blocks_equal_those_of_the_whole_matrix(rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = shuffle(generator, make_people(generator, counts))
    faces, people_index = make_probes(generator, enrolled), enrolled.index
    assert np.array_equal(people_index.prototypes, WholeMatrixScorer(enrolled).means)
    options: dict[str, Any] = {
        "confusables": Confusables(people_index),
        "cohort": Cohort(people_index, None, Correction(0.75, 0.5)),
    }
    identities = [
        Recognizer(people_index, make_names(enrolled), scorer, rule, **options).identify(faces)
        for scorer in (WholeMatrixScorer(enrolled), PrototypeScorer(people_index))
    ]
    assert identities[0] == identities[1]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.booleans())
def test_order_of_samples_changes_neither_people_nor_owners(drawn: list[int], in_order: bool) -> None:
    person_ids = np.array(sorted(drawn) if in_order else drawn, dtype=np.int64)
    count = len(person_ids)
    enrolled = EnrolledSamples(np.eye(1, 4, dtype=np.float32).repeat(count, 0), person_ids, np.ones(count, np.float32))
    expected: tuple[NDArray[np.int64], NDArray[np.int64]] = np.unique(person_ids, return_inverse=True)
    assert np.array_equal(enrolled.distinct_ids, expected[0])
    assert np.array_equal(enrolled.person_indices, expected[1])
    assert enrolled.person_indices.dtype == np.int64


def test_equal_scores_are_ranked_in_order_of_people() -> None:
    count = MAX_SCORES + 7
    enrolled = EnrolledSamples(
        np.eye(1, DIMENSION, dtype=np.float32).repeat(count, 0), np.arange(count), np.ones(count, np.float32)
    )
    rule = Rule(threshold=0.5, margin=0.1, minimum_quality=0.2, stranger_threshold=2.0)
    recognizer = Recognizer(enrolled.index, make_names(enrolled), PrototypeScorer(enrolled.index), rule)
    (identity,) = recognizer.identify([make_face(enrolled.embeddings[0])], [{0, 2}])
    assert [candidate.person for candidate in identity.candidates] == [f"person {number}" for number in (1, 3, 4, 5, 6)]
