"""Verification of listed or generated pairs, counting failures and omitting points with too few pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation import pairing
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pair
from facebank.evaluation.faces import FaceSet
from facebank.evaluation.figures import Figure
from facebank.evaluation.pairing import bootstrap_units, compare_faces, pairs_of
from facebank.evaluation.protocols.verify import verify
from facebank.evaluation.verification import (
    complement,
    curve_figures,
    hardest_errors,
    pair_difference,
    true_accept_figures,
)


def make_faces(
    people: list[str | None], pairs: tuple[Pair, ...] = (), hashes: tuple[str, ...] | None = None
) -> FaceSet:
    pixels = np.zeros((1, 1, 3), dtype=np.uint8)
    photos = tuple(DatasetPhoto(str(number), person, pixels) for number, person in enumerate(people))
    hashes = tuple(f"h{number}" for number in range(len(people))) if hashes is None else hashes
    return FaceSet(Dataset("made up", photos, pairs), (None,) * len(people), (0,) * len(people), hashes, 4, ())


def test_report_counts_both_errors(bench: Bench, dataset: Dataset) -> None:
    report = verify(bench, dataset)
    fmr, fnmr = report.figures["fmr_at_shipped_threshold"], report.figures["fnmr_at_shipped_threshold"]
    assert (fmr.value, fmr.count) == (0, 48)
    assert (fnmr.value, fnmr.count) == (0, 18)
    assert not fmr.descriptive
    assert report.figures["equal_error_rate"].descriptive
    assert report.figures["equal_error_rate"].value == 0
    assert report.figures["area_under_roc"].value == 1
    assert report.failures == ()


def test_pairs_are_generated_if_none_are_listed(bench: Bench, dataset: Dataset) -> None:
    listed, generated = verify(bench, dataset), verify(bench, replace(dataset, pairs=()))
    assert listed.figures["fnmr_at_shipped_threshold"] == generated.figures["fnmr_at_shipped_threshold"]
    assert "all 18 pairs of one person and all 48 pairs of different people" in generated.summary[0]


def test_photo_without_a_face_never_matches(bench: Bench, dataset: Dataset) -> None:
    blank = DatasetPhoto("blank", dataset.photos[0].person, np.full((80, 80, 3), 127, dtype=np.uint8))
    pairs = (*dataset.pairs, Pair(0, 12, same=True), Pair(5, 12, same=False))
    report = verify(bench, replace(dataset, photos=(*dataset.photos, blank), pairs=pairs))
    assert report.figures["fnmr_at_shipped_threshold"].events == 1
    assert report.figures["fmr_at_shipped_threshold"].events == 0
    assert report.figures["failure_to_acquire"].events == 1
    assert [failure.entry for failure in report.failures] == ["blank"]


@pytest.mark.parametrize(("same", "missing"), [(True, "of different people"), (False, "of one person")])
def test_pairs_of_one_kind_are_refused(bench: Bench, dataset: Dataset, same: bool, missing: str) -> None:
    pairs = tuple(pair for pair in dataset.pairs if pair.same is same)
    with pytest.raises(DatasetError, match=f"three people: there are no pairs {missing}"):
        verify(bench, replace(dataset, pairs=pairs))


def test_photo_paired_with_itself_is_reported() -> None:
    pairs = (Pair(0, 1, same=True), Pair(0, 2, same=False))
    drawn = pairs_of(make_faces(["A", "A", "B"], pairs, ("x", "x", "y")), np.random.default_rng(0))
    assert [failure.entry for failure in drawn.failures] == ["0 and 1"]
    assert drawn.pairs == pairs


@given(st.lists(st.sampled_from(["A", "B", "C", None]), min_size=2, max_size=14))
def test_generated_pairs_are_all_pairs_of_named_photos(people: list[str | None]) -> None:
    expected = {
        (first, second, people[first] == people[second])
        for second in range(len(people))
        for first in range(second)
        if people[first] is not None and people[second] is not None
    }
    assume({same for _, _, same in expected} == {True, False})
    pairs = pairs_of(make_faces(people), np.random.default_rng(0)).pairs
    assert len(pairs) == len(expected)
    assert {(*sorted((pair.first, pair.second)), pair.same) for pair in pairs} == expected


def test_too_many_pairs_are_sampled_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "MAX_MATED", 20)
    monkeypatch.setattr(pairing, "MAX_NON_MATED", 30)
    faces = make_faces([f"person {number % 10}" for number in range(100)])
    first, second, other = (pairs_of(faces, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.pairs == second.pairs != other.pairs
    assert sum(pair.same for pair in first.pairs) == 20
    assert len(set(first.pairs)) == len(first.pairs) == 50
    assert all((pair.first % 10 == pair.second % 10) is pair.same for pair in first.pairs)
    assert "20 of all 450 pairs of one person and 30 of all 4,500 pairs" in first.description


def test_sampling_without_listing_gives_pairs_of_different_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "_MAX_LISTED", 10)
    monkeypatch.setattr(pairing, "MAX_NON_MATED", 100)
    pairs = pairs_of(make_faces([f"person {number % 10}" for number in range(100)]), np.random.default_rng(0)).pairs
    non_mated = [pair for pair in pairs if not pair.same]
    assert len(set(non_mated)) == len(non_mated) == 100
    assert all(pair.first % 10 != pair.second % 10 for pair in non_mated)


def test_unnamed_photos_of_a_pair_are_one_unit() -> None:
    pairs = tuple(Pair(2 * number, 2 * number + 1, number % 2 == 0) for number in range(60))
    hashes = tuple("shared" if number in (0, 6) else f"h{number}" for number in range(120))
    units = bootstrap_units(make_faces([None] * 120, pairs, hashes), pairs)
    assert units[0] == units[1] == units[6]
    assert units[2] != units[3]
    assert units[4] == units[5] != units[0]


def test_pair_without_a_face_has_no_similarity() -> None:
    pairs = (Pair(0, 1, same=True), Pair(0, 2, same=False))
    assert np.isnan(compare_faces(make_faces(["A", "A", "B"], pairs), pairs).similarities).all()


def make_comparisons(non_mated: int) -> Comparisons:
    """Return comparisons of 100 mated and `non_mated` non-mated pairs."""
    values = np.concatenate([np.linspace(0.2, 1, 100), np.linspace(-1, 0.4, non_mated)])
    same = np.arange(len(values)) < 100
    indices = np.arange(len(values))
    return Comparisons(values, same, indices, np.where(same, indices, indices + 10_000))


def test_points_with_too_few_pairs_are_insufficient_or_omitted() -> None:
    curve = curve_figures(make_comparisons(3000))
    assert not curve["fnmr_at_fmr_1e-2"].insufficient
    assert curve["fnmr_at_fmr_1e-3"].insufficient
    assert "fnmr_at_fmr_1e-4" not in curve


def test_true_accept_rate_complements_the_false_non_match_rate() -> None:
    curve = curve_figures(make_comparisons(3000))
    accepted = true_accept_figures(curve)
    assert accepted["tar_at_far_1e-2"].value == pytest.approx(1 - curve["fnmr_at_fmr_1e-2"].value)
    assert accepted["tar_at_far_1e-3"].insufficient


def test_complement_mirrors_the_interval_and_the_events() -> None:
    assert complement(Figure(0.2, (0.1, 0.4), 10, 2)) == Figure(0.8, (0.6, 0.9), 10, 8)


def test_hardest_errors_come_first() -> None:
    indices = np.arange(6)
    errors = Comparisons(
        np.array([0.5, 0.1, -0.2, 0.6, 0.9, np.nan]), np.array([True, True, True, False, False, True]), indices, indices
    )
    false_matches, false_non_matches = hardest_errors(errors, 0.3)
    assert false_matches.tolist() == [4, 3]
    assert false_non_matches.tolist() == [2, 1]


def test_unobserved_paired_difference_is_not_zero() -> None:
    zeros, indices = np.zeros(60), np.arange(60)
    assert pair_difference(zeros, zeros, indices, indices).interval == (-0.05, 0.05)


def test_constant_paired_difference_has_no_spread() -> None:
    figure = pair_difference(np.ones(60), np.zeros(60), np.arange(60), np.arange(60))
    assert figure.value == 1
    assert figure.interval == pytest.approx((1, 1))
