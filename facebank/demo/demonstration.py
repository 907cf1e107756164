"""The demo: enrolls packaged photos in a temporary gallery and recognizes others.

Two people are enrolled from one photo each. Other photos of them and one of a stranger are combined into one picture,
in which every face is identified.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.bank import FaceBank
from facebank.errors import FacebankError, StorageError
from facebank.media import Mark, annotate_photo, read_photo
from facebank.operations.annotate import free_name
from facebank.recognition.settings import DecisionSettings
from facebank.storage.paths import named_path
from facebank.storage.text import printable
from facebank.types import Decision, DecodedPhoto, Face

if TYPE_CHECKING:
    import os

PICTURE_NAME = ("demo", ".jpg")
_SETTINGS = DecisionSettings(allow_twice=True)  # the picture combines several photos
_PHOTOS = Path(__file__).with_name("photos")
_HEIGHT = 512


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """An enrolled person: name and file name of the photo."""

    name: str
    file_name: str


@dataclass(frozen=True, slots=True)
class DemoPanel:
    """A part of the picture: rows of a photo from `top` on, with the height of the picture.

    `file_name` is that of the photo, `person` the person shown, and `is_enrolled` whether that person is enrolled. The
    photo is mirrored if it is also the enrolled one.
    """

    file_name: str
    person: str
    is_enrolled: bool
    top: int = 0
    is_mirrored: bool = False

    @property
    def expected(self) -> str | None:
        """The expected name; None for a stranger."""
        return self.person if self.is_enrolled else None


PEOPLE = (
    DemoPerson("Barack Obama", "barack_obama_portrait_2012.jpg"),
    DemoPerson("Eileen Collins", "eileen_collins.jpg"),
)
PANELS = (
    DemoPanel("barack_obama_blue_room.jpg", "Barack Obama", is_enrolled=True),
    DemoPanel("joe_biden_blue_room.jpg", "Joe Biden", is_enrolled=False),
    DemoPanel("eileen_collins.jpg", "Eileen Collins", is_enrolled=True, is_mirrored=True),
    DemoPanel("barack_obama_speech.jpg", "Barack Obama", is_enrolled=True, top=60),
)


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """A part of the picture, and its largest face with the decision, or None if none was found."""

    panel: DemoPanel
    face: Face | None

    @property
    def is_correct(self) -> bool:
        """Whether a face was found and its name is the expected one."""
        return self.face is not None and self.face.person == self.panel.expected


@dataclass(frozen=True, slots=True, eq=False)
class DemoReport:
    """Result of the demo: path of the annotated picture, enrolled people, and results from left to right."""

    path: Path
    people: tuple[DemoPerson, ...]
    results: tuple[DemoResult, ...]

    @property
    def is_correct(self) -> bool:
        """Whether every result is correct."""
        return all(result.is_correct for result in self.results)


def run_demo(folder: str | os.PathLike[str], *, pack: str | None = None, device: str = "auto") -> DemoReport:
    """Enroll photos in a temporary gallery, recognize others, and write an annotated ``demo.jpg``.

    `folder` is created if missing, `pack` is a name or folder (None: the embedded one), `device` is ``auto``, ``cpu``
    or ``cuda``. Raises `FacebankError` if the installation is incomplete, `StorageError` if the picture cannot be
    written.
    """
    target = free_name(_create_folder(named_path(folder)), *PICTURE_NAME)
    with (  # errors of the cleanup are ignored, because Windows cannot delete an open database
        tempfile.TemporaryDirectory(prefix="facebank-demo-", ignore_cleanup_errors=True) as scratch,
        FaceBank.open(Path(scratch) / "demo.facebank", pack=pack, device=device) as bank,
    ):
        _enroll(bank, PEOPLE)
        picture = combine_panels(PANELS)
        faces = next(bank.identify(picture, _SETTINGS)).faces
    annotate_photo(picture, [_mark(face) for face in faces], target)
    return DemoReport(target, PEOPLE, _results(PANELS, faces))


def combine_panels(panels: Sequence[DemoPanel]) -> DecodedPhoto:
    """Return parts of photos side by side as one picture, 512 pixels high."""
    pixels = np.concatenate([_read_panel(panel) for panel in panels], axis=1)
    return DecodedPhoto("demo picture", pixels, content_hash="", has_orientation=True, taken_at=None)


def _enroll(bank: FaceBank, people: Sequence[DemoPerson]) -> None:
    for person in people:
        report = bank.enroll(person.name, _PHOTOS / person.file_name)
        if report.refused:
            raise FacebankError(
                f"the demo photo {person.file_name} was refused ({report.photos[0].detail}): run 'facebank doctor'"
            )


def _read_panel(panel: DemoPanel) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = read_photo(_PHOTOS / panel.file_name).pixels[panel.top : panel.top + _HEIGHT]
    return pixels[:, ::-1] if panel.is_mirrored else pixels


def _results(panels: Sequence[DemoPanel], faces: Sequence[Face]) -> tuple[DemoResult, ...]:
    """Return the largest face with its center in each panel; `faces` are ordered by size, largest first."""
    results = []
    left = 0
    for panel in panels:
        right = left + _read_panel(panel).shape[1]
        faces_inside = (face for face in faces if left <= _center(face) < right)
        results.append(DemoResult(panel, next(faces_inside, None)))
        left = right
    return tuple(results)


def _center(face: Face) -> float:
    return float(face.box[0] + face.box[2]) / 2


def _mark(face: Face) -> Mark:
    label = f"{face.person} {face.similarity:.2f}" if face.decision is Decision.KNOWN else str(face.decision)
    return Mark(face.box, face.landmarks, label, face.decision)


def _create_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{printable(str(folder))} cannot be created: {error.strerror}; choose another --out"
        ) from error
    return folder
