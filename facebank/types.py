"""Result types shared by all packages, as frozen dataclasses.

NumPy is imported for type checking only, so that ``import facebank`` stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import inf
from numbers import Real
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
"""Entry of `Quality.weaknesses` for a face with a mask or scarf."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """A photo as pixels.

    Attributes
    ----------
    path
        The file as the user named it, or a label such as ``<bytes>`` for data without a file.
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)``, upright: EXIF orientation applied. OpenCV reads BGR; convert with
        ``pixels[..., ::-1]``.
    content_hash
        SHA-256 of the file's bytes, in hex.
    has_orientation
        Whether the file has an EXIF orientation. If not, a photo without upright faces may be lying on its side.
    taken_at
        When the photo was taken: from EXIF, else the file's modification time; None if neither is known.
    camera_dated
        Whether `taken_at` is from EXIF and plausible: neither the date of a reset clock nor in the future.
    picture_hash
        SHA-256 in hex of the decoded picture, independent of the file's metadata: see `facebank.media.picture_hash`;
        None for pixels without a file.

    Raises
    ------
    UsageError
        The pixels have a different shape or dtype; the message shows how to convert them.

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
        fault = _describe_fault(self.pixels)
        if fault is not None:
            raise UsageError(f"the pixels of {printable(str(self.path))} are invalid: {fault}")

    @property
    def height(self) -> int:
        """Height in pixels.

        Examples
        --------
        >>> from facebank import read_photo
        >>> read_photo("party.jpg").height > 500
        True
        """
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels.

        Examples
        --------
        >>> from facebank import read_photo
        >>> read_photo("party.jpg").width > 500
        True
        """
        return int(self.pixels.shape[1])


def _describe_fault(pixels: object) -> str | None:
    """Return what is wrong with pixels and how to fix it; None if they are valid."""
    shape, dtype = getattr(pixels, "shape", None), getattr(pixels, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None:
        return f"expected a NumPy array of RGB uint8, (height, width, 3), not {type(pixels).__name__}"
    fault = None
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        fault = f"grayscale, shape {shape}: convert to RGB with numpy.dstack([pixels] * 3)"
    elif len(shape) == 3 and shape[2] == 4:
        fault = f"alpha channel, shape {shape}: drop it with pixels[..., :3]"
    elif len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        fault = f"channels first, shape {shape}: use pixels.transpose(1, 2, 0)"
    elif len(shape) != 3 or shape[2] != 3:
        fault = f"expected shape (height, width, 3), not {shape}"
    elif 0 in shape:
        fault = f"empty, shape {shape}"
    elif dtype.kind == "f":
        fault = f"expected uint8, not {dtype}: if 1 is white, convert with (pixels * 255).round().astype('uint8')"
    elif dtype != "uint8":
        fault = f"expected uint8, 0 to 255, not {dtype}"
    return fault


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face as found by a detector.

    Attributes
    ----------
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may extend beyond the photo's edge.
    landmarks
        ``float32`` of shape ``(5, 2)``: eyes, nose tip and mouth corners, x and y in pixels; of each pair, the left one
        in the picture comes first.
    detection_score
        The detector's score, 0..1.
    second_score
        The detector's score on a second pass over the upright, enlarged face, 0..1: the mean over the face and its
        mirror image. None without a second pass.

    Examples
    --------
    >>> import numpy as np
    >>> box, landmarks = np.array([10, 20, 70, 100], np.float32), np.zeros((5, 2), np.float32)
    >>> Detection(box, landmarks, detection_score=0.9).size
    80.0
    """

    box: FloatArray
    landmarks: FloatArray = field(repr=False)
    detection_score: float
    second_score: float | None = field(default=None, kw_only=True)

    @property
    def size(self) -> float:
        """The longer side of the box in pixels.

        Examples
        --------
        >>> face = next(bank.analyze("joe.jpg")).faces[0]
        >>> face.size > 30
        True
        """
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of a face for recognition.

    Attributes
    ----------
    score
        Overall quality, 0 (unusable) .. 1 (best).
    size
        The longer side of the face's box in pixels.
    sharpness
        0 (blurred) .. 1 (sharp), at the network's input resolution.
    frontality
        0 (profile) .. 1 (frontal), from the five landmarks.
    exposure
        0 (overexposed or almost without contrast) .. 1 (well lit); None if not assessed.
    occlusion
        Estimated loss of similarity from something over mouth or eyes, as a fraction, 0 (unobstructed) .. 1; None if
        not assessed.
    stability
        Mean cosine with the embeddings of the mirrored and slightly shifted face, -1..1; None except at enrollment.
    weaknesses
        Reasons for a low quality, in words, worst first; empty for a good face.

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
        """Whether something covers the mouth, such as a mask.

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> face.assessment.mouth_hidden
        False
        """
        return MOUTH_HIDDEN in self.weaknesses


@dataclass(frozen=True, slots=True)
class Person:
    """A named person of a gallery.

    Attributes
    ----------
    id
        Id of the person in the gallery.
    name
        The name.
    sample_count
        Number of samples.
    created_at
        When the person was first enrolled.
    born
        Birth date, possibly partial: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None if unknown.
    note
        Free text about the person, or None.
    masked_count
        Number of samples with a mask; these are compared with masked faces only.

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
        Id of the sample in its gallery.
    person
        Name of the person.
    box, landmarks, detection_score
        The location of the face in the photo, as in `Face`.
    quality
        Quality score at enrollment, 0..1.
    path
        Path of the photo at enrollment.
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        Number of counter-clockwise quarter turns that made the photo upright, 0..3.
    taken_at, enrolled_at
        When the photo was taken, if known, and when the face was enrolled.
    has_thumbnail
        Whether the gallery stores a thumbnail of the face.
    masked
        Whether the face was enrolled with a mask.
    camera_dated
        Whether `taken_at` is the camera's date, not the file's modification time.
    picture_hash
        As in `Photo`.

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
    """The outcome of an identification.

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
    """The reason for a decision; a closed list.

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
    """A person who may be the one in a photo, with the similarity.

    Attributes
    ----------
    person
        The name.
    similarity
        Cosine with the person's prototype, the mean of the samples weighted by their quality; -1..1.
    probability
        Calibrated probability that the face is this person's and not a stranger's, 0..1; None without a calibration.

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
    """The result of identifying a face. A `Face` has the same attributes.

    Attributes
    ----------
    decision, reason
        The decision and its reason.
    person
        The name; None unless the decision is `Decision.KNOWN`.
    similarity, probability
        Similarity (-1..1) and probability (0..1) of the most similar person; None if nobody is enrolled. The
        probability is None without a calibration, too.
    candidates
        Up to five most similar people, best first.
    stranger_probability
        Calibrated probability that the face shows none of the candidates: a stranger or, rarely, an enrolled person who
        is less similar. It and the candidates' probabilities sum to 1. None without candidates or a calibration.

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
    """One face of a photo: location, quality, embedding and, if identified, the identity.

    Attributes
    ----------
    box, landmarks, detection_score
        Its location in the upright photo, as in `Detection`.
    assessment
        The components of the quality.
    embedding
        L2-normalized ``float32`` of shape ``(dimension,)``; comparable only within one pack.
    face_number
        Its number in the photo, from 1, largest first; 0 for a face without a photo.
    path
        The photo's file as the user named it.
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        Number of counter-clockwise quarter turns that made the photo upright, 0..3.
    opener
        Function that reads the photo again, for `crop`.
    identity
        Identification result; None for a face that was only analyzed. The properties `person`, `decision`, `reason`,
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
        box = ", ".join(f"{coordinate:.0f}" for coordinate in self.box)
        decision = "" if self.identity is None else f", person={self.person!r}, decision={str(self.decision)!r}"
        return f"Face(path={self.path!r}, face_number={self.face_number}, box=[{box}]{decision})"

    @property
    def quality(self) -> float:
        """Overall quality of the face for recognition, 0 (unusable) .. 1 (best).

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> face.quality > 0.5
        True
        """
        return self.assessment.score

    @property
    def person(self) -> str | None:
        """The person's name; None unless the decision is `Decision.KNOWN`.

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> face.person
        'Barack'
        """
        return None if self.identity is None else self.identity.person

    @property
    def decision(self) -> Decision | None:
        """The decision; None for a face that was only analyzed.

        Examples
        --------
        >>> (face,) = next(bank.identify("eileen.jpg")).faces
        >>> face.decision
        <Decision.UNKNOWN: 'unknown'>
        """
        return None if self.identity is None else self.identity.decision

    @property
    def reason(self) -> Reason | None:
        """The reason for the decision; None for a face that was only analyzed.

        Examples
        --------
        >>> (face,) = next(bank.identify("eileen.jpg")).faces
        >>> face.reason
        <Reason.BELOW_THRESHOLD: 'below_threshold'>
        """
        return None if self.identity is None else self.identity.reason

    @property
    def similarity(self) -> float | None:
        """Cosine with the most similar person, -1..1; None if nobody is enrolled.

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> face.similarity > 0.9
        True
        """
        return None if self.identity is None else self.identity.similarity

    @property
    def probability(self) -> float | None:
        """Calibrated probability that the face is the most similar person's, 0..1; None without a calibration.

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> face.probability > 0.9
        True
        """
        return None if self.identity is None else self.identity.probability

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Up to five most similar people, best first.

        Examples
        --------
        >>> (face,) = next(bank.identify("barack1.jpg")).faces
        >>> [candidate.person for candidate in face.candidates]
        ['Barack', 'Joe']
        """
        return () if self.identity is None else self.identity.candidates

    @property
    def stranger_probability(self) -> float | None:
        """Calibrated probability that the face is none of the candidates', 0..1; None without a calibration.

        Examples
        --------
        >>> (face,) = next(bank.identify("eileen.jpg")).faces
        >>> face.stranger_probability > 0.9
        True
        """
        return None if self.identity is None else self.identity.stranger_probability

    def crop(self, photo: object = None, *, margin: float = 0.0) -> RGBImage:
        """Return the part of the photo that shows the face.

        The pixels are read again from the photo's file, because faces do not keep them. For a face from bytes, an array
        or an image, pass the photo; for one that no `FaceBank` found, pass the result of `facebank.read_photo`.

        Parameters
        ----------
        photo
            The same photo, as for `FaceBank.identify`; None to read the file `path`.
        margin
            Margin on each side, as a fraction of the box; negative values above -0.5 crop into the box.

        Returns
        -------
        RGBImage
            RGB ``uint8`` of shape ``(height, width, 3)``, upright, no larger than the photo.

        Raises
        ------
        PhotoError
            The file cannot be read.
        UsageError
            The face has no file and no photo is passed, the photo cannot be opened from this face, the file has
            changed, or the margin is invalid.

        Examples
        --------
        >>> photo = next(bank.identify("party.jpg"))
        >>> photo.faces[0].crop(margin=0.2).shape
        (378, 257, 3)
        """
        import numpy as np

        if not isinstance(margin, Real) or not -0.5 < margin < inf:
            raise UsageError(f"margin must be a fraction above -0.5, such as 0.3, not {printable(repr(margin))}")
        label = printable(self.path or "this face's photo")
        if isinstance(photo, DecodedPhoto):
            opened = photo
        elif self.opener is None:
            raise UsageError(f"{label} cannot be opened from this face: call face.crop(facebank.read_photo(path))")
        elif photo is None and self.path.startswith("<"):
            raise UsageError(f"the pixels of {label} are not kept: pass the photo, as in face.crop(photo)")
        else:
            opened = self.opener(self.path if photo is None else photo)
        if photo is None and opened.content_hash != self.content_hash:
            raise UsageError(f"{label} has changed since its faces were found: identify it again")
        pixels = np.rot90(opened.pixels, self.quarter_turns)
        margins = margin * (self.box[2:] - self.box[:2])
        left, top = np.maximum(np.floor(self.box[:2] - margins), 0).astype(int)
        right, bottom = np.ceil(self.box[2:] + margins).astype(int)
        return np.ascontiguousarray(pixels[top:bottom, left:right])


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """The faces found in one photo, without its pixels.

    Attributes
    ----------
    path
        The file as the user named it, or a label such as ``<bytes>`` for data without a file.
    faces
        The faces, largest first.
    error
        One sentence about the problem if the photo could not be read; None on success.
    width, height
        Size of the upright photo in pixels; 0 if it could not be read.
    quarter_turns
        Number of counter-clockwise quarter turns that made its faces upright, 0..3.
    content_hash
        SHA-256 of the file's bytes, in hex; empty if it could not be read.
    taken_at
        When the photo was taken, if known.
    camera_dated
        Whether `taken_at` is the camera's date, not the file's modification time.
    picture_hash
        SHA-256 in hex of the decoded picture, independent of metadata; None if unknown.
    opener
        Function that reads the photo again, for `Face.crop`.

    Examples
    --------
    >>> for photo in bank.identify(["party.jpg", "broken.jpg"]):
    ...     print(photo.path, photo.width, photo.height, len(photo.faces), photo.error)
    party.jpg 769 800 2 None
    broken.jpg 0 0 0 broken.jpg is not a photo: unknown file format
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
        """Return a copy of the photo with the identities of its faces, in the same order.

        Raises
        ------
        ValueError
            The number of identities is not that of the faces.

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
        The photo, turned so that its faces are upright; boxes and landmarks are in its pixels.
    faces
        The faces, largest first.
    quarter_turns
        Number of counter-clockwise quarter turns that made its faces upright, 0..3.

    Examples
    --------
    >>> from facebank import read_photo
    >>> (analyzed,) = bank.engine.analyzer.analyze([read_photo("party.jpg")])
    >>> len(analyzed.faces), analyzed.without_pixels.path
    (2, 'party.jpg')
    """

    photo: DecodedPhoto
    faces: tuple[Face, ...]
    quarter_turns: int = 0

    @property
    def without_pixels(self) -> Photo:
        """The photo's result without its pixels.

        Examples
        --------
        >>> from facebank import read_photo
        >>> (analyzed,) = bank.engine.analyzer.analyze([read_photo("joe.jpg")])
        >>> analyzed.without_pixels.faces[0].face_number
        1
        """
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
    """The reason for enrolling or refusing a photo; a closed list.

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
    """The result of enrolling one photo.

    Attributes
    ----------
    path
        The photo's file as the user named it.
    person
        The person's name.
    accepted
        Whether the face is one of the person's samples now; true if it was enrolled before.
    reason
        The reason for accepting or refusing the photo.
    detail
        An explanation of the reason in one sentence.
    sample_id
        The sample's number; None if refused.
    quarter_turns
        Number of counter-clockwise quarter turns that made its faces upright, 0..3; None if it could not be read.
    warning
        A warning about an accepted photo, in one sentence, or None.
    masked
        Whether the face has a mask; such a sample is compared with masked faces only.

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
    """Numbers of files that were skipped in folders.

    Attributes
    ----------
    pictures
        Pictures in unsupported formats, by format code, such as ``{"raw": 3, "jpeg_xl": 1}``: see
        `facebank.media.formats.SKIPPED`.
    videos
        Videos.
    annotated
        Annotated copies written by facebank.

    Examples
    --------
    >>> skipped = bank.enroll("Eileen", "eileen.jpg").skipped
    >>> skipped.videos, skipped.annotated
    (0, 0)
    """

    pictures: Mapping[str, int] = field(default_factory=dict)
    videos: int = 0
    annotated: int = 0


@dataclass(frozen=True, slots=True)
class EnrollReport:
    """The result of enrolling the photos of one person.

    Attributes
    ----------
    person
        The name.
    photos
        The results, in the order of the photos.
    only_masked
        Whether all samples of the person have a mask.
    given_as
        The name under which the photos were given, if their faces were assigned to another person of the same
        enrollment; else None.
    skipped
        Numbers of files skipped in the given folders.

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
        """Number of accepted photos.

        Examples
        --------
        >>> bank.enroll("Eileen", ["eileen.jpg", "broken.jpg"]).accepted
        1
        """
        return sum(photo.accepted for photo in self.photos)

    @property
    def refused(self) -> int:
        """Number of refused photos.

        Examples
        --------
        >>> bank.enroll("Eileen", ["eileen.jpg", "broken.jpg"]).refused
        1
        """
        return len(self.photos) - self.accepted


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of comparing the largest faces of two photos.

    Attributes
    ----------
    a, b
        Paths of the photos as the user named them, or labels such as ``<bytes>`` for data without a file.
    similarity
        Cosine of their embeddings, -1..1.
    threshold
        The pack's threshold of the similarity for verification, -1..1.
    same
        Whether the similarity reaches the threshold.
    probability
        Calibrated probability that both show the same person, 0..1; None without a calibration.

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
