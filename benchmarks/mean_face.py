"""Mean embedding of LFW's development people, the ``centre`` of the embedded pack.

    python -m benchmarks.mean_face ../shared/data

The mean is subtracted from every embedding, since it does not discriminate between people. All people have equal
weight. Prints the line for ``pack.toml``, and the effect on development and reporting people: d', the distance between
the means of genuine and impostor similarities in standard deviations, and FNMR at several FMRs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, read_people
from benchmarks.verification import people_with_pairs, separation, verification
from facebank.packs import Pack, load_pack
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from facebank.types import FloatArray

MAX_PHOTOS = 8  # per person
FMRS = ("0.01", "0.001", "0.0001")


def mean_embedding(faces: LfwFaces) -> FloatArray:
    """Return the mean embedding with equal weight per person, ``float32`` of shape ``(D,)``."""
    faces = faces.where(faces.has_face)
    weights = 1 / np.bincount(faces.people)[faces.people]
    return np.asarray((weights / weights.sum()) @ faces.embeddings, dtype=np.float32)


def without_center(pack: Pack) -> Pack:
    """Return the pack without its ``centre``."""
    return replace(pack, manifest=replace(pack.manifest, embedder=replace(pack.manifest.embedder, center=())))


def main() -> None:
    """Print the mean embedding, and its effect on the error rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    arguments = parser.parse_args()
    faces = lfw_faces(arguments.data, without_center(load_pack(arguments.pack)))
    center = mean_embedding(faces.select_people(read_people(arguments.data, DEVELOPMENT)))
    print(f"centre = [{', '.join(f'{value:.5f}' for value in center)}]")
    for listing in (DEVELOPMENT, REPORTING):
        chosen = people_with_pairs(faces.select_people(read_people(arguments.data, listing)), MAX_PHOTOS)
        for label, embeddings in (
            ("not centered", chosen.embeddings),
            ("centered", normalized(chosen.embeddings - center)),
        ):
            figures = verification(embeddings, chosen.people)
            rates = ", ".join(f"{figures[fmr]['fnmr']:.2%} at {fmr}" for fmr in FMRS)
            distance = separation(embeddings, chosen.people)
            print(f"{listing}, {len(chosen.paths)} photos, {label}: d' {distance:.3f}, FNMR {rates}")


if __name__ == "__main__":
    main()
