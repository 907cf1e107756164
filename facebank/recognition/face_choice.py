"""Choice of the person's face in a photo with several faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.recognition.resemblance import linked_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.types import FloatArray

TIMES_AS_LARGE = 2.5  # minimum ratio of a subject's longer box side to that of the next face
CLEARLY_MORE_ALIKE = 0.15  # minimum lead in similarity over the photo's other faces


class FaceChoice(NamedTuple):
    """The choice of a face in a photo with several."""

    face_index: int | None  # index of the chosen face in the photo; None if it is unclear
    reason: str  # the reason for the choice, or for having none


@dataclass(frozen=True, slots=True, eq=False)
class SeveralFaces:
    """The faces of one photo with N faces, N at least 2, the largest first."""

    embeddings: FloatArray  # ``float32`` of shape ``(N, D)``
    sizes: tuple[float, ...]  # each face's longer box side in pixels

    @property
    def has_subject(self) -> bool:
        """Whether the largest face is clearly larger than all others."""
        return self.sizes[0] >= TIMES_AS_LARGE * self.sizes[1]


def choose_faces(photos: Sequence[SeveralFaces], person_faces: FloatArray, threshold: float) -> list[FaceChoice]:
    """Return the person's face in each photo with several faces; independent of the photos' order.

    Parameters
    ----------
    photos
        The photos that belong to one person.
    person_faces
        The person's samples, and faces of photos with one face, ``(M, D)``; M may be 0.
    threshold
        The pack's verification threshold.
    """
    has_no_faces = not len(person_faces)
    subjects = [photo.embeddings[0] for photo in photos if photo.has_subject]
    explanation = "agrees with the other photos"
    if has_no_faces and subjects:
        person_faces = np.stack(subjects)
    elif has_no_faces:
        person_faces, explanation = _common_faces(photos, threshold), "the photos have in common"
    choices = []
    for photo in photos:
        count = len(photo.sizes)
        face_index, agreeing = (
            _find_agreeing(photo.embeddings, person_faces, threshold) if len(person_faces) else (None, 0)
        )
        if photo.has_subject and (has_no_faces or not agreeing):
            times = photo.sizes[0] / photo.sizes[1]
            choices.append(FaceChoice(0, f"the largest of {count} faces, {times:.1f} times as large as the next"))
        elif face_index is not None:
            choices.append(FaceChoice(face_index, f"the one of {count} faces that {explanation}"))
        elif len(person_faces):
            choices.append(FaceChoice(None, f"{agreeing or 'none'} of them agree with the other photos"))
        else:
            choices.append(FaceChoice(None, "no other photo shows which of them is meant"))
    return choices


def _find_agreeing(faces: FloatArray, person_faces: FloatArray, threshold: float) -> tuple[int | None, int]:
    """Return the index of the one face that agrees with the person's, or None if unclear, and the number that agree."""
    similarities = faces @ person_faces.T
    agrees = similarities.max(axis=1) >= threshold
    means = similarities.mean(axis=1)
    best, *others = np.argsort(-means, kind="stable").tolist()
    is_clear = all(not agrees[other] or means[best] - means[other] >= CLEARLY_MORE_ALIKE for other in others)
    return (best if agrees[best] and is_clear else None), int(agrees.sum())


def _common_faces(photos: Sequence[SeveralFaces], threshold: float) -> FloatArray:
    """Return the faces of the person in most of the photos; empty if unclear."""
    faces = np.concatenate([photo.embeddings for photo in photos])
    photo_indices = np.repeat(np.arange(len(photos)), [len(photo.sizes) for photo in photos])
    sets = linked_sets(faces @ faces.T, threshold)
    photo_counts = {number: len(np.unique(photo_indices[sets == number])) for number in np.unique(sets).tolist()}
    max_count = max(photo_counts.values())
    candidates = [number for number, count in photo_counts.items() if count == max_count]
    if max_count < 2 or len(candidates) > 1:
        return np.zeros((0, faces.shape[1]), dtype=np.float32)
    chosen: FloatArray = faces[sets == candidates[0]]
    return chosen
