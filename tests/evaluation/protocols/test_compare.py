"""Comparing packs and settings on the same pairs and searches, with paired differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, Pick
from facebank.evaluation.faces import FaceSet
from facebank.evaluation.protocols.compare import ComparedSystem, Task, compare
from facebank.recognition.settings import DecisionSettings
from tests.lfw_photos import lfw_photos

from .conftest import FREQUENT_PEOPLE


class NoisyReader:
    """A reader that adds noise to the embeddings of another one."""

    def __init__(self, bench: Bench) -> None:
        self._reader, self.engine = bench.reader, bench.reader.engine

    def read(self, dataset: Dataset, *arguments: object) -> FaceSet:
        faces, random = self._reader.read(dataset), np.random.default_rng(0)
        noise = random.normal(size=faces.embeddings.shape).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        return replace(
            faces,
            faces=tuple(
                None if face is None else replace(face, embedding=0.05 * face.embedding + offset)
                for face, offset in zip(faces.faces, noise, strict=True)
            ),
        )


def test_pack_does_not_differ_from_itself(bench: Bench, dataset: Dataset) -> None:
    report = compare([ComparedSystem("One", bench), ComparedSystem("The other", bench)], dataset)
    assert report.figures["equal_error_rate_one"] == report.figures["equal_error_rate_the_other"]
    difference = report.figures["fnmr_at_shipped_threshold_the_other_minus_one"]
    assert difference.value == 0
    assert difference.interval == pytest.approx((-3 / 18, 3 / 18))
    assert "not significant on these data" in report.summary[1]


def test_worse_pack_has_more_errors(bench: Bench, dataset: Dataset) -> None:
    noisy = Bench(NoisyReader(bench))  # type: ignore[arg-type]
    pairs = tuple(replace(pair, fold=number % 2) for number, pair in enumerate(dataset.pairs))
    report = compare([ComparedSystem("good", bench), ComparedSystem("noisy", noisy)], replace(dataset, pairs=pairs))
    accuracy = report.figures["accuracy_noisy_minus_good"]
    assert accuracy.value == pytest.approx(
        report.figures["accuracy_noisy"].value - report.figures["accuracy_good"].value
    )
    assert accuracy.interval is not None
    assert accuracy.interval[1] < 0
    assert report.figures["equal_error_rate_noisy_minus_good"].value > 0.1
    assert "significant at 95 %" in report.summary[1]


def test_settings_are_compared_in_the_same_searches(bench: Bench, shared: Path) -> None:
    photos = lfw_photos(shared, FREQUENT_PEOPLE, 4)
    settings = DecisionSettings(classifier="prototype")
    systems = [
        ComparedSystem("plain", bench, settings),
        ComparedSystem("kNN", bench, replace(settings, classifier="knn")),
    ]
    report = compare(systems, Dataset("four", photos, pick=Pick.CENTRAL), Task.OPENSET, photos=2, searches=6)
    assert report.figures["rank_1_plain"].count == report.figures["rank_1_knn"].count == 6
    assert report.figures["rank_1_knn_minus_plain"].count == 6
    assert {"fnir_knn_minus_plain", "fpir_knn_minus_plain"} <= set(report.figures)


@pytest.mark.parametrize("names", [("one",), ("one", "ONE"), ("one", "???")])
def test_systems_need_unique_names(bench: Bench, dataset: Dataset, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"at least two packs or classifiers|have the same name"):
        compare([ComparedSystem(name, bench) for name in names], dataset)
