"""Mean embedding of LFW's development people, the ``centre`` of the embedded pack.

    python -m benchmarks.centre ../shared/data

The mean is subtracted from every embedding, since it does not discriminate between people. All people have equal
weight. Prints the line for ``pack.toml``, and the effect on development and reporting people: d' is the distance
between the means of genuine and impostor similarities in standard deviations, FNMR the fraction of genuine pairs lost
at an FMR.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, people_listed
from facebank.packs import Pack, load_pack
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

PHOTOS_EACH = 8


def mean_embedding(faces: LfwFaces) -> FloatArray:
    """Return the mean embedding with equal weight per person."""
    seen = faces.where(faces.found)
    weights = 1 / np.bincount(seen.people)[seen.people]
    return np.asarray((weights / weights.sum()) @ seen.embeddings, dtype=np.float32)


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
    lost = {
        f"{rate:g}": float(weights[genuine < impostors[int(rate * len(impostors))]].sum() / weights.sum())
        for rate in (1e-2, 1e-3, 1e-4)
    }
    return float((mean - impostors.mean()) / np.sqrt(spread / 2)), lost


def several_each(faces: LfwFaces) -> LfwFaces:
    """Return people with two or more photos, with at most `PHOTOS_EACH` photos each."""
    people = faces.people
    number = np.arange(len(people)) - np.searchsorted(people, people)
    return faces.where((np.bincount(people)[people] > 1) & (number < PHOTOS_EACH) & faces.found)


def uncentred(pack: Pack) -> Pack:
    """Return the pack without its ``centre``."""
    return replace(pack, manifest=replace(pack.manifest, embedder=replace(pack.manifest.embedder, center=())))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    arguments = parser.parse_args()
    faces = lfw_faces(arguments.data, uncentred(load_pack(arguments.pack)))
    centre = mean_embedding(faces.of(people_listed(arguments.data, DEVELOPMENT)))
    print(f"centre = [{', '.join(f'{value:.5f}' for value in centre)}]")
    for listing in (DEVELOPMENT, REPORTING):
        chosen = several_each(faces.of(people_listed(arguments.data, listing)))
        for label, embeddings in (
            ("as they are", chosen.embeddings),
            ("centred", normalized(chosen.embeddings - centre)),
        ):
            distance, lost = separation(embeddings, chosen.people)
            rates = ", ".join(f"{share:.2%} at {rate}" for rate, share in lost.items())
            print(f"{listing}, {len(chosen.photos)} photos, {label}: d' {distance:.3f}, FNMR {rates}")


if __name__ == "__main__":
    main()
