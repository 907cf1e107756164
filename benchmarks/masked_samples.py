"""Effect of enrolled photos in masks on searches for masked people and masked strangers.

    python -m benchmarks.masked_samples ../shared/data --out benchmarks/reports/masked_samples

Masks of many kinds are drawn on LFW's photos, in which faces are detected again. For each person with two such photos,
one is enrolled together with one or three bare photos, and the others are searched for. Reports FNIR and the fraction
of masked strangers above the score that 1 % of bare strangers reach, with enrollment of: bare photos with a drawn mask
mixed in; also the masked photo, with and without `facebank.recognition.scoring.WORN_PENALTY`; and the masked photo
alone. The penalty was chosen on the development people.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING
from benchmarks.mask_crops import load_bare_faces, load_drawn_masks
from facebank.index.indexed_samples import mix_masks
from facebank.packs import load_pack
from facebank.recognition.scoring import WORN_PENALTY
from facebank.storage.arrays import normalized
from facebank.vision.analyzer import build_embedder
from facebank.vision.augmentation import augment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray
    from facebank.vision.embedding import Embedder

WORN_QUALITY = 0.85
"""Weight of a masked photo relative to a bare one, approximately its quality."""
MAX_PROBES, MAX_BARE = 5, 12  # per person


@dataclass(frozen=True, slots=True, eq=False)
class MaskedFaces:
    """Embeddings of N bare and M masked faces."""

    bare: FloatArray  # of shape ``(N, D)``
    drawn: FloatArray  # of the same crops with a drawn mask, of shape ``(N, D)``; zeros if not computed
    people: NDArray[np.str_]  # names, of shape ``(N,)``
    paths: NDArray[np.str_]  # relative to LFW's folder, of shape ``(N,)``
    masked: FloatArray  # of faces detected in photos with a drawn mask, of shape ``(M, D)``
    masked_people: NDArray[np.str_]  # of shape ``(M,)``
    masked_paths: NDArray[np.str_]  # of shape ``(M,)``


def load(data: Path, pack: Pack, listing: str) -> MaskedFaces:
    """Embed the bare and masked faces of an LFW list of people."""
    embedder = build_embedder(pack, "auto")
    bare = load_bare_faces(data, pack, listing)
    masked = load_drawn_masks(data, pack, bare, listing)
    people, counts = np.unique(masked.people, return_counts=True)
    drawn = np.zeros((len(bare.paths), embedder.dimension), np.float32)
    rows = [np.flatnonzero(bare.people == name)[:MAX_BARE] for name in people[counts > 1]]
    for row in np.concatenate(rows):
        drawn[row] = embedder.embed(augment(bare.crops[row], embedder.template, "mask")[None])[0]
    bare_embeddings, masked_embeddings = _embed(embedder, bare.crops), _embed(embedder, masked.crops)
    return MaskedFaces(bare_embeddings, drawn, bare.people, bare.paths, masked_embeddings, masked.people, masked.paths)


def measure(faces: MaskedFaces, photo_count: int) -> dict[str, object]:
    """Return the rates in percent of masked people and strangers, with `photo_count` bare photos of each person."""
    random = np.random.default_rng(0)
    prototypes: dict[str, list[FloatArray]] = {"bare": [], "drawn mask": [], "and worn mask": [], "worn mask alone": []}
    probes, person_indices, enrolled = list["FloatArray"](), list[int](), list[str]()
    for name in np.unique(faces.masked_people):
        masked = random.permutation(np.flatnonzero(faces.masked_people == name))[: MAX_PROBES + 1]
        usable = (faces.people == name) & np.any(faces.drawn != 0, axis=1)
        usable &= ~np.isin(faces.paths, faces.masked_paths[masked])
        if len(masked) < 2 or int(usable.sum()) < photo_count:
            continue
        rows = random.permutation(np.flatnonzero(usable))[:photo_count]
        mixed = mix_masks(faces.bare[rows], faces.drawn[rows]).sum(axis=0)
        prototypes["bare"].append(faces.bare[rows].sum(axis=0))
        prototypes["drawn mask"].append(mixed)
        prototypes["and worn mask"].append(mixed + WORN_QUALITY * faces.masked[masked[0]])
        prototypes["worn mask alone"].append(faces.masked[masked[0]])
        probes.append(faces.masked[masked[1:]])
        person_indices += [len(enrolled)] * (len(masked) - 1)
        enrolled.append(str(name))
    people = {method: normalized(np.stack(rows)) for method, rows in prototypes.items()}
    strangers = faces.masked[~np.isin(faces.masked_people, enrolled)]
    unmasked = faces.bare[~np.isin(faces.people, enrolled)]
    threshold = float(np.quantile((unmasked @ people["bare"].T).max(axis=1), 0.99))
    weight = WORN_QUALITY / (WORN_QUALITY + photo_count)
    queries, columns = np.concatenate(probes), np.array(person_indices)

    def rates(method: str, penalty: float = 0.0) -> dict[str, float]:
        scores = queries @ people[method].T - penalty
        right = (scores.argmax(axis=1) == columns) & (scores[np.arange(len(columns)), columns] > threshold)
        is_named = (strangers @ people[method].T - penalty).max(axis=1) > threshold
        return {"missed": round(100 * float(1 - right.mean()), 1), "strangers": round(100 * float(is_named.mean()), 1)}

    return {
        "people": len(enrolled),
        "probes": len(person_indices),
        "strangers": len(strangers),
        "bare": rates("bare"),
        "with a drawn mask": rates("drawn mask"),
        "and a worn one": rates("and worn mask"),
        "and a worn one, with the penalty (as decided)": rates("and worn mask", WORN_PENALTY * weight),
        "a worn one alone": rates("worn mask alone"),
        "a worn one alone, with the penalty": rates("worn mask alone", WORN_PENALTY),
    }


def _embed(embedder: Embedder, crops: NDArray[np.uint8]) -> FloatArray:
    return np.concatenate([embedder.embed(crops[start : start + 64]) for start in range(0, len(crops), 64)])


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    report: dict[str, object] = {"pack_digest": pack.digest, "penalty": WORN_PENALTY}
    for label, listing in (("development", DEVELOPMENT), ("reporting", REPORTING)):
        faces = load(arguments.data, pack, listing)
        report[label] = {f"{photo_count} bare": measure(faces, photo_count) for photo_count in (1, 3)}
        print(label, json.dumps(report[label], indent=2), flush=True)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
