"""Who is this? One group of unnamed faces, or one unsure face, after another; the next one knows the last answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from facebank.album.answers import MOST_DENIED, is_remembered
from facebank.album.confirmed import identified_in_album, owner_in_photo
from facebank.album.groups.face_groups import group_key
from facebank.errors import ScanNotFoundError
from facebank.types import Candidate, Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from facebank.album.album import Album, GalleryAccess
    from facebank.album.overview import AlbumOverview
    from facebank.types import Photo

SHOWN_FACES = 8
"""How many faces of a group are looked at anew, and shown."""

_LEAST_ASKED = 0.2  # probability from which a person is asked for by name


@dataclass(frozen=True, slots=True)
class Question:
    """A group of faces or a single one, with whom it may be."""

    key: str  # ``group-NUMBER-FACE`` or ``face-HASH-NUMBER``
    group: int | None  # number of the group
    faces: tuple[tuple[Photo, int], ...]  # photos, identified just now, and the faces' numbers; the most typical first
    face_count: int  # how many faces of the group are nobody's samples
    candidates: tuple[Candidate, ...]  # up to three people, the likeliest first
    face_ids: tuple[int, ...] = ()  # numbers of `faces` in the scan; none for a single face
    group_key: str | None = None  # `facebank.album.groups.face_groups.Group.key`

    @property
    def asked(self) -> str | None:
        """The person who is asked for; None where nobody is likely."""
        first = self.candidates[0] if self.candidates else None
        is_likely = first is not None and (first.probability is None or first.probability >= _LEAST_ASKED)
        return first.person if first is not None and is_likely else None


class Questions:
    """Finds what to ask next in an album; several threads may use it.

    Parameters
    ----------
    bank, album, overview
        The people, the photos, and the decisions about them.
    """

    def __init__(self, bank: GalleryAccess, album: Album, overview: AlbumOverview) -> None:
        self._bank = bank
        self._album = album
        self._overview = overview
        self._settled = set[str]()  # keys of what was answered
        self._closed = set[str]()  # keys of what needed no answer when it was last looked at
        self._groups: dict[int, list[int]] | None = None
        self._lock = Lock()

    def forget(self) -> None:
        """Look at everything anew: faces were grouped again, or an answer was taken back."""
        with self._lock:
            self._settled.clear()
            self._closed.clear()
            self._groups = None

    def look_again(self) -> None:
        """Look anew at what needed no answer: decisions have changed. What was answered stays so."""
        with self._lock:
            self._closed.clear()

    def settle(self, key: str) -> None:
        """Ask something no more: it was answered."""
        with self._lock:
            self._settled.add(key)

    def next(self, skipped: Collection[str] = ()) -> Question | None:
        """Return what to ask next: groups, the largest first, then unsure faces, then faces that are alone.

        Parameters
        ----------
        skipped
            Keys of questions that are not wanted.
        """
        for key, group in self._keys():
            if key in skipped or self._is_settled(key):
                continue
            question = self.question(key) if group else self._of_face(key)
            if question is not None:
                return question
            with self._lock:
                self._closed.add(key)
        return None

    def question(self, key: str) -> Question | None:
        """Return a question by its key; None if it needs no answer any more, or is not there."""
        if key in self._settled:
            return None
        kind, _, rest = key.partition("-")
        if kind == "face":
            return self._of_face(key)
        number, _, first = rest.partition("-")
        if kind != "group" or not number.isdecimal() or not first.isdecimal():
            return None
        faces = self._all_groups().get(int(number), [])
        return self._of_group(key, int(number), faces) if faces and faces[0] == int(first) else None

    def known_as(self, key: str) -> str | None:
        """Return who most of the faces of a question are known to be; None if nobody, or it is not there."""
        kind, _, rest = key.partition("-")
        number = rest.partition("-")[0]
        if kind == "group" and number.isdecimal():
            places = [at for _, at in self._places(self._all_groups().get(int(number), [])[:SHOWN_FACES])]
        else:
            places = self._place_of_face(key)
        names = [self._identified(photo).faces[place - 1].person for photo, place in places]
        known = Counter(name for name in names if name is not None)
        return known.most_common(1)[0][0] if known else None

    def members(self, question: Question, most: int) -> dict[int, tuple[Photo, int]]:
        """Return up to so many faces of a question's group by their numbers in the scan, the most typical first.

        With each are its photo and its number in it. A single face that is asked about is in no group, and a face that
        is somebody's sample is not asked about.
        """
        if question.group is None:
            return {}
        return self._without_owners(dict(self._places(self._all_groups().get(question.group, [])[:most])))

    def parted(self, question: Question, *, is_settled: bool) -> None:
        """Look at the groups anew: faces of a question's were taken out, and it may need no answer any more."""
        with self._lock:
            self._groups = None
            faces = self._all_groups().get(question.group or 0)
            if faces and is_settled:
                self._settled.add(f"group-{question.group}-{faces[0]}")

    def left(self) -> int:
        """Return about how many questions are left."""
        return sum(not self._is_settled(key) for key, _ in self._keys())

    def _is_settled(self, key: str) -> bool:
        return key in self._settled or key in self._closed

    def _keys(self) -> Iterator[tuple[str, bool]]:
        groups = self._all_groups()
        several = [(number, faces) for number, faces in groups.items() if len(faces) > 1]
        yield from ((f"group-{number}-{faces[0]}", True) for number, faces in several)
        for photo, face in self._overview.unsure():
            yield f"face-{photo.content_hash}-{face.face_number}", False
        yield from ((f"group-{number}-{faces[0]}", True) for number, faces in groups.items() if len(faces) == 1)

    def _all_groups(self) -> dict[int, list[int]]:
        groups = self._groups
        if groups is None:
            try:
                groups = self._album.scan_file.groups()
            except ScanNotFoundError:
                return {}
            self._groups = groups
        return groups

    def _places(self, faces: list[int]) -> Iterator[tuple[int, tuple[Photo, int]]]:
        for face in faces:
            photo, place = self._album.scan_file.place_of(face)
            if self._overview.photo(photo.content_hash) is not None:
                yield face, (photo, place + 1)

    def _of_group(self, key: str, number: int, faces: list[int]) -> Question | None:
        seen = {face: (self._identified(photo), place) for face, (photo, place) in self._places(faces[:SHOWN_FACES])}
        is_open = self._is_open_alone if len(faces) == 1 else _is_open
        open_ones = {face: at for face, at in seen.items() if is_open(*at)}
        if not seen or 2 * len(open_ones) < len(seen):
            return None
        places = tuple(open_ones.values())
        return Question(
            key, number, places, self._unowned(seen, faces), _likeliest(places), tuple(open_ones), group_key(faces)
        )

    def _unowned(self, seen: dict[int, tuple[Photo, int]], faces: list[int]) -> int:
        """Return how many faces of a group are nobody's samples; of a large one only the most typical are looked at."""
        if len(self._without_owners(seen)) == len(seen):  # of whom was named, the most typical face is a sample
            return len(faces)
        several = dict(self._places(faces[:MOST_DENIED]))
        return len(faces) - len(several) + len(self._without_owners(several))

    def _without_owners(self, places: dict[int, tuple[Photo, int]]) -> dict[int, tuple[Photo, int]]:
        gallery = self._bank.gallery
        return {face: at for face, at in places.items() if owner_in_photo(*at, gallery) is None}

    def _of_face(self, key: str) -> Question | None:
        for photo, face_number in self._place_of_face(key):
            identified = self._identified(photo)
            is_unsure = identified.faces[face_number - 1].decision is Decision.UNCERTAIN
            if is_unsure and _is_open(identified, face_number):
                return Question(key, None, ((identified, face_number),), 1, _likeliest([(identified, face_number)]))
        return None

    def _place_of_face(self, key: str) -> list[tuple[Photo, int]]:
        content_hash, _, number = key.removeprefix("face-").rpartition("-")
        known = self._overview.photo(content_hash)
        if known is None or not number.isdecimal():
            return []
        found = [photo for photo in self._album.scan_file.photos([known.path]) if photo.content_hash == content_hash]
        return [(photo, int(number)) for photo in found if 1 <= int(number) <= len(photo.faces)]

    def _is_open_alone(self, photo: Photo, face_number: int) -> bool:
        """Return whether a face that is in no group with others is asked about.

        One that is only like a stranger is: 4 % of the faces of other people are like one of 50 (measured on LFW).
        """
        face = photo.faces[face_number - 1]
        return face.decision is not Decision.KNOWN and not is_remembered(self._bank.gallery, photo, face)

    def _identified(self, photo: Photo) -> Photo:
        return identified_in_album(photo, self._bank.gallery, self._bank.identification)


def _is_open(photo: Photo, face_number: int) -> bool:
    face = photo.faces[face_number - 1]
    return face.decision is not Decision.KNOWN and face.reason is not Reason.REMEMBERED_STRANGER


def _likeliest(faces: Sequence[tuple[Photo, int]]) -> tuple[Candidate, ...]:
    """Return the three people whom faces of one person may be, by their mean probability, else similarity."""
    found: dict[str, list[Candidate]] = defaultdict(list)
    for photo, number in faces:
        for candidate in photo.faces[number - 1].candidates:
            found[candidate.person].append(candidate)
    averages = []
    for person, several in found.items():
        similarity = sum(one.similarity for one in several) / len(several)
        rated = [one.probability for one in several if one.probability is not None]
        averages.append(Candidate(person, similarity, sum(rated) / len(faces) if rated else None))
    averages.sort(key=lambda one: (-(one.probability or 0.0), -one.similarity))
    return tuple(averages[:3])
