"""Analysis of photos in batches, in order and with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from facebank.packs import Pack
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer


def make_photo(pixels: np.ndarray, path: str = "made") -> DecodedPhoto:
    return DecodedPhoto(path, np.ascontiguousarray(pixels), "0" * 64, True, None)


def test_results_are_in_the_order_of_the_photos(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    empty = make_photo(np.zeros((120, 90, 3), dtype=np.uint8), "empty")
    photos = [demo_photos[0], empty, *demo_photos[1:], empty]
    results = list(analyzer.analyze(photos))
    assert [result.photo.path for result in results] == [photo.path for photo in photos]
    assert [len(result.faces) for result in results] == [0 if photo is empty else 1 for photo in photos]


def test_a_batch_equals_single_photos(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    batched = [result.faces[0].embedding for result in analyzer.analyze(demo_photos)]
    single = [next(analyzer.analyze([photo])).faces[0].embedding for photo in demo_photos]
    np.testing.assert_allclose(batched, single, atol=1e-4)


def test_faces_do_not_depend_on_threads_or_other_photos(opencv_pack: Pack, demo_photos: list[DecodedPhoto]) -> None:
    analyzers = [FaceAnalyzer.from_pack(opencv_pack, "cpu", threads) for threads in (1, 2, 3)]
    pixels = demo_photos[0].pixels[::2, ::2]
    photos = [make_photo(np.concatenate([pixels, pixels[:, ::-1]], axis=1)), make_photo(pixels)]
    results = [list(analyzer.analyze(photos)) for analyzer in analyzers]
    results.append([next(analyzers[0].analyze([photo])) for photo in photos])
    assert [len(photo.faces) for photo in results[0]] == [2, 1]
    first, *others = (
        [(face.box.tobytes(), face.embedding.tobytes()) for result in run for face in result.faces] for run in results
    )
    assert others == [first] * 3


def test_no_photos_give_no_results(analyzer: FaceAnalyzer) -> None:
    assert list(analyzer.analyze([])) == []


def test_a_bounded_number_of_photos_is_read_ahead(analyzer: FaceAnalyzer) -> None:
    read_count = 0

    def endless_photos() -> Iterator[DecodedPhoto]:
        nonlocal read_count
        while True:
            read_count += 1
            yield make_photo(np.zeros((2000, 3000, 3), dtype=np.uint8))

    next(analyzer.analyze(endless_photos()))
    assert read_count * 6_000_000 <= 64_000_000 + 6_000_000
