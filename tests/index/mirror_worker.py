"""Test script that enrolls people and searches for each on a mirror: ``mirror_worker.py GALLERY ADDRESS SEED``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facebank.gallery import Gallery
from facebank.index.gallery_index import open_index, read_with_retry
from facebank.index.milvus import milvus_mirror
from facebank.index.milvus_address import MilvusAddress
from tests.gallery.conftest import FaceFactory
from tests.index.nearest import nearest_name


def main(path: str, address: str, seed: int) -> None:
    """Enroll five people and check that each is found immediately."""
    faces = FaceFactory(seed)
    with Gallery.open(path) as gallery:
        gallery.mirror = milvus_mirror(MilvusAddress.parse(address))
        for number in range(5):
            name = f"Person {seed}-{number}"
            (sample,) = gallery.enroll(name, faces.samples(1))
            query = gallery.vectors_of([sample.sample_id]).astype(np.float64)
            assert read_with_retry(lambda query=query: nearest_name(open_index(gallery), query)) == name  # type: ignore[misc]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
