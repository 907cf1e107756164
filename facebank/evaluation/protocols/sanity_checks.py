"""Checks of the sanity protocol: shuffled labels, planted copies of photos, and shapes drawn next to faces.

Shuffled labels must score at chance, and all copies must be reported. With an ellipse on all photos of one person and a
rectangle on those of another, a classifier of pixels must learn the shapes, and one of embeddings must not gain from
them. Since embeddings may separate two people without error anyway, shapes are also drawn at random and predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.changes import CORNERS, Corner, Drawing, Shape
from facebank.evaluation.curves import Comparisons, ErrorCurve
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.figures import Figure, FigureKind, difference, format_percent, mean_figure, rate
from facebank.evaluation.leakage import Leak, find_leakage, leak_entries
from facebank.evaluation.report import Table
from facebank.evaluation.searches import enroll
from facebank.evaluation.verification import apply_rule_of_three, to_points
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import SkippedEntry
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.report import Item
    from facebank.types import DecodedPhoto, RGBImage

MAX_PEOPLE, MAX_ENROLLED, MAX_PROBES = 20, 3, 5
SHUFFLES = 20
TOLERANCE = 4
"""Tolerance in standard errors over the shuffles; chance exceeds it once in 16,000 runs."""
COPIES = 24
MIN_PHOTOS, MAX_PHOTOS = 20, 40  # with fewer, pixels can miss `NEARLY_ALL` by chance
NEARLY_ALL = 0.95
_SIDE = 48
_FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """Result of a check; `failures` lists faults that it found in the data."""

    title: str
    expected: str
    observed: str
    passed: bool
    figures: Mapping[str, Figure]
    text: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    failures: tuple[SkippedEntry, ...] = ()

    @property
    def verdict(self) -> str:
        """``passed`` or ``FAILED``."""
        return "passed" if self.passed else "FAILED"


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """Faces of a dataset, and the indices (``int64``) of enrolled photos and probes, equally many of each person."""

    faces: FaceSet
    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]


def choose_subjects(bench: Bench, dataset: Dataset) -> Subjects:
    """Return up to 20 drawn people with up to 3 enrolled photos and up to 5 probes, equally many of each.

    Raises `DatasetError` if no two people have two photos each.
    """
    faces, random = bench.read(dataset), bench.random(1)
    person_indices = np.where(faces.has_face, faces.dataset.person_indices, -1)
    counts = np.bincount(person_indices[person_indices >= 0], minlength=1)
    photos = MAX_ENROLLED + MAX_PROBES
    target = min(MAX_PEOPLE, int((counts >= 2).sum()))
    while int((counts >= photos).sum()) < target and photos > 2:
        photos -= 1
    eligible = np.flatnonzero(counts >= photos)
    if len(eligible) < 2:
        raise DatasetError(
            f"{printable(dataset.title)}: the checks need two people with two photos with a face; "
            f"{len(eligible)} have them; add photos"
        )
    people = np.sort(random.permutation(eligible)[:MAX_PEOPLE])
    enrolled = min(MAX_ENROLLED, photos // 2)
    orders = [random.permutation(np.flatnonzero(person_indices == person))[:photos] for person in people]
    return Subjects(
        faces,
        np.concatenate([indices[:enrolled] for indices in orders]).astype(np.int64),
        np.concatenate([indices[enrolled:] for indices in orders]).astype(np.int64),
    )


def check_chance(bench: Bench, subjects: Subjects) -> list[Check]:
    """Return checks on labels shuffled 20 times: rank-1 of N people must be 1/N, and the equal error rate one half.

    Enrolled photos and probes are shuffled separately, which preserves the number of each person's.
    """
    faces = subjects.faces
    people_count = len(np.unique(faces.dataset.person_indices[subjects.enrolled]))
    bench.progress.begin("shuffled labels", SHUFFLES)
    random, hits, rates = bench.random(2), [], []
    for _ in range(SHUFFLES):
        hits.append(_is_correct(bench, subjects, _shuffle(faces, [subjects.enrolled, subjects.probes], random)))
        rates.append(_equal_error_rate(faces, subjects, random))
        bench.progress.advance()
    true_hits = _is_correct(bench, subjects, faces)
    return [
        _rank_check(hits, true_hits, people_count),
        _pairs_check(np.array(rates), _equal_error_rate(faces, subjects)),
    ]


def is_chance(values: NDArray[np.float64], chance: float, min_error: float) -> bool:
    """Return whether the mean of `values`, one per shuffle, ``(S,)``, is within `TOLERANCE` standard errors of chance.

    The standard error is bounded below by `min_error`.
    """
    error = max(float(values.std(ddof=1)) / np.sqrt(len(values)), min_error)
    return bool(abs(values.mean() - chance) <= TOLERANCE * error)


def _rank_check(hits: list[NDArray[np.bool_]], true_hits: NDArray[np.bool_], people_count: int) -> Check:
    shuffles = np.repeat(np.arange(len(hits)), [len(part) for part in hits])
    all_hits = np.concatenate(hits)
    shuffled = rate(
        all_hits, shuffles, f"Probes with shuffled names whose best candidate is right; chance is 1 in {people_count}."
    )
    true = rate(true_hits, np.arange(len(true_hits)), "The same with the true names.")
    chance = 1 / people_count
    min_error = np.sqrt(chance * (1 - chance) / len(all_hits))
    return Check(
        "Shuffled labels, identification",
        f"rank-1 is chance: {format_percent(chance)}",
        f"rank-1 is {format_percent(shuffled.value)}; {format_percent(true.value)} with the true labels",
        is_chance(np.array([part.mean() for part in hits]), chance, float(min_error)),
        {"rank_1_shuffled_labels": shuffled, "rank_1_true_labels": true},
        (
            f"The names of {people_count} people were shuffled {len(hits)} times among the enrolled photos and among "
            f"the probes. The check passes within {TOLERANCE} standard errors of chance.",
        ),
    )


def _pairs_check(rates: NDArray[np.float64], true: float) -> Check:
    meaning = "Mean over the shuffles; chance is one half."
    shuffled = replace(mean_figure(rates, np.arange(len(rates)), meaning), kind=FigureKind.RATE, descriptive=True)
    return Check(
        "Shuffled labels, verification",
        "the equal error rate is chance: 50 %",
        f"the equal error rate is {format_percent(shuffled.value)}; {format_percent(true)} with the true labels",
        is_chance(rates, 0.5, 0.0025),
        {
            "equal_error_rate_shuffled_labels": shuffled,
            "equal_error_rate_true_labels": Figure(true, descriptive=True, meaning="The same with the true names."),
        },
        ("All pairs of the photos above, with the names shuffled among all of them.",),
    )


def _shuffle(faces: FaceSet, parts: list[NDArray[np.int64]], random: np.random.Generator) -> FaceSet:
    """Return the faces with the names shuffled within each part."""
    photos = list(faces.dataset.photos)
    for indices in parts:
        for index, other in zip(indices, random.permutation(indices), strict=True):
            photos[index] = replace(photos[index], person=faces.dataset.photos[other].person)
    dataset = Dataset(faces.dataset.title, tuple(photos), pick=faces.dataset.pick)
    return replace(faces, dataset=dataset)


def _is_correct(bench: Bench, subjects: Subjects, faces: FaceSet) -> NDArray[np.bool_]:
    searches = enroll(bench.reader, faces, subjects.enrolled).search(subjects.probes)
    return ~searches.not_first


def _equal_error_rate(faces: FaceSet, subjects: Subjects, random: np.random.Generator | None = None) -> float:
    indices = np.concatenate([subjects.enrolled, subjects.probes])
    person_indices = faces.dataset.person_indices[indices]
    person_indices = person_indices if random is None else random.permutation(person_indices)
    first, second = np.triu_indices(len(indices), k=1)
    embeddings = faces.embeddings[indices].astype(np.float64)
    similarities = (embeddings @ embeddings.T)[first, second]
    return ErrorCurve.of(
        Comparisons(
            similarities, person_indices[first] == person_indices[second], person_indices[first], person_indices[second]
        )
    ).equal_error_rate


def check_planted(bench: Bench, subjects: Subjects) -> list[Check]:
    """Return a check on copies of enrolled photos, saved in different ways, among the probes: all must be reported."""
    indices = [int(index) for index in np.concatenate([subjects.enrolled, subjects.probes])]
    photos = subjects.faces.dataset.photos
    sources = bench.random(3).permutation(subjects.enrolled)[:COPIES]
    methods = tuple(_COPY_METHODS)
    methods_used = [methods[number % len(methods)] for number in range(len(sources))]
    copies = [_copy(subjects.faces, int(index), method) for index, method in zip(sources, methods_used, strict=True)]
    planted = Dataset(
        f"{subjects.faces.dataset.title} with planted copies",
        (*(photos[index] for index in indices), *copies),
        pick=subjects.faces.dataset.pick,
    )
    faces = bench.read(planted)
    enrolled, probes = np.arange(len(subjects.enrolled)), np.arange(len(subjects.enrolled), len(planted.photos))
    leaks = find_leakage(bench.reader, faces, enrolled, probes)
    leaks_in_data = [leak for leak in leaks if leak.probe < len(indices)]
    acquired = faces.has_face[len(indices) :]
    by_copy = {leak.probe - len(indices): leak for leak in leaks if leak.probe >= len(indices)}
    detected = np.array([number in by_copy for number in range(len(copies))])
    detection = rate(
        detected[acquired], np.arange(int(acquired.sum())), "Planted copies that were reported as leakage."
    )
    text = [
        f"{int(acquired.sum())} copies of enrolled photos were added to the probes. The check passes if all "
        "are reported."
    ]
    if leaks_in_data:
        text.append(
            f"The dataset itself includes {len(leaks_in_data)} copies, which are listed among the skipped entries."
        )
    check = Check(
        "Planted copies",
        "every copy of an enrolled photo is reported as leakage",
        f"{detection.events} of {detection.count} copies are reported",
        detection.events == detection.count,
        {"planted_copies_found": detection},
        tuple(text),
        (_copies_table(methods_used, detected, by_copy),),
        leak_entries(faces, leaks_in_data),
    )
    return [check]


def _copies_table(methods_used: list[str], detected: NDArray[np.bool_], by_copy: dict[int, Leak]) -> Table:
    rows = []
    for method in _COPY_METHODS:
        numbers = [number for number, used in enumerate(methods_used) if used == method]
        kinds = sorted({by_copy[number].kind.value for number in numbers if number in by_copy})
        rows.append((method, str(len(numbers)), str(int(detected[numbers].sum())), ", ".join(kinds)))
    return Table("Copies", ("How they were saved", "Planted", "Reported", "Reported as"), tuple(rows))


def _copy(faces: FaceSet, index: int, method: str) -> DatasetPhoto:
    photo = faces.dataset.photos[index]
    change = _COPY_METHODS[method]
    name = f"copy of {photo.name}, {method}"
    if change is None:
        return replace(photo, name=name)
    pixels = faces.upright(index).pixels
    return replace(photo, name=name, content=change(pixels), region=None)


def _recompress(pixels: RGBImage) -> RGBImage:
    import cv2

    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])


def _downsize(factor: float) -> Callable[[RGBImage], RGBImage]:
    def change(pixels: RGBImage) -> RGBImage:
        import cv2

        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    return change


def _crop(pixels: RGBImage) -> RGBImage:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[height // 20 :, width // 20 :])


def _brighten(pixels: RGBImage) -> RGBImage:
    return np.asarray(np.clip(pixels.astype(np.float32) * 1.15 + 8, 0, 255), dtype=np.uint8)


_COPY_METHODS: dict[str, Callable[[RGBImage], RGBImage] | None] = {
    "the same file": None,
    "saved again as JPEG of quality 60": _recompress,
    "at three quarters of the size": _downsize(0.75),
    "at half the size": _downsize(0.5),
    "cut by a twentieth": _crop,
    "brighter": _brighten,
}


@dataclass(frozen=True, slots=True, eq=False)
class _ShapeFeatures:
    """Embeddings ``(N, D)`` and pixels ``(N, P)`` of photos, without a shape (key "") and with each shape."""

    person_indices: NDArray[np.int64]
    embeddings: dict[str, NDArray[np.float32]]
    pixels: dict[str, NDArray[np.float32]]

    def embeddings_with(self, shapes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings of photos with the given shapes ``(N,)``: 0 for ellipse, 1 for rectangle."""
        return np.where(shapes[:, None] == 0, self.embeddings[Shape.ELLIPSE], self.embeddings[Shape.RECTANGLE])

    def pixels_with(self, shapes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the pixels of photos with the given shapes; see `embeddings_with`."""
        return np.where(shapes[:, None] == 0, self.pixels[Shape.ELLIPSE], self.pixels[Shape.RECTANGLE])


def check_drawings(bench: Bench, subjects: Subjects) -> list[Check]:
    """Return checks on shapes drawn on photos of the two people with most photos.

    Raises `DatasetError` if no two people have `MIN_PHOTOS` photos with the same corner free.
    """
    corner, mask = _choose_corner(bench, subjects.faces)
    features = _shape_features(bench, subjects.faces.select(mask), corner)
    return [_people_check(bench, features), _shapes_check(bench, features)]


def _people_check(bench: Bench, features: _ShapeFeatures) -> Check:
    person_indices = features.person_indices
    random = bench.random(5)
    folds = _folds(person_indices, random)
    by_embeddings = cross_validated_hits(features.embeddings[""], person_indices, folds)
    by_embeddings_drawn = cross_validated_hits(features.embeddings_with(person_indices), person_indices, folds)
    by_pixels = cross_validated_hits(features.pixels[""], person_indices, folds)
    by_pixels_drawn = cross_validated_hits(features.pixels_with(person_indices), person_indices, folds)
    photos = np.arange(len(person_indices))
    plain_hits, drawn_hits = by_embeddings.astype(np.float64), by_embeddings_drawn.astype(np.float64)
    gain = difference(drawn_hits, plain_hits, photos, "Gain in accuracy of embeddings from the shapes.")
    gain = apply_rule_of_three(to_points(gain, drawn_hits, plain_hits), drawn_hits, plain_hits)
    figures = {
        "accuracy_of_embeddings": rate(
            by_embeddings, photos, "Photos of two people classified correctly by embedding."
        ),
        "accuracy_of_embeddings_with_shapes": rate(by_embeddings_drawn, photos, "The same, with one shape per person."),
        "gain_of_embeddings_from_shapes": gain,
        "accuracy_of_pixels": rate(by_pixels, photos, "Photos of two people classified correctly by pixels."),
        "accuracy_of_pixels_with_shapes": rate(by_pixels_drawn, photos, "The same, with one shape per person."),
    }
    low = 0.0 if gain.interval is None else gain.interval[0]
    return Check(
        "One shape per person",
        f"no gain for embeddings, and at least {format_percent(NEARLY_ALL, 0)} for pixels",
        f"embeddings gain {100 * gain.value:+.1f} points; pixels reach {_percent(figures, 'accuracy_of_pixels')} "
        f"without and {_percent(figures, 'accuracy_of_pixels_with_shapes')} with the shapes",
        low <= 0 and float(by_pixels_drawn.mean()) >= NEARLY_ALL,
        figures,
        (
            f"{len(person_indices)} photos of two people, equally many of each: a yellow ellipse is drawn in a "
            "corner of one person's photos and a blue rectangle in the other's, without touching the face. The same "
            "logistic regression is evaluated by four-fold cross-validation.",
        ),
    )


def _shapes_check(bench: Bench, features: _ShapeFeatures) -> Check:
    random = bench.random(6)
    shapes = np.zeros(len(features.person_indices), dtype=np.int64)
    for person in (0, 1):
        indices = np.flatnonzero(features.person_indices == person)
        shapes[random.permutation(indices)[: len(indices) // 2]] = 1
    folds = _folds(shapes, random)
    by_embeddings = cross_validated_hits(features.embeddings_with(shapes), shapes, folds)
    by_pixels = cross_validated_hits(features.pixels_with(shapes), shapes, folds)
    photos = np.arange(len(shapes))
    figures = {
        "shapes_told_by_embeddings": rate(
            by_embeddings, photos, "Shapes predicted from embeddings; chance is one half."
        ),
        "shapes_told_by_pixels": rate(by_pixels, photos, "Shapes predicted from pixels."),
    }
    limit = 0.5 + 3 * np.sqrt(0.25 / len(shapes))
    return Check(
        "Random shapes",
        f"embeddings predict the shape at chance (at most {format_percent(limit, 0)}), pixels at least "
        f"{format_percent(NEARLY_ALL, 0)}",
        f"embeddings predict it in {_percent(figures, 'shapes_told_by_embeddings')}, pixels in "
        f"{_percent(figures, 'shapes_told_by_pixels')}",
        float(by_embeddings.mean()) <= limit and float(by_pixels.mean()) >= NEARLY_ALL,
        figures,
        (
            "Half of each person's photos have the ellipse and half the rectangle, and the shape is predicted. Less "
            "than one half is equivalent to chance.",
        ),
    )


def cross_validated_hits(
    values: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether a logistic regression trained on the other folds predicts each label: ``bool`` ``(N,)``.

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
    """Return a fold for each photo, evenly for each label."""
    folds = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        indices = random.permutation(np.flatnonzero(labels == label))
        folds[indices] = np.arange(len(indices)) % _FOLDS
    return folds


def _choose_corner(bench: Bench, faces: FaceSet) -> tuple[Corner, NDArray[np.bool_]]:
    """Return the corner that is free in most photos of the two people with most photos, and a mask of these photos."""
    person_indices, random = faces.dataset.person_indices, bench.random(4)
    counts = np.bincount(person_indices[faces.has_face & (person_indices >= 0)], minlength=2)
    people = np.argsort(-counts, kind="stable")[:2]
    candidates = [
        random.permutation(np.flatnonzero(faces.has_face & (person_indices == person)))[: 2 * MAX_PHOTOS]
        for person in people
    ]
    free = {
        corner: [[index for index in indices if _is_free(faces, int(index), corner)] for indices in candidates]
        for corner in CORNERS
    }
    corner = max(CORNERS, key=lambda corner: min(len(indices) for indices in free[corner]))
    count = min(MAX_PHOTOS, *(len(indices) for indices in free[corner]))
    if count < MIN_PHOTOS:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: two people with {MIN_PHOTOS} photos each are needed in which the "
            f"same corner does not overlap the face; at most {pluralize(count, 'photo')} each were found; add photos"
        )
    mask = np.zeros(len(person_indices), dtype=np.bool_)
    for indices in free[corner]:
        mask[indices[:count]] = True
    return corner, mask


def _is_free(faces: FaceSet, index: int, corner: Corner) -> bool:
    face = faces.faces[index]
    return face is not None and corner.is_free(faces.upright(index), face)


def _shape_features(bench: Bench, faces: FaceSet, corner: Corner) -> _ShapeFeatures:
    changes = {shape: Drawing(shape, corner) for shape in Shape}
    face_sets = {"": faces} | {shape: bench.read(faces.dataset, change) for shape, change in changes.items()}
    has_face = np.logical_and.reduce([drawn.has_face for drawn in face_sets.values()])
    pixels: dict[str, list[NDArray[np.float32]]] = {name: [] for name in face_sets}
    for index in np.flatnonzero(has_face):
        face, photo = faces.faces[index], faces.upright(int(index))
        if face is not None:
            pixels[""].append(_small(photo))
            for shape, change in changes.items():
                pixels[shape].append(_small(change(photo, face)))
    person_indices = np.unique(faces.dataset.person_indices[has_face], return_inverse=True)[1].astype(np.int64)
    return _ShapeFeatures(
        person_indices,
        {name: drawn.embeddings[has_face] for name, drawn in face_sets.items()},
        {name: np.stack(parts) for name, parts in pixels.items()},
    )


def _small(photo: DecodedPhoto) -> NDArray[np.float32]:
    import cv2

    small = cv2.resize(photo.pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32).ravel() / np.float32(255) - np.float32(0.5)


def _percent(figures: dict[str, Figure], name: str) -> str:
    return format_percent(figures[name].value, 1)
