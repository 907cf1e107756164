"""Approximate search: only on request, and it says what it misses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery import VectorIndex, VectorTable
from facebank.index.approximate import ApproximateIndex

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from tests.gallery.conftest import Faces


def table(count: int = 6000, dimension: int = 32) -> VectorTable:
    random = np.random.default_rng(3)
    rows = random.standard_normal((count, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return VectorTable(np.arange(count) + 5, np.arange(count) // 3, rows)


def test_what_it_says_it_misses_is_what_it_misses() -> None:
    held = table()
    exact = VectorIndex(32)
    exact.add(held)
    recalls = []
    for probes in (1, 8, 10**6):
        index = ApproximateIndex(32, approximate_from=1000, probes=probes)
        index.add(held)
        ours, theirs = (one.search(held.matrix[:300], 10).sample_ids for one in (index, exact))
        seen = np.mean([np.isin(one, other).mean() for one, other in zip(theirs, ours, strict=True)])
        recalls.append(index.recall())
        assert abs(index.recall() - float(seen)) < 0.15
    assert recalls[0] < recalls[1] < recalls[2] == 1.0


def test_a_small_one_is_exact() -> None:
    index, exact = ApproximateIndex(32), VectorIndex(32)
    for each in (index, exact):
        each.add(table(500))
    queries = table(500).matrix[:20]
    np.testing.assert_array_equal(index.search(queries, 9).sample_ids, exact.search(queries, 9).sample_ids)
    assert index.recall() == 1.0


def test_a_gallery_uses_it_when_told_to_and_follows(gallery: Gallery, faces: Faces) -> None:
    gallery.search_with(partial(ApproximateIndex, approximate_from=10))
    gallery.enroll("Ada", faces.samples(30))
    gallery.enroll("Bob", faces.samples(3))
    index = gallery.index()
    assert isinstance(index, ApproximateIndex)
    assert index.count == 33
    query = gallery.vectors().matrix[-1:]
    assert index.search(query, 1).sample_ids.tolist() == [[33]]
    gallery.forget("Bob")
    assert gallery.index().count == 30
    assert 33 not in gallery.index().search(query, 30).sample_ids
