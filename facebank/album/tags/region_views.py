"""A photo's regions in the upright picture: which of EXIF's eight orientations they need is decided by the faces.

Programs differ in whether regions are about the stored or the upright picture, and state dimensions of either or none.
All regions of a photo are laid on the upright picture in each orientation; the one in which they meet the faces clearly
best is theirs. If none is clearly best, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from facebank.album.tags.regions import Box, Frame, Region, Vocabulary, match_faces, turned
from facebank.album.tags.xmp_files import XmpSource
from facebank.gallery import name_key
from facebank.storage.concurrency import computed
from facebank.storage.text import printable

_CLEARLY = 1.5  # one way is clearly better than another that meets the faces less than two thirds as well
_NEARLY = 0.9  # two ways meet the faces about as well: what the document says of itself decides
_UNUSUAL = 2  # so many regions have to meet faces, and all do, before a way is believed that no program writes

Match = dict[tuple[int, int], int]
"""Faces by list of regions and the region's place in it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How the regions of a photo are turned upright."""

    seen: int | None  # EXIF orientation to match them with faces; None if they cannot be read
    written: int | None  # EXIF orientation to write further regions among them; None if that is unclear
    problem: str | None = None  # why, to follow the file's name; None if all is clear

    @property
    def is_unclear(self) -> bool:
        """Whether the faces meet the regions in several orientations, as different people."""
        return self.problem is not None and self.seen is None


class TurnFinder:
    """Decides how the regions of a photo are turned upright.

    Parameters
    ----------
    frame
        The photo's.
    faces
        Boxes of its faces in the upright picture.
    sources
        All documents about the photo.
    """

    def __init__(self, frame: Frame, faces: Sequence[Box], sources: Sequence[XmpSource]) -> None:
        self._frame = frame
        self._faces = faces
        self._sources = sources

    def of(self, source: XmpSource) -> Turn:
        """Return the turn of a document's regions: by themselves if they decide it, else by all documents together."""
        document = source.document
        lists = self._lists(source)
        by_dimensions = self._frame.turn_of(document.dimensions)
        own = self._decided(lists, self._hint(lists, document.dimensions))
        if own is not None and own.problem is not None and self._together is not None:
            own = own if self._together.problem else self._together
        if document.has_mwg_regions and (
            not self._frame.may_have(document.dimensions) or (by_dimensions or own) is None
        ):
            across, down = document.dimensions or (0, 0)
            problem = f"has regions of a picture of {across:g} x {down:g} pixels, which the photo is not any more"
            seen = self._frame.orientation if own is None else own.seen
            return Turn(seen, None, f"{problem}: have the program that wrote them write them anew")
        if own is not None:
            return own
        if not any(lists):
            usual = by_dimensions or self._frame.orientation
            return Turn(usual, usual)
        return self._without_faces(lists)

    @computed
    def _together(self) -> Turn | None:
        lists = [regions for source in self._sources for regions in self._lists(source)]
        return self._decided(lists, None) if len(self._sources) > 1 else None

    def _lists(self, source: XmpSource) -> list[list[Region]]:
        """Return the regions of faces with a place, a list for each vocabulary of a document."""
        document = source.document
        regions = [region for region in document.regions if region.is_face and region.has_place]
        is_about_it = self._frame.may_have(document.dimensions)
        lists = (
            [region for region in regions if region.vocabulary is vocabulary]
            for vocabulary in Vocabulary
            if is_about_it or vocabulary is not Vocabulary.MWG
        )
        return [found for found in lists if found]

    def _hint(self, lists: Sequence[Sequence[Region]], dimensions: tuple[float, float] | None) -> int | None:
        """Return the turn that a document states: facebank writes about the stored picture; None if it states none."""
        if all(region.written_name is not None for regions in lists for region in regions):
            return self._frame.orientation
        return self._frame.turn_of(dimensions) if self._frame.is_told_by(dimensions) else None

    def _decided(self, lists: Sequence[Sequence[Region]], hint: int | None) -> Turn | None:
        """Return the turn by which regions meet faces; None if they meet none in any."""
        usual = {turn: self._fit(lists, turn) for turn in dict.fromkeys((self._frame.orientation, 1))}
        count, best = sum(map(len, lists)), max(score for score, _ in usual.values())
        fits = usual
        if best * _CLEARLY < count:
            others = {turn: self._fit(lists, turn) for turn in range(1, 9) if turn not in usual}
            better = {turn: fit for turn, fit in others.items() if fit[0] > best * _CLEARLY}
            if any(len(match) == count >= _UNUSUAL for _, match in better.values()):
                fits = usual | others  # as after a photo was turned since
            elif best and better:
                return Turn(None, None, self._unclear())
        best = max(score for score, _ in fits.values())
        if not best:
            return None
        likely = {turn: fit for turn, fit in fits.items() if fit[0] * _CLEARLY > best}
        trusted = hint in likely and self._all_ours(lists)
        if len({tuple(sorted(match.items())) for _, match in likely.values()}) > 1 and not trusted:
            return Turn(None, None, self._unclear())
        first = max(likely, key=lambda turn: likely[turn][0])
        if len(likely) == 1:
            return Turn(first, first)
        if hint in likely and (trusted or likely[hint][0] > best * _NEARLY):
            return Turn(hint, hint)
        return Turn(first, None, self._unclear())

    def _fit(self, lists: Sequence[Sequence[Region]], turn: int) -> tuple[float, Match]:
        """Return how near regions are to faces in a turn, and which face each of them is."""
        size, score, match = self._frame.size_of(turn), 0.0, Match()
        for number, regions in enumerate(lists):
            matched = match_faces([_seen(region, turn, size) for region in regions], self._faces)
            score += sum(nearness for _, nearness in matched.values())
            match |= {(number, place): face for place, (face, _) in matched.items()}
        return score, match

    def _without_faces(self, lists: Sequence[Sequence[Region]]) -> Turn:
        """Return the turn of regions that meet no face: certain for unrotated photos and for facebank's own regions."""
        orientation = self._frame.orientation
        certain = orientation == 1 or self._all_ours(lists)
        if certain:
            return Turn(orientation, orientation)
        problem = (
            "has regions that meet no face that was found, so that it is not known which way round they are: have the "
            "program that wrote them write them anew"
        )
        return Turn(orientation, None, problem)

    @staticmethod
    def _all_ours(lists: Sequence[Sequence[Region]]) -> bool:
        return all(region.written_name is not None for regions in lists for region in regions)

    def _unclear(self) -> str:
        return (
            "has regions that meet the faces in more than one way of turning the photo (EXIF orientation "
            f"{self._frame.orientation}): have the program that wrote them write them anew, or name the faces with "
            "'facebank confirm'"
        )


@dataclass(frozen=True, slots=True, eq=False)
class RegionView:
    """The regions of a document in the upright picture."""

    source: XmpSource
    regions: tuple[Region, ...]
    boxes: tuple[Box | None, ...]  # of the regions; None for one that is nowhere
    of_face: dict[Vocabulary, dict[int, int]]  # indices of regions by the face's, for each vocabulary
    turn: Turn  # how they are turned upright
    faces: tuple[Box, ...]  # boxes of the faces in the upright picture

    @classmethod
    def of(cls, source: XmpSource, frame: Frame, faces: Sequence[Box], finder: TurnFinder) -> RegionView:
        """Return the view of a document; the parameters are as of `TurnFinder`."""
        regions, turn = source.document.regions, finder.of(source)
        about_it = frame.may_have(source.document.dimensions)
        boxes = tuple(
            None
            if turn.seen is None or not (about_it or region.vocabulary is Vocabulary.MICROSOFT)
            else _seen(region, turn.seen, frame.size_of(turn.seen))
            for region in regions
        )
        of_face = {}
        for vocabulary in Vocabulary:
            usable = [
                box if region.vocabulary is vocabulary and region.is_face else None
                for region, box in zip(regions, boxes, strict=True)
            ]
            of_face[vocabulary] = {face: place for place, (face, _) in match_faces(usable, faces).items()}
        return cls(source, tuple(regions), boxes, of_face, turn, tuple(faces))

    def without_names(self, places: Sequence[int]) -> RegionView:
        """Return the view without the names of some regions."""
        bare = {place: replace(self.regions[place], name="", written_name="") for place in places}
        return replace(self, regions=tuple(bare.get(place, region) for place, region in enumerate(self.regions)))

    @property
    def problem(self) -> str | None:
        """Why the regions cannot be read, or not be added to, with the file's name; None if they can."""
        return None if self.turn.problem is None else f"{printable(str(self.source.path))} {self.turn.problem}"

    def names_of(self, face: int) -> list[Region]:
        """Return the named regions of a face."""
        places = [matched[face] for matched in self.of_face.values() if face in matched]
        return [self.regions[place] for place in places if self.regions[place].name]

    def names_another(self, face: int, person: str, known: AbstractSet[int]) -> bool:
        """Return whether another face, or a place without one, has the person's name.

        What facebank wrote and knows better by now does not count.
        """
        faces = self._faces_of_regions()
        return any(
            region.is_face
            and box is not None
            and name_key(region.name) == name_key(person)
            and faces.get(place) != face
            and not (region.is_ours and faces.get(place) in known)
            and not (place not in faces and self._is_inside(face, box))
            for place, (region, box) in enumerate(zip(self.regions, self.boxes, strict=True))
        )

    def frames(self, face: int, person: str) -> bool:
        """Return whether a region that matches no face, such as a body's, holds the face and has the person's name."""
        faces = self._faces_of_regions()
        return any(
            place not in faces
            and box is not None
            and region.vocabulary is Vocabulary.MWG
            and name_key(region.name) == name_key(person)
            and self._is_inside(face, box)
            for place, (region, box) in enumerate(zip(self.regions, self.boxes, strict=True))
        )

    def _faces_of_regions(self) -> dict[int, int]:
        return {place: face for matched in self.of_face.values() for face, place in matched.items()}

    def _is_inside(self, face: int, box: Box) -> bool:
        x1, y1, x2, y2 = self.faces[face]
        return box[0] <= (x1 + x2) / 2 <= box[2] and box[1] <= (y1 + y2) / 2 <= box[3]


def _seen(region: Region, turn: int, size: tuple[float, float]) -> Box | None:
    """Return where a region about a picture of this size lies in the upright picture."""
    box = region.box_in(size)
    return None if box is None else turned(box, turn)
