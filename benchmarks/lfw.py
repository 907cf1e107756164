"""Cached embeddings of all central faces of Labeled Faces in the Wild, and LFW's split of people.

Settings are chosen on the development people (``peopleDevTrain.txt``) and reported on others (``peopleDevTest.txt``).
The face nearest to the center of a photo is that of the person whom LFW names.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank import read_photo
from facebank.storage.paths import cache_folder
from facebank.vision import FaceAnalyzer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face, FloatArray

DEVELOPMENT, REPORTING = "peopleDevTrain.txt", "peopleDevTest.txt"


@dataclass(frozen=True, slots=True, eq=False)
class LfwFaces:
    """Central faces of photos.

    Attributes
    ----------
    paths
        Sorted paths of the N photos, relative to LFW's folder: ``NAME/NAME_0001.jpg``.
    embeddings
        ``float32`` of shape ``(N, D)``; zeros without a face.
    qualities
        ``float32`` of shape ``(N,)``; 0 without a face.
    """

    paths: NDArray[np.str_]
    embeddings: FloatArray
    qualities: FloatArray

    @property
    def names(self) -> NDArray[np.str_]:
        """Name of the person shown in each photo, of shape ``(N,)``."""
        return np.array([path.split("/")[0] for path in self.paths])

    @property
    def people(self) -> NDArray[np.int64]:
        """Number of the person shown in each photo, from 0 in order of names, of shape ``(N,)``."""
        return np.unique(self.names, return_inverse=True)[1].astype(np.int64)

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Whether a face was found in each photo, of shape ``(N,)``."""
        has_face: NDArray[np.bool_] = np.any(self.embeddings != 0, axis=1)
        return has_face

    def select_people(self, names: Container[str]) -> LfwFaces:
        """Return the faces of the named people."""
        return self.where(np.array([name in names for name in self.names]))

    def where(self, chosen: NDArray[np.bool_]) -> LfwFaces:
        """Return the faces at which the mask `chosen` is true."""
        return LfwFaces(self.paths[chosen], self.embeddings[chosen], self.qualities[chosen])


def read_people(data: Path, listing: str) -> frozenset[str]:
    """Return the names of an LFW list of people, `DEVELOPMENT` or `REPORTING`."""
    lines = (data / "lfw-meta" / listing).read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("\t")[0] for line in lines if "\t" in line)


def lfw_faces(data: Path, pack: Pack) -> LfwFaces:
    """Return all faces of LFW's folder; embeddings are cached per pack in the user's cache folder.

    Parameters
    ----------
    data
        Folder with ``lfw/`` and ``lfw-meta/``.
    pack
        Pack that detects and embeds the faces.
    """
    paths = np.array([str(path.relative_to(data / "lfw")) for path in sorted((data / "lfw").glob("*/*.jpg"))])
    cache_path = cache_folder() / "benchmarks" / f"lfw-{pack.digest[:16]}.npz"
    if cache_path.is_file():
        with np.load(cache_path, allow_pickle=False) as arrays:
            if np.array_equal(arrays["photos"], paths):
                return LfwFaces(arrays["photos"], arrays["embeddings"], arrays["qualities"])
    faces = _embed(data / "lfw", paths, FaceAnalyzer.from_pack(pack))
    cache_path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache_path, photos=faces.paths, embeddings=faces.embeddings, qualities=faces.qualities)
    return faces


def read_with_progress(paths: Sequence[Path]) -> Iterator[DecodedPhoto]:
    """Yield the decoded photos, printing progress to standard error."""
    for number, path in enumerate(paths):
        if number % 500 == 0:
            print(f"{number} of {len(paths)} photos", file=sys.stderr, flush=True)
        yield read_photo(path)


def central_face(analyzed: AnalyzedPhoto) -> Face | None:
    """Return the face nearest to the center of the photo, None without a face."""
    if not analyzed.faces:
        return None
    center = np.array([analyzed.photo.width, analyzed.photo.height]) / 2
    boxes = np.stack([face.box for face in analyzed.faces])
    distances = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - center, axis=1)
    return analyzed.faces[int(np.argmin(distances))]


def _embed(folder: Path, paths: NDArray[np.str_], analyzer: FaceAnalyzer) -> LfwFaces:
    embeddings = np.zeros((len(paths), analyzer.embedder.dimension), dtype=np.float32)
    qualities = np.zeros(len(paths), dtype=np.float32)
    photos = read_with_progress([folder / path for path in paths])
    for number, analyzed in enumerate(analyzer.analyze(photos)):
        face = central_face(analyzed)
        if face is not None:
            embeddings[number], qualities[number] = face.embedding, face.quality
    return LfwFaces(paths, embeddings, qualities)
