"""Properties of simulated galleries, tested with embeddings that identify person and photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition.calibration import simulation
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.simulation import (
    MAX_PROBES,
    MAX_SCORES,
    GalleryPlan,
    Identities,
    SimulatedSearches,
    simulate,
)
from facebank.recognition.scoring import CLASSIFIERS, PersonScorer
from facebank.recognition.training import build_scorer

from .synthetic import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.recognition.enrolled import EnrolledSamples
    from facebank.types import FloatArray

DIMENSION = 24
BACKGROUND = Background(np.zeros(DIMENSION, np.float32), np.diag(np.full(DIMENSION, 1 / DIMENSION, np.float32)))

count_lists = st.lists(st.integers(1, 9), min_size=4, max_size=25)
seeds = st.integers(0, 2**32 - 1)


def make_shuffled_identities(photo_counts: Sequence[int], noise: float = 0.1, seed: int = 0) -> Identities:
    """Return synthetic people whose photos scatter around one direction each, in random order."""
    generator = np.random.default_rng(seed)
    person_ids = generator.permutation(np.repeat(np.arange(len(photo_counts)), photo_counts))
    directions = normalize(generator.normal(size=(len(photo_counts), DIMENSION)))[person_ids].astype(np.float64)
    embeddings = normalize(directions + noise * generator.normal(size=directions.shape))
    return Identities(embeddings, person_ids.astype(np.int64), np.linspace(0, 1, len(person_ids), dtype=np.float32))


class RecordingBuilder:
    """Records enrolled and searched embeddings while passing them to the real scorers."""

    def __init__(self) -> None:
        self.enrolled: list[EnrolledSamples] = []
        self.probes: list[FloatArray] = []

    def build(self, classifier: str, enrolled: EnrolledSamples, background: Background | None = None) -> PersonScorer:
        self.enrolled.append(enrolled)
        scorer = build_scorer(classifier, enrolled, background)
        score = scorer.scores

        def record_and_score(probes: FloatArray) -> FloatArray:
            self.probes.append(probes)
            return score(probes)

        scorer.scores = record_and_score  # type: ignore[method-assign]
        return scorer


def run_simulation(
    photo_counts: Sequence[int], plan: GalleryPlan, seed: int = 0, classifier: str = "prototype", **options: Any
) -> tuple[Identities, SimulatedSearches, EnrolledSamples, FloatArray]:
    """Simulate a gallery and return the searches with the enrolled and searched embeddings."""
    identities, recorder = make_shuffled_identities(photo_counts, **options), RecordingBuilder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "build_scorer", recorder.build)
        searches = simulate(identities, plan, classifier, BACKGROUND, np.random.default_rng(seed))
    (enrolled,), (probes,) = recorder.enrolled, recorder.probes
    return identities, searches, enrolled, probes


def photo_numbers(identities: Identities, embeddings: FloatArray) -> list[int]:
    """Return the photo numbers of embeddings."""
    numbers = {embedding.tobytes(): number for number, embedding in enumerate(identities.embeddings)}
    return [numbers[embedding.tobytes()] for embedding in embeddings]


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], GalleryPlan]:
    photo_counts = draw(count_lists)
    size = draw(st.integers(1, len(photo_counts) - 1))
    return photo_counts, GalleryPlan(size, draw(st.integers(1, 6)), strangers=draw(st.integers(1, 30)))


@given(plans(), seeds)
def test_probes_are_distinct_and_not_enrolled(case: tuple[list[int], GalleryPlan], seed: int) -> None:
    photo_counts, plan = case
    identities, searches, enrolled, probes = run_simulation(photo_counts, plan, seed)
    enrolled_photos, searched = photo_numbers(identities, enrolled.embeddings), photo_numbers(identities, probes)
    assert not set(enrolled_photos) & set(searched)
    assert len(set(enrolled_photos)) == len(enrolled_photos)
    assert len(set(searched)) == len(searched) == len(searches.scores)


@given(plans(), seeds)
def test_strangers_are_not_enrolled_and_have_one_photo(case: tuple[list[int], GalleryPlan], seed: int) -> None:
    photo_counts, plan = case
    identities, searches, enrolled, probes = run_simulation(photo_counts, plan, seed)
    people = identities.person_ids[photo_numbers(identities, enrolled.embeddings)]
    searched = identities.person_ids[photo_numbers(identities, probes)]
    assert len(set(people)) == plan.size == searches.size
    assert set(searched[searches.mated]) <= set(people)
    strangers = searched[~searches.mated].tolist()
    assert not set(strangers) & set(people)
    assert len(set(strangers)) == len(strangers) == min(plan.strangers, len(photo_counts) - plan.size)


@given(plans(), seeds)
def test_planned_samples_leave_one_photo_to_search(case: tuple[list[int], GalleryPlan], seed: int) -> None:
    photo_counts, plan = case
    identities, searches, enrolled, probes = run_simulation(photo_counts, plan, seed)
    person_ids = identities.person_ids[photo_numbers(identities, enrolled.embeddings)]
    samples = {int(person_id): int((person_ids == person_id).sum()) for person_id in person_ids}
    for person_id, count in samples.items():
        assert count == max(1, min(plan.samples_each, photo_counts[person_id] - 1))
    assert sorted(searches.enrolled.tolist()) == sorted(samples.values())
    searched = identities.person_ids[photo_numbers(identities, probes)][searches.mated].tolist()
    for person_id, count in samples.items():
        assert searched.count(person_id) == min(MAX_PROBES, photo_counts[person_id] - count)


@given(plans(), seeds)
def test_probe_weights_sum_to_one_per_person(case: tuple[list[int], GalleryPlan], seed: int) -> None:
    photo_counts, plan = case
    identities, searches, _, probes = run_simulation(photo_counts, plan, seed)
    searched = identities.person_ids[photo_numbers(identities, probes)]
    for person in set(searched.tolist()):
        assert searches.weights[searched == person].sum() == pytest.approx(1)


@given(plans(), seeds, st.sampled_from(["prototype", "knn", "svm"]))
def test_scores_are_sorted_and_own_column_is_the_probes_person(
    case: tuple[list[int], GalleryPlan], seed: int, classifier: str
) -> None:
    photo_counts, plan = case
    identities, searches, enrolled, probes = run_simulation(photo_counts, plan, seed, classifier, noise=0.6)
    scores = build_scorer(classifier, enrolled, BACKGROUND).scores(probes)
    width = min(MAX_SCORES, plan.size)
    assert searches.scores.shape == searches.sample_counts.shape == (len(probes), width)
    np.testing.assert_array_equal(searches.scores, -np.sort(-scores, axis=1)[:, :width])
    sample_person_ids = identities.person_ids[photo_numbers(identities, enrolled.embeddings)]
    column_of = {int(sample_person_ids[enrolled.person_indices == column][0]): column for column in range(plan.size)}
    searched = identities.person_ids[photo_numbers(identities, probes)]
    for row, (person, own) in enumerate(zip(searched.tolist(), searches.own_columns.tolist(), strict=True)):
        if person not in column_of:
            assert own == -1
            continue
        score = scores[row, column_of[person]]
        better = int((scores[row] > score).sum())
        assert own == min(better, width)  # no two scores are equal here
        if own < width:
            assert searches.scores[row, own] == score
            assert searches.sample_counts[row, own] == (enrolled.person_indices == column_of[person]).sum()
    assert searches.mated.tolist() == [person in column_of for person in searched.tolist()]
    np.testing.assert_array_equal(searches.right, searches.own_columns == 0)


def test_probe_whose_person_is_cut_off_is_marked() -> None:
    runs = [
        simulate(
            make_shuffled_identities([2] * 60, 3.0), GalleryPlan(40, 1), "prototype", None, np.random.default_rng(seed)
        )
        for seed in range(3)
    ]
    own = np.concatenate([searches.own_columns for searches in runs])
    assert {-1, MAX_SCORES} < set(own.tolist())
    assert own.max() == MAX_SCORES


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_same_seed_gives_same_searches(classifier: str) -> None:
    plan = GalleryPlan(6, 2)
    first, second, other = (run_simulation([4] * 20, plan, seed, classifier)[1] for seed in (7, 7, 8))
    for name in ("scores", "sample_counts", "own_columns", "weights", "enrolled"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.scores, other.scores)


def test_people_with_enough_photos_are_preferred() -> None:
    photo_counts = [1] * 30 + [4] * 10
    assert (run_simulation(photo_counts, GalleryPlan(5, 3))[1].enrolled == 3).all()
    for seed in range(5):
        assert 1 in run_simulation(photo_counts, GalleryPlan(6, 3), seed)[1].enrolled


def test_well_separated_people_are_found_and_strangers_are_not() -> None:
    _, searches, _, _ = run_simulation([6] * 40, GalleryPlan(20, 3), noise=0.02)
    assert searches.right[searches.mated].all()
    assert searches.scores[searches.mated, 0].min() > searches.scores[~searches.mated, 0].max()


@pytest.mark.parametrize("people", [1, 5])
def test_at_least_one_stranger_must_remain(people: int) -> None:
    with pytest.raises(UsageError, match="too few to enroll 5"):
        simulate(make_shuffled_identities([2] * people), GalleryPlan(5, 1), "prototype", None, np.random.default_rng(0))


EMBEDDINGS = make_shuffled_identities([2, 2]).embeddings


@pytest.mark.parametrize(
    ("embeddings", "people", "qualities"),
    [
        (EMBEDDINGS, [0, 0, 1], [1, 1, 1, 1]),
        (EMBEDDINGS, [0, 0, 1, 1], [1, 1, 1]),
        (EMBEDDINGS, [[0, 0, 1, 1]], [1, 1, 1, 1]),
        (EMBEDDINGS, [0, 0, 2, 2], [1, 1, 1, 1]),
        (EMBEDDINGS, [1, 1, 2, 2], [1, 1, 1, 1]),
        (EMBEDDINGS, [0, 0, -1, -1], [1, 1, 1, 1]),
        (EMBEDDINGS[0], [0], [1]),
        (np.full_like(EMBEDDINGS, np.nan), [0, 0, 1, 1], [1, 1, 1, 1]),
    ],
)
def test_invalid_people_are_refused(embeddings: FloatArray, people: Any, qualities: Any) -> None:
    with pytest.raises(UsageError):
        Identities(embeddings, np.array(people, np.int64), np.array(qualities, np.float32))
