"""Questions about unnamed groups and uncertain faces of an album, one after the other, in view of earlier answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from facebank.album.answers import MAX_DENIED, is_remembered
from facebank.album.confirmed import identify_in_album, owner_in_photo
from facebank.album.groups.face_groups import group_key
from facebank.errors import ScanNotFoundError
from facebank.types import Candidate, Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from facebank.album.album import Album
    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.overview import AlbumOverview
    from facebank.types import Photo

MAX_GROUP_FACES = 8
"""Maximum number of a group's faces that are identified for a question, and shown."""

_MIN_PROBABILITY = 0.2  # of the person whom a question names


@dataclass(frozen=True, slots=True)
class Question:
    """A group of faces or a single face, with the people that it may show."""

    key: str  # ``group-NUMBER-FACE`` or ``face-HASH-NUMBER``
    group_number: int | None  # None for a single face
    faces: tuple[tuple[Photo, int], ...]  # identified photos and the faces' numbers from 1; the most typical first
    face_count: int  # number of the group's faces that are not samples
    candidates: tuple[Candidate, ...]  # up to three people, the likeliest first
    face_ids: tuple[int, ...] = ()  # numbers of `faces` in the scan; empty for a single face
    group_key: str | None = None  # `facebank.album.groups.face_groups.Group.key`; None for a single face

    @property
    def likely_person(self) -> str | None:
        """The person whom the question names; None if nobody is likely."""
        first = self.candidates[0] if self.candidates else None
        is_likely = first is not None and (first.probability is None or first.probability >= _MIN_PROBABILITY)
        return first.person if first is not None and is_likely else None


class Questions:
    """Finds the next question about an album; several threads may use it.

    Parameters
    ----------
    bank, album, overview
        The people, the photos, and the decisions about the photos.
    """

    def __init__(self, bank: GalleryAccess, album: Album, overview: AlbumOverview) -> None:
        self._bank = bank
        self._album = album
        self._overview = overview
        self._settled = set[str]()  # keys of answered questions
        self._closed = set[str]()  # keys of questions that needed no answer when last checked
        self._groups: dict[int, list[int]] | None = None
        self._lock = Lock()

    def reset(self) -> None:
        """Clear the answered questions, after faces were grouped again or an answer was undone."""
        with self._lock:
            self._settled.clear()
            self._closed.clear()
            self._groups = None

    def identify_again(self) -> None:
        """Check questions again that needed no answer, after decisions have changed; answers are kept."""
        with self._lock:
            self._closed.clear()

    def settle(self, key: str) -> None:
        """Mark a question as answered."""
        with self._lock:
            self._settled.add(key)

    def next(self, skipped: Collection[str] = ()) -> Question | None:
        """Return the next question; None if there is none.

        Groups come first, the largest before others, then uncertain faces, then groups of a single face.

        Parameters
        ----------
        skipped
            Keys of questions to skip.
        """
        for key, is_group in self._keys():
            if key in skipped or self._is_settled(key):
                continue
            question = self.question(key) if is_group else self._face_question(key)
            if question is not None:
                return question
            with self._lock:
                self._closed.add(key)
        return None

    def question(self, key: str) -> Question | None:
        """Return a question by its key; None if it does not exist, or no longer needs an answer."""
        if key in self._settled:
            return None
        kind, _, suffix = key.partition("-")
        if kind == "face":
            return self._face_question(key)
        number, _, first = suffix.partition("-")
        if kind != "group" or not number.isdecimal() or not first.isdecimal():
            return None
        face_ids = self._all_groups().get(int(number), [])
        is_same_group = bool(face_ids) and face_ids[0] == int(first)
        return self._group_question(key, int(number), face_ids) if is_same_group else None

    def identified_person(self, key: str) -> str | None:
        """Return the person identified in most faces of a question; None if nobody is, or the question is gone."""
        kind, _, suffix = key.partition("-")
        number = suffix.partition("-")[0]
        if kind == "group" and number.isdecimal():
            located = self._locate(self._all_groups().get(int(number), [])[:MAX_GROUP_FACES])
            faces = [face for _, face in located]
        else:
            faces = self._find_face(key)
        names = [self._identify(photo).faces[face_number - 1].person for photo, face_number in faces]
        counts = Counter(name for name in names if name is not None)
        return counts.most_common(1)[0][0] if counts else None

    def members(self, question: Question, max_count: int) -> dict[int, tuple[Photo, int]]:
        """Return up to `max_count` faces of a question's group that are not samples, the most typical first.

        The photo and the face number from 1 of each, by its number in the scan. Empty for a single face.
        """
        if question.group_number is None:
            return {}
        face_ids = self._all_groups().get(question.group_number, [])[:max_count]
        return self._without_owners(dict(self._locate(face_ids)))

    def reload_groups(self, question: Question, *, is_settled: bool) -> None:
        """Read the groups again after faces were taken out of a question's group; `is_settled` if it is answered."""
        with self._lock:
            self._groups = None
            face_ids = self._all_groups().get(question.group_number or 0)
            if face_ids and is_settled:
                self._settled.add(f"group-{question.group_number}-{face_ids[0]}")

    def count(self) -> int:
        """Return the approximate number of open questions."""
        return sum(not self._is_settled(key) for key, _ in self._keys())

    def _is_settled(self, key: str) -> bool:
        return key in self._settled or key in self._closed

    def _keys(self) -> Iterator[tuple[str, bool]]:
        """Yield the keys of all questions in order, each with whether it is about a group."""
        groups = self._all_groups()
        large = [(number, face_ids) for number, face_ids in groups.items() if len(face_ids) > 1]
        yield from ((f"group-{number}-{face_ids[0]}", True) for number, face_ids in large)
        for photo, face in self._overview.uncertain_faces():
            yield f"face-{photo.content_hash}-{face.face_number}", False
        single = [(number, face_ids) for number, face_ids in groups.items() if len(face_ids) == 1]
        yield from ((f"group-{number}-{face_ids[0]}", True) for number, face_ids in single)

    def _all_groups(self) -> dict[int, list[int]]:
        groups = self._groups
        if groups is None:
            try:
                groups = self._album.scan_file.groups()
            except ScanNotFoundError:
                return {}
            self._groups = groups
        return groups

    def _locate(self, face_ids: list[int]) -> Iterator[tuple[int, tuple[Photo, int]]]:
        for face_id in face_ids:
            photo, index = self._album.scan_file.locate_face(face_id)
            if self._overview.photo(photo.content_hash) is not None:
                yield face_id, (photo, index + 1)

    def _group_question(self, key: str, number: int, face_ids: list[int]) -> Question | None:
        typical = {
            face_id: (self._identify(photo), face_number)
            for face_id, (photo, face_number) in self._locate(face_ids[:MAX_GROUP_FACES])
        }
        is_open = self._is_open_alone if len(face_ids) == 1 else _is_open
        open_faces = {face_id: face for face_id, face in typical.items() if is_open(*face)}
        if not typical or 2 * len(open_faces) < len(typical):
            return None
        faces = tuple(open_faces.values())
        return Question(
            key,
            number,
            faces,
            self._count_unowned(typical, face_ids),
            _likeliest(faces),
            tuple(open_faces),
            group_key(face_ids),
        )

    def _count_unowned(self, typical: dict[int, tuple[Photo, int]], face_ids: list[int]) -> int:
        """Return the number of a group's faces that are not samples; of a large group, only typical faces are checked.

        `typical` are the most typical faces.
        """
        if len(self._without_owners(typical)) == len(typical):  # naming a group makes its most typical face a sample
            return len(face_ids)
        checked = dict(self._locate(face_ids[:MAX_DENIED]))
        return len(face_ids) - len(checked) + len(self._without_owners(checked))

    def _without_owners(self, faces: dict[int, tuple[Photo, int]]) -> dict[int, tuple[Photo, int]]:
        gallery = self._bank.gallery
        return {face_id: face for face_id, face in faces.items() if owner_in_photo(*face, gallery) is None}

    def _face_question(self, key: str) -> Question | None:
        for photo, face_number in self._find_face(key):
            identified = self._identify(photo)
            is_unsure = identified.faces[face_number - 1].decision is Decision.UNCERTAIN
            if is_unsure and _is_open(identified, face_number):
                return Question(key, None, ((identified, face_number),), 1, _likeliest([(identified, face_number)]))
        return None

    def _find_face(self, key: str) -> list[tuple[Photo, int]]:
        content_hash, _, number = key.removeprefix("face-").rpartition("-")
        known = self._overview.photo(content_hash)
        if known is None or not number.isdecimal():
            return []
        return [
            (photo, int(number))
            for photo in self._album.scan_file.photos([known.path])
            if photo.content_hash == content_hash and 1 <= int(number) <= len(photo.faces)
        ]

    def _is_open_alone(self, photo: Photo, face_number: int) -> bool:
        """Return whether a single face is asked about: it is not known, and not itself remembered as a stranger's.

        Similarity to a stranger does not suffice, because it is too common (docs/albums.md).
        """
        face = photo.faces[face_number - 1]
        return face.decision is not Decision.KNOWN and not is_remembered(self._bank.gallery, photo, face)

    def _identify(self, photo: Photo) -> Photo:
        return identify_in_album(photo, self._bank.gallery, self._bank.identification)


def _is_open(photo: Photo, face_number: int) -> bool:
    face = photo.faces[face_number - 1]
    return face.decision is not Decision.KNOWN and face.reason is not Reason.REMEMBERED_STRANGER


def _likeliest(faces: Sequence[tuple[Photo, int]]) -> tuple[Candidate, ...]:
    """Return the three likeliest people for faces of one person, by mean probability, then mean similarity."""
    by_person: dict[str, list[Candidate]] = defaultdict(list)
    for photo, face_number in faces:
        for candidate in photo.faces[face_number - 1].candidates:
            by_person[candidate.person].append(candidate)
    averages = []
    for person, candidates in by_person.items():
        similarity = sum(candidate.similarity for candidate in candidates) / len(candidates)
        probabilities = [candidate.probability for candidate in candidates if candidate.probability is not None]
        averages.append(Candidate(person, similarity, sum(probabilities) / len(faces) if probabilities else None))
    averages.sort(key=lambda candidate: (-(candidate.probability or 0.0), -candidate.similarity))
    return tuple(averages[:3])
