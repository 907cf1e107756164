"""A photo's regions in the upright picture; the detected faces decide which of EXIF's eight orientations applies.

Programs differ in whether regions refer to the stored or the upright picture, and state the dimensions of either or
none. The regions of a photo are turned by each orientation and matched with the faces. The orientation with the clearly
best match applies; if there is none, the orientation is unclear and the regions are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from facebank.album.tags.regions import Box, PhotoFrame, Region, Vocabulary, match_faces, turn_box
from facebank.album.tags.xmp_files import XmpSource
from facebank.gallery import name_key
from facebank.storage.concurrency import computed
from facebank.storage.text import printable

_CLEAR_RATIO = 1.5  # ratio of match scores from which one orientation is clearly better than another
_CLOSE_RATIO = 0.9  # ratio of match scores from which the document's own dimensions decide
_MIN_UNUSUAL_MATCHES = 2  # regions that must all match before an orientation is accepted that no program writes

Match = dict[tuple[int, int], int]
"""Indices of faces, by the index of a list of regions and the region's index in it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The EXIF orientation that makes the regions of a photo upright."""

    to_read: int | None  # EXIF orientation to match them with faces; None if they cannot be read
    to_write: int | None  # EXIF orientation to write further regions among them; None if that is unclear
    problem: str | None = None  # why one is None, worded to follow the file's name

    @property
    def is_unclear(self) -> bool:
        """Whether several orientations match the regions with different faces."""
        return self.problem is not None and self.to_read is None


class TurnFinder:
    """Finds the EXIF orientation that makes the regions of a photo upright.

    Parameters
    ----------
    frame
        The photo's size and orientation.
    faces
        Boxes of its faces in the upright picture.
    sources
        All documents about the photo.
    """

    def __init__(self, frame: PhotoFrame, faces: Sequence[Box], sources: Sequence[XmpSource]) -> None:
        self._frame = frame
        self._faces = faces
        self._sources = sources

    def find(self, source: XmpSource) -> Turn:
        """Return the turn of a document's regions, decided by them alone or else by all documents together."""
        document = source.document
        lists = self._lists(source)
        by_dimensions = self._frame.turn_of(document.dimensions)
        own = self._decide(lists, self._hint(lists, document.dimensions))
        if own is not None and own.problem is not None and self._together is not None:
            own = own if self._together.problem else self._together
        if document.has_mwg_regions and (
            not self._frame.may_have(document.dimensions) or (by_dimensions or own) is None
        ):
            width, height = document.dimensions or (0, 0)
            problem = f"has regions of a picture of {width:g} x {height:g} pixels, and the photo now has another shape"
            to_read = self._frame.orientation if own is None else own.to_read
            return Turn(to_read, None, f"{problem}: write them again with the program that wrote them")
        if own is not None:
            return own
        if not any(lists):
            usual = by_dimensions or self._frame.orientation
            return Turn(usual, usual)
        return self._without_faces(lists)

    @computed
    def _together(self) -> Turn | None:
        lists = [regions for source in self._sources for regions in self._lists(source)]
        return self._decide(lists, None) if len(self._sources) > 1 else None

    def _lists(self, source: XmpSource) -> list[list[Region]]:
        """Return the face regions of a document that state an area, one list for each vocabulary."""
        document = source.document
        regions = [region for region in document.regions if region.is_face and region.has_area]
        fits_photo = self._frame.may_have(document.dimensions)
        lists = (
            [region for region in regions if region.vocabulary is vocabulary]
            for vocabulary in Vocabulary
            if fits_photo or vocabulary is not Vocabulary.MWG
        )
        return [regions for regions in lists if regions]

    def _hint(self, lists: Sequence[Sequence[Region]], dimensions: tuple[float, float] | None) -> int | None:
        """Return the turn that a document implies without faces; None if it implies none."""
        if all(region.written_name is not None for regions in lists for region in regions):
            return self._frame.orientation  # facebank's regions refer to the stored picture
        return self._frame.turn_of(dimensions) if self._frame.is_distinguished_by(dimensions) else None

    def _decide(self, lists: Sequence[Sequence[Region]], hint: int | None) -> Turn | None:
        """Return the turn by which regions match faces; None if no turn matches any."""
        usual = {turn: self._fit(lists, turn) for turn in dict.fromkeys((self._frame.orientation, 1))}
        count, best = sum(map(len, lists)), max(score for score, _ in usual.values())
        fits = usual
        if best * _CLEAR_RATIO < count:
            others = {turn: self._fit(lists, turn) for turn in range(1, 9) if turn not in usual}
            better = {turn: fit for turn, fit in others.items() if fit[0] > best * _CLEAR_RATIO}
            if any(len(match) == count >= _MIN_UNUSUAL_MATCHES for _, match in better.values()):
                fits = usual | others  # the photo may have been turned since
            elif best and better:
                return Turn(None, None, self._unclear_message())
        best = max(score for score, _ in fits.values())
        if not best:
            return None
        likely = {turn: fit for turn, fit in fits.items() if fit[0] * _CLEAR_RATIO > best}
        trusted = hint in likely and self._are_all_own(lists)
        if len({tuple(sorted(match.items())) for _, match in likely.values()}) > 1 and not trusted:
            return Turn(None, None, self._unclear_message())
        first = max(likely, key=lambda turn: likely[turn][0])
        if len(likely) == 1:
            return Turn(first, first)
        if hint in likely and (trusted or likely[hint][0] > best * _CLOSE_RATIO):
            return Turn(hint, hint)
        return Turn(first, None, self._unclear_message())

    def _fit(self, lists: Sequence[Sequence[Region]], turn: int) -> tuple[float, Match]:
        """Return the total nearness of regions to faces in a turn, and the matched faces."""
        size, score, match = self._frame.size_of(turn), 0.0, Match()
        for number, regions in enumerate(lists):
            matched = match_faces([_upright_box(region, turn, size) for region in regions], self._faces)
            score += sum(nearness for _, nearness in matched.values())
            match |= {(number, index): face for index, (face, _) in matched.items()}
        return score, match

    def _without_faces(self, lists: Sequence[Sequence[Region]]) -> Turn:
        """Return the turn of regions without a face; certain for unrotated photos and for facebank's own regions."""
        orientation = self._frame.orientation
        if orientation == 1 or self._are_all_own(lists):
            return Turn(orientation, orientation)
        problem = (
            "has regions of unclear orientation, where no face was found: write them again with the program that "
            "wrote them"
        )
        return Turn(orientation, None, problem)

    @staticmethod
    def _are_all_own(lists: Sequence[Sequence[Region]]) -> bool:
        return all(region.written_name is not None for regions in lists for region in regions)

    def _unclear_message(self) -> str:
        return (
            f"has regions that match the faces in more than one orientation (EXIF {self._frame.orientation}): write "
            "them again with the program that wrote them, or name the faces with 'facebank confirm'"
        )


@dataclass(frozen=True, slots=True, eq=False)
class RegionView:
    """The regions of a document in the upright picture."""

    source: XmpSource
    regions: tuple[Region, ...]
    boxes: tuple[Box | None, ...]  # of the regions; None for a region without an area
    # indices of regions by the index of their face, for each vocabulary
    region_of_face: dict[Vocabulary, dict[int, int]]
    turn: Turn
    faces: tuple[Box, ...]  # boxes of the faces in the upright picture

    @classmethod
    def of(cls, source: XmpSource, frame: PhotoFrame, faces: Sequence[Box], finder: TurnFinder) -> RegionView:
        """Return the view of a document; the parameters are as for `TurnFinder`."""
        regions, turn = source.document.regions, finder.find(source)
        fits_photo = frame.may_have(source.document.dimensions)
        boxes = tuple(
            None
            if turn.to_read is None or not (fits_photo or region.vocabulary is Vocabulary.MICROSOFT)
            else _upright_box(region, turn.to_read, frame.size_of(turn.to_read))
            for region in regions
        )
        region_of_face = {}
        for vocabulary in Vocabulary:
            usable = [
                box if region.vocabulary is vocabulary and region.is_face else None
                for region, box in zip(regions, boxes, strict=True)
            ]
            region_of_face[vocabulary] = {
                face_index: region_index for region_index, (face_index, _) in match_faces(usable, faces).items()
            }
        return cls(source, tuple(regions), boxes, region_of_face, turn, tuple(faces))

    def without_names(self, indices: Sequence[int]) -> RegionView:
        """Return the view without the names of some regions."""
        bare = {index: replace(self.regions[index], name="", written_name="") for index in indices}
        return replace(self, regions=tuple(bare.get(index, region) for index, region in enumerate(self.regions)))

    @property
    def problem(self) -> str | None:
        """The reason, with the file's name, for which regions cannot be read or added; None if they can."""
        return None if self.turn.problem is None else f"{printable(str(self.source.path))} {self.turn.problem}"

    def named_regions(self, face_index: int) -> list[Region]:
        """Return the named regions of a face."""
        indices = [matched[face_index] for matched in self.region_of_face.values() if face_index in matched]
        return [self.regions[index] for index in indices if self.regions[index].name]

    def names_another(self, face_index: int, person: str, named_faces: AbstractSet[int]) -> bool:
        """Return whether a region of another face, or of none, has the person's name.

        Names that facebank wrote for the faces with the indices `named_faces`, which it can correct, do not count.
        """
        faces = self._face_of_region()
        return any(
            region.is_face
            and box is not None
            and name_key(region.name) == name_key(person)
            and faces.get(index) != face_index
            and not (region.is_by_facebank and faces.get(index) in named_faces)
            and not (index not in faces and self._is_inside(face_index, box))
            for index, (region, box) in enumerate(zip(self.regions, self.boxes, strict=True))
        )

    def is_framed(self, face_index: int, person: str) -> bool:
        """Return whether a region without a face, such as a body's, contains this face and has the person's name."""
        faces = self._face_of_region()
        return any(
            index not in faces
            and box is not None
            and region.vocabulary is Vocabulary.MWG
            and name_key(region.name) == name_key(person)
            and self._is_inside(face_index, box)
            for index, (region, box) in enumerate(zip(self.regions, self.boxes, strict=True))
        )

    def _face_of_region(self) -> dict[int, int]:
        return {
            region_index: face_index
            for matched in self.region_of_face.values()
            for face_index, region_index in matched.items()
        }

    def _is_inside(self, face_index: int, box: Box) -> bool:
        x1, y1, x2, y2 = self.faces[face_index]
        return box[0] <= (x1 + x2) / 2 <= box[2] and box[1] <= (y1 + y2) / 2 <= box[3]


def _upright_box(region: Region, turn: int, size: tuple[float, float]) -> Box | None:
    """Return the box in the upright picture of a region that refers to a picture of this size."""
    box = region.box_in(size)
    return None if box is None else turn_box(box, turn)
