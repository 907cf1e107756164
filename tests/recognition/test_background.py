"""Background statistics, which describe many people and contain nobody's embedding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import StorageError, UsageError
from facebank.recognition.calibration.background import MIN_BACKGROUND_PEOPLE, Background

from .synthetic import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

DIMENSION = 8


def make_embeddings(people: int, photos: int = 2, seed: int = 0) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return embeddings around a common direction, ``(N, DIMENSION)``, and the IDs of their people, ``(N,)``."""
    generator = np.random.default_rng(seed)
    person_ids = np.repeat(np.arange(people), photos)
    spread = np.linspace(0.2, 1.0, DIMENSION)
    embeddings = 0.5 + generator.normal(size=(people, DIMENSION))[person_ids] * spread
    embeddings += 0.1 * generator.normal(size=embeddings.shape)
    return normalize(embeddings), person_ids


@pytest.fixture
def background() -> Background:
    return Background.measure(*make_embeddings(300))


def test_background_has_mean_and_spread(background: Background) -> None:
    embeddings, _ = make_embeddings(300)
    np.testing.assert_allclose(background.mean, embeddings.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(background.covariance, np.cov(embeddings.T, bias=True), atol=0.01)


def test_every_person_has_the_same_weight() -> None:
    embeddings, person_ids = make_embeddings(60)
    indices = np.concatenate([np.arange(len(embeddings)), np.repeat(np.flatnonzero(person_ids == 0), 500)])
    once, often = (
        Background.measure(embeddings, person_ids),
        Background.measure(embeddings[indices], person_ids[indices]),
    )
    np.testing.assert_allclose(often.mean, once.mean, atol=1e-6)
    np.testing.assert_allclose(often.covariance, once.covariance, atol=1e-6)


def test_covariance_of_few_people_is_shrunk() -> None:
    generator = np.random.default_rng(0)
    embeddings = normalize(generator.normal(size=(MIN_BACKGROUND_PEOPLE, 128)))
    background = Background.measure(embeddings, np.arange(MIN_BACKGROUND_PEOPLE))
    assert np.linalg.eigvalsh(background.covariance)[0] > 1e-4
    assert np.trace(background.covariance) == pytest.approx(float(embeddings.var(axis=0).sum()), rel=1e-3)


def test_too_few_people_are_refused() -> None:
    with pytest.raises(UsageError, match="50 people"):
        Background.measure(*make_embeddings(MIN_BACKGROUND_PEOPLE - 1, photos=10))


def test_mismatched_identities_are_refused() -> None:
    embeddings, person_ids = make_embeddings(60)
    with pytest.raises(UsageError, match="120 identities"):
        Background.measure(embeddings, person_ids[:-1])


@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_draws_have_unit_length_and_are_reproducible(seed: int, count: int) -> None:
    background = Background.measure(*make_embeddings(60))
    drawn = background.draw(count, seed)
    assert drawn.shape == (count, DIMENSION)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(drawn, background.draw(count, seed))


def test_draws_resemble_people_but_copy_none(background: Background) -> None:
    embeddings, _ = make_embeddings(300)
    drawn = background.draw(2000)
    np.testing.assert_allclose(drawn.mean(axis=0), embeddings.mean(axis=0), atol=0.05)
    assert (drawn @ embeddings.T).max() < 1 - 1e-6
    assert not np.array_equal(background.draw(1, seed=1), background.draw(1, seed=2))


def test_background_round_trips(background: Background, tmp_path: Path) -> None:
    background.write(tmp_path / "background.npz")
    read = Background.read(tmp_path / "background.npz", DIMENSION)
    np.testing.assert_array_equal(read.mean, background.mean)
    np.testing.assert_array_equal(read.covariance, background.covariance)
    assert read.within is not None
    assert background.within is not None
    np.testing.assert_array_equal(read.within, background.within)


def test_spread_within_people_is_less_than_between_them(background: Background) -> None:
    embeddings, person_ids = make_embeddings(300)
    deviations = embeddings[person_ids == 7] - embeddings[person_ids == 7].mean(axis=0)
    assert background.within is not None
    assert np.trace(background.within) < 0.5 * np.trace(background.covariance)
    pairs = embeddings.reshape(300, 2, DIMENSION)
    np.testing.assert_allclose(
        np.trace(background.within), ((pairs[:, 0] - pairs[:, 1]) ** 2).sum() / 2 / 300, rtol=1e-3
    )
    assert not np.allclose(background.within, deviations.T @ deviations, atol=1e-6)


def test_people_with_one_photo_give_no_within_person_spread(tmp_path: Path) -> None:
    background = Background.measure(*make_embeddings(60, photos=1))
    assert background.within is None
    background.write(tmp_path / "background.npz")
    assert Background.read(tmp_path / "background.npz", DIMENSION).within is None


def test_file_holds_statistics_only(background: Background, tmp_path: Path) -> None:
    background.write(tmp_path / "background.npz")
    with np.load(tmp_path / "background.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "mean": (8,),
            "covariance": (8, 8),
            "within": (8, 8),
        }


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.ones(8, "<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": np.eye(8, dtype="<f4"), "vectors": np.ones((3, 8), "<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": np.eye(9, dtype="<f4")},
        {"mean": np.ones(8, "<f8"), "covariance": np.eye(8)},
        {"mean": np.full(8, np.nan, "<f4"), "covariance": np.eye(8, dtype="<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": -np.eye(8, dtype="<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": np.eye(8, dtype="<f4"), "within": -np.eye(8, dtype="<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": np.eye(8, dtype="<f4"), "within": np.eye(7, dtype="<f4")},
        {"mean": np.ones(8, "<f4"), "covariance": np.triu(np.ones((8, 8), "<f4"))},
        {"mean": np.array([{"a": 1}] * 8, dtype=object), "covariance": np.eye(8, dtype="<f4")},
    ],
)
def test_file_with_other_arrays_is_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(UsageError, match=r"wrong\.npz is not a background of 8 dimensions"):
        Background.read(tmp_path / "wrong.npz", DIMENSION)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_damaged_file_is_refused(length: int, background: Background, tmp_path: Path) -> None:
    path = tmp_path / "background.npz"
    background.write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UsageError, match="is not a background"):
        Background.read(path, DIMENSION)


def test_missing_files_and_folders_are_errors(background: Background, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.npz cannot be read"):
        Background.read(tmp_path / "none.npz", DIMENSION)
    with pytest.raises(StorageError, match="cannot write"):
        background.write(tmp_path / "no folder" / "background.npz")


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        (np.ones(3), np.eye(2)),
        (np.ones((3, 3)), np.eye(3)),
        (np.empty(0), np.empty((0, 0))),
        (np.ones(3), np.full((3, 3), np.inf)),
    ],
)
def test_mismatched_statistics_are_refused(mean: Any, covariance: Any) -> None:
    with pytest.raises(UsageError, match="background"):
        Background(mean, covariance)
