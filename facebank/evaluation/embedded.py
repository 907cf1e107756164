"""Embeddings instead of photos: the faces of a dataset that holds no pictures, checked against the pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.storage.text import printable
from facebank.types import Face

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset
    from facebank.gallery import PackIdentity


def embedded_faces(dataset: Dataset, pack: PackIdentity, *, changed: bool = False) -> tuple[Face, ...]:
    """Return the face of each photo of a dataset of embeddings.

    Parameters
    ----------
    dataset
        Every photo's content is a face.
    pack
        What must have made the embeddings.
    changed
        Whether photos are to be changed first, which embeddings cannot be.

    Raises
    ------
    DatasetError
        Photos would be needed, the embeddings are of another length, or the dataset says that another pack made them.
    """
    if changed:
        raise DatasetError(f"{printable(dataset.title)}: it holds embeddings, and photos are needed for this")
    faces = tuple(photo.content for photo in dataset.photos if isinstance(photo.content, Face))
    lengths = {len(face.embedding) for face in faces}
    if len(faces) != len(dataset.photos) or lengths != {pack.dimension}:
        found = " or ".join(str(length) for length in sorted(lengths))
        raise DatasetError(
            f"{printable(dataset.title)}: its embeddings have {found} numbers, and the pack {printable(pack.name)} "
            f"makes {pack.dimension}: name the pack that made them with --pack"
        )
    if dataset.pack and dataset.pack != pack.digest:
        raise DatasetError(
            f"{printable(dataset.title)}: another pack made its embeddings (digest "
            f"{printable(dataset.pack[:12])}..., and {printable(pack.name)} has {pack.digest[:12]}...): name that "
            "pack with --pack, or embed the photos again"
        )
    return faces
