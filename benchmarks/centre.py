"""Mean embedding of LFW's development people, the ``centre`` of the embedded pack.

    python -m benchmarks.centre ../shared/data

The mean is subtracted from every embedding, since it does not discriminate between people. All people have equal
weight. Prints the line for ``pack.toml``, and the effect on development and reporting people as d' (the distance
between the means of genuine and impostor similarities, in standard deviations) and FNMR (the fraction of genuine pairs
lost at an FMR).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, read_people
from facebank.packs import Pack, load_pack
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

MAX_PHOTOS = 8  # per person


def mean_embedding(faces: LfwFaces) -> FloatArray:
    """Return the mean embedding with equal weight per person."""
    faces = faces.where(faces.has_face)
    weights = 1 / np.bincount(faces.people)[faces.people]
    return np.asarray((weights / weights.sum()) @ faces.embeddings, dtype=np.float32)


def separation(embeddings: FloatArray, people: NDArray[np.int64]) -> tuple[float, dict[str, float]]:
    """Return d' and FNMR at three FMRs, with equal weight for each person's genuine pairs."""
    first, second = np.triu_indices(len(people), 1)
    similarities = np.einsum("nd,nd->n", embeddings[first], embeddings[second])
    same = people[first] == people[second]
    photos = np.bincount(people)[people[first][same]]
    weights = 1 / (photos * (photos - 1))
    genuine, impostors = similarities[same], np.sort(similarities[~same])[::-1]
    mean = np.average(genuine, weights=weights)
    spread = np.average((genuine - mean) ** 2, weights=weights) + impostors.var()
    fnmr = {
        f"{fmr:g}": float(weights[genuine < impostors[int(fmr * len(impostors))]].sum() / weights.sum())
        for fmr in (1e-2, 1e-3, 1e-4)
    }
    return float((mean - impostors.mean()) / np.sqrt(spread / 2)), fnmr


def people_with_pairs(faces: LfwFaces) -> LfwFaces:
    """Return the faces of people with two or more photos, at most `MAX_PHOTOS` of each."""
    people = faces.people
    number = np.arange(len(people)) - np.searchsorted(people, people)
    return faces.where((np.bincount(people)[people] > 1) & (number < MAX_PHOTOS) & faces.has_face)


def without_center(pack: Pack) -> Pack:
    """Return the pack without its ``centre``."""
    return replace(pack, manifest=replace(pack.manifest, embedder=replace(pack.manifest.embedder, center=())))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    arguments = parser.parse_args()
    faces = lfw_faces(arguments.data, without_center(load_pack(arguments.pack)))
    center = mean_embedding(faces.select_people(read_people(arguments.data, DEVELOPMENT)))
    print(f"centre = [{', '.join(f'{value:.5f}' for value in center)}]")
    for listing in (DEVELOPMENT, REPORTING):
        chosen = people_with_pairs(faces.select_people(read_people(arguments.data, listing)))
        for label, embeddings in (
            ("not centered", chosen.embeddings),
            ("centered", normalized(chosen.embeddings - center)),
        ):
            distance, fnmr = separation(embeddings, chosen.people)
            rates = ", ".join(f"{rate:.2%} at {fmr}" for fmr, rate in fnmr.items())
            print(f"{listing}, {len(chosen.photos)} photos, {label}: d' {distance:.3f}, FNMR {rates}")


if __name__ == "__main__":
    main()
