"""Whether two photos show the same person, without a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import NoFaceError
from facebank.operations.inputs import open_photo
from facebank.storage.text import printable
from facebank.types import Verification

if TYPE_CHECKING:
    from facebank.operations.engine import Engine
    from facebank.operations.inputs import Place
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face


def compare_photos(engine: Engine, a: Place | DecodedPhoto, b: Place | DecodedPhoto) -> Verification:
    """Compare the largest faces of two photos.

    Parameters
    ----------
    engine
        The pack to compare with.
    a, b
        Photos or their files.

    Raises
    ------
    PhotoError
        One cannot be read or shows no face.
    """
    engine.preload()
    photos = [open_photo(a), open_photo(b)]
    first, second = (_largest_face(analyzed) for analyzed in engine.analyzer.analyze(photos))
    similarity = float(first.embedding @ second.embedding)
    threshold = engine.thresholds.verify
    return Verification(photos[0].path, photos[1].path, similarity, threshold, similarity >= threshold)


def _largest_face(analyzed: AnalyzedPhoto) -> Face:
    if not analyzed.faces:
        raise NoFaceError(f"{printable(analyzed.photo.path)}: no face was found")
    return analyzed.faces[0]
