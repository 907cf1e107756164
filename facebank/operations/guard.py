"""Guards that check whether offered faces are those of the person they are offered for.

All operations that add samples to a person use the same rule. `facebank.recognition.resemblance` compares faces; this
module formulates the judgments and recognizes differences explained by the years between photos.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PersonNotFoundError
from facebank.gallery import FaceKey, RefusedSample
from facebank.gallery.records import PLAIN
from facebank.gallery.same_face import SAME_VECTOR, is_other_place
from facebank.index.exact import products
from facebank.index.gallery_index import open_index, read_with_retry
from facebank.recognition.face_choice import CLEARLY_MORE_ALIKE
from facebank.recognition.resemblance import (
    LIKE_NOBODY,
    LINKED,
    Doubt,
    DoubtKind,
    FaceSetComparison,
    OtherPeople,
    compare,
    is_one_person,
    linked_sets,
    may_look_different,
)
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Self

    from facebank.gallery import Gallery, NewSample
    from facebank.types import FloatArray, Photo, Sample


_MAX_LISTED_SAMPLES = 5


@dataclass(frozen=True, slots=True, eq=False)
class GuardedFace:
    """A face offered for a person."""

    embedding: FloatArray
    photographed_at: datetime | None = None  # when the camera took the photo; None if unknown
    is_comparable: bool = True  # whether the embedding can be compared with those of unmasked faces
    key: FaceKey | None = None  # the key of the face; None if unknown
    # embeddings of the photo's other unmasked faces, by face number
    other_faces: Mapping[int, FloatArray] = field(default_factory=dict)

    @classmethod
    def from_photo(cls, photo: Photo, index: int) -> Self:
        """Return the face with an index in a photo."""
        face = photo.faces[index]
        other_faces = {
            number: other.embedding
            for number, other in enumerate(photo.faces, start=1)
            if number != index + 1 and not other.assessment.mouth_hidden
        }
        return cls(
            face.embedding,
            photo.taken_at if photo.camera_dated else None,
            is_comparable=not face.assessment.mouth_hidden,
            key=FaceKey.from_photo(photo, face),
            other_faces=other_faces,
        )


@dataclass(frozen=True, slots=True)
class Judgment:
    """The judgment on an offered face."""

    refusal: EnrollReason | None = None  # the reason for a refusal; None if accepted
    detail: str = ""  # explanation of the refusal in one sentence; empty if accepted
    warning: str | None = None  # a warning about an accepted face in one sentence, or None


ACCEPTED = Judgment()


class EnrolledFaces:
    """The faces of a gallery, shared by the guards of several people and read once.

    Call `refresh` before use. Not thread-safe.

    Parameters
    ----------
    gallery
        The enrolled people.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._revision = -1  # not read yet

    def refresh(self, person: str | None = None) -> None:
        """Update after a new sample of a person, or after changes by other processes."""
        revision = self._gallery.revision
        if person is not None and revision == self._revision + 1:
            self._revision = revision
            person_id = self._gallery.person(person).id
            self._names[person_id] = person
            self._enrolled[person_id] = self.samples(person)[1]
        elif revision != self._revision or self._index.is_lost:
            self._open()

    def _open(self) -> None:
        self._index = open_index(self._gallery)
        self._revision = self._index.revision
        self._enrolled: dict[int, FloatArray] = {}
        self._names: dict[int, str] = {}

    def person_id(self, name: str) -> int:
        """Return the id of the person with a name; -1 if not enrolled."""
        try:
            return self._gallery.person(name).id
        except PersonNotFoundError:
            return -1

    def name(self, person_id: int) -> str:
        """Return the name of a person."""
        name = self._names.get(person_id)
        return self._index.names[person_id] if name is None else name

    def samples(self, name: str) -> tuple[list[int], FloatArray]:
        """Return the ids of a person's unmasked samples, and their embeddings ``(N, D)``."""
        ids = [sample.id for sample in self._gallery.samples(name) if not sample.masked]
        return ids, self._gallery.vectors_of(ids)

    def nearest(self, embeddings: FloatArray, names: Iterable[str]) -> str | None:
        """Return which of some people is most similar to faces ``(N, D)``; None if none has unmasked samples."""
        mean = embeddings.mean(axis=0)
        samples = {name: self.samples(name)[1] for name in names if self.person_id(name) >= 0}
        similarities = {name: float(products(mean, rows).mean()) for name, rows in samples.items() if len(rows)}
        best = max(similarities, key=lambda name: similarities[name], default=None)
        return None if best is None else self._gallery.person(best).name

    def other_people(self, person_ids: Collection[int]) -> OtherPeople:
        """Return all people except those with the given ids."""
        extra = {
            person_id: embeddings
            for person_id, embeddings in self._enrolled.items()
            if person_id not in person_ids and len(embeddings)
        }
        return OtherPeople(self._index.people, {*person_ids, *self._enrolled}, extra)

    def has(self, embedding: FloatArray, ignored_ids: Collection[int]) -> bool:
        """Return whether this very face is a sample of a person whose id is not in `ignored_ids`."""
        candidates = [rows for person_id, rows in self._enrolled.items() if person_id not in ignored_ids]
        people = self._index.people
        if people is not None:
            rows = people.samples_within(embedding, 1.0 - SAME_VECTOR)
            person_ids = people.person_ids[people.person_indices(rows)]
            candidates.append(people.embeddings(rows[~np.isin(person_ids, [*ignored_ids, *self._enrolled])]))
        return any((np.linalg.norm(rows - embedding, axis=1) <= SAME_VECTOR).any() for rows in candidates)


class ImportGuard:
    """Judges the samples of an export against the gallery's samples, not against each other's people.

    Parameters
    ----------
    gallery
        The importing gallery.
    threshold
        The pack's verification threshold.
    """

    def __init__(self, gallery: Gallery, threshold: float) -> None:
        self._gallery = gallery
        self._threshold = threshold
        self._enrolled = EnrolledFaces(gallery)

    def __call__(self, name: str, samples: Sequence[NewSample]) -> list[RefusedSample | None]:
        """Return the refusal of each of a person's samples, or None."""
        faces = [
            GuardedFace(
                sample.vectors[PLAIN],
                sample.taken_at if sample.camera_dated else None,
                is_comparable=not sample.masked,
                key=FaceKey.from_sample(sample),
            )
            for sample in samples
        ]
        refused: list[RefusedSample | None] = []
        judgments, has_samples = read_with_retry(lambda: self._judgments(name, faces))
        for sample, judgment in zip(samples, judgments, strict=True):
            reason = judgment.refusal
            if reason is EnrollReason.UNLIKE_THE_PERSON and not has_samples:
                reason = None  # the gallery has no samples of the person
            refused.append(None if reason is None else RefusedSample(name, sample.path, reason.value, judgment.detail))
        return refused

    def _judgments(self, name: str, faces: Sequence[GuardedFace]) -> tuple[list[Judgment], bool]:
        """Return the judgments, and whether the gallery has samples of the person."""
        guard = PersonGuard(self._gallery, name, self._threshold, enrolled=self._enrolled)
        return guard.judge(faces), len(guard.embeddings) > 0


class PersonGuard:
    """Judges faces offered for one person. The gallery is read once.

    Parameters
    ----------
    gallery
        The enrolled people.
    name
        The person's name; need not be enrolled.
    threshold
        The pack's verification threshold.
    enrolled
        The gallery's faces if they have been read already.
    ignored
        People whose samples are offered; they do not count as other people.

    Attributes
    ----------
    name
        The person's name, spelled as in the gallery.
    embeddings
        Embeddings of the person's unmasked samples, ``(M, D)``; M may be 0.
    """

    def __init__(
        self,
        gallery: Gallery,
        name: str,
        threshold: float,
        *,
        enrolled: EnrolledFaces | None = None,
        ignored: Collection[str] = (),
    ) -> None:
        self._enrolled = EnrolledFaces(gallery) if enrolled is None else enrolled
        self._enrolled.refresh()
        person_id = self._enrolled.person_id(name)
        self._ignored_ids = {self._enrolled.person_id(other) for other in ignored} - {person_id, -1}
        self.name = name if person_id < 0 else gallery.person(name).name
        self._threshold = threshold
        self._sample_ids: list[int] = []
        self.embeddings: FloatArray = np.empty((0, gallery.pack.dimension), dtype=np.float32)
        if person_id >= 0:
            self._sample_ids, self.embeddings = self._enrolled.samples(self.name)
        self._other_people = self._enrolled.other_people({person_id, *self._ignored_ids})
        samples = {sample.id: sample for sample in gallery.samples(self.name)} if person_id >= 0 else {}
        self._sample_keys = {sample_id: FaceKey.from_sample(sample) for sample_id, sample in samples.items()}
        self._sample_dates = [_camera_date(samples.get(sample_id)) for sample_id in self._sample_ids]
        self._born = gallery.person(self.name).born if person_id >= 0 else None

    def judge(self, faces: Sequence[GuardedFace]) -> list[Judgment]:
        """Return the judgments on faces offered together; independent of their order.

        Faces that are samples already are accepted here, because the gallery reports those.
        """
        is_enrolled = [self._enrolled.has(face.embedding, self._ignored_ids) for face in faces]
        judgments = self._compare(faces, is_enrolled)
        for index, face in enumerate(faces):
            other = None if is_enrolled[index] else self._describe_other_face(face)
            if other is not None:
                judgments[index] = self._add_other_face(other, judgments[index])
        return judgments

    def _compare(self, faces: Sequence[GuardedFace], is_enrolled: Sequence[bool]) -> list[Judgment]:
        judgments = [ACCEPTED] * len(faces)
        indices: dict[bytes, list[int]] = {}
        for index, face in enumerate(faces):
            if face.is_comparable and not is_enrolled[index]:
                indices.setdefault(face.embedding.tobytes(), []).append(index)
        if not indices:
            return judgments
        distinct = [faces[duplicates[0]] for duplicates in indices.values()]
        offered = np.stack([face.embedding for face in distinct])
        comparison = compare(offered, self.embeddings, self._other_people, self._threshold)
        dates = [face.photographed_at for face in distinct] + self._sample_dates
        warning = self._similarity_warning(comparison)
        for distinct_index, (doubt, duplicates) in enumerate(zip(comparison.doubts, indices.values(), strict=True)):
            judgment = Judgment(warning=warning)
            if doubt is not None:
                judgment = self._judge_doubt(doubt, comparison, distinct_index, dates)
            for index in duplicates:
                judgments[index] = judgment
        return judgments

    def _describe_other_face(self, face: GuardedFace) -> str | None:
        """Describe which other face of the photo is the person's, or return None."""
        person = printable(self.name)
        for sample_id, key in self._sample_keys.items():
            if face.key is not None and is_other_place(key, face.key):
                return f"another face of the photo is a sample of {person} already (sample {sample_id}), not this one"
        if not face.other_faces or not len(self.embeddings):
            return None
        face_numbers, others = list(face.other_faces), np.stack(list(face.other_faces.values()))
        means = self.resemblance_of(np.concatenate([others, face.embedding[None]]))
        best = int(np.argmax(means[:-1]))
        agrees = (others[best] @ self.embeddings.T).max() >= self._threshold
        if not agrees or means[best] - means[-1] < CLEARLY_MORE_ALIKE:
            return None
        return f"face {face_numbers[best]} looks like {person} (similarity {means[best]:.2f}), not this one"

    def _add_other_face(self, other: str, judgment: Judgment) -> Judgment:
        if judgment.refusal is not None:
            return replace(judgment, detail=f"{other}; {judgment.detail}")
        detail = f"{other}: use --force if this one is {printable(self.name)} too"
        return Judgment(EnrollReason.OTHER_FACE_IS_THE_PERSON, detail)

    def resemblance_of(self, embeddings: FloatArray) -> FloatArray:
        """Return the faces' mean similarities with the person's samples, ``(N,)``; requires samples."""
        return np.asarray(embeddings @ self.embeddings.mean(axis=0), dtype=np.float32)

    def is_person_of(self, embeddings: FloatArray) -> bool:
        """Return whether most of the faces ``(N, D)`` are as similar to the person's samples as to each other."""
        sets = linked_sets(embeddings @ embeddings.T, LINKED * self._threshold)
        largest = sets == np.bincount(sets).argmax()
        if not len(self.embeddings) or 2 * largest.sum() <= len(embeddings):
            return False
        return is_one_person(embeddings[largest], self.embeddings, self._threshold)

    def _judge_doubt(
        self, doubt: Doubt, comparison: FaceSetComparison, index: int, dates: Sequence[datetime | None]
    ) -> Judgment:
        person = printable(self.name)
        if doubt.kind is DoubtKind.ANOTHER:
            return Judgment(EnrollReason.NEARER_TO_ANOTHER, self._describe_nearer_person(doubt))
        similarity = doubt.own_similarity or 0.0
        if similarity >= LIKE_NOBODY * self._threshold and self._is_explained_by_age(comparison, index, dates):
            return Judgment(
                warning=f"the face is unlike {person}'s others (similarity {similarity:.2f}), which the years between "
                f"the photos may explain: if it is not {person}, remove the sample"
            )
        problem = f"the face is unlike {person}'s other photos (similarity {similarity:.2f})"
        advice = f"use --force if it is {person} anyway"
        if doubt.kind is DoubtKind.UNDECIDED:
            problem = (
                f"the face is unlike the other photos (similarity {similarity:.2f}), and none shows who {person} is"
            )
            advice = f"add a photo that does, or use --force if it is {person}"
        elif doubt.kind is DoubtKind.OUTVOTED:
            is_main = comparison.is_main[-len(self._sample_ids) :].tolist()
            samples = [sample for sample, in_main in zip(self._sample_ids, is_main, strict=True) if in_main]
            listed = ", ".join(map(str, samples[:_MAX_LISTED_SAMPLES]))
            more = " and others" if len(samples) > _MAX_LISTED_SAMPLES else ""
            problem = f"{problem}, but like most photos given with it"
            advice = (
                f"if a sample is wrong, remove it with 'facebank people remove-sample' (sample {listed}{more}); "
                f"use --force if all are {person}"
            )
        return Judgment(EnrollReason.UNLIKE_THE_PERSON, f"{problem}: {advice}")

    def _describe_nearer_person(self, doubt: Doubt) -> str:
        person = printable(self.name)
        other = "" if doubt.person is None else printable(self._enrolled.name(doubt.person))
        similarity = f"similarity {doubt.other_similarity or 0:.2f}"
        if doubt.own_similarity is None:
            problem = f"the face is clearly {other}'s ({similarity}), and {person} has no other sample"
        else:
            problem = f"the face is nearer to {other} ({similarity}) than to {person} ({doubt.own_similarity:.2f})"
        return f"{problem}: use --force if it is {person} anyway"

    def _similarity_warning(self, comparison: FaceSetComparison) -> str | None:
        person = printable(self.name)
        if comparison.is_split:
            return f"{person}'s photos are in halves of low similarity: if these are two people, remove the other's"
        if comparison.similar_other is None:
            return None
        other_id, similarity = comparison.similar_other
        other = printable(self._enrolled.name(other_id))
        return (
            f"{person}'s photos look as much like {other} as like each other (similarity {similarity:.2f}): "
            "if that is one person, join them with 'facebank people merge'"
        )

    def _is_explained_by_age(self, comparison: FaceSetComparison, index: int, dates: Sequence[datetime | None]) -> bool:
        """Return whether the years between a compared face and the person's other photos may explain the difference."""
        others = comparison.is_main & (comparison.sets != comparison.sets[index])
        if not others.any():
            others = comparison.is_main.copy()
            others[index] = False
        other_dates = [
            date for date, is_other in zip(dates, others.tolist(), strict=True) if is_other and date is not None
        ]
        date = dates[index]
        if date is None or not other_dates:
            return False
        return all(may_look_different(date, other, self._born) for other in other_dates)


def _camera_date(sample: Sample | None) -> datetime | None:
    return sample.taken_at if sample is not None and sample.camera_dated else None
