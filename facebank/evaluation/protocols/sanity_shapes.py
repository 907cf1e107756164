"""Checks with shapes drawn beside faces: a classifier of pixels must learn them, embeddings must not.

First an ellipse is drawn on all photos of one person and a rectangle on those of another. As embeddings may tell two
people apart without error anyway, the second check draws the shapes at random and lets the shape itself be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.changes import CORNERS, Corner, Drawing, Shape
from facebank.evaluation.dataset import read_pixels
from facebank.evaluation.figures import Figure, difference, rate
from facebank.evaluation.protocols.sanity_leaks import Check, Subjects
from facebank.evaluation.verification import never_apart, of_shares
from facebank.media import turn_photo
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.types import DecodedPhoto

LEAST_PHOTOS, MOST_PHOTOS = 20, 40  # with fewer, pixels miss more than `NEARLY_ALL` allows, by chance
NEARLY_ALL = 0.95
_SIDE = 48
_FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Embeddings ``(N, D)`` and pixels ``(N, P)`` of the photos, without a shape (key "") and with each shape."""

    owners: NDArray[np.int64]
    embeddings: dict[str, NDArray[np.float32]]
    pixels: dict[str, NDArray[np.float32]]

    def mixed(self, shapes: NDArray[np.int64], of: str) -> NDArray[np.float32]:
        """Return the embeddings or pixels of the photos, each with its shape: 0 for ellipse, 1 for rectangle."""
        seen = self.embeddings if of == "embeddings" else self.pixels
        return np.where(shapes[:, None] == 0, seen[Shape.ELLIPSE], seen[Shape.RECTANGLE])


def check_drawings(bench: Bench, subjects: Subjects) -> list[Check]:
    """Draw the shapes on photos of the two people with most photos.

    Raises `DatasetError` if no two people have `LEAST_PHOTOS` photos with the same corner free.
    """
    corner, chosen = _photos_to_draw_on(bench, subjects.faces)
    seen = _seen(bench, subjects.faces.where(chosen), corner)
    return [_people_check(bench, seen), _shapes_check(bench, seen)]


def _people_check(bench: Bench, seen: _Seen) -> Check:
    owners = seen.owners
    random = bench.random(5)
    folds = _folds(owners, random)
    without = told_apart(seen.embeddings[""], owners, folds)
    drawn = told_apart(seen.mixed(owners, "embeddings"), owners, folds)
    pixels = told_apart(seen.mixed(owners, "pixels"), owners, folds)
    bare = told_apart(seen.pixels[""], owners, folds)
    photos = np.arange(len(owners))
    before, after = without.astype(np.float64), drawn.astype(np.float64)
    gain = difference(after, before, photos, "What the shapes add to the embeddings' accuracy.")
    gain = never_apart(of_shares(gain, after, before), after, before)
    figures = {
        "accuracy_of_embeddings": rate(without, photos, "Photos of two people told apart by their faces' embeddings."),
        "accuracy_of_embeddings_with_shapes": rate(drawn, photos, "The same, with a shape for each person."),
        "gain_of_embeddings_from_shapes": gain,
        "accuracy_of_pixels": rate(bare, photos, "Photos of two people told apart by their pixels."),
        "accuracy_of_pixels_with_shapes": rate(pixels, photos, "The same, with a shape for each person."),
    }
    low = 0.0 if gain.interval is None else gain.interval[0]
    return Check(
        "A shape for each person",
        f"no gain for embeddings, and at least {NEARLY_ALL:.0%} for pixels".replace("%", " %"),
        f"embeddings gain {100 * gain.value:+.1f} points; pixels get {_percent(figures, 'accuracy_of_pixels')} without "
        f"and {_percent(figures, 'accuracy_of_pixels_with_shapes')} with the shapes",
        low <= 0 and float(pixels.mean()) >= NEARLY_ALL,
        figures,
        (
            f"{len(owners)} photos of two people, as many of each: a yellow ellipse in a corner of the first "
            "one's photos, a blue rectangle on the other's, apart from the face. The same logistic regression learned "
            "from three quarters of the photos and was asked about the fourth, in turns.",
        ),
    )


def _shapes_check(bench: Bench, seen: _Seen) -> Check:
    random = bench.random(6)
    shapes = np.zeros(len(seen.owners), dtype=np.int64)
    for person in (0, 1):
        own = np.flatnonzero(seen.owners == person)
        shapes[random.permutation(own)[: len(own) // 2]] = 1
    folds = _folds(shapes, random)
    by_faces = told_apart(seen.mixed(shapes, "embeddings"), shapes, folds)
    by_pixels = told_apart(seen.mixed(shapes, "pixels"), shapes, folds)
    photos = np.arange(len(shapes))
    figures = {
        "shapes_told_by_embeddings": rate(
            by_faces, photos, "Shapes guessed from the faces' embeddings; chance is half."
        ),
        "shapes_told_by_pixels": rate(by_pixels, photos, "Shapes told by the photos' pixels."),
    }
    most = 0.5 + 3 * np.sqrt(0.25 / len(shapes))
    return Check(
        "A shape at random",
        f"embeddings tell it no more often than chance (at most {most:.0%}), pixels at least {NEARLY_ALL:.0%}".replace(
            "%", " %"
        ),
        f"embeddings tell it in {_percent(figures, 'shapes_told_by_embeddings')}, pixels in "
        f"{_percent(figures, 'shapes_told_by_pixels')}",
        float(by_faces.mean()) <= most and float(by_pixels.mean()) >= NEARLY_ALL,
        figures,
        (
            "Half of each person's photos got the ellipse and half the rectangle, and the shape had to be told. Less "
            "than half says no more than half.",
        ),
    )


def told_apart(values: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a logistic regression, trained on the other folds, predicts each label, ``bool`` ``(N,)``.

    `values` is ``float32`` of shape ``(N, P)``; `labels` (0 or 1) and `folds` are ``int64`` of shape ``(N,)``.
    """
    from sklearn.linear_model import LogisticRegression

    right = np.zeros(len(labels), dtype=np.bool_)
    for fold in np.unique(folds):
        test = folds == fold
        model = LogisticRegression(max_iter=2000).fit(values[~test], labels[~test])
        right[test] = model.predict(values[test]) == labels[test]
    return right


def _folds(labels: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Deal the photos of each label into folds."""
    folds = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = random.permutation(np.flatnonzero(labels == label))
        folds[own] = np.arange(len(own)) % _FOLDS
    return folds


def _photos_to_draw_on(bench: Bench, faces: FaceSet) -> tuple[Corner, NDArray[np.bool_]]:
    """Return the corner that is free in most photos of the two people with most photos, and these photos."""
    owners, random = faces.dataset.owners, bench.random(4)
    counts = np.bincount(owners[faces.found & (owners >= 0)], minlength=2)
    two = np.argsort(-counts, kind="stable")[:2]
    tried = [random.permutation(np.flatnonzero(faces.found & (owners == person)))[: 2 * MOST_PHOTOS] for person in two]
    free = {corner: [[p for p in places if _is_free(faces, int(p), corner)] for places in tried] for corner in CORNERS}
    corner = max(CORNERS, key=lambda one: min(len(places) for places in free[one]))
    each = min(MOST_PHOTOS, *(len(places) for places in free[corner]))
    if each < LEAST_PHOTOS:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: a shape in a corner needs two people with {LEAST_PHOTOS} photos each "
            f"that have the same corner free of the face, and there are at most {each} photos of each of two people"
        )
    chosen = np.zeros(len(owners), dtype=np.bool_)
    for places in free[corner]:
        chosen[places[:each]] = True
    return corner, chosen


def _is_free(faces: FaceSet, place: int, corner: Corner) -> bool:
    face = faces.faces[place]
    return face is not None and corner.is_free(_upright(faces, place), face)


def _upright(faces: FaceSet, place: int) -> DecodedPhoto:
    return turn_photo(read_pixels(faces.dataset.photos[place]), faces.turns[place])


def _seen(bench: Bench, faces: FaceSet, corner: Corner) -> _Seen:
    changes = {shape: Drawing(shape, corner) for shape in Shape}
    read = {"": faces} | {shape: bench.read(faces.dataset, change) for shape, change in changes.items()}
    kept = np.logical_and.reduce([found.found for found in read.values()])
    pixels: dict[str, list[NDArray[np.float32]]] = {name: [] for name in read}
    for place in np.flatnonzero(kept):
        face, photo = faces.faces[place], _upright(faces, int(place))
        if face is not None:
            pixels[""].append(_small(photo))
            for shape, change in changes.items():
                pixels[shape].append(_small(change(photo, face)))
    owners = np.unique(faces.dataset.owners[kept], return_inverse=True)[1].astype(np.int64)
    return _Seen(
        owners,
        {name: found.embeddings[kept] for name, found in read.items()},
        {name: np.stack(parts) for name, parts in pixels.items()},
    )


def _small(photo: DecodedPhoto) -> NDArray[np.float32]:
    import cv2

    small = cv2.resize(photo.pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32).ravel() / np.float32(255) - np.float32(0.5)


def _percent(figures: dict[str, Figure], name: str) -> str:
    return f"{100 * figures[name].value:.1f} %"
