"""Laws of open-set identification, over the real index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.faces import Decision, Detection, Face, Outcome, Quality, Reason
from facebank.gallery import VectorIndex, VectorTable
from facebank.packs import Thresholds
from facebank.recognition import Recognizer

if TYPE_CHECKING:
    from facebank.faces import FloatArray

DIMENSION = 16
THRESHOLDS = Thresholds(known=0.5, margin=0.1, verify=0.45, minimum_quality=0.2, calibrated_on="a test")

seeds = st.integers(0, 2**32 - 1)
sample_counts = st.lists(st.integers(1, 6), min_size=1, max_size=9)


def unit(vectors: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> FloatArray:
    """Return vectors of length 1."""
    lengths = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    scaled: FloatArray = (vectors / lengths).astype(np.float32)
    return scaled


def people(generator: np.random.Generator, counts: Sequence[int]) -> VectorTable:
    """Make up a gallery: samples that lie around one direction for each person."""
    owners = np.repeat(np.arange(1, len(counts) + 1), counts)
    centres = generator.normal(size=(len(counts), DIMENSION))
    matrix = unit(centres[owners - 1] + 0.4 * generator.normal(size=(len(owners), DIMENSION)))
    return VectorTable(np.arange(1, len(owners) + 1), owners, matrix)


def recognizer(table: VectorTable, thresholds: Thresholds = THRESHOLDS) -> Recognizer:
    """Return a recogniser of a gallery whose people are called after their numbers."""
    index = VectorIndex(table.matrix.shape[1])
    index.add(table)
    return Recognizer(index, {int(number): f"person {number}" for number in np.unique(table.person_ids)}, thresholds)


def face(embedding: FloatArray, quality: float = 0.9) -> Face:
    """Return a face of a given embedding."""
    detection = Detection(np.array([0, 0, 50, 60], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return Face(detection, Quality(quality, 60.0, 1.0, 1.0), embedding)


def probes(generator: np.random.Generator, table: VectorTable, count: int = 6) -> list[Face]:
    """Make up probes: some near a sample, some anywhere."""
    near = table.matrix[generator.integers(len(table.matrix), size=count)]
    noise = generator.uniform(0, 1.5, size=(count, 1))
    return [face(vector) for vector in unit(near + noise * generator.normal(size=(count, DIMENSION)))]


def towards(similarity: float, first: int, second: int = 15) -> FloatArray:
    """Return a vector with a given cosine to one axis."""
    vector = np.zeros(DIMENSION)
    vector[first], vector[second] = similarity, (1 - similarity**2) ** 0.5
    return vector.astype(np.float32)


def table_of(rows: Sequence[tuple[int, FloatArray]]) -> VectorTable:
    """Return a gallery of given samples."""
    owners = np.array([owner for owner, _ in rows], dtype=np.int64)
    return VectorTable(np.arange(1, len(rows) + 1), owners, np.stack([vector for _, vector in rows]))


@given(seeds, sample_counts)
def test_a_person_is_named_only_if_known_and_as_the_rules_say(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    table = people(generator, counts)
    for probe, decision in zip(asked := probes(generator, table), recognizer(table).identify(asked), strict=True):
        best = np.array(
            [
                (table.matrix[table.person_ids == number] @ probe.embedding).max()
                for number in np.unique(table.person_ids)
            ]
        )
        ordered = np.sort(best)[::-1]
        earned = ordered[0] >= THRESHOLDS.known and (len(ordered) == 1 or ordered[0] - ordered[1] >= THRESHOLDS.margin)
        near_a_limit = abs(ordered[0] - THRESHOLDS.known) < 1e-5 or (
            len(ordered) > 1 and abs(ordered[0] - ordered[1] - THRESHOLDS.margin) < 1e-5
        )
        assert (decision.person is not None) == (decision.outcome is Outcome.KNOWN)
        assert (decision.reason is Reason.MATCH) == (decision.outcome is Outcome.KNOWN)
        if not near_a_limit:
            assert (decision.outcome is Outcome.KNOWN) == earned
        if decision.person is not None:
            assert decision.person == f"person {int(np.argmax(best)) + 1}"


@given(seeds, sample_counts)
def test_candidates_are_at_most_five_distinct_people_best_first(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    table = people(generator, counts)
    for decision in recognizer(table).identify(probes(generator, table)):
        names = [candidate.person for candidate in decision.candidates]
        similarities = [candidate.similarity for candidate in decision.candidates]
        assert len(names) == len(set(names)) == min(5, len(counts))
        assert similarities == sorted(similarities, reverse=True)
        assert all(-1 <= similarity <= 1 for similarity in similarities)
        assert decision.similarity == similarities[0]
        assert decision.probability is None
        assert decision.person in (None, names[0])


@given(seeds, sample_counts)
def test_a_person_far_away_from_the_probe_changes_no_winner(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    table = people(generator, counts)
    for probe in probes(generator, table):
        (before,) = recognizer(table).identify([probe])
        opposite = VectorTable(
            np.append(table.sample_ids, len(table.sample_ids) + 1),
            np.append(table.person_ids, len(counts) + 1),
            np.vstack([table.matrix, -probe.embedding]),
        )
        (after,) = recognizer(opposite).identify([probe])
        assert (after.person, after.similarity, after.candidates[0]) == (
            before.person,
            before.similarity,
            before.candidates[0],
        )


@given(seeds, sample_counts)
def test_the_order_of_samples_does_not_matter(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    table = people(generator, counts)
    order = generator.permutation(len(table.sample_ids))
    shuffled = VectorTable(table.sample_ids[order], table.person_ids[order], table.matrix[order])
    asked = probes(generator, table)
    assert recognizer(shuffled).identify(asked) == recognizer(table).identify(asked)


@given(seeds, sample_counts)
def test_a_face_is_judged_alike_alone_and_among_others(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    table = people(generator, counts)
    asked = probes(generator, table)
    alone: list[Decision] = [recognizer(table).identify([probe])[0] for probe in asked]
    assert recognizer(table).identify(asked) == alone


@pytest.mark.parametrize("samples_of_the_first", [1, 31, 32, 33, 500])
def test_the_search_goes_on_until_two_people_are_found(samples_of_the_first: int) -> None:
    first = [(1, towards(0.9, 0, 1 + number % 10)) for number in range(samples_of_the_first)]
    table = table_of([*first, (2, towards(0.85, 0))])
    (decision,) = recognizer(table).identify([face(towards(1.0, 0))])
    assert [candidate.person for candidate in decision.candidates] == ["person 1", "person 2"]
    assert (decision.outcome, decision.reason) == (Outcome.UNCERTAIN, Reason.RUNNER_UP_TOO_NEAR)
    assert decision.person is None


def test_a_gallery_of_one_person_uses_the_threshold_alone() -> None:
    table = table_of([(1, towards(1.0, 0)), (1, towards(0.99, 0)), (1, towards(0.98, 0))])
    above, below = recognizer(table).identify([face(towards(0.51, 0, 3)), face(towards(0.45, 0, 3))])
    assert (above.outcome, above.reason, above.person) == (Outcome.KNOWN, Reason.MATCH, "person 1")
    assert (below.outcome, below.reason, below.person) == (Outcome.UNKNOWN, Reason.BELOW_THRESHOLD, None)


def test_a_face_too_poor_is_not_named_however_similar() -> None:
    table = table_of([(1, towards(1.0, 0))])
    (decision,) = recognizer(table).identify([face(towards(1.0, 0), quality=0.1)])
    assert (decision.outcome, decision.reason, decision.person) == (Outcome.UNCERTAIN, Reason.FACE_TOO_POOR, None)


def test_an_empty_gallery_knows_nobody() -> None:
    empty = Recognizer(VectorIndex(DIMENSION), {}, THRESHOLDS)
    (decision,) = empty.identify([face(towards(1.0, 0))])
    assert decision == Decision(Outcome.UNKNOWN, Reason.GALLERY_EMPTY, None, None, None, ())
    assert empty.identify([]) == []


def test_people_without_samples_are_no_candidates() -> None:
    table = table_of([(1, towards(1.0, 0)), (2, towards(1.0, 1))])
    index = VectorIndex(DIMENSION)
    index.add(table)
    names = {1: "Ada", 2: "Grace", 3: "nobody yet"}
    (decision,) = Recognizer(index, names, THRESHOLDS).identify([face(towards(1.0, 0))])
    assert [candidate.person for candidate in decision.candidates] == ["Ada", "Grace"]


def test_an_embedding_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="16"):
        recognizer(table_of([(1, towards(1.0, 0))])).identify([face(np.ones(4, np.float32))])
