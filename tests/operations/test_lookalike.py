"""Ranking of look-alikes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.index.people_index import PeopleIndex
from facebank.operations.lookalike import TEMPERATURE, rank_resemblance

if TYPE_CHECKING:
    from facebank.types import FloatArray

DIMENSION = 16


def draw_embeddings(generator: np.random.Generator, count: int) -> FloatArray:
    embeddings = generator.standard_normal((count, DIMENSION))
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), dtype=np.float32)


def make_index(person_ids: list[int], embeddings: FloatArray) -> PeopleIndex:
    return PeopleIndex.from_samples(
        embeddings, np.array(person_ids, dtype=np.int64), np.ones(len(person_ids), np.float32)
    )


def make_names(*person_ids: int) -> dict[int, str]:
    return {person_id: f"person {person_id}" for person_id in person_ids}


def embedding_at(similarity: float) -> FloatArray:
    """Return a unit vector with the given cosine to the first axis, ``float32`` of shape ``(DIMENSION,)``."""
    embedding = np.zeros(DIMENSION, np.float32)
    embedding[:2] = similarity, math.sqrt(1 - similarity**2)
    return embedding


PROBE = embedding_at(1.0)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_shares_sum_to_one_and_increase_with_similarity(seed: int, person_ids: list[int]) -> None:
    generator = np.random.default_rng(seed)
    embeddings, (probe,) = draw_embeddings(generator, len(person_ids)), draw_embeddings(generator, 1)
    ranking = rank_resemblance(probe, make_index(person_ids, embeddings), make_names(*person_ids))
    assert math.fsum(entry.share for entry in ranking) == pytest.approx(1, abs=1e-12)
    assert {entry.person for entry in ranking} == set(make_names(*person_ids).values())
    assert [entry.similarity for entry in ranking] == sorted((entry.similarity for entry in ranking), reverse=True)
    for entry in ranking:
        samples = embeddings[[f"person {person_id}" == entry.person for person_id in person_ids]]
        assert entry.similarity == pytest.approx(float((samples @ probe).max()), abs=1e-6)
        assert 0 < entry.share <= 1
        ratio = math.exp((entry.similarity - ranking[0].similarity) / TEMPERATURE)
        assert entry.share / ranking[0].share == pytest.approx(ratio, rel=1e-9)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_the_order_of_samples_does_not_matter(seed: int, person_ids: list[int]) -> None:
    generator = np.random.default_rng(seed)
    embeddings, order = draw_embeddings(generator, len(person_ids)), generator.permutation(len(person_ids))
    ranking = rank_resemblance(PROBE, make_index(person_ids, embeddings), make_names(*person_ids))
    shuffled = rank_resemblance(
        PROBE, make_index([person_ids[index] for index in order], embeddings[order]), make_names(*person_ids)
    )
    assert [entry.person for entry in shuffled] == [entry.person for entry in ranking]
    assert [entry.share for entry in shuffled] == pytest.approx([entry.share for entry in ranking], rel=1e-9)


def test_a_similarity_higher_by_a_tenth_has_e_times_the_share() -> None:
    index = make_index([1, 2], np.stack([embedding_at(0.4), embedding_at(0.3)]))
    first, second = rank_resemblance(PROBE, index, make_names(1, 2))
    assert first.share / second.share == pytest.approx(math.e, rel=1e-5)


def test_only_the_most_similar_sample_counts() -> None:
    index = make_index([1, 2, 1], np.stack([embedding_at(-0.9), embedding_at(0.2), embedding_at(0.7)]))
    first, second = rank_resemblance(PROBE, index, make_names(1, 2))
    assert (first.person, second.person) == ("person 1", "person 2")
    assert first.similarity == pytest.approx(0.7, abs=1e-6)


def test_a_single_person_has_share_one() -> None:
    (only,) = rank_resemblance(PROBE, make_index([1], embedding_at(-1.0)[np.newaxis]), make_names(1))
    assert (only.similarity, only.share) == (-1.0, 1.0)


def test_the_least_similar_person_has_a_share() -> None:
    first, second = rank_resemblance(
        PROBE, make_index([1, 2], np.stack([embedding_at(1.0), embedding_at(-1.0)])), make_names(1, 2)
    )
    assert first.share + second.share == pytest.approx(1)
    assert second.share == pytest.approx(math.exp(-2 / TEMPERATURE), rel=1e-6)


def test_ties_are_ordered_by_name() -> None:
    index = make_index([1, 2, 3], np.stack([embedding_at(0.3), embedding_at(0.5), embedding_at(0.5)]))
    ranking = rank_resemblance(PROBE, index, {1: "Ada", 2: "Zoë", 3: "Bob"})
    assert [entry.person for entry in ranking] == ["Bob", "Zoë", "Ada"]
    assert ranking[0].share == ranking[1].share


@pytest.mark.parametrize("probe", [np.ones(4, np.float32), np.full(DIMENSION, np.nan, np.float32)])
def test_invalid_embeddings_are_rejected(probe: FloatArray) -> None:
    with pytest.raises(UsageError, match="the face"):
        rank_resemblance(probe, make_index([1], embedding_at(0.5)[np.newaxis]), make_names(1))
