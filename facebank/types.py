"""The vocabulary: what flows between the rooms, as frozen dataclasses.

Nothing here computes. Arrays are NumPy arrays; NumPy itself is imported for type checking only, so that
``import facebank`` stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float32]
    RGBImage: TypeAlias = NDArray[np.uint8]


MOUTH_HIDDEN = "mouth hidden"
"""The weakness of a face's quality that a mask or a scarf gives it."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """A photo as pixels.

    Attributes
    ----------
    path
        The file as the user named it, or a label such as ``<bytes>`` for what is no file.
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)``, upright: EXIF orientation applied. What OpenCV reads is BGR:
        ``pixels[..., ::-1]`` is RGB.
    content_hash
        SHA-256 of the file's bytes, in hex.
    has_orientation
        Whether the file states its orientation. If not, a photo without upright faces may be lying on its side.
    taken_at
        When the photo was taken: from EXIF, else the file's modification time; None where neither is known.
    camera_dated
        Whether `taken_at` is from EXIF, and no clock was reset that day, nor is it in the future.
    picture_hash
        SHA-256 in hex of the picture as it is seen, whatever metadata its file has: see `facebank.media.picture_hash`;
        None for pixels that are of no file.

    Raises
    ------
    UsageError
        The pixels are none of that kind; the message says how to make them so.

    Examples
    --------
    >>> from facebank import read_photo
    >>> photo = read_photo("eileen.jpg")
    >>> photo.pixels.shape == (photo.height, photo.width, 3)
    True
    """

    path: str
    pixels: RGBImage
    content_hash: str
    has_orientation: bool
    taken_at: datetime | None
    camera_dated: bool = False
    picture_hash: str | None = None

    def __post_init__(self) -> None:
        fault = _fault_of_pixels(self.pixels)
        if fault is not None:
            raise UsageError(f"the pixels of {printable(str(self.path))} cannot be a photo's: {fault}")

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


def _fault_of_pixels(pixels: object) -> str | None:
    """Return what is wrong with pixels, and what to do; None where nothing is."""
    shape, kind = getattr(pixels, "shape", None), getattr(pixels, "dtype", None)
    if not isinstance(shape, tuple) or kind is None:
        return f"they are a {type(pixels).__name__}, and should be a NumPy array of RGB uint8, (height, width, 3)"
    fault = None
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        fault = f"they are gray, of shape {shape}: repeat them for red, green and blue, numpy.dstack([pixels] * 3)"
    elif len(shape) == 3 and shape[2] == 4:
        fault = f"they have an alpha channel, shape {shape}: leave it out with pixels[..., :3]"
    elif len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        fault = f"their channels come first, shape {shape}: pixels.transpose(1, 2, 0) puts them last"
    elif len(shape) != 3 or shape[2] != 3:
        fault = f"their shape is {shape}, and should be (height, width, 3)"
    elif 0 in shape:
        fault = f"there are none, their shape is {shape}"
    elif kind.kind == "f":
        fault = f"they are {kind}, and should be uint8: (pixels * 255).round().astype('uint8') where 1 is white"
    elif kind != "uint8":
        fault = f"they are {kind}, and should be uint8, 0 to 255"
    return fault


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face as a detector finds it.

    Attributes
    ----------
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may reach over the photo's edge.
    landmarks
        ``float32`` of shape ``(5, 2)``: the eye, the eye, the nose tip, the two mouth corners; the one that is
        left in the picture first.
    detection_score
        The detector's score, 0..1.
    second_score
        The score that the detector gives the face, upright and enlarged, at a second look, 0..1: the mean of the face
        and its mirror image. None where there was no second look.
    """

    box: FloatArray
    landmarks: FloatArray = field(repr=False)
    detection_score: float
    second_score: float | None = field(default=None, kw_only=True)

    @property
    def size(self) -> float:
        """The longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face can be recognised.

    Attributes
    ----------
    score
        0 (hopeless) .. 1 (as good as it gets).
    size
        The longer side of the face's box in pixels.
    sharpness
        0 (blurred) .. 1 (sharp), at the resolution that the network sees.
    frontality
        0 (profile) .. 1 (frontal), from the five landmarks.
    exposure
        0 (all too bright, or hardly any contrast) .. 1 (well lit); None where it was not judged.
    occlusion
        The share of the face's likeness that something over mouth or eyes takes away, 0 (free) .. 1; None where it was
        not judged.
    stability
        Mean cosine with the embeddings of the mirrored and slightly shifted face, -1..1; None except at enrollment.
    weaknesses
        What makes it hard to recognise, in words, the worst first; empty for a good face.

    Examples
    --------
    >>> face = next(bank.analyze("eileen.jpg")).faces[0]
    >>> face.assessment.sharpness > 0.5, face.assessment.weaknesses
    (True, ())
    """

    score: float
    size: float
    sharpness: float
    frontality: float
    exposure: float | None = None
    occlusion: float | None = None
    stability: float | None = None
    weaknesses: tuple[str, ...] = ()

    @property
    def mouth_hidden(self) -> bool:
        """Whether something covers the mouth, such as a mask."""
        return MOUTH_HIDDEN in self.weaknesses


@dataclass(frozen=True, slots=True)
class Person:
    """A named person of a gallery.

    Attributes
    ----------
    id
        Number of the person in the gallery.
    name
        The name.
    sample_count
        How many samples the person has.
    created_at
        When the person was first enrolled.
    born
        Birth date as far as it is known: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None where it is not.
    note
        Free text about the person, or None.
    masked_count
        How many of the samples wear a mask; they count for faces in masks only, beside bare ones.

    Examples
    --------
    >>> person = bank.person("Joe")
    >>> person.name, person.sample_count, person.born
    ('Joe', 1, None)
    """

    id: int
    name: str
    sample_count: int
    created_at: datetime
    born: str | None = None
    note: str | None = None
    masked_count: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One enrolled face of a person, without its vectors.

    Attributes
    ----------
    id
        Number of the sample in its gallery.
    person
        Name of the person.
    box, landmarks, detection_score
        Where the face is in the photo, as of `Face`.
    quality
        0..1, as at enrollment.
    path
        The photo's file at enrollment.
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        How often the photo was turned counter-clockwise to be upright.
    taken_at, enrolled_at
        When the photo was taken, if known, and when the face was enrolled.
    has_thumbnail
        Whether the gallery keeps a small picture of the face.
    masked
        Whether the face was enrolled in a mask.
    camera_dated
        Whether `taken_at` is the camera's date; a file's modification time is not.
    picture_hash
        As of `Photo`.

    Examples
    --------
    >>> sample = bank.samples("Joe")[0]
    >>> sample.person, os.path.basename(sample.path), sample.has_thumbnail
    ('Joe', 'joe.jpg', True)
    """

    id: int
    person: str
    box: FloatArray
    landmarks: FloatArray = field(repr=False)
    detection_score: float
    quality: float
    path: str
    content_hash: str
    quarter_turns: int
    taken_at: datetime | None
    enrolled_at: datetime
    has_thumbnail: bool
    masked: bool = False
    camera_dated: bool = False
    picture_hash: str | None = None


class Decision(StrEnum):
    """What can be said of a face: one of three things.

    Examples
    --------
    >>> face = next(bank.identify("joe.jpg")).faces[0]
    >>> face.decision is Decision.KNOWN, face.decision == "known"
    (True, True)
    """

    KNOWN = "known"
    UNKNOWN = "unknown"
    UNCERTAIN = "uncertain"


class Reason(StrEnum):
    """Why a decision was made: a closed list.

    Examples
    --------
    >>> face = next(bank.identify("eileen.jpg")).faces[0]
    >>> face.reason is Reason.BELOW_THRESHOLD, str(face.reason)
    (True, 'below_threshold')
    """

    MATCH = "match"
    BELOW_THRESHOLD = "below_threshold"
    RUNNER_UP_TOO_NEAR = "runner_up_too_near"
    FACE_TOO_POOR = "face_too_poor"
    CONFUSABLE = "confusable"
    IMPROBABLE = "improbable"
    SAME_PERSON_TWICE = "same_person_twice"
    REMEMBERED_STRANGER = "remembered_stranger"
    BEFORE_BIRTH = "before_birth"
    GALLERY_EMPTY = "gallery_empty"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person that a face may show.

    Attributes
    ----------
    person
        The name.
    similarity
        Cosine with the person's prototype, the mean of the samples weighted by their quality; -1..1.
    probability
        Calibrated probability that it is this person, strangers included, 0..1; None without a calibration.

    Examples
    --------
    >>> candidates = next(bank.identify("eileen.jpg")).faces[0].candidates
    >>> [candidate.person for candidate in candidates]
    ['Joe', 'Barack']
    >>> f"{candidates[0].similarity:.1f}", f"{candidates[0].probability:.1f}"
    ('0.1', '0.0')
    """

    person: str
    similarity: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose face it is, as far as can be said. A `Face` has the same attributes.

    Attributes
    ----------
    decision, reason
        What was decided and why.
    person
        The name; None unless the decision is `Decision.KNOWN`.
    similarity, probability
        Those of the most similar person; None where nobody is enrolled or without a calibration.
    candidates
        Up to five most similar people, best first.
    stranger_probability
        Calibrated probability that it is none of the candidates: a stranger or, rarely, an enrolled person who is
        less similar. The candidates' and this one add to one. None without candidates or without a calibration.

    Examples
    --------
    >>> identity = next(bank.identify("joe.jpg")).faces[0].identity
    >>> identity.person, identity.decision.value, identity.probability > 0.9
    ('Joe', 'known', True)
    """

    decision: Decision
    reason: Reason
    person: str | None
    similarity: float | None
    probability: float | None
    candidates: tuple[Candidate, ...]
    stranger_probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Face(Detection):
    """One face of a photo: where it is, how good it is, its embedding, and whose it is if it was identified.

    Attributes
    ----------
    box, landmarks, detection_score
        Where it is in the upright photo, as of `Detection`.
    assessment
        What the quality is made of.
    embedding
        L2-normalized ``float32`` of shape ``(dimension,)``; comparable only within one pack.
    face_number
        Its place in the photo, from 1: the largest is first. 0 for a face that is of no photo.
    path
        The photo's file as the user named it.
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        How often the photo was turned counter-clockwise by 90 degrees to be upright, 0..3.
    opener
        What reads the photo again for `crop`.
    identity
        Whose it is; None for a face that was only analyzed. The properties `person`, `decision`, `reason`,
        `similarity`, `probability`, `candidates` and `stranger_probability` are its attributes.

    Examples
    --------
    >>> for face in next(bank.identify("party.jpg")).faces:
    ...     print(face.face_number, face.person, face.decision, f"{face.quality:.1f}", face.box.round())
    1 Barack known 1.0 [135. 153. 317. 422.]
    2 Joe known 1.0 [511.  64. 616. 213.]
    """

    assessment: Quality
    embedding: FloatArray
    face_number: int = field(default=0, kw_only=True)
    path: str = field(default="", kw_only=True)
    content_hash: str = field(default="", kw_only=True)
    quarter_turns: int = field(default=0, kw_only=True)
    opener: Callable[[Any], DecodedPhoto] | None = field(default=None, kw_only=True)
    identity: Identity | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        corners = ", ".join(f"{edge:.0f}" for edge in self.box)
        shown = "" if self.identity is None else f", person={self.person!r}, decision={str(self.decision)!r}"
        return f"Face(path={self.path!r}, face_number={self.face_number}, box=[{corners}]{shown})"

    @property
    def quality(self) -> float:
        """How well it can be recognized: 0 (hopeless) .. 1 (as good as it gets)."""
        return self.assessment.score

    @property
    def person(self) -> str | None:
        """The person's name; None unless the decision is `Decision.KNOWN`."""
        return None if self.identity is None else self.identity.person

    @property
    def decision(self) -> Decision | None:
        """Whether the person is known, unknown or uncertain; None for a face that was only analyzed."""
        return None if self.identity is None else self.identity.decision

    @property
    def reason(self) -> Reason | None:
        """Why that was decided; None for a face that was only analyzed."""
        return None if self.identity is None else self.identity.reason

    @property
    def similarity(self) -> float | None:
        """Cosine with the most similar person, -1..1; None where nobody is enrolled."""
        return None if self.identity is None else self.identity.similarity

    @property
    def probability(self) -> float | None:
        """Calibrated probability that it is the most similar person, 0..1; None without a calibration."""
        return None if self.identity is None else self.identity.probability

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Up to five most similar people, best first."""
        return () if self.identity is None else self.identity.candidates

    @property
    def stranger_probability(self) -> float | None:
        """Calibrated probability that it is none of the candidates, 0..1; None without a calibration."""
        return None if self.identity is None else self.identity.stranger_probability

    def crop(self, photo: object = None, *, margin: float = 0.0) -> RGBImage:
        """Return the part of the photo that shows the face.

        No pixels are kept: the photo's file is read again. A face of bytes, an array or an image is cut out of the
        photo that you pass, which must be the same one.

        Parameters
        ----------
        photo
            The photo, as `FaceBank.identify` takes it; None to read the file `path`.
        margin
            How much to add on each side, as a fraction of the box.

        Returns
        -------
        RGBImage
            RGB ``uint8`` of shape ``(height, width, 3)``, upright, no larger than the photo.

        Raises
        ------
        PhotoError
            The file cannot be read.
        UsageError
            The face is of no file and no photo is given, or the file has changed.

        Examples
        --------
        >>> photo = next(bank.identify("party.jpg"))
        >>> photo.faces[0].crop(margin=0.2).shape
        (378, 257, 3)
        """
        import numpy as np

        name = printable(self.path or "this face's photo")
        if self.opener is None or (photo is None and self.path.startswith("<")):
            raise UsageError(f"the pixels of {name} are not kept: pass the photo, as in face.crop(photo)")
        opened = self.opener(self.path if photo is None else photo)
        if photo is None and opened.content_hash != self.content_hash:
            raise UsageError(f"{name} has changed since its faces were found: identify it again")
        pixels = np.rot90(opened.pixels, self.quarter_turns)
        wider = margin * (self.box[2:] - self.box[:2])
        left, top = np.maximum(np.floor(self.box[:2] - wider), 0).astype(int)
        right, bottom = np.ceil(self.box[2:] + wider).astype(int)
        return np.ascontiguousarray(pixels[top:bottom, left:right])


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """What was found in one photo, without its pixels.

    Attributes
    ----------
    path
        The file as the user named it, or a label such as ``<bytes>`` for what is no file.
    faces
        Largest first.
    error
        Why it could not be read, in one sentence; None where it was.
    width, height
        In pixels, upright; 0 where it could not be read.
    quarter_turns
        How often the photo was turned counter-clockwise by 90 degrees to find upright faces, 0..3.
    content_hash
        SHA-256 of the file's bytes, in hex; empty where it could not be read.
    taken_at
        When the photo was taken, if known.
    camera_dated
        Whether `taken_at` is the camera's date; a file's modification time is not.
    picture_hash
        SHA-256 in hex of the picture as it is seen, whatever its metadata; None where it is not known.
    opener
        What reads the photo again for `Face.crop`.

    Examples
    --------
    >>> for photo in bank.identify(["party.jpg", "broken.jpg"]):
    ...     print(photo.path, photo.width, photo.height, len(photo.faces), photo.error)
    party.jpg 769 800 2 None
    broken.jpg 0 0 0 broken.jpg is no photo: its bytes are of no format that is read
    """

    path: str
    faces: tuple[Face, ...] = ()
    error: str | None = field(default=None, kw_only=True)
    width: int = field(default=0, kw_only=True)
    height: int = field(default=0, kw_only=True)
    quarter_turns: int = field(default=0, kw_only=True)
    content_hash: str = field(default="", kw_only=True)
    taken_at: datetime | None = field(default=None, kw_only=True)
    camera_dated: bool = field(default=False, kw_only=True)
    picture_hash: str | None = field(default=None, kw_only=True)
    opener: Callable[[Any], DecodedPhoto] | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        numbered = tuple(
            replace(
                face,
                face_number=number,
                path=self.path,
                content_hash=self.content_hash,
                quarter_turns=self.quarter_turns,
                opener=self.opener,
            )
            for number, face in enumerate(self.faces, start=1)
        )
        object.__setattr__(self, "faces", numbered)

    def identified(self, identities: Sequence[Identity]) -> Photo:
        """Return the photo with its faces' identities, in their order.

        Examples
        --------
        >>> photo = next(bank.analyze("joe.jpg"))
        >>> recognizer = bank.identification().recognizer
        >>> photo.identified(recognizer.identify(photo.faces)).faces[0].person
        'Joe'
        """
        faces = (replace(face, identity=identity) for face, identity in zip(self.faces, identities, strict=True))
        return replace(self, faces=tuple(faces))


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedPhoto:
    """A photo's pixels and the faces found in it.

    Attributes
    ----------
    photo
        The photo that the faces' coordinates refer to: turned, where the file lay on its side.
    faces
        The faces, largest first.
    quarter_turns
        How often the photo was turned counter-clockwise by 90 degrees to find them, 0..3.
    """

    photo: DecodedPhoto
    faces: tuple[Face, ...]
    quarter_turns: int = 0

    @property
    def found(self) -> Photo:
        """What was found, without the pixels."""
        photo = self.photo
        return Photo(
            photo.path,
            self.faces,
            width=photo.width,
            height=photo.height,
            quarter_turns=self.quarter_turns,
            content_hash=photo.content_hash,
            taken_at=photo.taken_at,
            camera_dated=photo.camera_dated,
            picture_hash=photo.picture_hash,
        )


class EnrollReason(StrEnum):
    """Why a photo was enrolled or refused: a closed list.

    Examples
    --------
    >>> report = bank.enroll("Eileen", ["eileen.jpg", "broken.jpg"])
    >>> [str(photo.reason) for photo in report.photos]
    ['enrolled', 'unreadable']
    """

    ENROLLED = "enrolled"
    ALREADY_ENROLLED = "already_enrolled"
    ENROLLED_AS_ANOTHER = "enrolled_as_another"
    NEARER_TO_ANOTHER = "nearer_to_another"
    UNLIKE_THE_PERSON = "unlike_the_person"
    OTHER_FACE_IS_THE_PERSON = "other_face_is_the_person"
    NO_PHOTOS = "no_photos"
    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_SMALL = "too_small"
    TOO_BLURRED = "too_blurred"


@dataclass(frozen=True, slots=True)
class EnrolledPhoto:
    """What became of one photo at enrollment.

    Attributes
    ----------
    path, person
        The photo's file as the user named it, and the person's name.
    accepted
        Whether the person has this face now; true for a face that was enrolled before.
    reason, detail
        A code, and a sentence for people.
    sample_id
        The sample's number; None where refused.
    quarter_turns
        How often the photo was turned counter-clockwise by 90 degrees to find upright faces; None where it could not be
        read.
    warning
        A sentence about what is odd about a photo that was accepted, or None.
    masked
        Whether the face wears a mask: such a sample counts for masked faces only.

    Examples
    --------
    >>> photo = bank.enroll("Eileen", "eileen.jpg").photos[0]
    >>> photo.path, photo.person, photo.accepted
    ('eileen.jpg', 'Eileen', True)
    """

    path: str
    person: str
    accepted: bool
    reason: EnrollReason
    detail: str
    sample_id: int | None
    quarter_turns: int | None = field(default=None, kw_only=True)
    warning: str | None = None
    masked: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class SkippedCounts:
    """How many files were passed over in folders.

    Attributes
    ----------
    pictures
        Pictures of kinds that are not read, by the code of the kind, such as ``{"raw": 3, "jpeg_xl": 1}``: see
        `facebank.media.formats.SKIPPED`.
    videos
        Videos.
    annotated
        Annotated copies, which facebank drew.
    """

    pictures: Mapping[str, int] = field(default_factory=dict)
    videos: int = 0
    annotated: int = 0


@dataclass(frozen=True, slots=True)
class EnrollReport:
    """What became of all photos of one person.

    Attributes
    ----------
    person
        The name.
    photos
        In the order given.
    only_masked
        Whether all samples that the person has now wear a mask.
    given_as
        The name under which the photos were given, where their faces are another person's of the same enrollment, who
        has them now; None where that is the person's own.
    skipped
        How many files were passed over in the folders that were given.

    Examples
    --------
    >>> report = bank.enroll("Eileen", ["eileen.jpg", "broken.jpg"])
    >>> report.person, report.accepted, report.refused
    ('Eileen', 1, 1)
    """

    person: str
    photos: tuple[EnrolledPhoto, ...]
    only_masked: bool = False
    given_as: str | None = None
    skipped: SkippedCounts = field(default_factory=SkippedCounts)

    @property
    def accepted(self) -> int:
        """How many photos the person has samples of now."""
        return sum(photo.accepted for photo in self.photos)

    @property
    def refused(self) -> int:
        """How many photos were refused."""
        return len(self.photos) - self.accepted


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two photos show the same person.

    Attributes
    ----------
    similarity
        Cosine of the two embeddings, -1..1.
    threshold
        The pack's similarity threshold for verification.
    same
        Whether the similarity reaches the threshold.
    probability
        Calibrated probability, or None.

    Examples
    --------
    >>> result = bank.verify("barack1.jpg", "joe.jpg")
    >>> result.same, result.similarity < result.threshold
    (False, True)
    """

    a: str
    b: str
    similarity: float
    threshold: float
    same: bool
    probability: float | None = None
