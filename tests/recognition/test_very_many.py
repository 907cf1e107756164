"""A large gallery is handled in blocks, and decided about as if it were not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.recognition import Recognizer, Rule, scoring
from facebank.recognition.calibration.simulation import KEPT
from facebank.recognition.confusable import Confusables
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.scoring import QUALITY_FLOOR, LinearScorer, PrototypeScorer
from facebank.storage.arrays import normalized

from .made_up import DIMENSION, called, people, probes, rules, said, sample_counts, seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.types import FloatArray, Identity


class AtOnce(LinearScorer):
    """Prototypes summed sample by sample and multiplied as a whole: what blocks must come to."""

    def __init__(self, enrolled: Enrolled) -> None:
        sums = np.zeros((len(enrolled.people), DIMENSION))
        weights = np.maximum(enrolled.qualities, QUALITY_FLOOR).astype(np.float64)
        np.add.at(sums, enrolled.owners, enrolled.matrix.astype(np.float64) * weights[:, None])
        self.made = normalized(sums).astype(np.float32)
        super().__init__(enrolled.people, self.made, np.zeros(len(sums), np.float32))

    def scores(self, probes: FloatArray) -> FloatArray:
        return super().scores(probes).clip(-1.0, 1.0)


def shuffled(generator: np.random.Generator, counts: Sequence[int]) -> Enrolled:
    enrolled = people(generator, counts)
    order = generator.permutation(enrolled.count)
    return Enrolled(enrolled.matrix[order], enrolled.person_ids[order], enrolled.qualities[order])


def without_figures(decision: Identity) -> tuple[object, ...]:
    return *said(decision), tuple(candidate.person for candidate in decision.candidates)


def figures(decisions: Sequence[Identity]) -> list[float]:
    return [candidate.similarity for decision in decisions for candidate in decision.candidates]


@rules
@given(seed=seeds, counts=sample_counts)
def test_decisions_are_those_of_the_whole_matrix(rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = shuffled(generator, counts)
    asked = probes(generator, enrolled)
    whole = Recognizer(enrolled, called(enrolled), AtOnce(enrolled), rule, confusables=Confusables(enrolled))
    scorer = PrototypeScorer(enrolled)
    shared = Confusables(enrolled, None, scorer)
    assert Recognizer(enrolled, called(enrolled), scorer, rule, confusables=shared).identify(asked) == whole.identify(
        asked
    )


@rules
@given(seed=seeds, counts=sample_counts, at_once=st.integers(1, 5))
def test_decisions_in_blocks_are_those_of_the_whole_matrix(
    rule: Rule, seed: int, counts: list[int], at_once: int
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = shuffled(generator, counts)
    asked = probes(generator, enrolled)
    whole = Recognizer(enrolled, called(enrolled), AtOnce(enrolled), rule).identify(asked)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scoring, "_DOUBLES_KEPT", 0)
        patched.setattr(scoring, "_NUMBERS_AT_ONCE", at_once * DIMENSION)
        patched.setattr(scoring, "_AVERAGED_AT_ONCE", at_once * DIMENSION)
        scorer = PrototypeScorer(enrolled)
        assert np.array_equal(scorer.prototypes, AtOnce(enrolled).made)
        blocks = Recognizer(enrolled, called(enrolled), scorer, rule).identify(asked)
    assert list(map(without_figures, blocks)) == list(map(without_figures, whole))
    np.testing.assert_allclose(figures(blocks), figures(whole), rtol=0, atol=6e-8)


@given(seeds, sample_counts)
def test_confusable_people_are_the_same_with_prototypes_made_already(seed: int, counts: list[int]) -> None:
    enrolled = shuffled(np.random.default_rng(seed), counts)
    alone, shared = Confusables(enrolled), Confusables(enrolled, None, PrototypeScorer(enrolled))
    pairs = [(0, other) for other in range(1, len(counts))]
    assert [shared.expected_error(*pair) for pair in pairs] == [alone.expected_error(*pair) for pair in pairs]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.booleans())
def test_people_and_owners_are_the_same_in_any_order(numbers: list[int], in_order: bool) -> None:
    ids = np.array(sorted(numbers) if in_order else numbers, dtype=np.int64)
    enrolled = Enrolled(np.eye(1, 4, dtype=np.float32).repeat(len(ids), 0), ids, np.ones(len(ids), np.float32))
    expected: tuple[NDArray[np.int64], NDArray[np.int64]] = np.unique(ids, return_inverse=True)
    assert np.array_equal(enrolled.people, expected[0])
    assert np.array_equal(enrolled.owners, expected[1])
    assert enrolled.owners.dtype == np.int64


def test_equal_scores_are_ranked_in_the_order_of_people() -> None:
    count = KEPT + 7
    enrolled = Enrolled(
        np.eye(1, DIMENSION, dtype=np.float32).repeat(count, 0), np.arange(count), np.ones(count, np.float32)
    )
    rule = Rule(threshold=0.5, margin=0.1, minimum_quality=0.2, stranger_likeness=2.0)
    recognizer = Recognizer(enrolled, called(enrolled), PrototypeScorer(enrolled), rule)
    asked = replace(probes(np.random.default_rng(0), enrolled, 1)[0], embedding=enrolled.matrix[0])
    (decision,) = recognizer.identify([asked], [{0, 2}])
    assert [candidate.person for candidate in decision.candidates] == [f"person {n}" for n in (1, 3, 4, 5, 6)]
